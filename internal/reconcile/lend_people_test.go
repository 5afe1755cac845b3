// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// lendMeddling is what people do to an agent, or to a loan of it, with what they do about it ten minutes later.
var lendMeddling = map[string]func(*lendRig, loan.Loan) (later func()){
	"lifts our mark": func(r *lendRig, _ loan.Loan) func() {
		seen, err := r.client.Agent(r.t.Context(), "linux-7")
		must(r.t, err)
		if seen.TemporarilyOffline {
			must(r.t, r.client.LiftOffline(r.t.Context(), "linux-7", seen.OfflineReason))
		}
		return func() {}
	},
	"takes it offline": func(r *lendRig, _ loan.Loan) func() {
		r.jenkins.Agent("linux-7").MarkOffline("ann", "new disk")
		return func() { r.jenkins.Agent("linux-7").MonitorOnline() }
	},
	"holds it": func(r *lendRig, _ loan.Loan) func() {
		must(r.t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "disk", time.Time{}))
		return func() { must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done")) }
	},
	"removes cleanable": func(r *lendRig, _ loan.Loan) func() {
		labels := r.jenkins.Labels("linux-7")
		r.jenkins.SaveLabels("linux-7", strings.ReplaceAll(labels, "cleanable", ""), "ann")
		return func() { r.jenkins.SaveLabels("linux-7", "cleanable el7", "ann") }
	},
	"labels it clean": func(r *lendRig, _ loan.Loan) func() {
		r.jenkins.SaveLabels("linux-7", "cleanable clean el7", "ann")
		return func() {}
	},
	"stops the build": func(r *lendRig, l loan.Loan) func() {
		for _, b := range r.jenkins.Builds("pitcrew-loan-01") {
			_ = r.client.StopBuild(r.t.Context(), "pitcrew-loan-01", int64(b.Number))
		}
		return func() {}
	},
	"deletes the build": func(r *lendRig, l loan.Loan) func() {
		for _, b := range r.jenkins.Builds("pitcrew-loan-01") {
			r.jenkins.DeleteBuild("pitcrew-loan-01", b.Number)
		}
		return func() {}
	},
	"deletes the job": func(r *lendRig, l loan.Loan) func() {
		_ = r.client.DeleteJob(r.t.Context(), "pitcrew-loan-01")
		return func() {}
	},
	"deletes the node": func(r *lendRig, l loan.Loan) func() {
		if l.Node.Name != "" {
			_ = r.to.DeleteNode(r.t.Context(), l.Node.Name)
		}
		return func() {}
	},
	"starts the job": func(r *lendRig, l loan.Loan) func() {
		_, _ = r.jenkins.Schedule("pitcrew-loan-01", nil)
		return func() {}
	},
	"quiets the lender down": func(r *lendRig, l loan.Loan) func() {
		r.jenkins.QuietDown("maintenance")
		return r.jenkins.CancelQuietDown
	},
	"disconnects it": func(r *lendRig, l loan.Loan) func() {
		r.jenkins.Agent("linux-7").Disconnect()
		return func() { _ = r.jenkins.Agent("linux-7").Connect() }
	},
}

// Whatever people do at whatever moment, the agent comes back and is cleaned, and nothing of the loan is left.
func TestPeopleMeddleWithALoanAtEachMoment(t *testing.T) {
	for what, meddle := range lendMeddling {
		t.Run(what, func(t *testing.T) {
			atEachMoment(t, setup{agents: one}, func(r *lendRig, l loan.Loan) {
				later := meddle(r, l)
				r.pass(2 * time.Minute)
				later()
			}, nothingElse)
		})
	}
}

func TestTheLendersAgentIsDeletedAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, _ loan.Loan) {
		r.orphan()
		_ = r.client.DeleteNode(r.t.Context(), "linux-7") // it is there until its build has ended
		r.pass(2 * time.Minute)
		if left := r.nodesLeft(); len(left) > 0 {
			r.t.Errorf("the borrower still has %v", left)
		}
		_, err := r.jenkins.AddAgent(jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable el7"})
		must(r.t, err)
	}, nothingElse)
}

// TestAStoppedBuildIsAnAbort holds it whichever of the build's processes Jenkins ends first.
func TestAStoppedBuildIsAnAbort(t *testing.T) {
	for _, hasty := range []bool{false, true} {
		t.Run(fmt.Sprintf("hasty %t", hasty), func(t *testing.T) {
			inLendRig(t, setup{agents: one}, func(r *lendRig) {
				r.holds.Lock()
				r.hasty = hasty
				r.holds.Unlock()
				r.waitState("linux-7", hygiene.Clean)
				l := r.waitLoan(r.request().ID, loan.Attached)
				must(r.t, r.client.StopBuild(r.t.Context(), "pitcrew-loan-01", l.Run.Build))
				if l = r.backInOrder(l.ID, loan.Cleaned); l.Cause != loan.ByAbort {
					r.t.Errorf("it ended by %q: %s", l.Cause, l.Reason)
				}
			})
		})
	}
}

// An agent that a build came to before the mark of a loan to a person goes back without that mark, also if somebody takes it
// out of our care at once: nobody would lift it then.
func TestWhatABuildCameFirstToKeepsNoMarkOfALoan(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(*jenkinstest.Fault)
	}{
		{"answered", func(*jenkinstest.Fault) {}},
		{"unanswered", func(f *jenkinstest.Fault) { f.Lose = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLendRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.Pools[0].Lend.Lease.Attach = time.Hour }}, func(r *lendRig) {
				r.waitState("linux-7", hygiene.Clean)
				must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "own", Label: "linux-7", Script: "make"}))
				f := jenkinstest.Fault{Method: http.MethodPost, Path: "/computer/linux-7/changeOfflineCause", Count: 1, Before: func(*http.Request) {
					if _, err := r.jenkins.Schedule("own", nil); err != nil {
						r.t.Error(err)
					}
					time.Sleep(time.Second) // it starts
				}}
				c.bend(&f)
				r.jenkins.Inject(f)
				id := r.request(func(q *loan.Request) { q.Borrower, q.To = "people", loan.Target{Kind: loan.ToHold} }).ID
				r.waitLoan(id, loan.Granted)
				l := r.waitLoan(id, loan.Waiting)
				r.jenkins.SaveLabels("linux-7", "el7", "ann")
				if !strings.Contains(l.Reason, "a build came first") {
					r.t.Errorf("it waits again: %s", l.Reason)
				}
				if got := r.marks(); len(got) != 2 {
					r.t.Errorf("its marks: %q, want one that was lifted", got)
				}
				r.pass(10 * time.Minute)
				if seen, err := r.client.Agent(r.t.Context(), "linux-7"); err != nil || seen.Offline {
					r.t.Errorf("it was taken out of our care, and is offline: %q, %v", seen.OfflineReason, err)
				}
			})
		})
	}
}
