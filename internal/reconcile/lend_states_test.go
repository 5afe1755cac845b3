// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// lendMoments are times in the life of a loan at which something may happen to it.
var lendMoments = []string{"waiting", "granted", "with a node", "handed over", "marked", "attached", "returning", "released", "being cleaned"}

// come brings a loan to a moment of its life.
func (r *lendRig) come(id, moment string) {
	r.t.Helper()
	told := func(event string) func(loan.Loan) bool {
		return func(loan.Loan) bool { return strings.HasSuffix(r.story(id), event) }
	}
	switch moment {
	case "granted":
		r.soon(id, func(l loan.Loan) bool { return l.State == loan.Granted })
	case "with a node":
		r.soon(id, func(l loan.Loan) bool { return l.Node.Made })
	case "handed over":
		r.soon(id, func(l loan.Loan) bool { return !l.Run.Handed.IsZero() })
	case "marked":
		r.soon(id, func(l loan.Loan) bool { return l.Marked })
	case "attached":
		r.waitLoan(id, loan.Attached)
		r.pass(5 * time.Second)
	case "returning", "released", "being cleaned":
		r.waitLoan(id, loan.Attached)
		_, err := r.lender.Return(r.t.Context(), id, "ann", "enough")
		must(r.t, err)
	}
	switch moment {
	case "released":
		r.soon(id, told("released"))
	case "being cleaned":
		r.waitState("linux-7", hygiene.Running)
	}
}

// soon waits in small steps for something that passes quickly.
func (r *lendRig) soon(id string, ok func(loan.Loan) bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); r.pass(5 * time.Millisecond) {
		if ok(r.loan(id)) {
			return
		}
	}
	r.t.Fatalf("loan %s: it never came to that: %+v", id, r.loan(id))
}

// atEachMoment lends an agent and does something at each time of its life. What calls for builds goes on all the while,
// and none may run on the agent before it is clean again. The loan is given back when it is not over by then.
func atEachMoment(t *testing.T, s setup, happens, check func(*lendRig, loan.Loan)) {
	t.Helper()
	takesLong(t)
	t.Parallel()
	moments := lendMoments
	if stride() > 1 {
		moments = []string{"granted", "handed over", "attached", "returning", "being cleaned"}
	}
	for _, when := range moments {
		t.Run(when, func(t *testing.T) {
			inLendRig(t, s, func(r *lendRig) {
				r.takesFor(5 * time.Second)
				r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				stop := r.besiege()
				l := r.request(func(q *loan.Request) { q.Lease.Term = 5 * time.Minute })
				slow := jenkinstest.Fault{Latency: 20 * time.Millisecond} // so that the moments are apart
				quick, quicker := r.jenkins.Inject(slow), r.borrower.Inject(slow)
				r.come(l.ID, when)
				quick()
				quicker()
				happens(r, r.loan(l.ID))
				if l = r.loan(l.ID); l.State == loan.Attached {
					r.pass(10 * time.Second)
				}
				if _, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough"); err != nil {
					r.t.Error(err)
				}
				l = r.over(l.ID, nil)
				stop()
				r.pass(30 * time.Second)
				r.wait(4*time.Hour, "the agent clean", func() bool { return r.has("linux-7", isClean) && r.jenkins.QueueLength() == 0 })
				r.leftNothing(l)
				r.peace()
				check(r, l)
			})
		})
	}
}

// besiege has builds asked for all the time, of all sorts, that would run on the agent if they might.
func (r *lendRig) besiege() (stop func()) {
	r.t.Helper()
	r.mu.Lock()
	r.works = 2 * time.Second
	r.mu.Unlock()
	jobs := map[string]string{"app": "clean&&el7", "self": "linux-7", "any": ""}
	for name, label := range jobs {
		must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: name, Label: label, Script: "make"}))
	}
	_, err := r.jenkins.AddAgent(jenkinstest.AgentSpec{Name: "other", Normal: true})
	must(r.t, err)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for n := 0; ; n++ {
			select {
			case <-end:
				return
			case <-r.t.Context().Done():
				return
			case <-time.After(17 * time.Second):
			}
			for name := range jobs {
				if name == "self" && n%5 > 0 {
					continue // labels alone do not keep it out of a cleanup
				}
				_, _ = r.jenkins.Schedule(name, nil) // in vain while the controller is down
			}
		}
	}()
	return func() { close(end); <-ended }
}

// peace holds I9 against what really happened: between the start of the build that holds a loan and the end of the cleanup that follows,
// no other build starts on the agent. Where labels alone keep builds out, one that asks for the agent by its name may come when our mark is
// lifted for that cleanup; or before it is set, if the build that holds the loan dies within that moment.
func (r *lendRig) peace() {
	r.t.Helper()
	lent, open := map[string]bool{}, map[string]bool{}
	for i, e := range r.jenkins.Journal() {
		switch ours := strings.HasPrefix(e.Job, "pitcrew-"); {
		case e.Kind == jenkinstest.EntryBuildStart && strings.HasPrefix(e.Job, "pitcrew-loan-"):
			if r.didNothing(e.Job, e.Number) {
				continue // somebody else started it
			}
			lent[e.Agent], open[e.Agent] = true, true
		case e.Kind == jenkinstest.EntryMarked && us(e.Who):
			open[e.Agent] = false
		case e.Kind == jenkinstest.EntryDeleted:
			lent[e.Agent] = false // what is made by its name is another
		case e.Kind == jenkinstest.EntryUnmarked: // by us for the cleanup, or by a person
			open[e.Agent] = true
		case e.Kind == jenkinstest.EntryBuildEnd && ours && strings.HasPrefix(e.Job, "pitcrew-slot-") && e.Result == "SUCCESS":
			lent[e.Agent] = false
		case e.Kind == jenkinstest.EntryBuildStart && !ours && lent[e.Agent]:
			if e.Job != "self" || !open[e.Agent] || r.crew.Seen().Gate != nil {
				r.t.Errorf("I9: entry %d: %s starts on %s, which is not back from a loan", i, e.Job, e.Agent)
			}
		}
	}
}

// didNothing reports whether a build of a loan's job refused to do anything.
func (r *lendRig) didNothing(job string, number int) bool {
	return slices.ContainsFunc(r.jenkins.Builds(job), func(b jenkinstest.BuildState) bool {
		return b.Number == number && strings.Contains(b.Console, " refused ")
	})
}

func TestARestartOfTheLenderAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one, jenkins: slowly}, func(r *lendRig, _ loan.Loan) {
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartNow))
	}, nothingElse)
}

func TestAKillOfTheLenderAtEachMomentOfALoanWhoseProgramLivesOn(t *testing.T) {
	atEachMoment(t, setup{agents: one, jenkins: slowly}, func(r *lendRig, _ loan.Loan) {
		r.orphan()
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
	}, nothingElse)
}

func TestAKillOfTheLendersAgentAtEachMomentOfALoanWhoseProgramLivesOn(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, _ loan.Loan) {
		r.orphan()
		r.jenkins.Agent("linux-7").Kill()
		r.pass(600 * time.Millisecond)
		must(r.t, r.jenkins.Agent("linux-7").Connect())
		r.pass(time.Minute)
	}, nothingElse)
}

func TestALenderThatIsDeadForLongAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, l loan.Loan) {
		r.orphan()
		r.dead(r.jenkins, 8*time.Minute)
		if got := r.loan(l.ID); got.State == loan.Attached {
			r.t.Errorf("long after its term it is %s: %s", got.State, got.Reason)
		}
		if left := r.nodesLeft(); len(left) > 0 {
			r.t.Errorf("the borrower still has %v", left)
		}
	}, nothingElse)
}

func TestABorrowerThatIsDeadForLongAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, l loan.Loan) {
		r.dead(r.borrower, 8*time.Minute)
	}, nothingElse)
}

func TestBothControllersDeadForLongAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, l loan.Loan) {
		r.orphan()
		up := r.down(r.jenkins)
		r.dead(r.borrower, 8*time.Minute)
		up()
	}, nothingElse)
}

// A network that is cut between the daemon and the borrower: the borrower and the agent go on.
func TestABorrowerOutOfReachAtEachMomentOfALoan(t *testing.T) {
	atEachMoment(t, setup{agents: one}, func(r *lendRig, l loan.Loan) {
		restore := r.borrower.Inject(jenkinstest.Fault{Refuse: true})
		r.pass(8 * time.Minute)
		if got := r.loan(l.ID); got.State != loan.Waiting && !got.Over() {
			r.t.Errorf("long after its term it is %s (%s), and its agent %s", got.State, got.Reason, r.agent("linux-7").State)
		}
		restore()
	}, nothingElse)
}

func nothingElse(*lendRig, loan.Loan) {}

func slowly(o *jenkinstest.Options) { o.Timing = slowBoot }

// orphan lets borrowed programs live on when their builds die.
func (r *lendRig) orphan() {
	r.holds.Lock()
	defer r.holds.Unlock()
	r.orphans = true
}

// down kills a controller; up starts it again.
func (r *lendRig) down(j *jenkinstest.Jenkins) (up func()) {
	r.t.Helper()
	j.FailBoot(false)
	return func() { must(r.t, j.Restart(r.t.Context(), jenkinstest.RestartCrash)) }
}

func (r *lendRig) dead(j *jenkinstest.Jenkins, d time.Duration) {
	r.t.Helper()
	up := r.down(j)
	r.pass(d)
	up()
}
