// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// oddities is a program whose version goals ask for. It notes which process asks and where that stands, and does what the word
// that it is asked with says.
const oddities = `#!/bin/sh
exec 2>/dev/null
cd "${0%/*}/odd.d" || exit
read -r _ _ _ server group _ </proc/$PPID/stat
echo "$PPID $server $1 $(readlink /proc/$PPID/cwd) $(ls /proc/self/fd | wc -l)" >>seen
case $1 in
kill-worker) kill -KILL "$PPID" ;;
kill-server) kill -KILL "$server" ;;
fail) echo 0.1; exit ;;
fail-twice) [ -e third ] || { mv second third || : >second; echo 0.1; exit; } ;;
leave) perl -e 'setpgrp(0, $ARGV[0]) or die; exec "sh", "-c", "echo \$\$ >left; exec sleep 600"' "$group" >/dev/null & until [ -s left ]; do :; done ;;
daemon) setsid sh -c 'echo $$ >left; exec sleep 600' >/dev/null & until [ -s left ]; do :; done ;;
hang) exec 3>ready; echo ready >&3; exec sleep 600 ;;
esac
echo 1.0
`

// odd returns a machine with that program, and the directory where it leaves its notes.
func odd(t *testing.T, shell string) (m *machine, notes string) {
	t.Helper()
	m = newMachine(t, shell)
	bin := filepath.Dir(m.shell)
	notes = filepath.Join(bin, "odd.d")
	if err := os.Mkdir(notes, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "odd"), []byte(oddities), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(notes, "ready"), 0o600); err != nil {
		t.Fatal(err)
	}
	return m, notes
}

// asking is a recipe with one step in a phase for each word, which asks odd that word, and is named by it; "run" is a script.
// Further fields of a step may follow its word.
func asking(phase Phase, words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\nname: odd\n%s:\n", phase)
	for i, word := range words {
		word, more, _ := strings.Cut(word, " ")
		body := fmt.Sprintf("commands: {odd: {atLeast: '1.0', ask: [%s]}}", word)
		if word == "run" {
			body = "run: 'true'"
		}
		if more != "" {
			body += ", " + more
		}
		fmt.Fprintf(&b, "  - {name: %s %d, %s}\n", word, i, body)
	}
	b.WriteString("clean:\n  - {name: nothing, run: 'true'}\n")
	if phase != Verify {
		b.WriteString("verify:\n  - {name: proof, run: 'true'}\n")
	}
	return b.String()
}

// seen is what odd noted each time it was asked: the worker, the server, the word, the worker's directory, and how many files
// odd had open.
func seen(t *testing.T, notes string) (all [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(notes, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		all = append(all, strings.Fields(line))
	}
	return all
}

func TestOneServerDoesTheGoalsThatFollowOneAnother(t *testing.T) {
	t.Parallel()
	for _, shell := range fenceShells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m, notes := odd(t, shell)
			r, res := m.report(t, compiled(t, asking(Setup, "a", "b", "c", "run", "d")))
			if r.Outcome != Cleaned {
				t.Fatalf("outcome %s (%s)\n%s", r.Outcome, r.Reason, res.out)
			}
			got := seen(t, notes)
			if len(got) != 4 || got[0][0] != got[1][0] || got[0][0] != got[2][0] || got[0][1] != got[2][1] || got[0][1] == got[3][1] {
				t.Errorf("odd saw %q; want one server for a, b and c, and another one for d, after a script", got)
			}
			for i, step := range []string{"2", "3", "4", "6"} {
				if where := strings.TrimSuffix(got[i][3], "/"+step+"/files"); where == got[i][3] || filepath.Dir(where) != m.tmp {
					t.Errorf("%s was done in %s; want the directory of step %s", got[i][2], got[i][3], step)
				}
				if got[i][4] != got[0][4] {
					t.Errorf("open files %q; want the same in each step", got)
				}
			}
			if strings.Contains(res.out, "illed") {
				t.Errorf("the shell tells of its server:\n%s", res.out)
			}
			empty(t, m.tmp)
		})
	}
}

func TestAStepThatEndsBadlyEndsItsServerAlone(t *testing.T) {
	t.Parallel()
	need(t, "perl", "perl-base")
	for _, shell := range shells() {
		for word, want := range map[string]StepReport{
			"kill-worker": {Outcome: StepFailed, Exit: 137, Reason: "scrub was ended by signal 9 (killed)", Tries: 1},
			"kill-server": {Outcome: StepFailed, Exit: 137, Reason: "exit code 137", Tries: 1},
			"fail":        {Outcome: StepFailed, Exit: 1, Reason: "odd: it is of version 0.1; 1.0 is wanted", Tries: 1},
			"fail-twice":  {Outcome: StepOK, Tries: 3},
			"leave":       {Outcome: StepOK, Reason: "ended 1 processes it left behind", Tries: 1},
			"daemon":      {Outcome: StepOK, Tries: 1},
			"hang":        {Outcome: StepTimeout, Exit: 1, Reason: "no end after 1 s", Tries: 1},
		} {
			t.Run(shell+", "+word, func(t *testing.T) {
				t.Parallel()
				m, notes := odd(t, shell)
				more := map[string]string{"fail-twice": " retries: 2, retryDelay: 0s", "hang": " timeout: 1s"}[word]
				if word == "hang" {
					go func() { _, _ = os.ReadFile(filepath.Join(notes, "ready")) }() // its other end
				}
				r, res := m.report(t, compiled(t, asking(Verify, "before", word+more, "after")))
				got := r.step(t, word+" 1")
				if got.Outcome != want.Outcome || got.Exit != want.Exit || !strings.HasPrefix(got.Reason, want.Reason) || got.Tries != want.Tries {
					t.Errorf("%+v; want %+v\n%s", got, want, res.out)
				}
				if s := r.step(t, "after 2"); s.Outcome != StepOK {
					t.Errorf("the step after it: %+v", s)
				}
				asked := seen(t, notes)
				first, last := asked[0], asked[len(asked)-1]
				if first[2] != "before" || asked[1][1] != first[1] || last[2] != "after" || last[1] == first[1] {
					t.Errorf("odd saw %q; want one server until the step that ends badly, and another one afterwards", asked)
				}
				if left, err := os.ReadFile(filepath.Join(notes, "left")); err == nil {
					pid, _ := strconv.Atoi(strings.TrimSpace(string(left)))
					stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
					stays := err == nil && !strings.Contains(string(stat), ") Z ") // whoever inherited it may take its time to notice
					if stays != (word == "daemon") {
						t.Errorf("what it left stays: %v", stays)
					}
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				empty(t, m.tmp)
			})
		}
	}
}

// What the kernel does not let go of is named, holds up nothing, and does not keep the next step from being done.
func TestAGoalThatCannotBeEndedFails(t *testing.T) {
	t.Parallel()
	m, notes := odd(t, "dash")
	go func() { _, _ = os.ReadFile(filepath.Join(notes, "ready")) }() // its other end
	p := *compiled(t, asking(Verify, "hang timeout: 1s", "after"))
	const end = `end_session() { kill -KILL $(members "$1"); victims="41 42"; return 1; }`
	text := strings.Replace(string(p.Text), "&& echo 'engine_main ", "&& echo '"+end+"\nengine_main ", 1)
	p.Text = []byte(strings.Replace(text, "\ncheck() {\n", "\ncheck() {\n\treturn 0\n", 1))
	r, res := m.report(t, &p)
	if s := r.step(t, "hang 0"); s.Outcome != StepFailed || s.Reason != "cannot kill processes 41 42" {
		t.Errorf("%+v; want it to fail\n%s", s, res.out)
	}
	if s := r.step(t, "after 1"); s.Outcome != StepOK {
		t.Errorf("the step after it: %+v\n%s", s, res.out)
	}
}

func TestASignalEndsAGoalAtOnce(t *testing.T) {
	t.Parallel()
	for _, shell := range fenceShells() {
		for signal, want := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGHUP: 129, syscall.SIGPIPE: 141, syscall.SIGKILL: -1} {
			t.Run(fmt.Sprintf("%s, %s", shell, signal), func(t *testing.T) {
				t.Parallel()
				m, notes := odd(t, shell)
				cmd := m.command(t.Context(), t, compiled(t, asking(Verify, "before", "hang")), issued())
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				ready, err := os.Open(filepath.Join(notes, "ready"))
				if err != nil {
					t.Fatal(err)
				}
				defer ready.Close()
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				// Only the program that the step has started holds the other end.
				if _, err := io.Copy(io.Discard, ready); err != nil {
					t.Error(err)
				}
				_ = cmd.Wait() // its exit code says it
				if got := cmd.ProcessState.ExitCode(); got != want {
					t.Errorf("exit code %d; want %d\n%s", got, want, out.Bytes())
				}
				if signal == syscall.SIGKILL {
					return // nobody is left to tidy up
				}
				if !strings.Contains(out.String(), "pitcrew: stopped by SIG") {
					t.Errorf("the log does not say it\n%s", out.Bytes())
				}
				empty(t, m.tmp)
			})
		}
	}
}
