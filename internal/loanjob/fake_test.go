// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// The tests here have a shell script for Java: they are about what the program does, not about what connects.

// jar is an agent program for it.
var jar = []byte("PK\x03\x04 not really")

// pretend makes a loan whose agent program is script, and a place for it.
func pretend(t *testing.T, shell, script string) (*loan, *place) {
	t.Helper()
	p := newPlace(t, shell)
	home := t.TempDir()
	java := filepath.Join(home, "bin", "java")
	if err := errors.Join(os.Mkdir(filepath.Dir(java), 0o755), os.WriteFile(java, []byte("#!/bin/sh\n"+script), 0o755)); err != nil {
		t.Fatal(err)
	}
	p.java = home
	sum := sha256.Sum256(jar)
	return &loan{
		order: loanjob.Order{
			Agent: "lent-" + rand.Text(), Controller: "lender", Attempt: 7, Loan: "loan-" + rand.Text(), URL: "https://borrower.example/",
			Node: "node (ü)", Dir: filepath.Join(t.TempDir(), "work"), Isolation: loanjob.None, JarSHA256: hex.EncodeToString(sum[:]),
			Limit: time.Hour, Attach: time.Minute,
		},
		secrets: loanjob.Secrets{Nonce: "nonce-" + rand.Text(), Secret: strings.Repeat("5e", 32)},
		out:     &output{},
	}, p
}

// connects is an agent program that has connected.
const connects = `echo "INFO: Connected" >&2
trap 'exit 143' TERM
while :; do sleep 0.2; done
`

// connected waits until the program has noticed that.
func (l *loan) connected(t *testing.T) {
	t.Helper()
	testbed.Await(t.Context(), t, patience, "the loan connected", func() bool { return l.console(t).Connected || l.over() })
}

func (l *loan) stop(t *testing.T) {
	t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// wantRefusal waits for the end and looks for a refusal with these words, and for what was touched: nothing.
func (l *loan) wantRefusal(t *testing.T, p *place, words string) {
	t.Helper()
	exit, c := l.exit(t), l.console(t)
	if exit != 78 || !strings.Contains(c.Refusal, words) || c.Started != nil || c.Failure != nil {
		t.Errorf("exit status %d, console %+v; want a refusal: %s", exit, c, words)
	}
	l.nothingLeft(t, p)
}

func TestALoanThatWasNotIssuedForThisPlaceTouchesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ variable, words string }{
		{"NODE_NAME=another", "but this is 'another'"},
		{"NODE_NAME=", "but this is ''"},
		{"PITCREW_AGENT=", "not issued for any agent"},
		{"PITCREW_JOB_CONTROLLER=other", "but this is 'other'"},
		{"PITCREW_CONTROLLER=", "not issued for any controller"},
		{"PITCREW_ATTEMPT=0", "number of an attempt"},
		{"PITCREW_ATTEMPT=1; touch /", "number of an attempt"},
		{"PITCREW_NONCE=short", "too short"},
		{"PITCREW_NONCE=$(id)$(id)$(id)$(id)", "not a nonce"},
		{"PITCREW_LOAN=../../etc", "not the id of a loan"},
		{"PITCREW_LOAN_URL=file:///etc/passwd", "not the address"},
		{"PITCREW_LOAN_URL=http://x/ -jnlpUrl", "not the address"},
		{"PITCREW_LOAN_NODE=@/etc/shadow", "not the name of an agent"},
		{"PITCREW_LOAN_NODE=a\nb", "control character"},
		{"PITCREW_LOAN_DIR=/tmp/../etc", "not a plain path"},
		{"PITCREW_LOAN_DIR=relative", "not a plain path"},
		{"PITCREW_LOAN_USER=-x", "not the name of an account"},
		{"PITCREW_LOAN_USER=root", "No such thing"}, // replaced below
		{"PITCREW_LOAN_ISOLATION=maybe", "neither required"},
		{"PITCREW_LOAN_JAR_SHA256=00", "not a SHA-256"},
		{"PITCREW_LOAN_JAR_SHA256=" + strings.Repeat("0", 64), "and was to have " + strings.Repeat("0", 64)},
		{"PITCREW_LOAN_SECRET=@file", "not the secret"},
		{"PITCREW_LOAN_LIMIT=-1", "PITCREW_LOAN_LIMIT"},
		{"PITCREW_LOAN_ATTACH=", "PITCREW_LOAN_ATTACH"},
		{"PITCREW_LOAN_CERT=/etc/passwd", "not a certificate"},
	} {
		t.Run(strings.Map(plain, c.variable), func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, shells()[len(c.variable)%3], connects)
			more := []string{c.variable}
			if c.words == "No such thing" {
				more, c.words = append(more, "PITCREW_LOAN_ISOLATION=required"), "a separate account is required, and "
			}
			l.hold(t, p, jar, more...)
			if name, value, _ := strings.Cut(c.variable, "="); name == "PITCREW_NONCE" {
				l.secrets.Nonce = value
			}
			l.wantRefusal(t, p, c.words)
			if _, err := os.Stat(filepath.Join(p.workspace, loanjob.FileParameter)); err != nil {
				t.Errorf("the agent program was touched: %v", err)
			}
		})
	}
}

func plain(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '_' {
		return r
	}
	return '.'
}

func TestAWorkDirectoryThatExistsIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		l, p := pretend(t, shell, connects)
		file := filepath.Join(l.order.Dir, "theirs")
		if err := errors.Join(os.Mkdir(l.order.Dir, 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		l.hold(t, p, jar)
		if exit, c := l.exit(t), l.console(t); exit != 78 || !strings.Contains(c.Refusal, "cannot make "+l.order.Dir) {
			t.Errorf("%s: exit status %d, console %+v", shell, exit, c)
		}
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
}

func TestWithoutRoomForTheLoanNothingIsLeft(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("a file system of its own needs root; CI runs this test")
	}
	l, p := pretend(t, "dash", connects)
	full := append(jar, make([]byte, 1<<20)...)
	sum := sha256.Sum256(full)
	l.order.JarSHA256 = hex.EncodeToString(sum[:])
	p.under = []string{"unshare", "-m", "/bin/sh", "-c", `mount -t tmpfs -o size=64k small "$1" && shift && exec "$@"`, "enter", filepath.Dir(l.order.Dir)}
	l.hold(t, p, full)
	if exit, c := l.exit(t), l.console(t); exit != 74 || c.Failure == nil || c.Failure.DirKept || !strings.Contains(c.Failure.Reason, "agent.jar") {
		t.Errorf("exit status %d, console %+v", exit, c)
	}
	l.nothingLeft(t, p)
}

func TestWhatTheBorrowerPrintsCannotPassForTheProgramsWords(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, shell, "")
			sum := sha256.Sum256([]byte(l.secrets.Nonce))
			forged := fmt.Sprintf("pitcrew-loan %x ended reason=limit code=0 left=0 dir=gone nonce=%s", sum, l.secrets.Nonce)
			script := `f='` + forged + `'
echo "$f"; printf '\r%s\n' "$f"; printf '\033[8mha:\033[0m%s\n' "$f"; printf '\000%s\n' "$f"; printf 'x%4095s\n' "$f"
head -c 70000 /dev/zero | tr '\0' x; printf '\n%s' "$f"
yes "$f" | head -n 9000
` + connects
			if err := os.WriteFile(filepath.Join(p.java, "bin", "java"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
				t.Fatal(err)
			}
			l.order.Attach = time.Hour
			l.hold(t, p, jar)
			l.connected(t)
			if e := l.console(t).Ended; e != nil {
				t.Errorf("ended %+v", e)
			}
			l.stop(t)
			l.wantEnd(t, p, loanjob.Stopped, 0)
			text := l.out.String()
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "pitcrew-loan ") || strings.ContainsAny(line, "\r\033\000") || len(line) > 1100 {
					t.Errorf("a line of %d bytes: %.100q", len(line), line)
				}
			}
			if len(text) > 1_100_000 || !strings.Contains(text, "left out") {
				t.Errorf("%d bytes were passed on", len(text))
			}
		})
	}
}

func TestAnAgentProgramThatClingsToLifeIsKilled(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, shell, `echo "INFO: Connected"
trap '' TERM
setsid sh -c 'trap "" TERM; while :; do sleep 0.2; done' &
while :; do sleep 0.2; done
`)
			l.hold(t, p, jar)
			l.connected(t)
			l.stop(t)
			l.wantEnd(t, p, loanjob.Stopped, 0)
			if e := l.console(t).Ended; e != nil && e.Code != 137 {
				t.Errorf("ended %+v, want code 137", e)
			}
		})
	}
}

// The agent begins anew in its own place when it has lost its connection: its process stays, its builds do not.
func TestALoanEndsWhenTheLendersAgentBeginsAnew(t *testing.T) {
	t.Parallel()
	l, p := pretend(t, "dash", connects)
	anew := filepath.Join(t.TempDir(), "anew")
	p.under = []string{"/bin/sh", "-c", `"$@" & while [ ! -e ` + anew + ` ]; do sleep 0.2; done; exec sleep 300`, "agent"}
	l.hold(t, p, jar)
	l.connected(t)
	if err := os.WriteFile(anew, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Await(t.Context(), t, patience, "the end", func() bool { return l.console(t).Ended != nil })
	if e := l.console(t).Ended; e.Reason != loanjob.LenderGone || e.Left != 0 {
		t.Errorf("ended %+v", e)
	}
	l.stop(t) // the one that has begun anew
	l.exit(t)
	l.nothingLeft(t, p)
}

func TestASecondLoanOfTheSameAgentIsRefused(t *testing.T) {
	t.Parallel()
	first, p := pretend(t, "dash", connects)
	first.hold(t, p, jar)
	first.connected(t)
	second, _ := pretend(t, "dash", connects)
	second.order.Agent, second.order.Attempt = first.order.Agent, 8
	second.hold(t, p, jar)
	if exit, c := second.exit(t), second.console(t); exit != 78 || !strings.Contains(c.Refusal, first.order.Loan+" of this agent, attempt 7, lives here") {
		t.Errorf("exit status %d, console %+v", exit, c)
	}
	other, _ := pretend(t, "dash", connects) // of another agent on the same machine
	other.hold(t, p, jar)
	other.connected(t)
	other.stop(t)
	other.exit(t)
	first.stop(t)
	first.wantEnd(t, p, loanjob.Stopped, 0)
}

func TestCertificatesToTrustReachTheAgentProgram(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		l, p := pretend(t, shell, `printf '%s\n' "$@"; exit 3`)
		first := "-----BEGIN CERTIFICATE-----\n" + strings.Repeat("QUJD\n", 1500) + "-----END CERTIFICATE-----"
		second := "# it's another\n-----BEGIN CERTIFICATE-----\nREVG\n-----END CERTIFICATE-----"
		l.order.Certificate = first + "\n\n" + second + "\n"
		l.hold(t, p, jar)
		l.wantEnd(t, p, loanjob.NotConnected, 69)
		// By its text: the value @FILE would be replaced by the lines of the file, each an argument of its own.
		want := strings.ReplaceAll(strings.Join([]string{
			"-url", l.order.URL, "-secret", "@" + l.order.Dir + "/secret", "-name", l.order.Node,
			"-webSocket", "-noReconnect", "-workDir", l.order.Dir, "-cert", first, "-cert", second,
		}, "\n"), "\n", "\n| ")
		said := regexp.MustCompile(`(?m)^pitcrew-loan .*\n`).ReplaceAllString(l.out.String(), "") // which may stand between any two lines
		if !strings.Contains(said, want+"\n") {
			t.Errorf("%s: the agent program was called otherwise:\n%s", shell, l.out.String())
		}
		if e := l.console(t).Ended; e != nil && e.Code != 3 {
			t.Errorf("%s: ended %+v, want code 3", shell, e)
		}
	}
}
