// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// lendFleet is a setup with n agents, all of which may be lent but floor.
func lendFleet(n, floor int) setup {
	var agents []jenkinstest.AgentSpec
	for i := range n {
		agents = append(agents, jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", i), Labels: "cleanable el7"})
	}
	return setup{agents: agents, settings: func(s *reconcile.Settings) {
		s.MaxCleanups, s.Pools[0].Lend.Policy.Most, s.Pools[0].Lend.Policy.Floor = n, n, floor
	}}
}

func (r *lendRig) allClean() {
	r.t.Helper()
	r.wait(time.Hour, "all clean", func() bool {
		for _, a := range r.spec.agents {
			if !r.has(a.Name, isClean) {
				return false
			}
		}
		return true
	})
}

// count counts open loans by borrower and state.
func (r *lendRig) count() map[string]int {
	r.t.Helper()
	open, err := r.store.OpenLoans(r.t.Context())
	must(r.t, err)
	n := map[string]int{}
	for _, l := range open {
		n[string(l.State)]++
		n[l.Borrower+" "+string(l.State)]++
	}
	return n
}

func (r *lendRig) requestMany(borrower string, n int) []loan.Loan {
	r.t.Helper()
	loans, err := r.lender.Request(r.t.Context(), loan.Request{Borrower: borrower, By: "ci", Count: n, To: loan.Target{Kind: loan.ToController}}, "")
	must(r.t, err)
	return loans
}

func TestAHundredLoansGoOutAndComeBack(t *testing.T) {
	inLendRig(t, lendFleet(100, 0), func(r *lendRig) {
		r.allClean()
		loans := r.requestMany("staging", 100)
		r.wait(10*time.Minute, "all attached", func() bool { return r.count()["attached"] == 100 })
		for _, l := range loans {
			_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
			must(r.t, err)
		}
		r.wait(30*time.Minute, "all back", func() bool { return len(r.count()) == 0 })
		r.allClean()
		if left := r.nodesLeft(); len(left) > 0 {
			r.t.Errorf("left at the borrower: %v", left)
		}
		for _, l := range loans {
			if got := r.loan(l.ID); got.State != loan.Cleaned {
				r.t.Errorf("loan %s is %s: %s", l.ID, got.State, got.Reason)
			}
		}
	})
}

func TestTwoBorrowersShareWithinQuotasAndAboveTheFloor(t *testing.T) {
	takesLong(t)
	inLendRig(t, lendFleet(20, 4), func(r *lendRig) {
		r.borrowers.Apply(map[string]reconcile.Borrower{"staging": {Client: r.to, Quota: 12}, "second": {Client: r.to, Quota: 15}})
		r.allClean()
		r.endLend() // so that both wait when agents are given out
		r.requestMany("staging", 12)
		r.requestMany("second", 15)
		r.startLend()
		r.wait(10*time.Minute, "all that may be lent", func() bool { return r.count()["attached"] == 16 })
		r.pass(5 * time.Minute)
		if n := r.count(); n["staging attached"] != 8 || n["second attached"] != 8 || n["attached"] != 16 {
			r.t.Errorf("lent: %v", n)
		}
	})
}

// What a loan wants is asked of each agent: by pool, labels, name, and whether it can have an account of its own.
func TestALoanGetsAnAgentThatIsWhatItWants(t *testing.T) {
	fleet := lendFleet(3, 0)
	fleet.agents[1].Labels, fleet.agents[2].Labels = "cleanable el8", "cleanable el8 kvm"
	given := fleet.settings
	fleet.settings = func(s *reconcile.Settings) {
		given(s)
		all, second, lending := &s.Pools[0], s.Pools[0], *s.Pools[0].Lend
		second.Name, second.Agents = "second", labelexpr.ParseLenient("el8")
		lending.Account = "guest"
		second.Lend = &lending
		all.Agents = labelexpr.ParseLenient("el7")
		s.Pools = append(s.Pools, second)
	}
	inLendRig(t, fleet, func(r *lendRig) {
		r.allClean()
		for _, c := range []struct {
			want  loan.Want
			agent string
		}{
			{loan.Want{Pool: "second", Labels: "!kvm"}, "linux-1"},
			{loan.Want{Labels: "el8 && kvm"}, "linux-2"},
			{loan.Want{Pool: "all"}, "linux-0"},
			{loan.Want{Agent: "ci/linux-2"}, "linux-2"},
			{loan.Want{Isolated: true, Labels: "linux-1"}, "linux-1"},
			{loan.Want{Isolated: true, Pool: "all"}, ""},
			{loan.Want{Pool: "all", Labels: "el8"}, ""},
			{loan.Want{Agent: "b/linux-2"}, ""},
		} {
			l := r.request(func(q *loan.Request) { q.Want = c.want })
			r.pass(time.Minute)
			if got := r.loan(l.ID); got.Agent.Name != c.agent || (c.agent == "") != (got.State == loan.Waiting) {
				r.t.Errorf("%+v is %s with %q, want %q", c.want, got.State, got.Agent.Name, c.agent)
			}
			_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
			must(r.t, err)
			r.until(l.ID, time.Hour, nil, loan.Loan.Over)
			r.allClean()
		}
	})
}

// Rehearsals ask for agents by name, each on its own, and do not know of each other. What the first has got counts for the
// next before anything is decided anew.
func TestRequestsAtOnceTogetherLeaveThePoolItsFloors(t *testing.T) {
	for what, set := range map[string]func(*reconcile.Lending){
		"agents that stay clean":  func(p *reconcile.Lending) { p.Policy.Floor = 3 },
		"agents that stay usable": func(p *reconcile.Lending) { p.Floor = func(total int) int { return total - 1 } },
		"no more than may be":     func(p *reconcile.Lending) { p.Policy.Most = 1 },
	} {
		t.Run(what, func(t *testing.T) {
			fleet := lendFleet(4, 0)
			given := fleet.settings
			fleet.settings = func(s *reconcile.Settings) {
				given(s)
				set(s.Pools[0].Lend)
			}
			inLendRig(t, fleet, func(r *lendRig) {
				r.allClean()
				r.decidesNoMore()
				for _, a := range r.spec.agents {
					_, err := r.lender.Request(r.t.Context(), loan.Request{Borrower: "staging", By: "ci", Count: 1, Want: loan.Want{Agent: a.Name}, To: loan.Target{Kind: loan.ToController}}, "")
					must(r.t, err)
					r.pass(5 * time.Second)
				}
				if n := r.count(); n["waiting"] != 3 {
					r.t.Errorf("of four clean agents, one to be lent, are lent: %v", n)
				}
				r.restart()
				r.wait(10*time.Minute, "one lent", func() bool { return r.count()["attached"] == 1 })
				r.pass(5 * time.Minute)
				if n := r.count(); n["waiting"] != 3 {
					r.t.Errorf("after a restart are lent: %v", n)
				}
			})
		})
	}
}

// decidesNoMore ends the crew, and leaves its store to the lender.
func (r *lendRig) decidesNoMore() {
	r.t.Helper()
	r.stop()
	must(r.t, <-r.stopped)
	r.stopped <- nil
}

// The configuration was read anew since the agent was cleaned, and its pool is called otherwise, beside another of the old name.
func TestAnAgentIsLentAsThePoolSaysThatItIsOfNow(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		rename := func(name string) {
			r.set(func(s *reconcile.Settings) {
				other := s.Pools[0]
				other.Lend = nil
				s.Pools[0].Name, s.Pools[0].Policy.Pool = name, name
				s.Pools = append(s.Pools, other)
			})
			r.pass(time.Minute)
		}
		rename("renamed")
		l := r.waitLoan(r.request().ID, loan.Attached)
		rename("again")
		if a := r.agent("linux-7"); a.Pool != "again" || a.Loan == nil {
			r.t.Errorf("on loan it is of pool %s: %+v", a.Pool, a)
		}
		if _, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough"); err != nil {
			r.t.Fatal(err)
		}
		r.backInOrder(l.ID, loan.Cleaned)
	})
}

// An agent that is on loan already does not count as usable, and one that failed does not either.
func TestAnAgentOutOfUseLeavesLessToLend(t *testing.T) {
	fleet := lendFleet(3, 0)
	given := fleet.settings
	fleet.settings = func(s *reconcile.Settings) {
		given(s)
		s.Pools[0].Lend.Floor = func(int) int { return 2 }
	}
	inLendRig(t, fleet, func(r *lendRig) {
		r.allClean()
		must(r.t, r.crew.OrderHold(r.t.Context(), "linux-0", "ann", "disk", time.Time{}))
		r.pass(10 * time.Second)
		l := r.request()
		r.pass(10 * time.Minute)
		if got := r.loan(l.ID); got.State != loan.Waiting || !strings.Contains(r.lender.Waits(l.ID), "capacity floor") {
			r.t.Errorf("with two of three usable, and two to stay so, it is %s: %s; %s", got.State, got.Reason, r.lender.Waits(l.ID))
		}
		must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-0", "ann", "done"))
		r.waitLoan(l.ID, loan.Attached)
	})
}

// What starts while agents are on loan makes the lender short, and calls back as many as it wants of those that would serve it:
// those that have been idle for longest.
func TestAsManyIdleLoansAreCalledBackAsTheQueueWants(t *testing.T) {
	fleet := lendFleet(4, 0)
	for i := range fleet.agents[:2] {
		fleet.agents[i].Labels = "cleanable el8" // lent first, idle for longest, and of no use to the queue
	}
	inLendRig(t, fleet, func(r *lendRig) {
		r.allClean()
		var loans []loan.Loan
		for _, a := range r.spec.agents {
			l, err := r.lender.Request(r.t.Context(), loan.Request{Borrower: "staging", By: "ci", Count: 1, Want: loan.Want{Agent: a.Name}, To: loan.Target{Kind: loan.ToController}}, "")
			must(r.t, err)
			loans = append(loans, l...)
			r.wait(10*time.Minute, "it lent", func() bool { return r.loan(l[0].ID).State == loan.Attached })
			r.pass(time.Minute)
		}
		r.pass(5 * time.Minute)
		recalled := func() (names []string) {
			for _, l := range loans {
				if l = r.loan(l.ID); l.Cause == loan.ByRecall {
					names = append(names, l.Agent.Name)
				}
			}
			return names
		}
		must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(r.t, err)
		r.wait(20*time.Minute, "the build", func() bool { return len(r.jenkins.Builds("app")) == 1 })
		if got := recalled(); !slices.Equal(got, []string{"linux-2"}) {
			r.t.Errorf("%v were called back for one build", got)
		}
		r.wait(3*time.Hour, "the rest", func() bool { return len(r.count()) == 0 })
	})
}

// Behind a gate nothing but the loan's own build starts on the agent, whatever it asks for.
func TestBehindAGateNothingElseStartsDuringALoan(t *testing.T) {
	t.Parallel()
	for what, happens := range map[string]func(*lendRig){
		"nothing": func(*lendRig) {},
		"the lender is killed": func(r *lendRig) {
			r.orphan()
			must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		},
		"its agent is killed": func(r *lendRig) {
			r.orphan()
			r.jenkins.Agent("linux-7").Kill()
			r.pass(time.Second)
			must(r.t, r.jenkins.Agent("linux-7").Connect())
		},
		"our mark is lifted and the agent killed": func(r *lendRig) {
			r.orphan()
			seen, err := r.client.Agent(r.t.Context(), "linux-7")
			must(r.t, err)
			must(r.t, r.client.LiftOffline(r.t.Context(), "linux-7", seen.OfflineReason))
			r.jenkins.Agent("linux-7").Kill()
			must(r.t, r.jenkins.Agent("linux-7").Connect())
		},
	} {
		t.Run(what, func(t *testing.T) {
			inLendRig(t, behindGate(one[0]), func(r *lendRig) {
				r.takesFor(5 * time.Second)
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				stop := r.besiege()
				l := r.waitLoan(r.request(func(q *loan.Request) { q.Lease.Term = 5 * time.Minute }).ID, loan.Attached)
				r.pass(20 * time.Second)
				happens(r)
				l = r.over(l.ID, nil)
				stop()
				r.pass(time.Minute)
				r.wait(time.Hour, "the agent clean", func() bool { return r.has("linux-7", isClean) && r.jenkins.QueueLength() == 0 })
				r.leftNothing(l)
				r.peace()
			})
		})
	}
}

func TestTheLenderItselfBorrows(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.borrower, r.to = r.jenkins, r.client
		r.borrowers.Apply(map[string]reconcile.Borrower{"staging": {Client: r.client, Labels: []string{"rehearsal"}}})
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		l := r.waitLoan(r.request().ID, loan.Attached)
		r.runBuild("rehearse", "rehearsal")
		if b := r.jenkins.Builds("rehearse")[0]; b.Agent != l.Node.Name {
			r.t.Errorf("it ran on %s", b.Agent)
		}
		r.pass(5 * time.Minute)
		_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
		must(r.t, err)
		l = r.settled(l.ID, nil)
		if got := r.story(l.ID); got != wholeStory {
			r.t.Errorf("its events tell: %s", got)
		}
	})
}
