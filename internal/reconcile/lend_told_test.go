// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// toldOnce holds that people are told one thing of a loan, once, and returns it.
func (r *lendRig) toldOnce(id string, kind hygiene.EventType) hygiene.Event {
	r.t.Helper()
	var found []hygiene.Event
	for _, e := range r.events(kind) {
		if e.Data["loan"] == id {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%s is told %d times: %+v", kind, len(found), found)
	}
	return found[0]
}

func TestAReturnThatTakesTooLongIsToldOnce(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		l := r.waitLoan(r.request().ID, loan.Attached)
		r.jenkins.Agent("linux-7").Kill() // and nothing can clean it
		_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
		must(r.t, err)
		r.pass(29 * time.Minute)
		if n := len(r.events(hygiene.EventLoanOverrun)); n > 0 {
			r.t.Errorf("it was told before its time")
		}
		r.pass(20 * time.Minute)
		r.restart()
		r.pass(time.Hour)
		if e := r.toldOnce(l.ID, hygiene.EventLoanOverrun); !strings.Contains(e.Reason, "longer than 30m0s") || e.Agent.Name != "linux-7" {
			r.t.Errorf("it is told: %+v", e)
		}
		must(r.t, r.jenkins.Agent("linux-7").Connect())
		r.settled(l.ID, nil)
	})
}

// Nothing cleans the agent of a pool that is gone: without a word nobody would look for it.
func TestALoanWhosePoolIsGoneIsMissed(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		l := r.waitLoan(r.request().ID, loan.Attached)
		r.set(func(s *reconcile.Settings) { s.Pools = nil })
		_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
		must(r.t, err)
		r.pass(29 * time.Minute)
		if n := len(r.events(hygiene.EventLoanOverrun)); n > 0 {
			r.t.Errorf("it was told before its time")
		}
		r.pass(time.Hour)
		r.toldOnce(l.ID, hygiene.EventLoanOverrun)
		r.spec.settings = lends
		r.crew.Apply(r.settings())
		r.settled(l.ID, nil)
	})
}

func TestTheLossOfContactIsToldOnce(t *testing.T) {
	for what, lose := range map[string]func(*lendRig) (back func()){
		"the borrower is silent": func(r *lendRig) func() { return r.borrower.Inject(jenkinstest.Fault{Refuse: true}) },
		"the program is killed": func(r *lendRig) func() {
			r.holds.Lock()
			r.silent = true
			r.holds.Unlock()
			for _, a := range r.nodesLeft() {
				r.borrower.Agent(a).Kill()
			}
			return func() {}
		},
	} {
		t.Run(what, func(t *testing.T) {
			inLendRig(t, setup{agents: one}, func(r *lendRig) {
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				l := r.waitLoan(r.request(func(q *loan.Request) { q.Lease.TTL = 5 * time.Minute }).ID, loan.Attached)
				r.pass(10 * time.Minute) // that the borrower shows it online is its sign of life
				if got := r.loan(l.ID); got.State != loan.Attached {
					r.t.Fatalf("it is %s: %s", got.State, got.Reason)
				}
				back := lose(r)
				r.pass(10 * time.Minute)
				back()
				r.settled(l.ID, nil)
				if e := r.toldOnce(l.ID, hygiene.EventLoanLost); e.Agent.Name != "linux-7" || e.Reason == "" {
					r.t.Errorf("it is told: %+v", e)
				}
			})
		})
	}
}
