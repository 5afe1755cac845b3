// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func (r *lendRig) refuses(why string) {
	r.holds.Lock()
	defer r.holds.Unlock()
	r.refuse = why
}

// A loan that cannot come about fails soon, tells why, and its agent is clean again.
func TestALoanThatCannotComeAboutFailsAndTellsWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend func(*lendRig)
		want string // in the reason
	}{
		"the borrower forbids the node": {func(r *lendRig) {
			r.borrower.Inject(jenkinstest.Fault{Path: "/computer/doCreateItem", Status: http.StatusForbidden})
		}, "403"},
		"the borrower refuses the node": {func(r *lendRig) {
			r.borrower.Inject(jenkinstest.Fault{Path: "/computer/doCreateItem", Status: http.StatusBadRequest})
		}, "400"},
		"the borrower forbids the secret": {func(r *lendRig) {
			r.borrower.Inject(jenkinstest.Fault{Match: func(q *http.Request) bool { return strings.HasSuffix(q.URL.Path, "/jenkins-agent.jnlp") }, Status: http.StatusForbidden})
		}, "403"},
		"the secret is wrong": {func(r *lendRig) {
			r.holds.Lock()
			defer r.holds.Unlock()
			r.deaf = true
		}, "did not have it within"},
		"the borrower is dead": {func(r *lendRig) {
			r.borrower.Inject(jenkinstest.Fault{Refuse: true, Count: 200})
		}, ""},
		"the program refuses": {func(r *lendRig) { r.refuses("loan 7 of this agent lives here") }, "loan 7"},
		"the lender forbids its job": {func(r *lendRig) {
			r.jenkins.Inject(jenkinstest.Fault{Path: "/createItem", Status: http.StatusForbidden})
		}, "403"},
		"the lender forbids the build": {func(r *lendRig) {
			r.jenkins.Inject(jenkinstest.Fault{Path: "/job/pitcrew-loan-01/buildWithParameters", Status: http.StatusForbidden})
		}, "403"},
		"the job is a person's": {func(r *lendRig) {
			must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "pitcrew-loan-01"}))
		}, "was not made by this pitcrew"},
		"the queued build never starts": {func(r *lendRig) {
			r.jenkins.Inject(jenkinstest.Fault{Path: "/job/pitcrew-loan-01/buildWithParameters", After: func(*http.Request) { r.jenkins.QuietDown("x") }})
			time.AfterFunc(10*time.Minute, r.jenkins.CancelQuietDown)
		}, "did not have it within"},
	} {
		t.Run(name, func(t *testing.T) {
			inLendRig(t, setup{agents: one}, func(r *lendRig) {
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				c.bend(r)
				l := r.settled(r.request().ID, nil)
				if l.State != loan.Failed || !strings.Contains(l.Reason, c.want) {
					r.t.Errorf("it is %s: %s", l.State, l.Reason)
				}
				if took := l.Ended.Sub(l.Requested); took > 20*time.Minute {
					r.t.Errorf("it took %s", took)
				}
				if got := r.story(l.ID); !strings.HasPrefix(got, "requested granted ") || !strings.Contains(got, " failed") {
					r.t.Errorf("its events tell: %s", got)
				}
			})
		})
	}
}

// A borrower that lets nobody in has made nothing: there is no deletion that it owes, and none that the agent waits for.
func TestABorrowerThatRefusesOurLoginOwesNothing(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		r.borrower.Inject(jenkinstest.Fault{Status: http.StatusUnauthorized})
		l := r.waitLoan(r.request().ID, loan.Failed)
		if l.Cause != loan.ByRefusal || l.Node.Owing() || !strings.Contains(l.Reason, "401") {
			r.t.Errorf("it is %+v", l)
		}
		if took := l.Ended.Sub(l.Requested); took > time.Minute {
			r.t.Errorf("it took %s", took)
		}
		if got := r.story(l.ID); strings.Contains(got, "owed") {
			r.t.Errorf("its events tell: %s", got)
		}
	})
}

// A borrower that hangs holds nobody up but itself.
func TestABorrowerThatHangsHoldsNoOtherUp(t *testing.T) {
	var agents []jenkinstest.AgentSpec
	for n := range 26 {
		agents = append(agents, jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", n), Labels: "cleanable el7"})
	}
	inLendRig(t, setup{agents: agents, settings: func(s *reconcile.Settings) { s.MaxCleanups = 30; s.Pools[0].Lend.Policy.Most = 30 }}, func(r *lendRig) {
		second, err := jenkinstest.New(jenkinstest.Options{RootURL: "http://second.test/", Security: jenkinstest.Security{NoCrumbs: true}})
		must(r.t, err)
		defer second.Close()
		second.Mount("/jnlpJars/", jarOf("second"))
		to, err := jenkins.New(jenkins.Options{Name: "second", URL: "http://second.test/", Transport: second.Transport(), RequestsPerSecond: -1})
		must(r.t, err)
		defer to.Close()
		r.borrowers.Apply(map[string]reconcile.Borrower{"staging": {Client: r.to}, "second": {Client: to}})
		r.wait(time.Hour, "all clean", func() bool {
			for _, a := range agents {
				if !r.has(a.Name, isClean) {
					return false
				}
			}
			return true
		})
		_, err = r.lender.Request(r.t.Context(), loan.Request{Borrower: "staging", By: "ci", Count: 24, To: loan.Target{Kind: loan.ToController}}, "")
		must(r.t, err)
		r.pass(20 * time.Second)
		restore := r.borrower.Inject(jenkinstest.Fault{Latency: 5 * time.Minute})
		r.pass(3 * time.Minute)
		began := time.Now()
		l := r.request(func(q *loan.Request) { q.Borrower = "second"; q.Lease.Attach = 0 })
		r.until(l.ID, time.Hour, nil, func(l loan.Loan) bool { return !l.Granted.IsZero() && (l.Node.Made || l.Over()) })
		if took := time.Since(began); took > 15*time.Second {
			r.t.Errorf("beside a borrower that hangs, another's node was made after %s", took)
		}
		restore()
	})
}

// A copy of the daemon's store, from which a second daemon lives for a while, takes no agent from a borrower.
func TestADaemonThatIsRefusedLeavesLoansAlone(t *testing.T) {
	inLendRig(t, setup{agents: one}, func(r *lendRig) {
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		l := r.waitLoan(r.request(func(q *loan.Request) { q.Lease.Term = 10 * time.Minute }).ID, loan.Attached)
		saved := filepath.Join(r.t.TempDir(), "copy.db")
		must(r.t, r.store.Backup(r.t.Context(), saved))
		_, err := r.lender.Renew(r.t.Context(), l.ID, "ci", time.Hour, nil)
		must(r.t, err)
		rival := &lendRig{rig: &rig{spec: r.spec, pit: &pit{
			t: r.t, jenkins: r.jenkins, client: r.client, program: r.program, watch: &watcher{}, path: saved, owner: "rival",
		}}, borrowers: r.borrowers, borrower: r.borrower, to: r.to}
		rival.start()
		defer rival.end()
		rival.startLend()
		defer rival.endLend()
		r.pass(20 * time.Minute) // for the copy, its term is over
		if rival.crew.Refused() == "" {
			r.t.Fatal("the rival was not refused")
		}
		if got := r.loan(l.ID); got.State != loan.Attached {
			r.t.Errorf("the loan is %s: %s", got.State, got.Reason)
		}
	})
}
