// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

var update = flag.Bool("update", false, "write the golden files anew")

func someSpec() loanjob.Spec {
	return loanjob.Spec{Name: "pitcrew/loan of a1", Agent: "linux 7 (big)", Controller: "ci <1>", Owner: "owner-1"}
}

func TestTheJobIsAsItWas(t *testing.T) {
	t.Parallel()
	config, err := loanjob.RenderXML(someSpec())
	if err != nil {
		t.Fatal(err)
	}
	// The program has tests of its own.
	shown := regexp.MustCompile(`(?s)<command>.*</command>`).ReplaceAll(config, []byte("<command>the program</command>"))
	golden := filepath.Join("testdata", "job.xml")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, shown, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(shown)); diff != "" {
		t.Error(diff)
	}
}

func TestAJobIsKnownAgainAndEveryChangeIsSeen(t *testing.T) {
	t.Parallel()
	s := someSpec()
	config, err := loanjob.RenderXML(s)
	if err != nil {
		t.Fatal(err)
	}
	stored := strings.NewReplacer(
		"<assignedNode>", "<assignedNode >", "<project>", `<project plugin="x@1">`,
		"<defaultValue/>\n        </hudson.model.PasswordParameterDefinition>", "<defaultValue>{AQAAABAAAA==}</defaultValue>\n        </hudson.model.PasswordParameterDefinition>",
	).Replace(string(config))
	if same, err := loanjob.Same([]byte(stored), s); !same || err != nil {
		t.Errorf("as Jenkins stores it: %t, %v", same, err)
	}
	for from, to := range map[string]string{
		`"linux 7 (big)"</assigned`: "linux8</assigned", "leave 70": "leave 0", "<numToKeep>20": "<numToKeep>0",
		"<concurrentBuild>false": "<concurrentBuild>true", "owner-1": "owner-2", "<defaultValue>required": "<defaultValue>none",
		"<buildWrappers/>": "<buildWrappers><x/><y>1</y></buildWrappers>",
	} {
		changed := strings.Replace(string(config), from, to, 1)
		if changed == string(config) {
			t.Errorf("%q is not in the job", from)
		}
		if same, err := loanjob.Same([]byte(changed), s); same || err != nil {
			t.Errorf("with %q for %q: %t, %v", to, from, same, err)
		}
	}
	if owner, err := loanjob.Owner(config); owner != "owner-1" || err != nil {
		t.Errorf("owner %q, %v", owner, err)
	}
	if _, err := loanjob.Same([]byte("<project"), s); err == nil {
		t.Error("a broken document is the same or another")
	}
}

func TestJobsThatCannotBeStoredAreNotRendered(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*loanjob.Spec){
		"no name": func(s *loanjob.Spec) { s.Name = "" }, "no agent": func(s *loanjob.Spec) { s.Agent = "" },
		"no controller": func(s *loanjob.Spec) { s.Controller = "" }, "no owner": func(s *loanjob.Spec) { s.Owner = "" },
		"an escape": func(s *loanjob.Spec) { s.Agent = "a\x1b" }, "two lines": func(s *loanjob.Spec) { s.Owner = "a\nb" },
	} {
		s := someSpec()
		change(&s)
		if _, err := loanjob.RenderXML(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestOrdersThatTheProgramWouldRefuseAreRefusedBefore(t *testing.T) {
	t.Parallel()
	good, _ := pretend(t, "dash", "")
	if _, _, err := good.order.Parameters(good.secrets); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*loanjob.Order, *loanjob.Secrets){
		"attempt":     func(o *loanjob.Order, _ *loanjob.Secrets) { o.Attempt = 0 },
		"loan":        func(o *loanjob.Order, _ *loanjob.Secrets) { o.Loan = "a/b" },
		"URL":         func(o *loanjob.Order, _ *loanjob.Secrets) { o.URL = "http://x/ -cert" },
		"node":        func(o *loanjob.Order, _ *loanjob.Secrets) { o.Node = "@/etc/shadow" },
		"directory":   func(o *loanjob.Order, _ *loanjob.Secrets) { o.Dir = "/tmp/../etc" },
		"account":     func(o *loanjob.Order, _ *loanjob.Secrets) { o.User = "-c" },
		"isolation":   func(o *loanjob.Order, _ *loanjob.Secrets) { o.Isolation = "" },
		"SHA-256":     func(o *loanjob.Order, _ *loanjob.Secrets) { o.JarSHA256 = "00" },
		"certificate": func(o *loanjob.Order, _ *loanjob.Secrets) { o.Certificate = "/etc/ssl" },
		"limit":       func(o *loanjob.Order, _ *loanjob.Secrets) { o.Limit = time.Millisecond },
		"connect":     func(o *loanjob.Order, _ *loanjob.Secrets) { o.Attach = 0 },
		"nonce":       func(_ *loanjob.Order, s *loanjob.Secrets) { s.Nonce = "hidden words" },
		"secret":      func(_ *loanjob.Order, s *loanjob.Secrets) { s.Secret = "@hidden" },
	} {
		o, s := good.order, good.secrets
		change(&o, &s)
		_, _, err := o.Parameters(s)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestALoanIsLookedAfterWithoutItsBorrower: what ends it names neither the borrower nor a secret of its node.
func TestALoanIsLookedAfterWithoutItsBorrower(t *testing.T) {
	t.Parallel()
	o := loanjob.Order{Agent: "a 1", Controller: "main", Attempt: 7, Loan: "l1", Dir: "/var/tmp/pitcrew-loan-l1", User: "guest"}
	secrets := loanjob.Secrets{Nonce: "0123456789abcdef"}
	input, err := o.Known(secrets)
	want := "PITCREW_AGENT=a 1\nPITCREW_ATTEMPT=7\nPITCREW_CONTROLLER=main\nPITCREW_LOAN=l1\n" +
		"PITCREW_LOAN_DIR=/var/tmp/pitcrew-loan-l1\nPITCREW_LOAN_USER=guest\nPITCREW_NONCE=0123456789abcdef\n"
	if err != nil || string(input) != want {
		t.Errorf("got %q, %v", input, err)
	}
	for name, bend := range map[string]func(*loanjob.Order, *loanjob.Secrets){
		"no agent":        func(o *loanjob.Order, _ *loanjob.Secrets) { o.Agent = "" },
		"two lines":       func(o *loanjob.Order, _ *loanjob.Secrets) { o.Controller = "a\nPITCREW_LOAN=x" },
		"no attempt":      func(o *loanjob.Order, _ *loanjob.Secrets) { o.Attempt = 0 },
		"another loan":    func(o *loanjob.Order, _ *loanjob.Secrets) { o.Loan = "../l2" },
		"a way elsewhere": func(o *loanjob.Order, _ *loanjob.Secrets) { o.Dir = "/var/tmp/../../etc" },
		"no account":      func(o *loanjob.Order, _ *loanjob.Secrets) { o.User = "-x" },
		"a short nonce":   func(_ *loanjob.Order, s *loanjob.Secrets) { s.Nonce = "x" },
	} {
		bent, s := o, secrets
		bend(&bent, &s)
		if input, err := bent.Known(s); err == nil {
			t.Errorf("%s: %q", name, input)
		}
	}
}

func TestTheProgramIsASCIIAndWhole(t *testing.T) {
	t.Parallel()
	text := loanjob.Program()
	if i := bytes.IndexFunc(text, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
		t.Errorf("byte %d is %q", i, text[i])
	}
	for _, shell := range shells() {
		p := newPlace(t, shell)
		for _, part := range []int{len(text) / 3, len(text) / 2, len(text) - 3} { // cut short, it does nothing at all
			cmd := exec.CommandContext(t.Context(), p.shell)
			cmd.Stdin, cmd.Env = bytes.NewReader(text[:part]), []string{"PATH=" + p.path}
			if out, _ := cmd.CombinedOutput(); bytes.Contains(out, []byte("pitcrew-loan")) {
				t.Errorf("%s, %d bytes of it: %s", shell, part, out)
			}
		}
	}
}

func TestTheShellIsClean(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("shell/*.sh")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	if out, err := exec.CommandContext(t.Context(), need(t, "shellcheck"), files...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestCertificatesAreTakenOutOfTheFileThatHoldsThem(t *testing.T) {
	t.Parallel()
	const one, two = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nREVG\n-----END CERTIFICATE-----\n"
	key := "-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n"
	for file, want := range map[string]string{
		one: one,
		"subject=it's\n" + one + key + "\n" + two: one + two,
		strings.ReplaceAll(one, "\n", "\r\n"):     one,
		key:                                       "no certificate",
		strings.Repeat(one, 1000):                 "an agent can be told",
	} {
		got, err := loanjob.Certificates([]byte(file))
		if got != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.80q: got %q, %v; want %q", file, got, err, want)
		}
	}
}
