// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// toVerify is an agent that lost its connection while it was clean, and has it back after meanwhile.
func (r *rig) toVerify(meanwhile func()) {
	r.t.Helper()
	r.waitState("linux-7", hygiene.Clean)
	r.jenkins.Agent("linux-7").Kill()
	r.waitState("linux-7", hygiene.Due)
	if a := r.agent("linux-7"); a.Need != hygiene.NeedVerify {
		r.t.Fatalf("after a loss of connection: %+v", a)
	}
	meanwhile()
	must(r.t, r.jenkins.Agent("linux-7").Connect())
}

func writesLabels(q *http.Request) bool {
	return q.Method == http.MethodPost && strings.HasSuffix(q.URL.Path, "/linux-7/config.xml")
}

func TestAnAgentThatWasUsedIsNotCleanByVerificationAlone(t *testing.T) {
	t.Parallel()
	schedule := func(r *rig, job string) {
		_, err := r.jenkins.Schedule(job, nil)
		must(r.t, err)
	}
	tests := map[string]struct {
		job string
		use func(*rig)
	}{
		"a build takes it as it returns": {"app", func(r *rig) {
			r.toVerify(func() { schedule(r, "app") })
		}},
		"a Pipeline's block, which no feed tells of, takes it as it returns": {"pipe", func(r *rig) {
			r.toVerify(func() { schedule(r, "pipe") })
		}},
		"a build that only its feed tells of": {"app", func(r *rig) {
			r.set(func(s *reconcile.Settings) { s.FeedEvery = 100 * time.Hour })
			r.toVerify(func() {
				r.set(func(s *reconcile.Settings) { s.Poll = 20 * time.Minute })
				r.pass(time.Minute)
			})
			schedule(r, "app")
		}},
		"a build that only its feed tells of, before it is due for a cleanup": {"app", func(r *rig) {
			r.set(func(s *reconcile.Settings) { s.FeedEvery = 5 * time.Minute })
			r.toVerify(func() {
				r.set(func(s *reconcile.Settings) { s.Poll = 20 * time.Minute })
				r.pass(time.Minute)
			})
			schedule(r, "app")
			r.wait(15*time.Minute, "the use being learnt", func() bool { return r.agent("linux-7").Need == hygiene.NeedCleanup })
		}},
		"a build comes before the claim is shown": {"app", func(r *rig) {
			r.at(1, false, writesLabels, func() {
				schedule(r, "app")
				time.Sleep(100 * time.Millisecond)
			})
			r.toVerify(func() {})
		}},
		"a build starts when it has been clean for too long, before its label says so": {"app", func(r *rig) {
			r.waitState("linux-7", hygiene.Clean)
			r.at(1, false, writesLabels, func() {
				schedule(r, "app")
				time.Sleep(100 * time.Millisecond)
			})
			r.set(func(s *reconcile.Settings) { s.Pools[0].Policy.TTL = time.Hour })
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, jenkins: pipelines}, func(r *rig) {
				r.withPipeline()
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"}))
				r.waitState("linux-7", hygiene.Clean)
				tt.use(r)
				var used jenkinstest.BuildState
				r.wait(3*time.Hour, "the build's end", func() bool {
					builds := r.jenkins.Builds(tt.job)
					if len(builds) > 0 {
						used = builds[len(builds)-1]
					}
					return used.Complete
				})
				r.wait(3*time.Hour, "a clean agent", func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) && a.LastCleaned.After(used.Started) })
				})
				if last := r.attempt("linux-7", r.agent("linux-7").Attempt); last.Need != hygiene.NeedCleanup || !last.Claimed.After(used.Started) {
					t.Errorf("used at %s, and called clean by a %s that was claimed at %s", used.Started, last.Need, last.Claimed)
				}
			})
		})
	}
}

func TestACleanupThatIsOrderedDuringAVerificationIsMade(t *testing.T) {
	t.Parallel()
	for _, state := range []hygiene.State{hygiene.Due, hygiene.Claimed, hygiene.Running, hygiene.Granting} {
		t.Run(string(state), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.toVerify(func() {})
				order := func() { must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "I left a mess by hand", "")) }
				inState := map[hygiene.State]func(*http.Request) bool{
					hygiene.Claimed:  writesLabels,
					hygiene.Granting: func(q *http.Request) bool { return writesLabels(q) && r.agent("linux-7").State == hygiene.Granting },
				}
				if match, ok := inState[state]; ok {
					r.at(1, false, match, order)
				} else {
					r.waitState("linux-7", state)
					order()
				}
				r.wait(time.Hour, "a whole cleanup", func() bool {
					a := r.agent("linux-7")
					return a.Attempt > 1 && isClean(a) && r.attempt("linux-7", a.Attempt).Need == hygiene.NeedCleanup
				})
				r.pass(3 * time.Hour)
				if a := r.agent("linux-7"); a.Attempt > 3 {
					t.Errorf("%d attempts", a.Attempt)
				}
			})
		})
	}
}

// Something else than a build came between proof and grant: what was cleaned need not be cleaned again.
func TestAProofThatCouldNotBeGrantedIsVerifiedAnew(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean&&el7")
		r.waitState("linux-7", hygiene.Granting)
		r.jenkins.Agent("linux-7").Kill()
		r.waitState("linux-7", hygiene.Due)
		must(t, r.jenkins.Agent("linux-7").Connect())
		r.waitState("linux-7", hygiene.Clean)
		if lost, last := r.attempt("linux-7", 2), r.attempt("linux-7", 3); lost.Outcome != hygiene.Lost || last.Need != hygiene.NeedVerify || last.Outcome != hygiene.Cleaned {
			t.Errorf("the second ended %s: %s; the third is a %s and ended %s: %s", lost.Outcome, lost.Reason, last.Need, last.Outcome, last.Reason)
		}
	})
}
