// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// A lease ends by what ends it first, whoever is dead at that time.
func TestALeaseEndsWhoeverIsDead(t *testing.T) {
	takesLong(t)
	t.Parallel()
	leases := map[string]struct {
		lease loan.Lease
		renew bool // all the time
		cause loan.Cause
		after time.Duration // from the grant
	}{
		"term":    {loan.Lease{Term: 20 * time.Minute}, false, loan.ByTerm, 20 * time.Minute},
		"maximum": {loan.Lease{Term: 50 * time.Minute}, true, loan.ByTerm, 70 * time.Minute},
		"idle":    {loan.Lease{Term: time.Hour, Idle: 10 * time.Minute}, false, loan.ByIdle, 10 * time.Minute},
		"silence": {loan.Lease{Term: time.Hour, TTL: 15 * time.Minute}, false, loan.BySilence, 15 * time.Minute},
	}
	for name, c := range leases {
		for who, die := range map[string]func(*lendRig) (back func()){
			"nobody":       func(*lendRig) func() { return func() {} },
			"the lender":   func(r *lendRig) func() { r.orphan(); return r.down(r.jenkins) },
			"the borrower": func(r *lendRig) func() { return r.borrower.Inject(jenkinstest.Fault{Refuse: true}) },
			"the daemon": func(r *lendRig) func() {
				r.endLend()
				r.end()
				r.pass(c.after + 30*time.Minute)
				return func() { r.start(); r.startLend() }
			},
		} {
			if name == "silence" && who != "the borrower" || name == "idle" && who == "the borrower" || c.renew && who == "the daemon" {
				continue // it goes on, or nobody can tell
			}
			t.Run(name+", "+who, func(t *testing.T) {
				inLendRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.Pools[0].Lend.Lease.Max = 70 * time.Minute }}, func(r *lendRig) {
					r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
					l := r.waitLoan(r.request(func(q *loan.Request) { q.Lease = c.lease }).ID, loan.Attached)
					r.pass(time.Minute)
					back := die(r)
					if who == "the daemon" {
						back()
					}
					r.until(l.ID, 3*time.Hour, nil, func(l loan.Loan) bool {
						if c.renew && l.State == loan.Attached && time.Since(l.Renewed) > 20*time.Minute {
							_, err := r.lender.Renew(r.t.Context(), l.ID, "ci", 50*time.Minute, nil)
							must(r.t, err)
						}
						return l.State == loan.Returning || l.Over()
					})
					took := time.Since(l.Granted)
					if late := took - c.after; who != "the daemon" && (late < -20*time.Second || late > 90*time.Second) {
						r.t.Errorf("it ended %s after the grant, want %s", took, c.after)
					}
					if who != "the daemon" {
						r.pass(time.Minute)
						back()
					}
					l = r.settled(l.ID, nil)
					if l.Cause != c.cause && who == "nobody" {
						r.t.Errorf("it ended by %s: %s", l.Cause, l.Reason)
					}
				})
			})
		}
	}
}

func TestALoanThatNoAgentIsFoundForExpires(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		l := r.request(func(q *loan.Request) { q.Want.Labels = "arm64"; q.Want.Patience = time.Hour })
		r.pass(40 * time.Minute)
		r.restart()
		if got := r.loan(l.ID); got.State != loan.Waiting {
			r.t.Errorf("before its time it is %s", got.State)
		}
		r.pass(21 * time.Minute)
		if got := r.loan(l.ID); got.State != loan.Expired || r.story(l.ID) != "requested expired" || !strings.Contains(got.Reason, "no agent was found within 1h0m0s: it waits for what no lending pool has") {
			r.t.Errorf("it is %s (%s): %s", got.State, got.Reason, r.story(l.ID))
		}
	})
}

// A clock that is set back makes no loan longer than its term from then on, and no return wait for the old time.
func TestAClockThatIsSetBackEndsLoansInTime(t *testing.T) {
	for _, state := range []loan.State{loan.Attached, loan.Returning} {
		t.Run(string(state), func(t *testing.T) {
			inLendRig(t, setup{agents: one}, func(r *lendRig) {
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				l := r.waitLoan(r.request(func(q *loan.Request) { q.Lease.Term = 10 * time.Minute }).ID, loan.Attached)
				restore := r.borrower.Inject(jenkinstest.Fault{Refuse: true})
				if state == loan.Returning {
					_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
					must(r.t, err)
				}
				r.endLend()
				l = r.loan(l.ID)
				for _, at := range []*time.Time{&l.Since, &l.Granted, &l.Attached, &l.Renewed, &l.Until, &l.Run.Shut, &l.Run.Handed} {
					*at = at.Add(5 * time.Hour) // as if they were written before it was set back
				}
				must(r.t, r.store.SaveLoan(r.t.Context(), l))
				r.startLend()
				r.pass(12 * time.Minute)
				if got := r.loan(l.ID); got.State != loan.Cleaned || !got.Node.Owed {
					r.t.Errorf("it is %s: %s", got.State, got.Reason)
				}
				restore()
				r.settled(l.ID, nil)
			})
		})
	}
}
