// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func (r *lendRig) offers() []loan.Listing {
	r.t.Helper()
	all, err := r.lender.Offers(r.t.Context(), "staging")
	must(r.t, err)
	return all
}

func TestOffersAreWhatCouldBeLentWithTheFloorKept(t *testing.T) {
	var floor atomic.Int64
	inLendRig(t, setup{agents: one, settings: func(s *reconcile.Settings) {
		s.Pools[0].Lend.Floor = func(int) int { return int(floor.Load()) }
		s.Pools[0].Lend.Root = loan.Root{Rule: loan.RootReimage}
	}}, func(r *lendRig) {
		if got := r.offers(); len(got) != 0 {
			r.t.Errorf("before anything is clean, offered are %+v", got)
		}
		_, err := r.lender.Offers(r.t.Context(), "nobody")
		if e, ok := errors.AsType[*loan.RequestError](err); !ok || e.Field != "borrower" {
			r.t.Errorf("to a borrower that there is not: %v", err)
		}
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) && len(r.offers()) == 1 })
		got := r.offers()[0]
		if got.Agent.Name != "linux-7" || got.Spare != 1 || got.Root.Rule != loan.RootReimage || got.Isolated {
			r.t.Errorf("offered is %+v", got)
		}
		floor.Store(1)
		r.wait(time.Minute, "nothing to be spared with a floor of all agents", func() bool { return r.offers()[0].Spare == 0 })
		floor.Store(0)
		l := r.waitLoan(r.request().ID, loan.Attached)
		if got := r.offers(); len(got) != 0 {
			r.t.Errorf("what is lent is offered: %+v", got)
		}
		_, err = r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
		must(r.t, err)
		r.backInOrder(l.ID, loan.Cleaned)
		_, attempt, err := r.store.Agent(r.t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"})
		must(r.t, err)
		if attempt == nil || attempt.Depth != hygiene.Deep {
			r.t.Errorf("after its return it was cleaned by %+v", attempt)
		}
	})
}

// What is lent while nothing is cleaned does not come back: those that are clean are all that the pool has.
func TestNothingIsLentWhileNothingIsCleaned(t *testing.T) {
	says := map[string]string{"paused": "waits, because pool ", "held": loan.NoneOffered}
	for what, stop := range map[string]func(*lendRig) (again func()){
		"paused": func(r *lendRig) func() {
			must(r.t, r.store.SetPause(r.t.Context(), pause(reconcile.ScopeAll, time.Now(), time.Time{})))
			return func() { must(r.t, r.store.ClearPause(r.t.Context(), reconcile.ScopeAll)) }
		},
		"held": func(r *lendRig) func() {
			must(r.t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "disk", time.Time{}))
			return func() { must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done")) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			inLendRig(t, setup{agents: one}, func(r *lendRig) {
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) && len(r.offers()) == 1 })
				again := stop(r)
				r.pass(10 * time.Second)
				l := r.request()
				r.pass(10 * time.Minute)
				if got := r.loan(l.ID); got.State != loan.Waiting || len(r.offers()) != 0 {
					r.t.Errorf("it is %s: %s", got.State, got.Reason)
				}
				if why := r.lender.Waits(l.ID); !strings.HasPrefix(why, says[what]) {
					r.t.Errorf("it says that it %q, want %q", why, says[what])
				}
				again()
				r.waitLoan(l.ID, loan.Attached)
			})
		})
	}
}

// Who has mistyped what is wanted is told so: to wait for it to be clean and idle would be to wait for ever.
func TestALoanThatWantsWhatThereIsNotSaysSo(t *testing.T) {
	const nowhere = "waits for what no lending pool has"
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) && len(r.offers()) == 1 })
		ask := func(w loan.Want) string {
			r.t.Helper()
			loans, err := r.lender.Request(r.t.Context(), loan.Request{Borrower: "staging", By: "ci", Count: 1, Want: w, To: loan.Target{Kind: loan.ToHold}}, "")
			must(r.t, err)
			return loans[0].ID
		}
		wants := map[string]string{ask(loan.Want{Agent: "linux-70"}): nowhere, ask(loan.Want{Labels: "riscv"}): nowhere, ask(loan.Want{Isolated: true}): nowhere}
		r.pass(10 * time.Second)
		hold := func(id, want string) {
			r.t.Helper()
			if got := r.lender.Waits(id); got != want {
				r.t.Errorf("it says %q, want %q", got, want)
			}
		}
		for id, want := range wants {
			hold(id, want)
		}
		first := ask(loan.Want{Labels: "!riscv"})
		r.waitLoan(first, loan.Attached)
		second := ask(loan.Want{Labels: "!riscv"})
		r.pass(10 * time.Second)
		hold(second, loan.NoneOffered)
		for id, want := range wants {
			hold(id, want)
		}
	})
}
