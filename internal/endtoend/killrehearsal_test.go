// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// parts are those of a rehearsal, each by what is said as it begins.
var parts = []string{
	" is asked for", ": is here", ": production recipe: begins", ": on the agent as it is: begins", ": again at once: begins", ": after a mess: begins",
	": after a run that was stopped: begins", ": after a run that was killed: begins", ": comes back clean: begins",
}

// hazards kill one that a rehearsal needs.
var hazards = []struct {
	name     string
	kill     func(*rehearser, *exec.Cmd)
	survived bool // the rehearsal goes on
	swept    bool // what it leaves at the controller is for the next one to remove
}{
	{name: "the daemon", kill: func(r *rehearser, _ *exec.Cmd) { r.restarts() }, survived: true},
	{name: "the lender", kill: func(r *rehearser, _ *exec.Cmd) { r.must(r.controller.Restart(r.ctx, testbed.Kill)) }},
	{name: "the borrower", kill: func(r *rehearser, _ *exec.Cmd) { r.must(r.borrower.Restart(r.ctx, testbed.Kill)) }},
	{name: "the lender's agent", kill: func(r *rehearser, _ *exec.Cmd) { r.agent.Kill() }},
	{name: "the borrowed agent program", kill: func(r *rehearser, _ *exec.Cmd) {
		loans, err := r.daemon.Loans(r.ctx, "", true, 1)
		r.must(err)
		if pid := r.findProgram(loans[0]); pid != 0 { // at first it is not there, and not at last
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may just end
		}
	}},
	{name: "the rehearsal", kill: func(_ *rehearser, c *exec.Cmd) { _ = c.Process.Kill() }, swept: true},
}

// TestAKillAtEveryPartOfARehearsal kills one that a rehearsal needs after the other, at parts of which each has its turn; PITCREW_LONG=1
// kills each at all of them. Everything is returned, and the candidate is not blamed.
func TestAKillAtEveryPartOfARehearsal(t *testing.T) {
	for i, h := range hazards {
		t.Run(h.name, func(t *testing.T) {
			s := mortal(t)
			s.lends()
			r := s.rehearser(0o700)
			for j, part := range parts {
				if os.Getenv("PITCREW_LONG") == "" && (i+j)%6 != 0 {
					continue
				}
				c := r.command(wipes, furnish, "--ttl", "10s")
				said := r.until(c, part)
				h.kill(r, c)
				_ = c.Wait() // the code is looked at
				code := c.ProcessState.ExitCode()
				t.Logf("at %q: it ended with %d", part, code)
				if killed := code == -1 && h.swept; code != 0 && (code != 1 || h.survived) && !killed {
					t.Errorf("at %q: it ended with %d:\n%s", part, code, said)
				}
				if h.swept {
					r.await("the end of all loans", func() bool {
						loans, err := r.daemon.Loans(r.ctx, "", false, 0)
						r.must(err)
						return len(loans) == 0
					})
					next := r.command(wipes, furnish)
					r.until(next, " is asked for")
					r.must(next.Process.Signal(syscall.SIGINT))
					_ = next.Wait()
				}
				r.leavesNothing()
			}
		})
	}
}

// until starts a rehearsal and waits until it says something.
func (r *rehearser) until(c *exec.Cmd, word string) (said *journal) {
	r.Helper()
	said = &journal{}
	c.Stderr = said
	if c.Stdout == nil {
		c.Stdout = said
	}
	r.must(c.Start())
	r.Cleanup(func() { _ = c.Process.Kill() }) // ended already
	r.await("the rehearsal says "+word, func() bool { return strings.Contains(said.String(), word) })
	return said
}
