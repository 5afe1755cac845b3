// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// queued waits for the item of our first cleanup in the queue of a controller that does not
// dispatch.
func (r *rig) queued() int64 {
	r.t.Helper()
	r.waitState("linux-7", hygiene.Running)
	queue, err := r.client.Queue(r.t.Context())
	must(r.t, err)
	if len(queue.Items) != 1 {
		r.t.Fatalf("the queue holds %d items", len(queue.Items))
	}
	return queue.Items[0].ID
}

func TestALostQueueItemIsNoticedAndTheAgentCleanedAnew(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.jenkins.QuietDown("test")
		if !r.jenkins.LoseQueueItem(r.queued()) {
			t.Fatal("nothing to lose")
		}
		r.jenkins.CancelQuietDown()
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran", n)
		}
	})
}

func TestAnItemThatIsNeverBuiltIsCancelledAndTheClaimGivenBack(t *testing.T) {
	t.Parallel()
	for name, stalled := range map[string]bool{"nothing is dispatched": false, "it is passed over": true} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.jenkins.QuietDown("test")
				item := r.queued()
				if stalled {
					r.jenkins.StallQueueItem(item)
					r.jenkins.CancelQuietDown()
				}
				r.wait(11*time.Minute, "the claim given back", func() bool { return r.agent("linux-7").State == hygiene.Due })
				if got := r.attempt("linux-7", 1); got.Outcome != hygiene.GivenBack || !strings.Contains(got.Reason, "waited too long in the queue") {
					t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
				}
				if n := r.jenkins.QueueLength(); n != 0 {
					t.Errorf("%d items are left in the queue", n)
				}
				if a := r.agent("linux-7"); a.Failures != 0 {
					t.Errorf("the agent was blamed: %+v", a)
				}
				r.jenkins.CancelQuietDown()
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

func TestACleanupThatAPersonCancelsInTheQueueIsGivenBack(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.jenkins.QuietDown("test")
		must(t, r.client.CancelQueueItem(r.t.Context(), r.queued()))
		r.jenkins.CancelQuietDown()
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.GivenBack {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
	})
}

func TestACleanupThatAPersonAbortsIsNoSuccess(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.wait(time.Hour, "a running cleanup", func() bool { return len(r.cleanups()) == 1 })
		must(t, r.client.StopBuild(r.t.Context(), "pitcrew-slot-01", 1))
		r.waitState("linux-7", hygiene.Due)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Failed || !strings.Contains(got.Reason, "ABORTED") {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}

// Each outage is over before the next poll: only the console tells of it.
func TestAShortLossOfConnectionInMidCleanupIsNoFailureOfTheAgent(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		for n := range int64(3) {
			r.wait(time.Hour, "a running cleanup", func() bool {
				return r.has("linux-7", func(a hygiene.Agent) bool { return a.State == hygiene.Running && a.Attempt == n+1 })
			})
			r.pass(12 * time.Second)
			r.jenkins.Agent("linux-7").Disconnect()
			r.wait(time.Minute, "its end", func() bool { return r.agent("linux-7").State != hygiene.Running })
			if got := r.attempt("linux-7", n+1); got.Outcome != hygiene.Lost || got.Reason != "its connection was lost in the middle" {
				t.Errorf("attempt %d ended %q: %s", n+1, got.Outcome, got.Reason)
			}
		}
		if a := r.agent("linux-7"); a.Failures != 0 || a.Quarantine != nil {
			t.Errorf("the agent was blamed: %d failures, quarantine %v", a.Failures, a.Quarantine)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestABuildThatWasDeletedProvesNothing(t *testing.T) {
	t.Parallel()
	requests := map[string]func(*http.Request) bool{
		"before its result is read": func(r *http.Request) bool { return line(r) == "GET /job/pitcrew-slot-01/1/api/json" },
		"before its log is read":    func(r *http.Request) bool { return line(r) == "GET /job/pitcrew-slot-01/1/consoleText" },
	}
	for name, match := range requests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				came := r.at(1, false, match, func() { r.jenkins.DeleteBuild("pitcrew-slot-01", 1) })
				r.waitState("linux-7", hygiene.Clean)
				if came() == "" {
					t.Fatal("the request was never made")
				}
				if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost {
					t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
				}
				if a := r.agent("linux-7"); a.Attempt != 2 || a.Failures != 0 {
					t.Errorf("got %+v", a)
				}
			})
		})
	}
}

// An attempt that was ended while its log was read is not judged any more, and what its program said is kept.
func TestAStaleReportIsKeptAndChangesNothing(t *testing.T) {
	readsLog := func(r *http.Request) bool { return line(r) == "GET /job/pitcrew-slot-01/1/consoleText" }
	inRig(t, setup{agents: one}, func(r *rig) {
		r.at(1, true, readsLog, func() {
			now := time.Now()
			must(t, r.store.Change(r.t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"}, now, func(c *store.Change) ([]hygiene.Event, error) {
				a, ended, err := hygiene.End(c.Agent, *c.Attempt, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "a person said so"}, hygiene.Policy{}, now)
				c.Agent, c.Attempt, c.FreeSlot = a, &ended, true
				return []hygiene.Event{{Type: hygiene.EventLost, Attempt: ended.Number}}, err
			}))
		})
		r.wait(time.Hour, "a stale result", func() bool { return len(r.events(hygiene.EventStale)) == 1 })
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || got.Reason != "a person said so" || !strings.Contains(string(got.Report), `"outcome":"cleaned"`) {
			t.Errorf("the attempt ended %q: %s, with the report %s", got.Outcome, got.Reason, got.Report)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestABuildDispatchedToTheWrongAgentTouchesNothingAndProvesNothing(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "el7"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		// Somebody points the slot at another agent just before it is built.
		r.at(1, false, isBuildRequest, func() {
			config, err := r.client.JobConfig(r.t.Context(), "pitcrew-slot-01")
			must(t, err)
			must(t, r.client.UpdateJob(r.t.Context(), "pitcrew-slot-01", []byte(strings.Replace(string(config), ">linux-7<", ">linux-8<", 1))))
		})
		r.wait(time.Hour, "the first attempt's end", func() bool {
			return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 1 && a.State == hygiene.Due })
		})
		build := r.cleanups()[0]
		if build.Agent != "linux-8" || build.Result != "FAILURE" {
			t.Errorf("the build ran on %s and ended %s", build.Agent, build.Result)
		}
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.GivenBack || !strings.Contains(got.Reason, `not run here: Jenkins ran the build on "linux-8"`) {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		r.waitState("linux-7", hygiene.Clean)
		if got := r.jenkins.Labels("linux-8"); got != "el7" {
			t.Errorf("the other agent's labels became %q", got)
		}
	})
}

// A report that is not of the attempt's own controller or revision proves nothing, however well it looks.
func TestAReportOfSomethingElseProvesNothing(t *testing.T) {
	t.Parallel()
	for why, bend := range map[string]func(*recipe.Report){
		"the report is of another controller": func(r *recipe.Report) { r.Controller = "ci-2" },
		"the report is of revision other":     func(r *recipe.Report) { r.Revision = "other" },
	} {
		t.Run(why, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.bend(func(rep recipe.Report) recipe.Report {
					bend(&rep)
					return rep
				})
				r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures == 1 }) })
				if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Failed || !strings.HasPrefix(got.Reason, why) {
					t.Errorf("the attempt ended %s: %s", got.Outcome, got.Reason)
				}
				r.bend(nil)
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

func isBuildRequest(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/buildWithParameters")
}

func TestACleanupThatHangsIsStoppedAtItsLimit(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.takesFor(24 * time.Hour)
		r.wait(2*time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures == 1 }) })
		build := r.cleanups()[0]
		if build.Result != "ABORTED" {
			t.Errorf("the build ended %q", build.Result)
		}
		got := r.attempt("linux-7", 1)
		if ran := got.Ended.Sub(got.Started); ran < time.Hour || ran > time.Hour+time.Minute || got.Outcome != hygiene.Failed {
			t.Errorf("it ended %q after %s: %s", got.Outcome, ran, got.Reason)
		}
		if labels := r.labels("linux-7"); labels != "cleanable dirty" {
			t.Errorf("labels are %s", labels)
		}
		r.takesFor(time.Second)
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestACleanupThatCannotBeStoppedFailsAndIsStoppedWhenThatIsPossible(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.takesFor(24 * time.Hour)
		remove := r.jenkins.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/job/pitcrew-slot-01/1/stop", Drop: true})
		r.wait(2*time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures == 1 }) })
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Failed || !strings.Contains(got.Reason, "could not be stopped") {
			t.Errorf("it ended %q: %s", got.Outcome, got.Reason)
		}
		r.pass(2 * time.Hour)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran, the first of them still", n)
		}
		remove()
		r.takesFor(time.Second)
		r.waitState("linux-7", hygiene.Clean)
		if first := r.cleanups()[0]; first.Result != "ABORTED" {
			t.Errorf("the first ended %q", first.Result)
		}
	})
}

// The build has left the queue, and no poll has told its number yet.
func TestACleanupIsStoppedWhenItsAgentIsWithdrawnRightAfterTheHandOver(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.takesFor(time.Hour)
		handed := r.at(1, true, isBuildRequest, func() { r.jenkins.SaveLabels("linux-7", "el7 dirty", "ann") })
		r.wait(time.Minute, "the end of the build", func() bool {
			builds := r.cleanups()
			return len(builds) == 1 && builds[0].Result == "ABORTED"
		})
		if handed() == "" {
			t.Fatal("nothing was handed over")
		}
		r.wait(time.Minute, "our labels taken off", func() bool { return r.jenkins.Labels("linux-7") == "el7" })
	})
}

// The answer to the hand-over is lost, and the agent is taken out before the next poll could tell of it.
func TestACleanupWhoseHandOverWasNotAnsweredIsStopped(t *testing.T) {
	t.Parallel()
	for name, quiet := range map[string]bool{"in the queue": true, "running": false} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.takesFor(time.Hour)
				if quiet {
					r.jenkins.QuietDown("test")
				}
				r.jenkins.Inject(jenkinstest.Fault{Match: isBuildRequest, Count: 1, Lose: true, After: func(*http.Request) {
					r.jenkins.SaveLabels("linux-7", "el7 dirty", "ann")
				}})
				r.wait(2*time.Minute, "the withdrawal", func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 1 && !a.Managed() })
				})
				if n := r.jenkins.QueueLength(); n != 0 {
					t.Errorf("%d items are left in the queue", n)
				}
				r.jenkins.CancelQuietDown()
				r.pass(time.Minute)
				builds := r.cleanups()
				if quiet && len(builds) != 0 {
					t.Errorf("it ran: %+v", builds)
				}
				if !quiet && (len(builds) != 1 || builds[0].Result != "ABORTED") {
					t.Errorf("it goes on: %+v", builds)
				}
			})
		})
	}
}

func TestAJobThatWasDeletedIsMadeAnew(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.eachRequest(false, func() {
			if err := r.client.DeleteJob(r.t.Context(), "pitcrew-slot-01"); err != nil && !jenkins.IsNotFound(err) {
				t.Error(err)
			}
		}, func(request string) {
			if a := r.agent("linux-7"); a.Quarantine != nil {
				t.Errorf("request %s: the agent was blamed: %+v", request, a)
			}
		})
	})
}

// killing is a recipe that ends its own agent, which a supervisor starts again, while bad says so.
func killing(bad *atomic.Bool) func(*jenkinstest.Options, func(string)) {
	return func(o *jenkinstest.Options, kill func(string)) {
		run := o.Execute
		o.Execute = func(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
			if bad.Load() {
				kill(step.Agent)
				<-ctx.Done()
				return jenkinstest.StepResult{Exit: 143}
			}
			return run(ctx, step)
		}
	}
}

func TestARecipeThatEndsItsOwnAgentIsTriedLessAndLess(t *testing.T) {
	var bad atomic.Bool
	bad.Store(true)
	var running atomic.Pointer[rig]
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) {
		killing(&bad)(o, func(name string) { running.Load().jenkins.Agent(name).Disconnect() })
	}}
	inRig(t, spec, func(r *rig) {
		running.Store(r)
		r.pass(6 * time.Hour)
		a := r.agent("linux-7")
		if a.Attempt < 6 || a.Attempt > 20 {
			t.Errorf("%d attempts in six hours", a.Attempt)
		}
		if a.Failures != 0 || a.Quarantine != nil {
			t.Errorf("the agent was blamed: %+v", a)
		}
		if events := r.events(hygiene.EventLosing); len(events) != 1 || !strings.Contains(events[0].Reason, "3 attempts in a row") {
			t.Errorf("it was told by %+v", events)
		}
		r.wait(2*time.Hour, "waiting", func() bool { return r.agent("linux-7").State == hygiene.Due })
		if d, ok := r.crew.Explain("linux-7"); !ok || !strings.Contains(d.Reason, "in a row") || d.Action.Wake.IsZero() {
			t.Errorf("it waits because of %q until %s", d.Reason, d.Action.Wake)
		}
		bad.Store(false)
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean&&el7")
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		bad.Store(true) // after a success the first loss is an accident again
		before := r.agent("linux-7").Attempt
		r.runBuild("app", "clean&&el7")
		r.wait(20*time.Minute, "three losses", func() bool { return r.agent("linux-7").Attempt >= before+3 })
		bad.Store(false)
		r.waitState("linux-7", hygiene.Clean)
	})
}
