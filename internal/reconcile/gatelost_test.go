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
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestAGateThatIsRegisteredLateIsNoWitnessOfWhatWasBefore(t *testing.T) {
	for name, c := range map[string]struct {
		hook string // that registers it, some time after a start of Jenkins
		need hygiene.Need
	}{
		"by the console":         {"console", hygiene.NeedCleanup},
		"by the console for now": {"console, and init script", hygiene.NeedCleanup},
		"at the start":           {"init script", hygiene.NeedVerify},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				r.jenkins.InstallGate(jenkinstest.GateOptions{Hook: "console"})
				r.wait(10*time.Minute, "a second attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
				r.waitState("linux-7", hygiene.Clean)
				if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedVerify {
					t.Errorf("put in for the first time, it was to run %s", got.Need)
				}
				r.end() // so that nobody sees that there is no gate for a while
				must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
				r.pass(time.Minute)
				r.jenkins.InstallGate(jenkinstest.GateOptions{Hook: c.hook})
				r.start()
				r.wait(time.Hour, "a third attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 3 }) })
				r.waitState("linux-7", hygiene.Clean)
				if got := r.attempt("linux-7", 3); got.Need != c.need {
					t.Errorf("after a restart, it was to run %s, want %s", got.Need, c.need)
				}
			})
		})
	}
}

func TestALostGateTakesCleanOffAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(*rig)
		need hygiene.Need // of an agent that was clean: what may have run there meanwhile no poll need have seen
	}{
		"gone":              {func(r *rig) { r.jenkins.RemoveGate() }, hygiene.NeedCleanup},
		"broken":            {func(r *rig) { r.jenkins.InstallGate(jenkinstest.GateOptions{Broken: true}) }, hygiene.NeedCleanup},
		"of another time":   {func(r *rig) { r.jenkins.InstallGate(jenkinstest.GateOptions{Protocol: 2}) }, hygiene.NeedVerify},
		"for other labels":  {func(r *rig) { r.jenkins.InstallGate(jenkinstest.GateOptions{Clean: "spotless"}) }, hygiene.NeedVerify},
		"not there at boot": {func(r *rig) { must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash)) }, hygiene.NeedCleanup},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
				r.jenkins.InstallGate(jenkinstest.GateOptions{Hook: "console"})
				r.start() // behind it from its first poll on
				r.pass(6 * time.Minute)
				r.waitState("linux-7", hygiene.Clean)
				c.lose(r)
				// A poll is every five seconds; a restart has the controller away for some more.
				r.wait(map[string]time.Duration{"not there at boot": 30 * time.Second}[name]+6*time.Second, "clean taken off", func() bool { return r.labels("linux-7") == "cleanable" })
				r.pass(time.Hour)
				if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 {
					t.Errorf("an hour later it is %s, attempt %d", a.State, a.Attempt)
				}
				if got := r.events(hygiene.EventGateLost); len(got) != 1 {
					t.Errorf("told %d times: %+v", len(got), got)
				}
				if row := r.controllerRow(); !row.Gate.Lost() || row.Gate.Problem == "" {
					t.Errorf("stored: %+v", row)
				}
				r.jenkins.InstallGate(jenkinstest.GateOptions{})
				r.waitState("linux-7", hygiene.Clean)
				if got := r.attempt("linux-7", 2); got.Need != c.need {
					t.Errorf("it was to run %s, want %s", got.Need, c.need)
				}
				if got := r.events(hygiene.EventGateUp); len(got) != 2 {
					t.Errorf("up: %+v", got)
				}
			})
		})
	}
}

func TestAnAgentThatWaitsToBeVerifiedIsCleanedOnceTheGateWasAway(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.jenkins.InstallGate(jenkinstest.GateOptions{})
		r.start() // behind it from its first poll on
		r.pass(6 * time.Minute)
		r.toVerify(func() {
			r.jenkins.RemoveGate()
			r.wait(time.Minute, "the gate lost", func() bool { return len(r.events(hygiene.EventGateLost)) == 1 })
			r.pass(time.Minute)
			r.jenkins.InstallGate(jenkinstest.GateOptions{})
		})
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedCleanup {
			t.Errorf("it was to run %s", got.Need)
		}
	})
}

func TestAProxyThatAnswersInTheGatesPlaceIsALostGateOnlyInTheLongRun(t *testing.T) {
	for _, status := range []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inRig(t, behindGate(one[0]), func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				stop := r.jenkins.Inject(jenkinstest.Fault{Path: "/pitcrew-gate/status", Status: status})
				r.pass(12 * time.Second) // two polls
				stop()
				r.pass(time.Minute)
				if got := r.events(hygiene.EventGateLost); len(got) != 0 || r.agent("linux-7").Attempt != 1 {
					t.Errorf("lost at once: %+v, attempt %d", got, r.agent("linux-7").Attempt)
				}
				defer r.jenkins.Inject(jenkinstest.Fault{Path: "/pitcrew-gate/status", Status: status})()
				r.wait(10*time.Minute, "the gate lost", func() bool { return len(r.events(hygiene.EventGateLost)) == 1 })
			})
		})
	}
}

func TestAGateThatIsLostDuringAGrantIsNotReplacedByLabels(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		came := r.at(1, false, func(req *http.Request) bool {
			return strings.HasPrefix(req.URL.Path, "/computer/linux-7/") && r.has("linux-7", func(a hygiene.Agent) bool { return a.State == hygiene.Granting })
		}, func() {
			r.jenkins.RemoveGate()
			r.pass(25 * time.Second) // a poll sees that
		})
		r.wait(time.Hour, "the gate lost", func() bool { return len(r.events(hygiene.EventGateLost)) > 0 })
		r.pass(time.Hour)
		if came() == "" {
			t.Error("no grant was prepared")
		}
		if got := r.events(hygiene.EventGranted); len(got) != 0 {
			t.Errorf("granted: %+v", got)
		}
	})
}

// TestAGateThatComesBesideAQueuedCleanupHoldsItUpForAPoll: the gate knows of no claim that was made before it was there.
func TestAGateThatComesBesideAQueuedCleanupHoldsItUpForAPoll(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		came := r.at(1, false, func(req *http.Request) bool { return strings.HasPrefix(req.URL.Path, "/job/pitcrew-slot-01/build") }, func() {
			r.jenkins.InstallGate(jenkinstest.GateOptions{})
		})
		r.wait(2*time.Minute, "clean", func() bool { return r.has("linux-7", isClean) })
		if came() == "" || r.agent("linux-7").Attempt != 2 {
			t.Errorf("no build was queued before the gate was there, or it ran: attempt %d", r.agent("linux-7").Attempt)
		}
		if got := r.events(hygiene.EventGivenBack); len(got) != 1 || !strings.Contains(got[0].Reason, "no claim") {
			t.Errorf("given back: %+v", got)
		}
	})
}

func TestAGateThatIsGivenUpLeavesLabels(t *testing.T) {
	s := behindGate(one[0], jenkinstest.AgentSpec{Name: "wide", Labels: "cleanable", Executors: 2, Normal: true})
	s.jenkins = func(o *jenkinstest.Options) {
		o.Boot = func(j *jenkinstest.Jenkins) { j.InstallGate(jenkinstest.GateOptions{Hook: "console"}) }
	}
	inRig(t, s, func(r *rig) {
		r.pass(6 * time.Minute)
		r.waitState("linux-7", hygiene.Clean)
		r.waitState("wide", hygiene.Clean)
		must(r.t, r.crew.LeaveGate(r.t.Context(), "ann", "moving"))
		r.wait(time.Minute, "the wide one not clean", func() bool {
			return r.has("wide", func(a hygiene.Agent) bool { return a.State == hygiene.Due }) && r.labels("wide") == "cleanable"
		})
		r.jenkins.RemoveGate()
		for range 10 * 60 {
			r.pass(time.Second)
			if d, _ := r.crew.Explain("wide"); strings.Contains(d.Reason, "EXCLUSIVE") { // polls see its executors, and not that
				r.t.Fatalf("the wide one is told to wait because %s", d.Reason)
			}
		}
		if a := r.agent("linux-7"); a.State != hygiene.Clean || a.Attempt != 1 || r.labels("linux-7") != "cleanable clean" {
			t.Errorf("what labels keep clean is %s, attempt %d, %s", a.State, a.Attempt, r.labels("linux-7"))
		}
		if row := r.controllerRow(); row.Gate.Use != store.LabelsOnly {
			t.Errorf("stored: %+v", row)
		}
		if got := r.events(hygiene.EventGateLost); len(got) != 0 {
			t.Errorf("lost: %+v", got)
		}
		if got := r.events(hygiene.EventGateLeft); len(got) != 2 || got[0].Actor != "ann" {
			t.Errorf("told: %+v", got)
		}
	})
}

func TestALostGateThatIsForgottenLeavesLabels(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.jenkins.InstallGate(jenkinstest.GateOptions{})
		r.start() // behind it from its first poll on
		r.pass(6 * time.Minute)
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.RemoveGate()
		r.waitState("linux-7", hygiene.Due)
		must(r.t, r.crew.LeaveGate(r.t.Context(), "ann", "it does not come back"))
		r.waitState("linux-7", hygiene.Clean)
		if row := r.controllerRow(); row.Gate != (store.Gate{}) {
			t.Errorf("stored: %+v", row)
		}
	})
}

func TestARemovalThatNobodyMakesLeavesTheGateInForce(t *testing.T) {
	inRig(t, behindGate(jenkinstest.AgentSpec{Name: "wide", Labels: "cleanable", Executors: 2}), func(r *rig) {
		r.waitState("wide", hygiene.Clean)
		must(r.t, r.crew.LeaveGate(r.t.Context(), "ann", "moving"))
		r.waitState("wide", hygiene.Due)
		r.waitState("wide", hygiene.Clean)
		if row := r.controllerRow(); row.Gate != (store.Gate{Use: store.Gated}) {
			t.Errorf("stored: %+v", row)
		}
	})
}

func TestAGateThatIsGivenUpIsNotLostAgainByWhateverAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answers func(*rig)
		goes    func(*rig) // nil: it never was there
	}{
		"a page of something else": {answers: func(r *rig) {
			r.jenkins.RemoveGate()
			r.jenkins.Inject(jenkinstest.Fault{Path: "/pitcrew-gate/status", Status: http.StatusForbidden})
		}},
		"a gate of another pitcrew": {
			answers: func(r *rig) { r.jenkins.InstallGate(jenkinstest.GateOptions{Protocol: 2}) },
			goes:    func(r *rig) { r.jenkins.RemoveGate() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, behindGate(one[0]), func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				c.answers(r)
				r.wait(10*time.Minute, "the gate lost", func() bool { return len(r.events(hygiene.EventGateLost)) == 1 })
				must(r.t, r.crew.LeaveGate(r.t.Context(), "ann", "it does not come back"))
				r.pass(time.Minute)
				if c.goes != nil {
					if got := r.controllerRow().Gate.Use; got != store.LeavingGate || r.has("linux-7", isClean) {
						t.Errorf("while it answers: %q", got)
					}
					c.goes(r)
				}
				r.pass(time.Minute)
				if got := r.controllerRow().Gate.Use; got != store.LabelsOnly {
					t.Errorf("given up, and: %q", got)
				}
				if got := r.events(hygiene.EventGateLost); len(got) != 1 {
					t.Errorf("lost again: %+v", got)
				}
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}
