// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
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

// What a loan wrote down tells of its directory when nobody was left to remove that: the holder was killed, or the machine was.
func TestTheFilesOfALoanThatWasKilledAreRemoved(t *testing.T) {
	t.Parallel()
	other, unknown := user.Lookup("daemon") // stands for the loan's account
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, shell)
			agent, srv := "a-"+rand.Text(), t.TempDir()
			base := filepath.Join(m.tmp, ".pitcrew-loans")
			note := func(id, controller, agent, user, dir, holder string) {
				t.Helper()
				whose := strings.Join([]string{"7", controller, agent, "preferred", user, dir, ""}, "\n")
				err := errors.Join(os.MkdirAll(filepath.Join(base, id), 0o700), os.WriteFile(filepath.Join(base, id, "whose"), []byte(whose), 0o600),
					os.WriteFile(filepath.Join(base, id, "holder"), []byte(holder+"\n"), 0o600), os.WriteFile(filepath.Join(base, id, "made"), nil, 0o600),
					os.MkdirAll(filepath.Join(dir, "work"), 0o700))
				if err != nil {
					t.Fatal(err)
				}
			}
			dir := func(name string) string { return filepath.Join(srv, name) }
			note("killed", "ci", agent, "", dir("pitcrew-loan-killed"), "999999999 1")
			note("living", "ci", agent, "", dir("pitcrew-loan-living"), itself(t))
			note("elsewhere", "other", agent, "", dir("pitcrew-loan-elsewhere"), "999999999 1")
			note("odd", "ci", agent, "", dir("precious"), "999999999 1")
			outside := dir("outside")
			err := errors.Join(os.Mkdir(outside, 0o700), os.Symlink(outside, dir("pitcrew-loan-killed/link")), os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600))
			gone := []string{dir("pitcrew-loan-killed"), filepath.Join(base, "killed")}
			if os.Geteuid() == 0 && unknown == nil {
				uid, wrong := strconv.Atoi(other.Uid)
				err = errors.Join(err, wrong)
				theirs := filepath.Join(srv, "theirs")
				note("account", "ci", agent, other.Username, filepath.Join(theirs, "pitcrew-loan-account"), "999999999 1")
				for way := srv; way != filepath.Dir(os.TempDir()); way = filepath.Dir(way) {
					err = errors.Join(err, os.Chmod(way, 0o711)) // the account has to get there
				}
				for _, name := range []string{theirs, filepath.Join(theirs, "pitcrew-loan-account"), filepath.Join(theirs, "pitcrew-loan-account/work")} {
					err = errors.Join(err, os.Chown(name, uid, -1))
				}
				gone = append(gone, filepath.Join(theirs, "pitcrew-loan-account"), filepath.Join(base, "account"))
			}
			if err != nil {
				t.Fatal(err)
			}
			p := compiled(t, recipeOf("- {name: first, run: 'true'}\n"))
			r, res := m.report(t, p, "NODE_NAME="+agent, "PITCREW_AGENT="+agent)
			if r.Outcome != Cleaned || !strings.Contains(res.out, "pitcrew: removed what a loan of this agent left: "+gone[0]+"\n") {
				t.Errorf("outcome %s\n%s", r.Outcome, res.out)
			}
			for _, name := range gone {
				if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v\n%s", name, err, res.out)
				}
			}
			for _, name := range []string{filepath.Join(outside, "kept"), dir("pitcrew-loan-living/work"), dir("pitcrew-loan-elsewhere/work"), dir("precious/work")} {
				if _, err := os.Lstat(name); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// itself is what a holder writes down of itself, for this process.
func itself(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+1:]))
	return fmt.Sprintf("%d %s", os.Getpid(), fields[19])
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
