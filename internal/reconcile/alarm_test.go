// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func fleetOf(n int) []jenkinstest.AgentSpec {
	var agents []jenkinstest.AgentSpec
	for i := range n {
		agents = append(agents, jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", i), Labels: fmt.Sprintf("cleanable el7 rack-%d", i%2)})
	}
	return agents
}

func failing(rep recipe.Report) recipe.Report {
	rep.Outcome, rep.Verified, rep.Reason = recipe.Failed, false, "sweep failed"
	rep.Steps[0].Outcome = recipe.StepFailed
	return rep
}

func (r *rig) allClean(agents []jenkinstest.AgentSpec) func() bool {
	return func() bool {
		return !slices.ContainsFunc(agents, func(a jenkinstest.AgentSpec) bool { return !r.has(a.Name, isClean) })
	}
}

func TestABreakerOpensOnceAndATrialClosesIt(t *testing.T) {
	agents := fleetOf(6)
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
		s.Pools[0].Breaker = hygiene.BreakerPolicy{Agents: 3, Failures: 3, Within: time.Hour}
		s.Pools[0].Policy.QuarantineAfter = 0
	}}
	inRig(t, spec, func(r *rig) {
		r.bend(failing)
		r.wait(time.Hour, "the breaker opening", func() bool { return len(r.events(hygiene.EventBreakerOpen)) > 0 })
		r.pass(5 * time.Minute) // what was under way ends
		ran := len(r.cleanups())
		r.pass(20 * time.Minute) // the half of the window after the last failure is not over
		if n := len(r.cleanups()) - ran; n > 0 {
			t.Errorf("%d cleanups were started while the breaker was open", n)
		}
		r.wait(time.Hour, "a trial", func() bool { return len(r.cleanups()) > ran })
		r.pass(10 * time.Minute)
		if n := len(r.cleanups()) - ran; n != 1 {
			t.Errorf("%d trials, want one at a time", n)
		}
		r.bend(nil)
		r.wait(3*time.Hour, "the breaker closing", func() bool { return len(r.events(hygiene.EventBreakerShut)) > 0 })
		r.wait(3*time.Hour, "all clean", r.allClean(agents))
		if opened, shut := len(r.events(hygiene.EventBreakerOpen)), len(r.events(hygiene.EventBreakerShut)); opened != 1 || shut != 1 {
			t.Errorf("it was said %d times that it opened, and %d times that it closed", opened, shut)
		}
	})
}

func TestADeadPoolIsSaidOnceAndItsReturnOnce(t *testing.T) {
	takesLong(t)
	spec := setup{agents: one, settings: func(s *reconcile.Settings) {
		s.Pools[0].DeadMan = 2 * time.Hour
		s.Pools[0].Policy.QuarantineAfter = 0
	}}
	inRig(t, spec, func(r *rig) {
		r.bend(failing)
		r.pass(110 * time.Minute)
		if n := len(r.events(hygiene.EventDead)); n != 0 {
			t.Error("the alarm came early")
		}
		r.pass(5 * time.Hour)
		r.bend(nil)
		r.waitState("linux-7", hygiene.Clean)
		r.pass(time.Hour)
		if dead, alive := len(r.events(hygiene.EventDead)), len(r.events(hygiene.EventAlive)); dead != 1 || alive != 1 {
			t.Errorf("it was said %d times that the pool is dead, and %d times that it lives", dead, alive)
		}
	})
}

func TestAPoolBelowItsFloorIsSaidOnceAndGoesOnBeingCleaned(t *testing.T) {
	agents := fleetOf(4)
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.Pools[0].Floor = func(int) int { return 3 } }}
	inRig(t, spec, func(r *rig) {
		r.wait(time.Hour, "all clean", r.allClean(agents))
		for _, a := range agents[:2] {
			must(t, r.crew.OrderHold(r.t.Context(), a.Name, "ann", "moving", time.Now().Add(2*time.Hour)))
		}
		r.wait(time.Minute, "the alarm", func() bool { return len(r.events(hygiene.EventShort)) > 0 })
		for _, a := range agents[:2] { // else the build may be faster than the hold, and take a held one
			r.wait(time.Minute, "the hold shown", func() bool { return r.labels(a.Name) == "cleanable dirty" })
		}
		r.runBuild("app", "clean&&el7")
		r.wait(time.Hour, "a cleanup of the used one", func() bool { return len(r.cleanups()) == 5 && r.allClean(agents[2:])() })
		r.wait(3*time.Hour, "all clean", r.allClean(agents))
		r.pass(time.Hour)
		if short, enough := len(r.events(hygiene.EventShort)), len(r.events(hygiene.EventEnough)); short != 1 || enough != 1 {
			t.Errorf("it was said %d times that agents are short, and %d times that there are enough", short, enough)
		}
	})
}

func TestAQuietPoolIsNotDead(t *testing.T) {
	takesLong(t)
	spec := setup{agents: one, settings: func(s *reconcile.Settings) { s.Pools[0].DeadMan = 2 * time.Hour }}
	inRig(t, spec, func(r *rig) {
		r.pass(6 * time.Hour)
		if n := len(r.events(hygiene.EventDead)); n != 0 {
			t.Error("a pool that had nothing to do was called dead")
		}
	})
}

func TestAQuarantinedAgentMakesAQuietPoolDeadOnlyWhenItIsAlone(t *testing.T) {
	takesLong(t)
	t.Parallel()
	for n, want := range map[int]int{1: 1, 3: 0} {
		t.Run(fmt.Sprintf("%d agents", n), func(t *testing.T) {
			agents := fleetOf(n)
			spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
				s.Pools[0].DeadMan = 2 * time.Hour
				s.Pools[0].Policy.QuarantineLook = 30 * time.Minute
			}}
			inRig(t, spec, func(r *rig) {
				r.bend(func(rep recipe.Report) recipe.Report {
					if rep.Agent == "linux-0" {
						return failing(rep)
					}
					return rep
				})
				r.pass(12 * time.Hour)
				if got := len(r.events(hygiene.EventDead)); got != want {
					t.Errorf("the alarm was raised %d times, want %d", got, want)
				}
			})
		})
	}
}

func TestAFailingAgentBacksOffAndDoesNotCrowdOutHealthyOnes(t *testing.T) {
	takesLong(t)
	agents := fleetOf(4)
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
		s.MaxCleanups = 2
		s.Pools[0].Policy.QuarantineAfter = 0
	}}
	inRig(t, spec, func(r *rig) {
		r.bend(func(rep recipe.Report) recipe.Report {
			if rep.Agent == "linux-0" {
				return failing(rep)
			}
			return rep
		})
		r.wait(time.Hour, "the healthy ones clean", r.allClean(agents[1:]))
		r.pass(3 * time.Hour)
		failures := r.agent("linux-0").Failures
		if failures < 5 || failures > 10 {
			t.Errorf("%d failures in three hours, with a back-off from one minute to one hour", failures)
		}
		r.bend(nil)
		r.wait(2*time.Hour, "the sick one clean", r.allClean(agents))
	})
}

func TestCleanAgentsAreVerifiedAgainAtTheirAgeAndNotBelowTheFloor(t *testing.T) {
	takesLong(t)
	agents := fleetOf(4)
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
		s.Pools[0].Policy.TTL = 30 * time.Minute
		s.Pools[0].Keeps = func(int) int { return 3 }
	}}
	inRig(t, spec, func(r *rig) {
		r.wait(time.Hour, "all clean", r.allClean(agents))
		for end := time.Now().Add(80 * time.Minute); time.Now().Before(end); r.pass(5 * time.Second) {
			clean := 0
			for _, a := range agents {
				if r.has(a.Name, isClean) {
					clean++
				}
			}
			if clean < 3 {
				t.Fatalf("%d clean agents, and the floor is 3", clean)
			}
		}
		for _, a := range agents {
			if got := r.agent(a.Name); got.Attempt < 3 || r.attempt(a.Name, 2).Need != hygiene.NeedVerify {
				t.Errorf("%s: %+v", a.Name, got)
			}
		}
	})
}

func TestABusyPoolsSuccessesDoNotHideAStepThatFails(t *testing.T) {
	agents := fleetOf(15)
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
		s.Pools[0].Breaker = hygiene.BreakerPolicy{Agents: 3, Failures: 5, Within: time.Hour}
	}}
	inRig(t, spec, func(r *rig) {
		r.wait(time.Hour, "all clean", r.allClean(agents))
		r.bend(failing)
		for _, a := range agents[:6] {
			must(t, r.crew.OrderClean(r.t.Context(), a.Name, "ann", "try", ""))
		}
		r.wait(30*time.Minute, "the breaker opening", func() bool { return len(r.events(hygiene.EventBreakerOpen)) > 0 })
		if n := len(r.events(hygiene.EventQuarantined)); n > 0 {
			t.Errorf("%d agents were quarantined before", n)
		}
	})
}
