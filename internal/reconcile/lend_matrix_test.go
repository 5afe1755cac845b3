// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// wholeStory is what the events of a loan tell that nothing went wrong with.
const wholeStory = "requested granted attached returning released cleaned"

// liveOn keeps a borrowed program alive whose build has died, until the borrower lets it go.
func (r *lendRig) liveOn(agent, node string) {
	for at := r.borrower.Agent(node); at != nil && at.Online() && r.t.Context().Err() == nil; {
		time.Sleep(100 * time.Millisecond)
	}
	r.live(agent, "")
}

// sweep is what a cleanup does to borrowed programs that live on.
func (r *lendRig) sweep(report recipe.Report) recipe.Report {
	r.holds.Lock()
	node := r.lives[report.Agent]
	r.holds.Unlock()
	if node != "" {
		if at := r.borrower.Agent(node); at != nil {
			at.Kill()
		}
		r.live(report.Agent, "")
	}
	return report
}

// alive are the borrowed programs that live, as agent: node.
func (r *lendRig) alive() string {
	r.holds.Lock()
	defer r.holds.Unlock()
	var all []string
	for agent, node := range r.lives {
		if node != "" {
			all = append(all, agent+": "+node)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// story is what the events tell of a loan.
func (r *lendRig) story(id string) string {
	r.t.Helper()
	var kinds []string
	for _, e := range r.events() {
		if e.Data["loan"] == id {
			kinds = append(kinds, strings.TrimPrefix(string(e.Type), "loan."))
		}
	}
	return strings.Join(kinds, " ")
}

// loanBuilds counts the builds that held loans on the lender, or began to.
func (r *lendRig) loanBuilds() int {
	n := 0
	for i := 1; i <= 3; i++ {
		n += len(r.jenkins.Builds(fmt.Sprintf("pitcrew-loan-%02d", i)))
	}
	return n
}

// nodesLeft are the nodes of loans at the borrower.
func (r *lendRig) nodesLeft() []string {
	r.t.Helper()
	fleet, err := r.to.Fleet(r.t.Context())
	must(r.t, err)
	var left []string
	for _, a := range fleet.Agents {
		if strings.HasPrefix(a.Name, "pitcrew-loan-") {
			left = append(left, a.Name)
		}
	}
	return left
}

// settled waits until a loan is over, owes nothing, and its agent is clean, and holds that nothing of it is left.
// It takes up the daemon's work again when that was killed.
func (r *lendRig) settled(id string, killed *atomic.Bool) loan.Loan {
	r.t.Helper()
	l := r.over(id, killed)
	r.leftNothing(l)
	return l
}

func (r *lendRig) over(id string, killed *atomic.Bool) loan.Loan {
	r.t.Helper()
	return r.until(id, 2*time.Hour, killed, func(l loan.Loan) bool {
		return l.Over() && !l.Node.Owing() && (l.Agent.Name == "" || r.has(l.Agent.Name, isClean))
	})
}

// leftNothing holds that nothing is left of a loan that is over, on either side.
func (r *lendRig) leftNothing(l loan.Loan) {
	r.t.Helper()
	id := l.ID
	r.pass(3 * time.Second)
	name := l.Agent.Name
	if name == "" {
		name = r.spec.agents[0].Name
	}
	if got := r.labels(name); got != "cleanable clean" {
		r.t.Errorf("loan %s: its agent is labelled %s", id, got)
	}
	if a := r.agent(name); a.Loan != nil || a.Mark != "" {
		r.t.Errorf("loan %s: its agent is still on loan: %+v, or owes mark %q", id, a.Loan, a.Mark)
	}
	if seen, err := r.client.Agent(r.t.Context(), name); err != nil || seen.Offline {
		r.t.Errorf("loan %s: its agent is offline: %q, %v", id, seen.OfflineReason, err)
	}
	if left := r.nodesLeft(); len(left) > 0 {
		r.t.Errorf("loan %s: left at the borrower: %v", id, left)
	}
	if got := r.alive(); got != "" {
		r.t.Errorf("loan %s: borrowed programs live: %s", id, got)
	}
	if n := r.jenkins.QueueLength(); n > 0 {
		r.t.Errorf("loan %s: %d items are left in the lender's queue", id, n)
	}
}

// until waits for a loan.
func (r *lendRig) until(id string, limit time.Duration, killed *atomic.Bool, ok func(loan.Loan) bool) loan.Loan {
	r.t.Helper()
	var last loan.Loan
	step := 100 * time.Millisecond
	for began := time.Now(); time.Since(began) < limit; r.pass(step) {
		if time.Since(began) > 2*time.Minute {
			step = 2 * time.Second
		}
		if killed != nil && killed.Swap(false) {
			r.restart()
		}
		if last = r.loan(id); ok(last) {
			return last
		}
	}
	r.t.Fatalf("loan %s stays %s (%s): %s; its agent: %+v", id, last.State, last.Reason, r.story(id), r.agent("linux-7"))
	return last
}

// kill ends the daemon's work as a kill does: what it asked for last may still happen, and it never learns of it.
func (r *lendRig) kill(killed *atomic.Bool) {
	r.stopLend()
	r.stop()
	killed.Store(true)
}

// nth does something to the n-th request that a controller gets from now on, and tells later which one that was.
func nth(j *jenkinstest.Jenkins, n int, fault jenkinstest.Fault) (came func() string) {
	var mu sync.Mutex
	seen, which := 0, ""
	fault.Count, fault.Match = 1, func(req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			which = line(req)
		}
		return seen == n
	}
	remove := j.Inject(fault)
	return func() string {
		remove()
		mu.Lock()
		defer mu.Unlock()
		return which
	}
}

// eachLoan lends one agent after the other, with a fault at the first request of the first loan, at the second of the
// second, and so on, to one of the two controllers. A short run leaves most out.
func (r *lendRig) eachLoan(of func() *jenkinstest.Jenkins, fault jenkinstest.Fault, killed *atomic.Bool, check func(at string, l loan.Loan)) {
	r.t.Helper()
	r.takesFor(time.Second)
	r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
	for n := 1; ; n += stride() {
		came := nth(of(), n, fault)
		l := r.request()
		builds := r.loanBuilds()
		r.until(l.ID, time.Hour, killed, func(l loan.Loan) bool { return l.State == loan.Attached || l.Over() || l.State == loan.Returning })
		r.pass(1500 * time.Millisecond)
		if killed != nil && killed.Swap(false) {
			r.restart()
		}
		_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
		must(r.t, err)
		l = r.over(l.ID, killed)
		at := came()
		r.leftNothing(l)
		if at == "" {
			r.t.Logf("a loan took %d requests", n-1)
			return
		}
		if killed != nil && killed.Swap(false) {
			r.restart()
		}
		at = fmt.Sprintf("%d, %s", n, at)
		if n := r.loanBuilds() - builds; n > 1 {
			r.t.Errorf("%s: %d builds held the loan", at, n)
		}
		check(at, l)
		if r.t.Failed() {
			r.t.Fatalf("at request %s: %s: %s", at, r.story(l.ID), l.Reason)
		}
	}
}

func (r *lendRig) isWhole(at string, l loan.Loan) {
	r.t.Helper()
	if got := r.story(l.ID); l.State != loan.Cleaned || got != wholeStory {
		r.t.Errorf("request %s: the loan is %s (%s), its events tell: %s", at, l.State, l.Reason, got)
	}
	if got := r.events(hygiene.EventContaminated); len(got) > 0 {
		r.t.Errorf("request %s: %+v", at, got)
	}
}

// stride is how many requests of a loan are passed over between two that are disturbed.
func stride() int {
	if len(sides()) > 1 {
		return 1
	}
	return 11
}

// controllers are the two that a loan talks to.
var controllers = map[string]func(*lendRig) *jenkinstest.Jenkins{
	"lender":   func(r *lendRig) *jenkinstest.Jenkins { return r.jenkins },
	"borrower": func(r *lendRig) *jenkinstest.Jenkins { return r.borrower },
}

func TestAKillOfTheDaemonBesideEveryRequestOfALoanLosesNothing(t *testing.T) {
	t.Parallel()
	for name, of := range controllers {
		for _, side := range []string{"before", "in flight", "after"} {
			t.Run(name+" "+side, func(t *testing.T) {
				inLendRig(t, setup{agents: one}, func(r *lendRig) {
					var killed atomic.Bool
					kill := func(*http.Request) { r.kill(&killed) }
					fault := jenkinstest.Fault{Before: kill, Refuse: side == "before"}
					if side == "after" {
						fault = jenkinstest.Fault{After: kill}
					}
					r.eachLoan(func() *jenkinstest.Jenkins { return of(r) }, fault, &killed, r.isWhole)
				})
			})
		}
	}
}

func TestAFaultOfOneRequestOfALoanDelaysItOnly(t *testing.T) {
	t.Parallel()
	for name, of := range controllers {
		for what, fault := range map[string]jenkinstest.Fault{
			"the answer is lost": {Lose: true},
			"it is never served": {Refuse: true},
			"it is answered 503": {Status: http.StatusServiceUnavailable},
			"it takes too long":  {Latency: 40 * time.Second},
			"it is cut short":    {Break: 40},
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				inLendRig(t, setup{agents: one}, func(r *lendRig) {
					r.eachLoan(func() *jenkinstest.Jenkins { return of(r) }, fault, nil, func(at string, l loan.Loan) {
						if got := r.story(l.ID); l.State != loan.Cleaned && l.Cause != loan.ByTimeout || strings.Count(got, "granted") != 1 {
							r.t.Errorf("request %s: the loan is %s (%s), its events tell: %s", at, l.State, l.Reason, got)
						}
					})
				})
			})
		}
	}
}
