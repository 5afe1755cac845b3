// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

var targets = map[string]loan.Target{"controller": {Kind: loan.ToController, Controller: "lab"}, "own node": own, "hold": hold, "login": ssh}

// fault is what goes wrong in one step of an uneventful life: what becomes of its request, whereupon the daemon dies.
type fault struct {
	step   int
	answer answer
}

// life lends and returns an agent with one fault, and returns the world at its end and how many steps that took.
func life(t *testing.T, to loan.Target, f fault) (w *world, steps int) {
	t.Helper()
	w = newWorld(t, to, loan.Lease{Term: time.Hour, Max: time.Hour, Attach: 5 * time.Minute})
	for steps = range 100 {
		w.start()
		w.beCleaned()
		w.grant()
		w.look()
		a := answered
		if steps == f.step {
			a = f.answer
		}
		act := w.step(a)
		w.holds()
		switch {
		case steps == f.step:
			w.sight = loan.Sight{}
			w.holds()
		case act.Kind == loan.Rest && w.loan.State == loan.Attached:
			w.move(w.loan.Return(loan.ByReturn, "ann is done", w.now))
		case act.Kind == loan.Rest && w.loan.Over():
			w.ended()
			return w, steps
		case act.Kind == loan.Rest:
			w.pass(time.Second)
		}
	}
	w.Fatalf("no end after %d steps", steps)
	return nil, 0
}

// TestKillingTheDaemonChangesNoEnd kills it in every step of every kind of loan, before its request, and after
// it when nobody could write the answer down.
func TestKillingTheDaemonChangesNoEnd(t *testing.T) {
	t.Parallel()
	for name, to := range targets {
		_, steps := life(t, to, fault{step: -1})
		if steps < 6 {
			t.Fatalf("%s: a life of %d steps", name, steps)
		}
		for step := range steps {
			for _, a := range []answer{refused, unanswered} {
				t.Run(fmt.Sprintf("%s/%d %s", name, step, a), func(t *testing.T) {
					t.Parallel()
					w, _ := life(t, to, fault{step, a})
					if w.loan.State != loan.Cleaned || w.loan.Cause != loan.ByReturn || w.loan.Attached.IsZero() {
						w.Fatalf("I7: %s by %q (%s), want it cleaned after it was returned", w.loan.State, w.loan.Cause, w.loan.Reason)
					}
				})
			}
		}
	}
}

// attachedWorld is one in which the borrower has the agent.
func attachedWorld(t *testing.T, to loan.Target, lease loan.Lease) *world {
	t.Helper()
	w := newWorld(t, to, lease)
	for range 20 {
		w.start()
		w.grant()
		w.look()
		if act := w.step(answered); act.Kind == loan.Rest && w.loan.State == loan.Attached {
			return w
		} else if act.Kind == loan.Rest {
			w.pass(time.Second)
		}
	}
	w.Fatalf("never attached")
	return nil
}

// TestTheLeaseEndsWhoeverIsDead has the borrower, the lender, both, and a daemon that knows nothing.
func TestTheLeaseEndsWhoeverIsDead(t *testing.T) {
	t.Parallel()
	for name, to := range targets {
		for dead := range 8 {
			t.Run(fmt.Sprintf("%s/%03b", name, dead), func(t *testing.T) {
				t.Parallel()
				w := attachedWorld(t, to, loan.Lease{Term: 10 * time.Minute})
				w.lenderDead, w.borrowerDead = dead&1 > 0, dead&2 > 0
				for w.now.Before(w.loan.Until) {
					w.look()
					if dead&4 > 0 {
						w.sight = loan.Sight{}
					}
					act := w.step(answered)
					if act.Kind != loan.Rest || w.loan.State != loan.Attached {
						w.Fatalf("before its end: %s (%s)", act.Kind, act.Reason)
					}
					w.pass(min(10*time.Second, max(w.loan.Until.Sub(w.now), 0)))
				}
				if act := w.step(answered); act.Kind != loan.End || act.Cause != loan.ByTerm {
					w.Fatalf("I9: its term is over, and Next says %s (%s)", act.Kind, act.Reason)
				}
				w.recover()
				if w.loan.State != loan.Cleaned || w.loan.Cause != loan.ByTerm {
					t.Errorf("got %s by %q", w.loan.State, w.loan.Cause)
				}
			})
		}
	}
}

// TestADebtIsPaidAfterTheLoanIsOver: the agent does not wait for the borrower, and the node is not forgotten.
func TestADebtIsPaidAfterTheLoanIsOver(t *testing.T) {
	t.Parallel()
	w := attachedWorld(t, targets["controller"], loan.Lease{Term: time.Hour})
	w.borrowerDead = true
	w.move(w.loan.Return(loan.ByReturn, "ann is done", w.now))
	rounds := func(n int) {
		for range n {
			w.beCleaned()
			w.look()
			w.step(answered)
			w.holds()
			w.pass(time.Second)
		}
	}
	rounds(60)
	if w.loan.State != loan.Cleaned || !w.loan.Node.Owing() || !w.loan.Node.Owed || len(w.nodes) != 1 {
		w.Fatalf("a minute later: %s, %+v", w.loan.State, w.loan.Node)
	}
	w.pass(100 * time.Hour)
	w.borrowerDead = false
	rounds(2)
	if w.loan.Node.Owing() || len(w.nodes) != 0 {
		w.Fatalf("the borrower answers again: %+v, %v", w.loan.Node, w.nodes)
	}
}

// TestAProgramThatNothingEndsKeepsItsAgentDirty for as long as that takes, and no longer.
func TestAProgramThatNothingEndsKeepsItsAgentDirty(t *testing.T) {
	t.Parallel()
	for name, to := range targets {
		if to.Kind == loan.ToHold {
			continue
		}
		w := attachedWorld(t, to, loan.Lease{Term: time.Minute})
		w.stubborn = true
		w.busy = false // the agent process was killed, too: Jenkins has it as idle
		for range 200 {
			w.build()
			w.beCleaned()
			w.look()
			w.step(answered)
			w.holds()
			w.pass(5 * time.Second)
		}
		if w.loan.State != loan.Returning || !w.onLoan || !w.mark || w.clean {
			w.Fatalf("%s: %s, on loan %t, marked %t, clean %t", name, w.loan.State, w.onLoan, w.mark, w.clean)
		}
		w.recover()
		if w.loan.State != loan.Cleaned {
			w.Fatalf("%s: %s", name, w.loan.State)
		}
	}
}

// TestABuildThatComesFirstKeepsTheAgent, whenever that is, until the program was handed over; the loan gets the
// agent afterwards, and another node.
func TestABuildThatComesFirstKeepsTheAgent(t *testing.T) {
	t.Parallel()
	for name, to := range targets {
		for before := range 3 { // steps, of which the second may make the node
			if before == 2 && to.Controller == "" {
				continue // handed over, or marked
			}
			w := newWorld(t, to, loan.Lease{Term: time.Hour})
			w.selfLabel = true
			w.grant()
			for range before {
				w.look()
				w.step(answered)
			}
			w.build()
			for range 5 {
				w.look()
				w.step(answered)
				w.holds()
			}
			if w.loan.State != loan.Waiting || w.onLoan || !w.real || len(w.nodes) > 0 || w.asked[loan.Ungrant] != 1 {
				w.Fatalf("%s, a build after %d steps: %s, on loan %t, nodes %v", name, before, w.loan.State, w.onLoan, w.nodes)
			}
			w.recover()
			if w.loan.State != loan.Cleaned || w.grants != 2 {
				w.Fatalf("%s, a build after %d steps: %s after %d grants", name, before, w.loan.State, w.grants)
			}
		}
	}
}

// TestAWithdrawnAgentKeepsNoMark: whoever takes an agent out of our care gets it back as it was.
func TestAWithdrawnAgentKeepsNoMark(t *testing.T) {
	t.Parallel()
	for name, to := range targets {
		for _, forgets := range []bool{false, true} {
			w := attachedWorld(t, to, loan.Lease{Term: time.Hour})
			w.managed = false
			for range 30 {
				w.look()
				if forgets && w.loan.State == loan.Returning && w.onLoan {
					w.sight.Lender = loan.Lender{} // a daemon that has restarted, and has seen nothing of the lender yet
				}
				w.step(answered)
				w.holds()
				w.pass(time.Second)
			}
			if w.loan.State != loan.Cleaned || w.loan.Cause != loan.ByLender || w.mark || len(w.nodes) > 0 {
				w.Fatalf("%s: %s by %q, marked %t, nodes %v", name, w.loan.State, w.loan.Cause, w.mark, w.nodes)
			}
		}
	}
}
