// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// orphan starts a run of attempt on m whose step ignores SIGTERM and bears mark, and closes its output when the step runs,
// as the end of an agent does. Nothing but the test's end and what other runs do ends it.
func (m *machine) orphan(t *testing.T, mark string, env ...string) *exec.Cmd {
	t.Helper()
	p := compiled(t, "places: ['"+m.tmp+"']\n"+recipeOf("- name: hangs\n  run: |\n"+
		"    until [ -s ../../lib/step ]; do :; done # the engine notes the step when it runs already\n    echo ready\n    "+stubborn(mark)+"\n"))
	cmd := m.command(t.Context(), t, p, append(issued(), env...))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.endAll(); _ = cmd.Wait() })
	var seen strings.Builder
	for b := make([]byte, 256); !strings.Contains(seen.String(), "\n| ready\n"); {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("the step was never ready: %v\n%s", err, seen.String())
		}
		seen.Write(b[:n])
	}
	_ = out.Close()
	return cmd
}

// endAll kills whatever runs on m.
func (m *machine) endAll() {
	for pid := range confinedTo(m.tmp) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // ended meanwhile
	}
}

// fenced runs a program beside others in m.tmp and a second place; its step fails if a process bears mark.
func (m *machine) fenced(t *testing.T, mark string, env []string, args ...string) result {
	t.Helper()
	other := filepath.Join(m.tmp, "other")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	text := "places: ['" + other + "', '" + m.tmp + "']\n" + recipeOf(`
- name: looks
  run: |
    echo began
    for p in /proc/[0-9]*/cmdline; do
      ! tr '\0' ' ' <"$p" 2>/dev/null | grep -q '[d]one `+mark+`' || exit 9
    done
`)
	return m.run(t, compiled(t, text), env, args...)
}

func fenceShells() []string {
	return slices.DeleteFunc(append(shells(), "ksh", "mksh"), func(shell string) bool {
		_, err := exec.LookPath(shell)
		return err != nil && !slices.Contains(shells(), shell)
	})
}

// TestAPipeInPlaceOfWhatARunNotesHoldsNothingUp: a build of the same user can make one, and it stays when the build has ended.
func TestAPipeInPlaceOfWhatARunNotesHoldsNothingUp(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	for _, pipe := range []string{"process", "whose", "step"} {
		lib := filepath.Join(m.tmp, "pitcrew."+pipe, "lib")
		if err := os.MkdirAll(lib, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"process", "whose", "step"} {
			err := os.WriteFile(filepath.Join(lib, name), []byte("1 1\nprod\nagent\n"), 0o600)
			if name == pipe {
				err = errors.Join(os.Remove(filepath.Join(lib, name)), syscall.Mkfifo(filepath.Join(lib, name), 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if res := m.fenced(t, "fence-"+rand.Text(), issued()); res.exit != 0 {
		t.Errorf("it ends with %d:\n%s", res.exit, res.out)
	}
}

func TestARunThatLostItsAgentIsEndedBeforeTheNextOneBegins(t *testing.T) {
	t.Parallel()
	const hanging = "for good if its engine hangs"
	for _, shell := range fenceShells() {
		for name, prepare := range map[string]func(*testing.T, *exec.Cmd){
			"by its own engine": func(*testing.T, *exec.Cmd) {},
			hanging: func(t *testing.T, cmd *exec.Cmd) {
				t.Helper()
				frozen := exec.CommandContext(t.Context(), "sh", "-c", `while kill -STOP "$1" 2>/dev/null; do sleep 0.05; done`, "sh", strconv.Itoa(cmd.Process.Pid))
				frozen.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
				frozen.Cancel = func() error { return syscall.Kill(-frozen.Process.Pid, syscall.SIGKILL) }
				if err := frozen.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = frozen.Cancel(); _ = frozen.Wait() })
			},
			"if its engine was killed": func(t *testing.T, cmd *exec.Cmd) {
				t.Helper()
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
			},
		} {
			if name == hanging && shell != "dash" {
				continue // it takes as long as a run is given to end by itself
			}
			t.Run(shell+", "+name, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, shell)
				mark := "fence-" + rand.Text()
				prepare(t, m.orphan(t, mark, "PITCREW_ATTEMPT=6"))
				res := m.fenced(t, mark, issued())
				r, err := ParseReport([]byte(res.out), testAttempt, testNonce)
				if err != nil || r.Outcome != Cleaned {
					t.Fatalf("report %+v, %v; want cleaned, with the earlier run gone before the first step\n%s", r, err, res.out)
				}
				if !strings.Contains(res.out, "pitcrew: ends an earlier run of this agent, attempt 6, process ") {
					t.Errorf("the log does not say what was ended:\n%s", res.out)
				}
				if left := marked(t, mark); len(left) > 0 {
					t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
				}
				empty(t, filepath.Join(m.tmp, "other"))
				if left, _ := filepath.Glob(filepath.Join(m.tmp, "pitcrew.*")); len(left) > 0 {
					t.Errorf("left behind: %s", left)
				}
			})
		}
	}
}

func TestARunGivesWayToAnotherOfItsAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		other []string
		env   []string
		args  []string
	}{
		"of a later attempt":                   {[]string{"PITCREW_ATTEMPT=10"}, issued(), nil},
		"of the same attempt":                  {nil, issued(), nil},
		"of any attempt if it runs by hand":    {nil, nil, []string{"--by-hand", "--agent", "a1"}},
		"of a later attempt if it only proves": {[]string{"PITCREW_ATTEMPT=8"}, append(issued(), "PITCREW_PHASES=verify"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "dash")
			mark := "fence-" + rand.Text()
			m.orphan(t, mark, c.other...)
			res := m.fenced(t, mark, c.env, c.args...)
			if res.exit != 78 || !strings.Contains(res.out, "pitcrew: refused: another run of this agent, attempt ") || strings.Contains(res.out, "began") {
				t.Errorf("exit %d, want a refusal\n%s", res.exit, res.out)
			}
			if len(marked(t, mark)) == 0 {
				t.Error("it ended the other run")
			}
			empty(t, filepath.Join(m.tmp, "other"))
		})
	}
}

// Between two tries of a step there is no process of one, and the engine lives on.
func TestARunThatWaitsForItsNextTryIsSeen(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	p := compiled(t, "places: ['"+m.tmp+"']\n"+recipeOf("- {name: fails, run: exit 1, retries: 1, retryDelay: 10m}\n"))
	cmd := m.command(t.Context(), t, p, append(issued(), "PITCREW_ATTEMPT=8"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.endAll(); _ = cmd.Wait() })
	var seen strings.Builder
	for b := make([]byte, 256); !strings.Contains(seen.String(), "try 1 of 2"); {
		n, err := out.Read(b)
		if err != nil {
			t.Fatalf("it did not come to its second try: %v\n%s", err, seen.String())
		}
		seen.Write(b[:n])
	}
	if res := m.run(t, p, issued()); res.exit != 78 || !strings.Contains(res.out, "another run of this agent, attempt 8") {
		t.Errorf("exit %d, want 78:\n%s", res.exit, res.out)
	}
}

func TestARunLeavesThoseOfOthersAlone(t *testing.T) {
	t.Parallel()
	for name, other := range map[string][]string{
		"another agent":                           {"NODE_NAME=a2", "PITCREW_AGENT=a2", "PITCREW_ATTEMPT=6"},
		"another controller":                      {"PITCREW_JOB_CONTROLLER=cd", "PITCREW_CONTROLLER=cd", "PITCREW_ATTEMPT=6"},
		"another controller with later attempts":  {"PITCREW_JOB_CONTROLLER=cd", "PITCREW_CONTROLLER=cd", "PITCREW_ATTEMPT=60"},
		"an agent whose name only begins as ours": {"NODE_NAME=a1 b", "PITCREW_AGENT=a1 b", "PITCREW_ATTEMPT=6"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "dash")
			mark := "fence-" + rand.Text()
			m.orphan(t, mark, other...)
			res := m.fenced(t, "none", issued())
			if r, err := ParseReport([]byte(res.out), testAttempt, testNonce); err != nil || r.Outcome != Cleaned {
				t.Errorf("report %+v, %v\n%s", r, err, res.out)
			}
			if len(marked(t, mark)) == 0 {
				t.Error("it ended the other run")
			}
		})
	}
}

func TestARunThatCannotBeEndedFailsTheNextOneAtOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	mark := "fence-" + rand.Text()
	earlier := m.orphan(t, mark, "PITCREW_ATTEMPT=6")
	if err := earlier.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = earlier.Wait()
	work := filepath.Join(m.tmp, "work")
	if err := os.MkdirAll(filepath.Join(work, "lib"), 0o700); err != nil {
		t.Fatal(err)
	}
	r := parse(t, recipeOf("- {name: looks, run: echo began}\n"))
	script := r.engine("x", nil) + "end_session() { victims='41 42'; return 1; }\n" + // as if the kernel did not let go of them
		"exec 3<<'NONCE'\n" + testNonce + "\nNONCE\nengine_main \"$@\"\n"
	cmd := exec.CommandContext(t.Context(), m.shell, "-c", script, "sh", work, "", m.tmp)
	cmd.Env = append(issued(), "PATH="+m.path, "TMPDIR="+m.tmp, "PITCREW_TMPDIR=", "PITCREW_MODE=run", "PITCREW_PHASES=all", "PITCREW_NO_REBOOT=", "PITCREW_HASHER=sha256sum")
	out, _ := cmd.CombinedOutput()
	got, err := ParseReport(out, testAttempt, testNonce)
	const reason = "an earlier run of this agent, attempt 6, still lives: processes 41 42"
	if err != nil || got.Outcome != Failed || got.Reason != reason || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("report %+v, %v, exit %d; want failed because %s\n%s", got, err, cmd.ProcessState.ExitCode(), reason, out)
	}
	for _, name := range []string{"looks", "proof"} {
		if s := got.step(t, name); s.Outcome != StepSkipped || s.Reason != reason {
			t.Errorf("step %+v, want skipped", s)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.tmp, "pitcrew.*")); len(left) != 1 {
		t.Errorf("directories %s, want that of the run that still lives", left)
	}
}

// TestARunThatMayLiveUnseenIsLeftAlone: containers can share a place, and do not see each other's processes.
func TestARunThatMayLiveUnseenIsLeftAlone(t *testing.T) {
	t.Parallel()
	here := strings.TrimSuffix(strings.TrimPrefix(readLink(t, "/proc/self/ns/pid"), "pid:["), "]")
	for _, shell := range fenceShells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			stays := map[string]bool{}
			dead := func(name, whose string, stay bool) {
				lib := filepath.Join(m.tmp, "pitcrew."+name, "lib")
				stays[filepath.Dir(lib)] = stay
				if err := errors.Join(os.MkdirAll(lib, 0o700), os.WriteFile(filepath.Join(lib, "process"), []byte("1 1\n"), 0o600),
					os.WriteFile(filepath.Join(lib, "whose"), []byte(whose), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			dead("another's", "5\nci\na2\n1\n", true)
			dead("another-controller's", "5\nother\na1\n1\n", true)
			dead("ours", "5\nci\na1\n1\n", false)
			dead("dead", "5\nci\na2\n"+here+"\n", false)
			dead("older", "5\nci\na2\n", false)
			if res := m.fenced(t, "fence-"+rand.Text(), issued()); res.exit != 0 {
				t.Errorf("it ends with %d:\n%s", res.exit, res.out)
			}
			for dir, stay := range stays {
				if _, err := os.Stat(dir); (err == nil) != stay {
					t.Errorf("%s: %v; want it to stay: %t", dir, err, stay)
				}
			}
		})
	}
}

// TestAProgramWhoseDirectoryIsRemovedEnds: a cleanup script that empties /tmp removes it, too.
func TestAProgramWhoseDirectoryIsRemovedEnds(t *testing.T) {
	t.Parallel()
	for _, shell := range fenceShells() {
		for name, script := range map[string]string{
			"and the step ends": `rm -rf "$TMPDIR"/pitcrew.*`,
			"while it prints":   `for i in 1 2 3; do echo "$i"; done; rm -rf "$TMPDIR"/pitcrew.*; echo removed`,
			"and it hangs":      `rm -rf "$TMPDIR"/pitcrew.*; exec sleep 600`,
		} {
			t.Run(shell+", "+name, func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, shell)
				r, res := m.report(t, compiled(t, "places: ['"+m.tmp+"']\n"+recipeOf(`
- name: removes
  timeout: 2s
  retries: 2
  run: `+script+`
- name: next
  run: echo next
`)))
				if r.Outcome != Failed || !strings.Contains(r.Reason, ", in which this program works, was removed while 'removes' ran") {
					t.Errorf("outcome %s (%s); want it failed, with what became of the directory\n%s", r.Outcome, r.Reason, res.out)
				}
				if s := r.step(t, "removes"); s.Outcome != StepFailed || s.Tries != 1 {
					t.Errorf("step %+v; want it failed at once", s)
				}
				if s := r.step(t, "next"); s.Outcome != StepSkipped {
					t.Errorf("step %+v; want it skipped", s)
				}
			})
		}
	}
}
