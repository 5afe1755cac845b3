// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// atOnce is the greatest number of our programs that ever ran at once on agents that ok admits.
func (r *rig) atOnce(ok func(agent string) bool) int {
	running, most := 0, 0
	for _, e := range r.jenkins.Journal() {
		if !strings.HasPrefix(e.Job, "pitcrew-slot-") || !ok(e.Agent) {
			continue
		}
		if e.Kind == jenkinstest.EntryBuildStart {
			running++
		} else {
			running--
		}
		most = max(most, running)
	}
	return most
}

func anyAgent(string) bool { return true }

func TestCapsOfControllerPoolAndFailureDomainHold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set  func(*reconcile.Settings)
		of   func(agent string) bool
		most int
	}{
		"controller": {func(s *reconcile.Settings) { s.MaxCleanups = 4 }, anyAgent, 4},
		"pool":       {func(s *reconcile.Settings) { s.MaxCleanups, s.Pools[0].MaxCleanups = 8, 2 }, anyAgent, 2},
		"failure domain": {func(s *reconcile.Settings) {
			s.MaxCleanups, s.Pools[0].Domain = 8, reconcile.Domain{Prefix: "rack-", Max: 1}
		}, func(agent string) bool { return strings.ContainsAny(agent, "02468") }, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			agents := fleetOf(10)
			inRig(t, setup{agents: agents, settings: test.set}, func(r *rig) {
				r.wait(3*time.Hour, "all clean", r.allClean(agents))
				if most := r.atOnce(test.of); most != test.most {
					t.Errorf("%d cleanups at once, want %d", most, test.most)
				}
			})
		})
	}
}

// sharing lets all agents report the same machine.
func (r *rig) sharing() {
	r.bend(func(rep recipe.Report) recipe.Report {
		rep.Machine.ID = "the-one-machine"
		return rep
	})
}

func TestAMachineIsNotCleanedThroughOneAgentWhileAnotherRunsABuild(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7 first"}, {Name: "linux-8", Labels: "cleanable el7 second"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "both clean", r.allClean(agents))
		r.runBuild("app", "clean&&first")
		r.wait(time.Minute, "the agent being due", func() bool { return r.agent("linux-7").State == hygiene.Due })
		must(t, r.crew.OrderClean(r.t.Context(), "linux-8", "ann", "while the other is busy", ""))
		r.wait(time.Minute, "a reason to wait", func() bool {
			d, _ := r.crew.Explain("linux-8")
			return d.Reason == "a build runs on its machine, on linux-7"
		})
		r.wait(time.Hour, "both clean again", r.allClean(agents))
		busy := 0
		for i, e := range r.jenkins.Journal() {
			switch ours := strings.HasPrefix(e.Job, "pitcrew-slot-"); {
			case e.Kind == jenkinstest.EntryBuildStart && e.Job == "app":
				busy++
			case e.Kind == jenkinstest.EntryBuildEnd && e.Job == "app":
				busy--
			case e.Kind == jenkinstest.EntryBuildStart && ours && busy > 0:
				t.Errorf("entry %d: a cleanup starts on %s while a build runs on its machine", i, e.Agent)
			}
		}
		if most := r.atOnce(anyAgent); most > 2 { // the first time nobody knows that they share a machine
			t.Errorf("%d cleanups at once", most)
		}
	})
}

// kernels are boot ids.
var kernels = []string{"11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"}

// A VM that was made of the image of another one often bears its machine id.
func TestClonesAreCleanedBesideEachOthersBuilds(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7 first"}, {Name: "linux-8", Labels: "cleanable el7 second"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.bend(func(rep recipe.Report) recipe.Report {
			rep.Machine = recipe.Machine{ID: "the-one-image", BootID: kernels[0], Hostname: rep.Agent, Uptime: 86400}
			if rep.Agent == "linux-8" {
				rep.Machine.BootID = kernels[1]
			}
			return rep
		})
		r.wait(time.Hour, "both clean", r.allClean(agents))
		r.runBuild("app", "clean&&first")
		r.wait(time.Minute, "the agent being due", func() bool { return r.agent("linux-7").State == hygiene.Due })
		must(t, r.crew.OrderClean(r.t.Context(), "linux-8", "ann", "while the other is busy", ""))
		r.wait(50*time.Second, "a cleanup beside the build", func() bool { return r.agent("linux-8").Attempt == 2 && r.has("linux-8", isClean) })
		r.wait(time.Hour, "both clean again", r.allClean(agents))
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		must(t, r.crew.OrderClean(r.t.Context(), "linux-8", "ann", "test", ""))
		r.wait(2*time.Minute, "both clean again", r.allClean(agents))
		if a, b := r.attempt("linux-7", 3), r.attempt("linux-8", 3); !a.Claimed.Equal(b.Claimed) {
			t.Errorf("one waited for the other: %s and %s", a.Claimed, b.Claimed)
		}
	})
}

func TestAMachineThatIsRebootedBetweenTheCleanupsOfItsAgentsIsOneMachine(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		var kernel, up atomic.Int64
		up.Store(time.Now().Add(-24 * time.Hour).Unix())
		r.bend(func(rep recipe.Report) recipe.Report {
			rep.Machine = recipe.Machine{ID: "the-one-machine", BootID: kernels[kernel.Load()], Hostname: "big", Uptime: time.Now().Unix() - up.Load()}
			return rep
		})
		r.waitState("linux-7", hygiene.Clean)
		r.pass(10 * time.Minute)
		kernel.Store(1)
		up.Store(time.Now().Unix())
		r.pass(time.Minute)
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "linux-7", Script: "make"}))
		_, err := r.jenkins.AddAgent(jenkinstest.AgentSpec{Name: "linux-8", Labels: "cleanable el7"})
		must(t, err)
		r.waitState("linux-8", hygiene.Running)
		_, err = r.jenkins.Schedule("app", nil) // nobody knows yet that it is on that machine
		must(t, err)
		r.waitState("linux-8", hygiene.Clean)
		if a := r.agent("linux-7"); len(a.Boots) != 1 || a.Boots[0].ID != kernels[0] || a.State != hygiene.Due {
			t.Fatalf("the first agent: %+v", a)
		}
		must(t, r.crew.OrderClean(r.t.Context(), "linux-8", "ann", "while the other is busy", ""))
		r.wait(time.Minute, "a reason to wait", func() bool {
			d, _ := r.crew.Explain("linux-8")
			return d.Reason == "a build runs on its machine, on linux-7"
		})
	})
}

func TestCleaningAMachineTakesTheCleanlinessOfItsOtherAgents(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "both clean", r.allClean(agents))
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Minute, "the neighbour being due", func() bool { return r.agent("linux-8").State != hygiene.Clean })
		r.wait(time.Hour, "both clean again", r.allClean(agents))
		r.pass(2 * time.Hour)
		for _, a := range agents {
			if got := r.agent(a.Name).Attempt; got != 2 {
				t.Errorf("%s took %d attempts: the neighbours clean each other for ever", a.Name, got)
			}
		}
	})
}

func TestAMachineOfManyAgentsIsCleanedAgainWithoutDelay(t *testing.T) {
	agents := fleetOf(4)
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "all clean", r.allClean(agents))
		must(t, r.crew.OrderClean(r.t.Context(), agents[0].Name, "ann", "test", ""))
		r.waitState(agents[0].Name, hygiene.Due)
		r.wait(5*time.Minute, "all clean again", r.allClean(agents))
		if given := r.events(hygiene.EventGivenBack); len(given) > 0 {
			t.Errorf("a claim was given back: %s", given[0].Reason)
		}
	})
}

// A claim that another worker stores in the moment in which clean is written takes that clean away again.
func TestAClaimBesideTheGrantOfANeighbourTakesItsCleanAway(t *testing.T) {
	agents := fleetOf(2)
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "all clean", r.allClean(agents))
		granted, claimed := agents[0].Name, agents[1].Name
		before := r.attempt(claimed, 1)
		must(r.t, r.crew.OrderHold(r.t.Context(), claimed, "ann", "disk", time.Time{}))
		r.waitState(claimed, hygiene.Due)
		must(r.t, r.crew.OrderClean(r.t.Context(), granted, "ann", "test", ""))
		var stored bool
		r.jenkins.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/computer/" + granted + "/config.xml", After: func(req *http.Request) {
			if stored || r.labels(granted) != "cleanable clean" {
				return
			}
			stored = true
			now := time.Now()
			must(r.t, r.store.Change(req.Context(), hygiene.AgentID{Controller: "ci", Name: claimed}, now, func(ch *store.Change) ([]hygiene.Event, error) {
				policy := hygiene.Policy{Pool: before.Pool, Recipe: before.Recipe, Revision: before.Revision, Delivery: before.Delivery}
				ch.Agent.Hold = nil
				a, attempt, err := hygiene.Claim(ch.Agent, policy, before.Session, "nonce-of-the-other-worker", now)
				ch.Agent, ch.Attempt = a, &attempt
				return []hygiene.Event{{Type: hygiene.EventClaimed, Attempt: attempt.Number}}, err
			}))
		}})
		r.wait(time.Hour, "its cleanup", func() bool { return r.agent(claimed).Attempt == 2 && !r.attempt(claimed, 2).Ended.IsZero() })
		r.wait(time.Hour, "all clean again", r.allClean(agents))
		began := r.attempt(claimed, 2).Began
		labels := ""
		for _, e := range r.jenkins.Journal() {
			if e.Kind == jenkinstest.EntryLabels && e.Agent == granted && !e.At.After(began) {
				labels = e.Labels
			}
		}
		if own := strings.Fields(labels); began.IsZero() || slices.Contains(own, "clean") {
			r.t.Errorf("a cleanup of the machine of %s began at %s, and that was labelled %s", granted, began, labels)
		}
		if n := len(r.events(hygiene.EventGranted)); n != 4 { // two before; then the other's alone, and this one's after it
			r.t.Errorf("%d grants, want 4", n)
		}
	})
}

func TestAClaimThatWaitsForANeighbourSaysSo(t *testing.T) {
	agents := fleetOf(2)
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "all clean", r.allClean(agents))
		other := agents[1].Name
		defer r.jenkins.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/computer/" + other + "/config.xml", Status: http.StatusServiceUnavailable})()
		must(t, r.crew.OrderClean(r.t.Context(), agents[0].Name, "ann", "test", ""))
		want := "waits until " + other + " of its machine is not labelled clean any more"
		r.wait(time.Minute, "the reason at the attempt", func() bool {
			a := r.agent(agents[0].Name)
			return a.State == hygiene.Claimed && r.attempt(a.ID.Name, a.Attempt).Reason == want
		})
		r.wait(time.Hour, "the reason of the end", func() bool {
			given := r.events(hygiene.EventGivenBack)
			return len(given) > 0 && strings.HasSuffix(given[0].Reason, want)
		})
	})
}

func TestAMachineOfSeveralAgentsIsCleanedThroughASingleSlot(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.MaxCleanups = 1 }}
	inRig(t, spec, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "both clean", r.allClean(agents))
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Minute, "the neighbour being due", func() bool { return r.agent("linux-8").State != hygiene.Clean })
		r.wait(5*time.Minute, "both clean again", r.allClean(agents))
	})
}

func TestNeighboursOfADisjointRecipeDoNotWait(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.Disjoint = true }}
	inRig(t, spec, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "both clean", r.allClean(agents))
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-8"); a.Attempt != 1 || a.State != hygiene.Clean {
			t.Errorf("the neighbour: %+v", a)
		}
	})
}

func TestAgentsOnDemandAreLaunchedOnlyWhenTheQueueWantsThem(t *testing.T) {
	takesLong(t)
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Launched: true, Demand: true, IdleDelay: 60}}
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.OnDemand = true }}
	inRig(t, spec, func(r *rig) {
		r.pass(3 * time.Hour)
		if r.jenkins.Agent("linux-7").Online() {
			t.Error("launched without need")
		}
		r.runBuild("app", "clean&&el7")
		if got := r.jenkins.Builds("app")[0].Agent; got != "linux-7" {
			t.Errorf("the build ran on %s", got)
		}
		r.waitState("linux-7", hygiene.Due)
	})
}

func TestAnAgentOnDemandThatLostItsConnectionIsLaunchedOnceWhenWanted(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Launched: true, Demand: true, IdleDelay: 60}}
	spec := setup{
		agents: agents, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.OnDemand = true },
		jenkins: func(o *jenkinstest.Options) { o.Timing.Launch = time.Minute },
	}
	inRig(t, spec, func(r *rig) {
		must(t, r.jenkins.Agent("linux-7").Connect())
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.Agent("linux-7").Disconnect()
		r.waitState("linux-7", hygiene.Due)
		var asked atomic.Int32
		r.jenkins.Inject(jenkinstest.Fault{Path: "/computer/linux-7/launchSlaveAgent", Before: func(*http.Request) { asked.Add(1) }})
		r.runBuild("app", "clean&&el7")
		if n := asked.Load(); n != 1 {
			t.Errorf("it was asked to launch %d times", n)
		}
	})
}

func TestALaunchThatBringsNoAgentIsToldAndRepeatedLessAndLess(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Launched: true, Demand: true, IdleDelay: 60}}
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.OnDemand = true }}
	inRig(t, spec, func(r *rig) {
		remove := r.jenkins.Inject(jenkinstest.Fault{Path: "/computer/linux-7/launchSlaveAgent", Drop: true})
		must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(r.t, err)
		r.pass(2 * time.Hour)
		told := r.events(hygiene.EventLaunched)
		if second := told[1].Reason; second != "the queue wants it; launched at "+told[0].At.UTC().Format(time.RFC3339)+", and it has not come" {
			t.Errorf("the reason of the second is %q", second)
		}
		if n := len(told); n < 4 || n > 9 {
			t.Fatalf("launched %d times in two hours", n)
		}
		if last := told[len(told)-1].Reason; !strings.Contains(last, fmt.Sprintf("launched %d times since 2000-01-01T00:", len(told)-1)) {
			t.Errorf("the reason is %q", last)
		}
		if d, _ := r.crew.Explain("linux-7"); !strings.Contains(d.Reason, fmt.Sprintf("launched %d times since 2000-01-01T00:", len(told))) {
			t.Errorf("the agent's reason is %q", d.Reason)
		}
		remove()
		r.wait(time.Hour, "a build", func() bool { return len(r.jenkins.Builds("app")) > 0 })
	})
}

func TestTheQueueSaysWhoIsCleanedFirst(t *testing.T) {
	agents := fleetOf(8)
	agents[6].Labels += " gpu"
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) { s.MaxCleanups = 1 }, asleep: true}
	inRig(t, spec, func(r *rig) {
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&gpu", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.start()
		r.waitState("linux-6", hygiene.Clean)
		if first := r.cleanups()[0].Agent; first != "linux-6" {
			t.Errorf("%s was cleaned before the one that the queue asks for", first)
		}
	})
}

func TestAnAgentThatCannotBeKeptCleanIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		agent  jenkinstest.AgentSpec
		reason string
	}{
		"it takes jobs without a label": {jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable el7", Normal: true}, "must be EXCLUSIVE"},
		"it has two executors":          {jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable el7", Executors: 2}, "2 executors"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: []jenkinstest.AgentSpec{test.agent}}, func(r *rig) {
				r.wait(time.Hour, "the reason", func() bool {
					d, _ := r.crew.Explain("linux-7")
					return strings.Contains(d.Reason, test.reason)
				})
				r.pass(2 * time.Hour)
				if n := len(r.cleanups()); n != 0 {
					t.Errorf("%d programs ran", n)
				}
				if a := r.agent("linux-7"); a.Failures != 0 || a.State != hygiene.Due {
					t.Errorf("got %+v", a)
				}
				must(t, r.client.SetExclusive(r.t.Context(), "linux-7"))
				must(t, r.client.SetExecutors(r.t.Context(), "linux-7", 1))
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

func TestAFailingAgentGetsItsTurnBesideAHealthyOneOfItsMachine(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.sharing()
		r.wait(time.Hour, "both clean", r.allClean(agents))
		r.bend(func(rep recipe.Report) recipe.Report {
			rep.Machine.ID = "the-one-machine"
			if rep.Agent == "linux-7" {
				rep.Outcome, rep.Verified, rep.Steps[0].Outcome = recipe.Failed, false, recipe.StepFailed
			}
			return rep
		})
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(2*time.Hour, "a quarantine after three failures", func() bool { return r.agent("linux-7").Quarantine != nil })
		r.wait(time.Hour, "the healthy one being clean", func() bool { return r.agent("linux-8").State == hygiene.Clean })
		if got := r.agent("linux-8").Attempt; got > 5 {
			t.Errorf("the healthy agent was cleaned %d times for three failures of its neighbour", got)
		}
	})
}
