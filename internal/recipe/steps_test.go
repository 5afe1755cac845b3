// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// marked returns the processes that have mark among their arguments.
func marked(t *testing.T, mark string) []string {
	t.Helper()
	var found []string
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		args, _ := os.ReadFile(file)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if strings.Contains(string(args), "\x00"+mark+"\x00") && !strings.Contains(string(stat), ") Z ") {
			found = append(found, strings.ReplaceAll(file+" "+string(args), "\x00", " "))
		}
	}
	return found
}

// stubborn is a shell command that starts a process which ignores SIGTERM and carries mark.
func stubborn(mark string) string {
	return `sh -c 'trap "" TERM; while :; do sleep 1; done' ` + mark
}

func TestAStepThatPassesItsLimitIsEndedWhole(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			mark := "limit-" + rand.Text()
			p := compiled(t, recipeOf(fmt.Sprintf(`
- name: hangs
  timeout: 1s
  run: |
    trap '' TERM
    %[1]s &
    (%[1]s & wait) &
    setsid %[1]s &
    echo begun
    while :; do sleep 1; done
- name: goes on
  run: echo second
`, stubborn(mark))))
			r, res := m.report(t, p)
			// More may follow in the tail: a shell that dies after its child may still say "Killed".
			if s := r.step(t, "hangs"); s.Outcome != StepTimeout || s.Reason != "no end after 1 s" || !strings.HasPrefix(s.Tail, "begun\n") {
				t.Errorf("step %+v, want a timeout", s)
			}
			if r.Outcome != Failed || r.Verified || res.exit != 1 || r.Reason != "failed: hangs" {
				t.Errorf("outcome %s, verified %v, exit %d, reason %q; want failed", r.Outcome, r.Verified, res.exit, r.Reason)
			}
			if r.step(t, "goes on").Outcome != StepOK {
				t.Error("a failed clean step kept the next from running")
			}
			if s := r.step(t, "proof"); s.Outcome != StepSkipped || s.Reason != "an earlier step failed" {
				t.Errorf("verify step %+v, want skipped", s)
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("processes outlive the step:\n%s", strings.Join(left, "\n"))
			}
			empty(t, m.tmp)
		})
	}
}

func TestWhatAStepLeavesInItsSessionIsEnded(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			mark := "left-" + rand.Text()
			p := compiled(t, recipeOf("- name: leaves\n  run: |\n    "+stubborn(mark)+" &\n    echo done\n"))
			r, res := m.report(t, p)
			s := r.step(t, "leaves")
			if s.Outcome != StepOK || !strings.HasPrefix(s.Reason, "ended ") || r.Outcome != Cleaned {
				t.Errorf("step %+v, want ok with what it left\n%s", s, res.out)
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("processes outlive the step:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

func TestExitCodesMeanWhatTheRecipeSays(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			count := func(name string) string { return "echo x >>" + m.tmp + "/" + name + "; " }
			p := compiled(t, recipeOf(`
- name: third try
  retries: 3
  retryDelay: 0s
  run: `+count("third")+`test "$PITCREW_TRY" = 3
- name: in vain
  retries: 1
  retryDelay: 0s
  run: `+count("vain")+`exit 9
- name: for good
  retries: 5
  outcomes: {9: failed}
  run: `+count("good")+`exit 9
- name: warns
  retries: 5
  outcomes: {3: warned}
  run: `+count("warns")+`exit 3
- name: no interpreter
  interpreter: nosuchthing
  run: exit 0
`))
			r, _ := m.report(t, p)
			for name, want := range map[string]StepReport{
				"third try":      {Outcome: StepOK, Tries: 3},
				"in vain":        {Outcome: StepFailed, Exit: 9, Tries: 2, Reason: "exit code 9"},
				"for good":       {Outcome: StepFailed, Exit: 9, Tries: 1, Reason: "exit code 9"},
				"warns":          {Outcome: StepWarned, Exit: 3, Tries: 1},
				"no interpreter": {Outcome: StepFailed, Exit: 127, Tries: 1, Reason: "exit code 127"},
			} {
				got := r.step(t, name)
				if got.Outcome != want.Outcome || got.Exit != want.Exit || got.Tries != want.Tries || got.Reason != want.Reason {
					t.Errorf("%s: %+v, want %+v", name, got, want)
				}
			}
			for name, want := range map[string]int{"third": 3, "vain": 2, "good": 1, "warns": 1} {
				b, err := os.ReadFile(filepath.Join(m.tmp, name))
				if got := strings.Count(string(b), "x"); err != nil || got != want {
					t.Errorf("%s ran %d times (%v), want %d", name, got, err, want)
				}
			}
		})
	}
}

func TestAStepMayAskForAReconnectOrAReboot(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			flag := filepath.Join(m.tmp, "rebooted")
			text := "version: 1\nname: test\nrebootCommand: touch " + flag + `
clean:
  - {name: groups, run: exit "$RECONNECT", env: {RECONNECT: 4}, outcomes: {4: reconnect}}
  - {name: kernel, run: exit 5, outcomes: {5: reboot}, when: {labels: old-kernel}}
setup:
  - {name: still, run: "true"}
verify:
  - {name: proof, run: "true"}
`
			p := compiled(t, text)
			r, res := m.report(t, p)
			if r.Outcome != Reconnect || r.Verified || res.exit != 0 {
				t.Errorf("outcome %s, verified %v, exit %d; want reconnect", r.Outcome, r.Verified, res.exit)
			}
			if s := r.step(t, "proof"); s.Outcome != StepSkipped || s.Reason != "comes after the reconnect" {
				t.Errorf("verify step %+v, want skipped until the agent is back", s)
			}
			if r.step(t, "still").Outcome != StepOK {
				t.Error("the setup phase did not run")
			}
			r, _ = m.report(t, p, "NODE_LABELS=old-kernel", "PITCREW_PHASES=verify")
			if r.Outcome != Cleaned || !r.Verified || len(r.Steps) != 1 {
				t.Errorf("verify phase alone: %+v", r)
			}
			res = m.run(t, p, append(issued(), "NODE_LABELS=old-kernel"), "--no-reboot")
			if r, err := ParseReport([]byte(res.out), testAttempt, testNonce); err != nil || r.Outcome != Reboot {
				t.Errorf("report %+v, %v; want reboot", r, err)
			}
			if strings.Contains(res.out, "reboots:") {
				t.Error("it rebooted against the caller's wish")
			}
			if r, _ = m.report(t, p, "NODE_LABELS=old-kernel"); r.Outcome != Reboot {
				t.Errorf("outcome %s, want reboot", r.Outcome)
			}
			appears(t, flag)
		})
	}
}

// appears waits for a file.
func appears(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not appear", path)
		case <-tick.C:
		}
	}
}

// begin starts p and returns when a step has printed the line "| ready".
func (m *machine) begin(t *testing.T, p *Program) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := m.command(t.Context(), t, p, issued())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if lines.Text() == "| ready" {
			return cmd, lines
		}
	}
	t.Fatalf("the step was never ready: %v", cmd.Wait())
	return nil, nil
}

func TestAnAbortedProgramEndsItsStepAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shell  string
		signal syscall.Signal
		exit   int
	}{
		{"dash", syscall.SIGTERM, 143},
		{"dash", syscall.SIGINT, 130},
		{"dash", syscall.SIGHUP, 129},
		{"bash", syscall.SIGTERM, 143},
		{"busybox", syscall.SIGTERM, 143},
	} {
		t.Run(c.shell+", "+c.signal.String(), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.shell)
			mark := "abort-" + rand.Text()
			p := compiled(t, recipeOf("- name: hangs\n  run: |\n    "+stubborn(mark)+" &\n    echo ready\n    "+stubborn(mark)+"\n"))
			cmd, lines := m.begin(t, p)
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			var rest strings.Builder
			for lines.Scan() {
				rest.WriteString(lines.Text() + "\n")
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.exit {
				t.Errorf("exit %d, want %d\n%s", got, c.exit, rest.String())
			}
			if strings.Contains(rest.String(), sentinel) {
				t.Error("an aborted program sent a report")
			}
			if left := marked(t, mark); len(left) > 0 {
				t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
			}
			empty(t, m.tmp)
		})
	}
}

func TestTheNextRunRemovesWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			t.Cleanup(func() {
				for pid := range confinedTo(m.tmp) { // nobody else ends what the killed program had started
					if process, err := os.FindProcess(pid); err == nil {
						_ = process.Kill() // ended meanwhile
					}
				}
			})
			cmd, _ := m.begin(t, compiled(t, recipeOf("- name: hangs\n  run: |\n    echo ready\n    "+stubborn("killed")+"\n")))
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if entries, err := os.ReadDir(m.tmp); err != nil || len(entries) != 1 {
				t.Fatalf("the killed program left %d entries (%v), want its directory", len(entries), err)
			}
			stranger := filepath.Join(m.tmp, "pitcrew.stranger")
			if err := os.Mkdir(stranger, 0o700); err != nil {
				t.Fatal(err)
			}
			if r, _ := m.report(t, compiled(t, recipeOf("- name: x\n  run: \"true\"\n"))); r.Outcome != Cleaned {
				t.Errorf("outcome %s", r.Outcome)
			}
			entries, err := os.ReadDir(m.tmp)
			if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(stranger) {
				t.Errorf("left: %v (%v), want only the directory that is not ours", entries, err)
			}
		})
	}
}
