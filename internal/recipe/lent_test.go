// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// survivor starts a process with this environment that does not hear TERM, and returns how to ask whether it lives.
func survivor(t *testing.T, env ...string) (lives func() bool) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", `trap "" TERM; echo x; exec sleep 304`)
	cmd.Env = env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
		return err == nil && !strings.Contains(string(text), ") Z ")
	}
}

// A recipe need not have the goal that ends processes: what the borrower left would work beside its steps, and on.
func TestWhatALoanLeftEndsBeforeTheFirstStep(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			agent := "a-" + rand.Text()
			marks := func(agent, controller string) []string {
				return []string{"PITCREW_LOAN=l1", "PITCREW_LENT_AGENT=" + agent, "PITCREW_LENT_CONTROLLER=" + controller}
			}
			ours := survivor(t, marks(agent, "ci")...)
			others := map[string]func() bool{
				"another agent's":      survivor(t, marks(agent+"x", "ci")...),
				"another controller's": survivor(t, marks(agent, "other")...),
				"nobody's":             survivor(t, "LOOKS=PITCREW_LENT_AGENT="+agent),
				"the agent's own":      survivor(t, "NODE_NAME="+agent, "PITCREW_AGENT="+agent, "PITCREW_CONTROLLER=ci"),
			}
			p := compiled(t, recipeOf("- {name: first, run: 'env | grep PITCREW_CONTROLLER=ci'}\n"))
			env := append(issued(), "NODE_NAME="+agent, "PITCREW_AGENT="+agent)
			if res := m.run(t, p, append(env, "PITCREW_PHASES=verify")); !ours() {
				t.Errorf("it has ended, though nothing is cleaned\n%s", res.out)
			}
			r, res := m.report(t, p, env[len(env)-2:]...)
			if r.Outcome != Cleaned || ours() || !strings.Contains(res.out, "pitcrew: ended what a loan of this agent left: processes ") {
				t.Errorf("outcome %s, lives %t\n%s", r.Outcome, ours(), res.out)
			}
			for name, lives := range others {
				if !lives() {
					t.Errorf("%s has ended", name)
				}
			}
		})
	}
}

// The borrower's own program runs on a loan: it ends nothing of what it is part of, nor does it lose the marks.
func TestAProgramThatRunsOnALoanKeepsItsMarks(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "dash")
	agent := "a-" + rand.Text()
	marks := []string{"PITCREW_LOAN=l1", "PITCREW_LENT_AGENT=" + agent, "PITCREW_LENT_CONTROLLER=ci"}
	beside := survivor(t, marks...)
	p := compiled(t, recipeOf(`- {name: look, run: 'test "$PITCREW_LOAN $PITCREW_LENT_AGENT $PITCREW_LENT_CONTROLLER" = "l1 `+agent+` ci"'}`+"\n"))
	for _, name := range []string{"n1", agent} { // a controller may borrow from itself
		r, res := m.report(t, p, append(marks, "NODE_NAME="+name, "PITCREW_AGENT="+name)...)
		if r.Outcome != Cleaned || !beside() {
			t.Errorf("%s: outcome %s, lives %t\n%s", name, r.Outcome, beside(), res.out)
		}
	}
}

// kill does nothing here, as if what is to end waited for a disk for good.
func TestWhatALoanLeftAndCannotBeEndedIsNamed(t *testing.T) {
	t.Parallel()
	for _, shell := range shells() {
		m := newMachine(t, shell)
		agent := "a-" + rand.Text()
		lives := survivor(t, "PITCREW_LENT_AGENT="+agent, "PITCREW_LENT_CONTROLLER=ci")
		script := processPart + lineagePart + sessionPart + lentPart + `
kill() { :; }
nap() { :; }
ended= ends= lent_looked= PITCREW_MODE=run PITCREW_PHASES=all fenced=
if lent_gone; then echo gone; else echo "$fenced"; fi
`
		cmd := exec.CommandContext(t.Context(), m.shell, "-c", script)
		cmd.Env = []string{"PATH=" + m.path, "PITCREW_AGENT=" + agent, "PITCREW_CONTROLLER=ci"}
		out, err := cmd.CombinedOutput()
		want := regexp.MustCompile(`^a loan of this agent has left what cannot be ended: process \d+ \(sleep state S user \d+ ?\)\n$`)
		if err != nil || !want.Match(out) || !lives() {
			t.Errorf("%s: %v, lives %t\n%s", shell, err, lives(), out)
		}
	}
}
