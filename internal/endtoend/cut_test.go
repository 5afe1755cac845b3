// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// wires are those of a loan. Each can be cut alone.
type wires struct{ daemonToLender, daemonToBorrower, agentToLender, agentToBorrower *wire }

// wired has everybody reach everybody by a wire of its own in a scene that lends, and returns its one agent, which is clean and has more labels.
func (s *scene) wired(more string) (*wires, *testbed.Agent) {
	s.Helper()
	w := &wires{s.wire(s.controller.URL), s.wire(s.borrower.URL), s.wire(s.controller.URL), s.wire(s.borrower.URL)}
	spec := s.node("", "CLEANABLE"+more)
	spec.URL = w.agentToLender.url
	a := s.controller.Agent(s.ctx, s, spec)
	s.configure()
	text, err := os.ReadFile(s.file("pitcrew.yaml"))
	s.must(err)
	s.write("pitcrew.yaml", strings.NewReplacer(
		"  url: "+s.controller.URL+"/\n  user:", "  url: "+w.daemonToLender.url+"/\n  user:",
		"  url: "+s.borrower.URL+"/\n  login:", fmt.Sprintf("  url: %s/\n  agentURL: %s/\n  login:", w.daemonToBorrower.url, w.agentToBorrower.url),
		"requests: {perSecond: 100}", "requests: {perSecond: 100, timeout: 5s}", "buildFeedEvery: 5s", "buildFeedEvery: 1s",
	).Replace(string(text)))
	s.Cleanup(s.removeJobs)
	s.startDaemon()
	s.awaitLabels(a, "CLEANABLE"+more+" CLEAN")
	return w, a
}

// goneThere holds that the borrower has no node of the loan any more, and the machine no agent program of it.
func (s *scene) goneThere(l api.Loan) {
	s.Helper()
	s.await("its node to be deleted", func() bool { return s.nodeAt(l) == 404 })
	s.await("its agent program to end", func() bool { return !s.hasProgram(l) })
}

func (s *scene) isDirty(l api.Loan, a *testbed.Agent) {
	s.Helper()
	if state, labels := s.lent(l.ID).State, s.labels(a); state != "returning" || labels != "CLEANABLE DIRTY" {
		s.Errorf("while nobody can clean it the loan is %s, and its agent is labelled %q", state, labels)
	}
}

// TestACutBetweenAnyTwoLosesNothing cuts one wire of a loan that is attached, so that both of its ends notice and so that neither does, ends the
// loan, and mends the wire. What can be done without it is done before that.
func TestACutBetweenAnyTwoLosesNothing(t *testing.T) {
	t.Parallel()
	returned := func(s *scene, l api.Loan) { s.pitcrew("loan", "return", l.ID) }
	for between, c := range map[string]struct {
		of    func(*wires) *wire
		torn  string // the cause that ends the loan by itself where the cut is noticed; "" = none
		ends  func(*scene, api.Loan)
		cause string
		// meanwhile holds what is true before the wire is mended, in the end.
		meanwhile func(*scene, api.Loan, *testbed.Agent)
	}{
		"the daemon and the lender": {
			of: func(w *wires) *wire { return w.daemonToLender }, cause: "expired",
			ends: func(s *scene, l api.Loan) { s.pitcrew("loan", "renew", l.ID, "--for", "2s") },
			meanwhile: func(s *scene, l api.Loan, a *testbed.Agent) {
				s.goneThere(l)
				s.isDirty(l, a)
			},
		},
		"the daemon and the borrower": {
			of: func(w *wires) *wire { return w.daemonToBorrower }, ends: returned, cause: "returned",
			meanwhile: func(s *scene, l api.Loan, a *testbed.Agent) {
				s.awaitLabels(a, "CLEANABLE CLEAN") // nobody waits for a borrower that cannot be reached
				if l := s.awaitLoan(l.ID, "cleaned"); !l.NodeLeft || s.hasProgram(l) {
					s.Errorf("before its node could be deleted the loan is %+v", l)
				}
			},
		},
		"the agent and the lender": {
			of: func(w *wires) *wire { return w.agentToLender }, ends: returned, torn: "aborted", cause: "returned",
			meanwhile: func(s *scene, l api.Loan, a *testbed.Agent) {
				s.goneThere(l)
				s.isDirty(l, a)
			},
		},
		"the agent and the borrower": {
			of: func(w *wires) *wire { return w.agentToBorrower }, ends: returned, torn: "node gone", cause: "returned",
			meanwhile: func(s *scene, l api.Loan, a *testbed.Agent) {
				s.goneThere(l)
				s.awaitLabels(a, "CLEANABLE CLEAN")
			},
		},
	} {
		for how, cut := range map[string]func(*wire){"torn": (*wire).tear, "silent": (*wire).silence} {
			t.Run(between+" "+how, func(t *testing.T) {
				t.Parallel()
				s := lends(t)
				w, a := s.wired("")
				before := s.cleanups(a)
				l := s.borrow()
				s.leave(l)
				job := s.job("CLEAN")
				item := s.schedule(job)
				cut(c.of(w))
				want := c.cause
				if how == "torn" && c.torn != "" {
					want = c.torn
				} else {
					c.ends(s, l)
				}
				c.meanwhile(s, l, a)
				c.of(w).mend()
				l = s.awaitLoan(l.ID, "cleaned")
				s.await("nothing to be owed", func() bool { return !s.lent(l.ID).NodeLeft })
				if got := s.nodeAt(l); got != 404 || l.Cause != want {
					t.Errorf("its node at the borrower answers %d; it ended by %q: %s", got, l.Cause, l.Reason)
				}
				s.clear(l)
				proofs := s.told(a, "cleanup.proved", 2) // the newest first: one more may have followed the build
				proved := proofs[len(proofs)-2].At.Truncate(time.Millisecond)
				if b := s.finish(job, s.number(item)); b.Result != "SUCCESS" || b.started().Before(proved) {
					t.Errorf("the agent was proved clean at %s, and a build that waited for that is %+v", proved, b)
				}
				if n := s.cleanups(a) - before; n < 1 {
					t.Errorf("it was cleaned %d times since", n)
				}
				if got := s.contaminated(); len(got) > 0 {
					t.Errorf("contaminated are %v", got)
				}
			})
		}
	}
}

// TestACutWhileAnAgentIsBeingLentLosesNothing cuts each wire before the borrower has the agent, and mends it when the loan was ended.
func TestACutWhileAnAgentIsBeingLentLosesNothing(t *testing.T) {
	t.Parallel()
	for between, of := range map[string]func(*wires) *wire{
		"the daemon and the lender":   func(w *wires) *wire { return w.daemonToLender },
		"the daemon and the borrower": func(w *wires) *wire { return w.daemonToBorrower },
		"the agent and the lender":    func(w *wires) *wire { return w.agentToLender },
		"the agent and the borrower":  func(w *wires) *wire { return w.agentToBorrower },
	} {
		for how, cut := range map[string]func(*wire){"torn": (*wire).tear, "silent": (*wire).silence} {
			t.Run(between+" "+how, func(t *testing.T) {
				t.Parallel()
				s := lends(t)
				w, a := s.wired("")
				before := s.cleanups(a)
				id := s.ask("--borrower", "staging", "--for", "20m")
				s.await("an agent for the loan", func() bool { return s.lent(id).State != "waiting" })
				cut(of(w))
				labelled := strings.Contains(s.labels(a), " CLEAN") // the word that it is lent may be on its way
				s.Logf("the loan was %s when the wire was cut", s.lent(id).State)
				s.pitcrew("loan", "return", id)
				job := s.job("CLEAN")
				item := s.schedule(job)
				s.await("its return", func() bool { state := s.lent(id).State; return state != "granted" && state != "attached" })
				of(w).mend()
				var l api.Loan
				s.await("the end of the loan", func() bool {
					l = s.lent(id)
					return (l.State == "cleaned" || l.State == "failed") && !l.NodeLeft
				})
				if l.Node != "" {
					s.await("no node at the borrower", func() bool { return s.nodeAt(l) == 404 })
				}
				s.clear(l)
				if b := s.finish(job, s.number(item)); b.Result != "SUCCESS" {
					s.Errorf("a build that waited for the agent is %+v", b)
				}
				if n := s.cleanups(a) - before; n < 1 {
					s.Errorf("it was cleaned %d times since", n)
				}
				if got := s.contaminated(); len(got) > 0 && !labelled { // a build may come by that label, while the store has it lent
					s.Errorf("contaminated are %v", got)
				}
			})
		}
	}
}
