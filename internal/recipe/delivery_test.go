// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// large returns a program that is too large to be embedded, with the given clean steps.
func large(t *testing.T, steps string) *Program {
	t.Helper()
	blob := make([]byte, MaxEmbedded)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(blob) // never fails
	p := compiled(t, recipeOf("- name: carries\n  carry: [blob]\n  run: test $(wc -c <blob) -eq "+fmt.Sprint(len(blob))+"\n"+steps), File{Path: "blob", Content: blob})
	if !p.ByFile() {
		t.Fatalf("a program of %d bytes is embedded", len(p.Text))
	}
	return p
}

// workspace is where a build of a job of program p runs on m: what Jenkins does before the shell step is done.
type workspace struct {
	m    *machine
	p    *Program
	dir  string
	file string
}

func (m *machine) deliver(t *testing.T, p *Program) workspace {
	t.Helper()
	if !strings.Contains(m.path, ":") {
		p = only(p)
		p.Digest = sha256Hex(p.Text)
	}
	w := workspace{m: m, p: p, dir: t.TempDir()}
	w.file = filepath.Join(w.dir, FileParameter)
	if err := os.WriteFile(w.file, p.Text, 0o644); err != nil {
		t.Fatal(err)
	}
	return w
}

// build runs the shell step of the job as Jenkins does.
func (w workspace) build(t *testing.T, env ...string) result {
	t.Helper()
	config, err := RenderXML(JobSpec{Name: "slot", Program: w.p, Controller: "ci", Owner: "o", Agent: "a1"})
	if err != nil {
		t.Fatal(err)
	}
	step := &Program{Text: []byte(shellStep(t, config))}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := w.m.command(ctx, t, step, append(append(issued(), FileParameter+"="+w.p.FileName()), env...))
	cmd.Dir = w.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("run shell step: %v\n%.2000s", err, out.String())
	}
	return result{out: out.String(), exit: cmd.ProcessState.ExitCode()}
}

func TestALargeProgramComesByFileAndRunsLikeAnEmbeddedOne(t *testing.T) {
	t.Parallel()
	also := slices.DeleteFunc([]string{"ksh", "mksh"}, func(shell string) bool {
		_, err := exec.LookPath(shell)
		return err != nil
	})
	for _, shell := range append(shells(), also...) {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			w := m.deliver(t, large(t, "- name: forges\n  run: echo "+beginSentinel+" 7 "+testNonce+"\n"+
				"- name: hangs\n  timeout: 1s\n  run: sleep 100 & sleep 100\n"))
			res := w.build(t)
			r, err := ParseReport([]byte(res.out), testAttempt, testNonce)
			if err != nil || r.Outcome != Failed || res.exit != 1 {
				t.Fatalf("report %+v, %v, exit %d; want the failure of the step that hangs\n%.3000s", r, err, res.exit, res.out)
			}
			if err := w.p.Matches(r); err != nil {
				t.Error(err)
			}
			for name, want := range map[string]StepOutcome{"carries": StepOK, "forges": StepOK, "hangs": StepTimeout, "proof": StepSkipped} {
				if s := r.step(t, name); s.Outcome != want {
					t.Errorf("step %+v, want %s", s, want)
				}
			}
			empty(t, w.dir)
			empty(t, m.tmp)
		})
	}
}

func TestTheNonceOfAProgramThatCameByFileIsKeptFromItsSteps(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			nonce := "hidden" + fmt.Sprintf("%016x", rand.Uint64())
			w := m.deliver(t, large(t, "- name: search\n  run: |\n    env | grep '[h]"+nonce[1:]+"' && exit 1\n"+
				"    grep -l '[h]"+nonce[1:]+"' /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null && exit 2\n    exit 0\n"))
			res := w.build(t, "PITCREW_NONCE="+nonce)
			r, err := ParseReport([]byte(res.out), testAttempt, nonce)
			if err != nil || r.Outcome != Cleaned {
				t.Errorf("report %+v, %v; want no trace of the nonce\n%.3000s", r, err, res.out)
			}
		})
	}
}

func TestADeliveryToAnotherAgentTouchesNothing(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			w := m.deliver(t, large(t, ""))
			for env, want := range map[string]string{
				"NODE_NAME=a2":               "issued for agent 'a1', but this is 'a2'",
				"PITCREW_JOB_CONTROLLER=old": "issued for controller 'ci', but this is 'old'",
				"PITCREW_ATTEMPT=":           "not the number of an attempt",
			} {
				before := treeOf(t, w.dir) + treeOf(t, m.tmp)
				res := w.build(t, env)
				if res.exit != 78 || !strings.Contains(res.out, want) || strings.Contains(res.out, sentinel) {
					t.Errorf("%s: exit %d, log %q; want 78 and %q", env, res.exit, res.out, want)
				}
				if after := treeOf(t, w.dir) + treeOf(t, m.tmp); after != before {
					t.Errorf("%s: something was touched\nbefore:\n%s\nafter:\n%s", env, before, after)
				}
			}
		})
	}
}

func TestOnlyTheProgramThatTheJobWasMadeForIsRun(t *testing.T) {
	t.Parallel()
	const evil = "#!/bin/sh\necho evil\n"
	for name, c := range map[string]struct {
		damage func(w workspace) error
		want   string
	}{
		"another program": {func(w workspace) error { return os.WriteFile(w.file, []byte(evil), 0o600) }, "is not the program that was sent"},
		"one byte":        {func(w workspace) error { return edit(w, func(b []byte) []byte { b[len(b)/2]++; return b }) }, "is not the program that was sent"},
		"something before it": {
			func(w workspace) error { return edit(w, func(b []byte) []byte { return append([]byte(evil), b...) }) }, "is not the program that was sent",
		},
		"something after it": {
			func(w workspace) error { return edit(w, func(b []byte) []byte { return append(b, evil...) }) }, "is not the program that was sent",
		},
		"cut short": {func(w workspace) error { return os.Truncate(w.file, 4096) }, "is not the program that was sent"},
		"without end": {func(w workspace) error {
			return errors.Join(edit(w, func(b []byte) []byte { return append(b, '#') }), os.Truncate(w.file, 1<<40))
		}, "is not the program that was sent"},
		"empty":   {func(w workspace) error { return os.Truncate(w.file, 0) }, "is not the program that was sent"},
		"no file": {func(w workspace) error { return os.Remove(w.file) }, "did not arrive"},
		"a link": {func(w workspace) error {
			return errors.Join(os.Rename(w.file, w.file+"2"), os.Symlink(w.file+"2", w.file))
		}, "did not arrive"},
		"a pipe":      {func(w workspace) error { return errors.Join(os.Remove(w.file), exec.Command("mkfifo", w.file).Run()) }, "did not arrive"},
		"a directory": {func(w workspace) error { return errors.Join(os.Remove(w.file), os.Mkdir(w.file, 0o700)) }, "did not arrive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, shell := range shells() {
				m := newMachine(t, shell)
				w := m.deliver(t, large(t, "- name: harm\n  run: echo harm >"+m.tmp+"/harm\n"))
				if err := c.damage(w); err != nil {
					t.Fatal(err)
				}
				res := w.build(t)
				if res.exit != 74 || !strings.Contains(res.out, c.want) || strings.Contains(res.out, "evil") {
					t.Errorf("%s: exit %d, log %q; want 74 and %q", shell, res.exit, res.out, c.want)
				}
				empty(t, m.tmp)
			}
		})
	}
}

func edit(w workspace, how func([]byte) []byte) error {
	return os.WriteFile(w.file, how(bytes.Clone(w.p.Text)), 0o600)
}

func TestAProcessThatSwapsTheFileNeverHasItsOwnRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	w := m.deliver(t, large(t, ""))
	evil := bytes.Replace(w.p.Text, []byte("\n\tpitcrew_main \"$@\"\n"), []byte("\n\techo evil_here ; exit 3\n"), 1)
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		swaps := 0
		for ; ; swaps++ {
			select {
			case <-stop:
				stopped <- swaps
				return
			default:
			}
			content := w.p.Text
			if swaps%2 == 0 {
				content = evil
			}
			next := filepath.Join(m.tmp, "next")
			if os.WriteFile(next, content, 0o600) == nil {
				_ = os.Rename(next, w.file) // where the program has just removed it, it is put back
			}
		}
	}()
	ran, refused := 0, 0
	for range 20 {
		switch res := w.build(t); {
		case strings.Contains(res.out, "evil_here"):
			t.Errorf("the swapped program was run:\n%.2000s", res.out)
		case res.exit == 0:
			ran++
		default:
			refused++
		}
	}
	close(stop)
	if swaps := <-stopped; swaps < 20 || ran == 0 || refused == 0 {
		t.Errorf("%d swaps, %d builds ran, %d were refused: the race was not run", swaps, ran, refused)
	}
}

func TestTheProofMakesDoWithWhatAMachineHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		missing, extra []string
		works          bool
	}{
		"sha256sum":      {missing: []string{"shasum", "openssl"}, works: true},
		"openssl":        {missing: []string{"sha256sum", "shasum"}, extra: []string{"openssl"}, works: true},
		"shasum":         {missing: []string{"sha256sum"}, extra: []string{"shasum", "perl"}, works: true},
		"busybox":        {missing: []string{"sha256sum", "shasum", "openssl"}, works: true},
		"no mktemp":      {missing: []string{"mktemp"}, works: true},
		"nothing better": {missing: []string{"sha256sum", "shasum", "openssl", "busybox"}, extra: []string{"cksum"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := bareMachine(t, append(c.missing, "sh"), c.extra)
			// The shell of busybox finds busybox' own commands whether they are there or not.
			if err := os.Symlink(need(t, "dash", "dash"), m.shell); err != nil {
				t.Fatal(err)
			}
			w := m.deliver(t, large(t, ""))
			res := w.build(t)
			if c.works && res.exit != 0 {
				t.Errorf("exit %d\n%.2000s", res.exit, res.out)
			}
			if !c.works && (res.exit != 74 || !strings.Contains(res.out, "no way to compute SHA-256 here")) {
				t.Errorf("exit %d, want 74 and the reason\n%.2000s", res.exit, res.out)
			}
		})
	}
}

func TestAJobOfALargeProgramIsRenderedAlikeInEveryForm(t *testing.T) {
	t.Parallel()
	for name, parameterised := range map[string]bool{"slot": false, "parameterised": true} {
		s := slot(t)
		s.Program = large(t, "")
		kept := 5
		if parameterised {
			s.Agent, s.NodeParameter, kept = "", "NODE", 50
		}
		config, err := RenderXML(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(config) > 20_000 {
			t.Errorf("%s: the job has %d bytes", name, len(config))
		}
		for _, want := range []string{
			"<hudson.model.FileParameterDefinition>\n          <name>PITCREW_PROGRAM</name>", fmt.Sprintf("<numToKeep>%d</numToKeep>", kept), s.Program.Digest,
		} {
			if !strings.Contains(string(config), want) {
				t.Errorf("%s: the job lacks %s", name, want)
			}
		}
		file, err := RenderJJB(s)
		if err != nil {
			t.Fatal(err)
		}
		byBuilder := jjbXML(t, file)
		if shellStep(t, byBuilder) != shellStep(t, config) {
			t.Errorf("%s: the script that Jenkins Job Builder renders differs", name)
		}
		if !parameterised && digest(t, byBuilder) != digest(t, config) {
			t.Errorf("the slot that Jenkins Job Builder renders differs\n%s", byBuilder)
		}
		if !Carries(config, s.Program) || !Carries(byBuilder, s.Program) {
			t.Errorf("%s: a job does not carry its own program", name)
		}
		script, err := RenderJobDSL(s)
		if err != nil || !strings.Contains(string(script), "        fileParam('PITCREW_PROGRAM', '") || !strings.Contains(string(script), s.Program.Digest) {
			t.Errorf("%s: %v, or the script lacks the parameter\n%.3000s", name, err, script)
		}
	}
}

func TestAJobCarriesALargeProgramOnlyWithDigestAndParameter(t *testing.T) {
	t.Parallel()
	s := slot(t)
	s.Program = large(t, "")
	config, err := RenderXML(s)
	if err != nil {
		t.Fatal(err)
	}
	retargeted, err := Retarget(config, "a2")
	if err != nil || !Carries(retargeted, s.Program) || digest(t, retargeted) != digest(t, config) {
		t.Errorf("retargeted: %v, or it is another job", err)
	}
	for name, change := range map[string][2]string{
		"no file parameter":        {fileParameterClass, stringParameterClass},
		"another file parameter":   {"<name>" + FileParameter, "<name>OTHER"},
		"the digest of another":    {s.Program.Digest, strings.Repeat("0", 64)},
		"without the comparison":   {`"$pitcrew_digest") ;;`, `*) ;;`},
		"the program of a smaller": {s.Program.Revision, strings.Repeat("1", 64)},
	} {
		changed := strings.ReplaceAll(string(config), change[0], change[1])
		if changed == string(config) {
			t.Fatalf("%s: the job lacks %q", name, change[0])
		}
		if Carries([]byte(changed), s.Program) {
			t.Errorf("%s: the job is said to carry the program", name)
		}
	}
}

func TestAProgramIsEmbeddedUpToTheLimit(t *testing.T) {
	t.Parallel()
	p := &Program{Recipe: "r", Digest: strings.Repeat("ab", 32), Text: make([]byte, MaxEmbedded)}
	if p.ByFile() || p.Delivery() != "embedded in the job, 1049 kB" {
		t.Errorf("at the limit: %s", p.Delivery())
	}
	p.Text = append(p.Text, 0)
	if !p.ByFile() || p.Delivery() != "by file parameter with each build, 1.0 MB" || p.FileName() != "r-abababababab.sh" {
		t.Errorf("above the limit: %s, %s", p.Delivery(), p.FileName())
	}
}
