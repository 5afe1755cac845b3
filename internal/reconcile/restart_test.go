// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// slowBoot makes a restart take as long as that of a real controller.
var slowBoot = jenkinstest.Timing{Down: 10 * time.Second, Boot: 20 * time.Second, Reconnect: 8 * time.Second}

// sides are those of a request on which something is done to it: what is done before a request is
// much the same as what is done after the one before, so that both are left to the long run.
func sides() []bool {
	if os.Getenv("PITCREW_LONG") != "" {
		return []bool{false, true}
	}
	return []bool{true}
}

// takesLong leaves a test with many hours of virtual time out of a short run.
func takesLong(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long")
	}
}

// eachRequest runs one cleanup after the other, with disturb beside the first request of the first,
// the second of the second, and so on, until all have been disturbed; a short run leaves most out.
func (r *rig) eachRequest(after bool, disturb func(), check func(request string)) {
	r.t.Helper()
	r.takesFor(time.Second)
	r.waitState("linux-7", hygiene.Clean)
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 1; ; n += step {
		came := r.at(n, after, nil, disturb)
		must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "another round", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		request := came()
		if request == "" {
			if n < 20 {
				r.t.Errorf("a cleanup took %d requests only", n-1)
			}
			return
		}
		check(fmt.Sprintf("%d, %s", n, request))
	}
}

func TestARestartOfTheControllerBesideEveryRequestDelaysOnly(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]jenkinstest.RestartMode{"orderly": jenkinstest.RestartNow, "crash": jenkinstest.RestartCrash} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing = slowBoot }}, func(r *rig) {
				r.eachRequest(true, func() {
					go r.jenkins.Restart(r.t.Context(), mode)
				}, func(request string) {
					if a := r.agent("linux-7"); a.Failures != 0 || a.Quarantine != nil {
						t.Errorf("request %s: the agent was blamed: %+v", request, a)
					}
					if got := r.labels("linux-7"); got != "cleanable clean" {
						t.Errorf("request %s: labels are %s", request, got)
					}
				})
			})
		})
	}
}

func TestARestartOfTheControllerInMidRunLosesTheAttemptAndBlamesNobody(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing = slowBoot }}, func(r *rig) {
		r.wait(time.Hour, "a running cleanup", func() bool { return len(r.cleanups()) == 1 })
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		if a := r.agent("linux-7"); a.Attempt != 2 || a.Failures != 0 {
			t.Errorf("got %+v", a)
		}
	})
}

func TestNoCleanupStartsWithinTheGraceAfterARestart(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing = slowBoot }}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean&&el7")
		r.waitState("linux-7", hygiene.Due)
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.pass(4 * time.Minute) // of the grace of five
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 {
			t.Errorf("a cleanup was started within the grace time: %+v", a)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAnAgentWithoutABuildBeforeARestartIsCleanedSoonAfterIt(t *testing.T) {
	agents := []jenkinstest.AgentSpec{
		{Name: "used", Labels: "cleanable el7"}, {Name: "unused", Labels: "cleanable el8"}, {Name: "fresh", Labels: "el8"}, {Name: "due", Labels: "cleanable el9"},
	}
	spec := setup{agents: agents, jenkins: func(o *jenkinstest.Options) { o.Timing = slowBoot }}
	inRig(t, spec, func(r *rig) {
		r.wait(time.Hour, "clean agents", func() bool { return r.has("used", isClean) && r.has("unused", isClean) && r.has("due", isClean) })
		must(t, r.crew.OrderHold(r.t.Context(), "due", "ann", "test", time.Now().Add(2*time.Minute)))
		r.runBuild("app", "clean&&el7")
		r.waitState("used", hygiene.Due)
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.jenkins.SaveLabels("fresh", "cleanable el8", "ann")
		must(t, r.crew.OrderClean(r.t.Context(), "unused", "ann", "test", ""))
		r.wait(3*time.Minute, "the others clean", func() bool {
			return r.agent("unused").Attempt == 2 && r.has("unused", isClean) && r.has("due", isClean) && r.has("fresh", isClean)
		})
		for name, attempts := range map[string]int64{"used": 1, "unused": 2, "due": 2, "fresh": 1} {
			if a := r.agent(name); a.Attempt != attempts {
				t.Errorf("%s is at attempt %d: %s", name, a.Attempt, a.Reason)
			}
		}
		r.pass(time.Minute)
		if a := r.agent("used"); a.Attempt != 1 {
			t.Errorf("a cleanup was started within the grace time: %+v", a)
		}
		r.waitState("used", hygiene.Clean)
	})
}

// What the newest look before a restart saw proves nothing if it was long ago, or soon after another restart.
func TestWhatWasSeenBeforeARestartMayProveNothing(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*rig){
		"another restart": func(r *rig) {
			must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
			r.pass(30 * time.Second)
		},
		"no look for a while": func(r *rig) {
			defer r.jenkins.Inject(jenkinstest.Fault{Refuse: true})()
			r.pass(6 * time.Minute)
		},
		"another daemon": func(r *rig) { r.end() },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing = slowBoot }}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				before(r)
				must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
				if r.stop == nil {
					r.start()
					r.wait(time.Minute, "a look", func() bool { return r.crew.Seen() != nil })
				}
				must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
				r.pass(4 * time.Minute)
				if a := r.agent("linux-7"); a.Attempt != 1 {
					t.Errorf("a cleanup was started within the grace time: %+v", a)
				}
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

// A block that begins right before a restart, after the newest look, comes back before anything is cleaned.
func TestABlockThatNoLookSawComesBackAfterARestart(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: pipelines, settings: func(s *reconcile.Settings) { s.Poll = 30 * time.Second }}, func(r *rig) {
		r.withPipeline()
		r.waitState("linux-7", hygiene.Clean)
		var looked atomic.Bool
		r.at(1, true, func(q *http.Request) bool { return q.URL.Path == "/computer/api/json" }, func() { looked.Store(true) })
		r.wait(time.Minute, "a look", looked.Load)
		_, err := r.jenkins.Schedule("pipe", nil)
		must(t, err)
		r.wait(25*time.Second, "the block", func() bool {
			seen, err := r.client.Agent(r.t.Context(), "linux-7")
			must(t, err)
			return !seen.Idle
		})
		if !isClean(r.agent("linux-7")) {
			t.Fatal("the block was seen")
		}
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.wait(2*time.Hour, "the Pipeline's end", func() bool { return r.jenkins.Builds("pipe")[0].Complete })
		r.waitState("linux-7", hygiene.Clean)
		r.uninterrupted("pipe")
	})
}

func TestABlockThatCannotReturnYetIsWaitedForBeyondTheGrace(t *testing.T) {
	spec := setup{agents: one, jenkins: pipelines, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.Monitor = hygiene.MonitorLift }}
	inRig(t, spec, func(r *rig) {
		r.withPipeline()
		r.waitState("linux-7", hygiene.Clean)
		_, err := r.jenkins.Schedule("pipe", nil)
		must(t, err)
		r.waitState("linux-7", hygiene.Due)
		r.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.pass(30 * time.Minute)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran, want the one before the block", n)
		}
		r.jenkins.Agent("linux-7").MonitorOnline()
		r.waitState("linux-7", hygiene.Clean)
		if builds := r.jenkins.Builds("pipe"); builds[0].Result != "SUCCESS" {
			t.Errorf("the Pipeline ended %s", builds[0].Result)
		}
	})
}

func TestAReloadOfTheConfigurationFromDiskIsNoRestart(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.Reload = 12 * time.Second }}
	inRig(t, spec, func(r *rig) {
		r.eachRequest(true, func() { go r.jenkins.Reload(context.WithoutCancel(r.t.Context())) }, func(request string) {
			if a := r.agent("linux-7"); a.Failures != 0 {
				t.Errorf("request %s: the agent was blamed: %+v", request, a)
			}
		})
	})
}

func TestAWrongTokenInMidFlightStopsEverythingUntilItIsRight(t *testing.T) {
	admin := func(token string) jenkinstest.User {
		return jenkinstest.User{Name: "pitcrew", Tokens: []string{token}, Admin: true}
	}
	spec := setup{
		agents:  one,
		jenkins: func(o *jenkinstest.Options) { o.Security.Users = []jenkinstest.User{admin("right")} },
		client:  asPitcrew("right"),
	}
	inRig(t, spec, func(r *rig) {
		r.eachRequest(false, func() {
			r.jenkins.SetUser(admin("rotated"))
			time.AfterFunc(3*time.Minute, func() { r.jenkins.SetUser(admin("right")) })
		}, func(request string) {
			if a := r.agent("linux-7"); a.Failures != 0 {
				t.Errorf("request %s: the agent was blamed: %+v", request, a)
			}
		})
	})
}

func TestAControllerThatQuietsDownGetsItsAgentsCleanedLater(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.QuietDown("maintenance")
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Hour, "a cleanup being called off", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
		if n := r.jenkins.QueueLength(); n != 0 {
			t.Errorf("%d items are left in the queue", n)
		}
		r.jenkins.CancelQuietDown()
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.cleanups()); n != 2 {
			t.Errorf("%d programs ran, want the first and the last", n)
		}
	})
}

func TestALongQueueLockDelaysOnly(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.QueueLock = 25 * time.Second }}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 1 {
			t.Errorf("it took %d attempts", a.Attempt)
		}
	})
}

func TestAControllerThatIsLostIsSaidOnceAndItsReturnOnce(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		remove := r.jenkins.Inject(jenkinstest.Fault{Refuse: true})
		r.pass(time.Hour)
		remove()
		r.pass(10 * time.Minute)
		events := r.events(hygiene.EventController)
		if len(events) != 2 || !strings.Contains(events[0].Reason, "cannot be polled") || !strings.Contains(events[1].Reason, "again") {
			t.Errorf("it was said %d times: %+v", len(events), events)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}
