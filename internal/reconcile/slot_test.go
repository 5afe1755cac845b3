// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// meddle changes a job as a person does.
func (r *rig) meddle(job, old, replacement string) {
	r.t.Helper()
	path := "/job/" + job + "/config.xml"
	config := r.ask(http.MethodGet, path, "")
	if !strings.Contains(config, old) {
		r.t.Fatalf("%s has no %q:\n%s", job, old, config)
	}
	r.ask(http.MethodPost, path, strings.Replace(config, old, replacement, 1))
}

func oneSlot(s *reconcile.Settings) { s.MaxCleanups = 1 }

func TestASlotChangedBySomebodyIsNeverBuiltAndSaysSoOnce(t *testing.T) {
	takesLong(t)
	inRig(t, setup{agents: one, settings: oneSlot}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.meddle("pitcrew-slot-01", "</builders>", "<hudson.tasks.Shell><command>id</command></hudson.tasks.Shell></builders>")
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Hour, "the slot being refused", func() bool { return len(r.events(hygiene.EventSlot)) > 0 })
		r.pass(3 * time.Hour)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran, want the one before the change", n)
		}
		events := r.events(hygiene.EventSlot)
		if len(events) != 1 || !strings.Contains(events[0].Reason, "was changed by somebody") {
			t.Errorf("it was said %d times: %+v", len(events), events)
		}
		if a := r.agent("linux-7"); a.State == hygiene.Clean || a.Failures != 0 {
			t.Errorf("got %+v", a)
		}
		r.resetSlots()
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAnotherSlotIsUsedWhileOneIsRefused(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.meddle("pitcrew-slot-01", "<concurrentBuild>false", "<concurrentBuild>true")
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.jenkins.Builds("pitcrew-slot-02")); n != 1 {
			t.Errorf("%d programs ran in the second slot", n)
		}
	})
}

func TestASlotIsNotRefusedForAWriteThatWentWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]jenkinstest.Fault{
		"its reading back was cut off": {Method: http.MethodGet, Path: "/job/pitcrew-slot-01/config.xml", Skip: 1, Count: 1, Truncate: 40},
		"it had no effect":             {Method: http.MethodPost, Path: "/job/pitcrew-slot-01/config.xml", Count: 1, Drop: true},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			odd := "it's" // a name that Jenkins spells in its own way
			inRig(t, setup{agents: []jenkinstest.AgentSpec{{Name: odd, Labels: "cleanable el7"}}, settings: oneSlot}, func(r *rig) {
				r.waitState(odd, hygiene.Clean)
				r.mu.Lock()
				r.program = another(t)
				r.mu.Unlock()
				r.set(func(*reconcile.Settings) {})
				r.jenkins.Inject(fault)
				must(t, r.crew.OrderClean(r.t.Context(), odd, "ann", "test", ""))
				r.waitState(odd, hygiene.Due)
				r.waitState(odd, hygiene.Clean)
			})
		})
	}
}

func TestAJobOfThatNameWhichIsNotOursIsLeftAlone(t *testing.T) {
	inRig(t, setup{agents: one, settings: oneSlot, asleep: true}, func(r *rig) {
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "pitcrew-slot-01", Label: "el7", Script: "echo mine"}))
		before := r.ask(http.MethodGet, "/job/pitcrew-slot-01/config.xml", "")
		r.start()
		r.wait(time.Hour, "the job being refused", func() bool { return len(r.events(hygiene.EventSlot)) > 0 })
		r.pass(time.Hour)
		if after := r.ask(http.MethodGet, "/job/pitcrew-slot-01/config.xml", ""); after != before {
			t.Errorf("somebody's job was changed to:\n%s", after)
		}
		if n := len(r.cleanups()); n != 0 {
			t.Errorf("it was built %d times", n)
		}
	})
}

func TestASlotThatSomebodyQueuedOrRunsIsClearedFirst(t *testing.T) {
	t.Parallel()
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "el7"}}
	for _, foreign := range []string{"queued", "running", "running elsewhere"} {
		t.Run(foreign, func(t *testing.T) {
			ends := func(o *jenkinstest.Options) { o.Timing.PostBuild = 20 * time.Second } // a build that is stopped takes its time
			inRig(t, setup{agents: agents, settings: oneSlot, jenkins: ends}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				switch foreign {
				case "queued":
					r.jenkins.QuietDown("test")
				case "running elsewhere":
					r.meddle("pitcrew-slot-01", "<assignedNode>linux-7<", "<assignedNode>linux-8<")
				}
				r.takesFor(12 * time.Hour)
				_, err := r.jenkins.Schedule("pitcrew-slot-01", map[string]string{"PITCREW_AGENT": "linux-7", "PITCREW_ATTEMPT": "1", "PITCREW_NONCE": "x"})
				must(t, err)
				if foreign != "queued" {
					r.wait(time.Minute, "the foreign build's start", func() bool { return len(r.cleanups()) > 1 })
				}
				together := false
				r.jenkins.Inject(jenkinstest.Fault{Match: func(req *http.Request) bool {
					if isBuildRequest(req) {
						builds := r.cleanups()
						together = together || r.jenkins.QueueLength() > 0 || !builds[len(builds)-1].Complete
					}
					return false
				}})
				must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
				r.wait(time.Hour, "the foreign build being ended", func() bool {
					builds := r.cleanups()
					if foreign == "queued" {
						return r.jenkins.QueueLength() == 0
					}
					return len(builds) > 1 && builds[1].Result == "ABORTED"
				})
				r.takesFor(time.Minute)
				r.jenkins.CancelQuietDown()
				r.waitState("linux-7", hygiene.Clean)
				if together {
					t.Error("a program was handed over while another build of its slot was under way")
				}
			})
		})
	}
}

// another is a program of another revision.
func another(t *testing.T) *recipe.Program {
	t.Helper()
	next, err := recipe.Parse("test.yaml", []byte("version: 1\nname: test\nclean:\n  - name: sweep\n    run: rm -rf /tmp/x\nverify:\n  - name: swept\n    run: test ! -e /tmp/x\n"), nil)
	must(t, err)
	program, err := next.Compile()
	must(t, err)
	return program
}

func TestANewRecipeRevisionIsWrittenIntoTheSlots(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		program := another(t)
		r.mu.Lock()
		r.program = program
		r.mu.Unlock()
		r.set(func(*reconcile.Settings) {})
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Revision != program.Revision {
			t.Errorf("it was cleaned with revision %.12s, not %.12s", got.Revision, program.Revision)
		}
	})
}

// The program that an attempt was claimed for is gone when it is to be handed over.
func TestARecipeThatChangesBetweenClaimAndHandOverCostsTheAgentNothing(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		next := another(t)
		r.jenkins.Inject(jenkinstest.Fault{
			Method: http.MethodPost, Path: "/computer/linux-7/config.xml", Count: 1, Status: http.StatusInternalServerError,
			Before: func(*http.Request) {
				r.mu.Lock()
				r.program = next
				r.mu.Unlock()
				r.set(func(*reconcile.Settings) {})
			},
		})
		r.start()
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.GivenBack || got.Reason != "its recipe was changed meanwhile" {
			t.Errorf("the first attempt ended %q: %s", got.Outcome, got.Reason)
		}
		if got := r.attempt("linux-7", 2); got.Outcome != hygiene.Cleaned || got.Revision != next.Revision {
			t.Errorf("the second attempt ended %q, of revision %.12s", got.Outcome, got.Revision)
		}
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran", n)
		}
	})
}

// onlyPool makes the pool take the agents of one label only.
func onlyPool(label string) func(*reconcile.Settings) {
	return func(s *reconcile.Settings) { s.Pools[0].Agents = mustParse(label) }
}

func TestASlotWhoseWritingWasNotHeardOfIsUsedAsItIs(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		lost := jenkinstest.Fault{Method: http.MethodPost, Path: "/createItem", Skip: 1, Count: 1, Lose: true} // the first is the owner's mark
		defer r.jenkins.Inject(lost)()
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 1 {
			t.Errorf("it took %d attempts", a.Attempt)
		}
	})
}
