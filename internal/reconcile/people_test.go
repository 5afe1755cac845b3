// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestLabelsEditedByAPersonBesideEveryRequestAreMended(t *testing.T) {
	takesLong(t)
	t.Parallel()
	for name, labels := range map[string]string{
		"clean granted by hand":    "cleanable clean el7",
		"dirty removed":            "cleanable el7",
		"all three":                "dirty clean cleanable el7",
		"dirty set":                "cleanable dirty el7",
		"another label added":      "cleanable gpu el7",
		"our label at another end": "el7 cleanable",
	} {
		for _, after := range sides() {
			t.Run(fmt.Sprintf("%s, after the request %t", name, after), func(t *testing.T) {
				inRig(t, setup{agents: one}, func(r *rig) {
					r.eachRequest(after, func() { r.jenkins.SaveLabels("linux-7", labels, "ann") }, func(request string) {
						r.pass(15 * time.Second) // an edit beside the last request is seen by the next poll
						r.waitState("linux-7", hygiene.Clean)
						want := append(others(labels), "cleanable", "clean")
						if got := strings.Fields(r.jenkins.Labels("linux-7")); !sameSet(got, want) && !r.overwritten("linux-7") {
							t.Errorf("request %s: labels are %q, want %q", request, got, want)
						}
						if a := r.agent("linux-7"); a.Failures != 0 {
							t.Errorf("request %s: the agent was blamed: %+v", request, a)
						}
						r.jenkins.SaveLabels("linux-7", "cleanable clean el7", "bob") // back to the beginning
					})
				})
			})
		}
	}
}

func TestWithdrawalBesideEveryRequestIsRespected(t *testing.T) {
	takesLong(t)
	t.Parallel()
	for _, labels := range []string{"el7", "el7 clean", "dirty clean el7"} {
		for _, after := range sides() {
			t.Run(fmt.Sprintf("%s, after the request %t", labels, after), func(t *testing.T) {
				inRig(t, setup{agents: one}, func(r *rig) {
					respected := true
					r.eachRequest(after, func() {
						r.jenkins.SaveLabels("linux-7", labels, "ann")
						time.AfterFunc(45*time.Second, func() {
							respected = r.overwritten("linux-7") || r.jenkins.Labels("linux-7") == "el7"
							r.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
						})
					}, func(request string) {
						// The edit may have come so late that the agent was clean before it was seen.
						r.pass(time.Minute)
						if !respected {
							t.Errorf("request %s: ours were not taken off, or not left alone then", request)
						}
						r.waitState("linux-7", hygiene.Clean)
					})
					if len(r.events(hygiene.EventWithdrawn)) == 0 {
						t.Error("no withdrawal was recorded")
					}
				})
			})
		}
	}
}

func TestAHoldOrQuarantineBesideEveryRequestIsRespected(t *testing.T) {
	takesLong(t)
	t.Parallel()
	orders := map[string]func(*rig) error{
		"hold": func(r *rig) error { return r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "mine", time.Time{}) },
		"quarantine": func(r *rig) error {
			return r.crew.OrderQuarantine(r.t.Context(), "linux-7", "ann", "it smells", time.Time{})
		},
	}
	for name, order := range orders {
		for _, after := range sides() {
			t.Run(fmt.Sprintf("%s, after the request %t", name, after), func(t *testing.T) {
				inRig(t, setup{agents: one}, func(r *rig) {
					kept := ""
					r.eachRequest(after, func() {
						if err := order(r); err != nil {
							kept = err.Error()
						}
						time.AfterFunc(10*time.Minute, func() {
							a := r.agent("linux-7")
							if a.State != hygiene.Due || a.KeptOut(time.Now()) == "" || r.labels("linux-7") != "cleanable dirty" {
								kept = fmt.Sprintf("labels %s, %+v", r.labels("linux-7"), a)
							}
							must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done"))
						})
					}, func(request string) {
						r.pass(11 * time.Minute)
						if kept != "" {
							t.Errorf("request %s: %s", request, kept)
						}
						kept = ""
						r.waitState("linux-7", hygiene.Clean)
					})
					if n := len(r.events(hygiene.EventGranted)); n == 0 {
						t.Error("it was never clean")
					}
				})
			})
		}
	}
}

func TestAPersonsQuarantineOutlastsAWithdrawal(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		must(t, r.crew.OrderQuarantine(r.t.Context(), "linux-7", "ann", "it smells", time.Time{}))
		r.jenkins.SaveLabels("linux-7", "el7", "casc")
		r.waitState("linux-7", hygiene.Unmanaged)
		r.jenkins.SaveLabels("linux-7", "cleanable el7", "casc")
		r.waitState("linux-7", hygiene.Due)
		r.pass(time.Hour)
		if a := r.agent("linux-7"); a.KeptOut(time.Now()) == "" || a.Attempt != 1 {
			t.Errorf("got %+v", a)
		}
		must(t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done"))
		r.waitState("linux-7", hygiene.Clean)
	})
}

// Configuration as code with a list of agents does more than edit labels: it rebuilds each, whereby marks "temporarily offline"
// are lost (before 2.564), and deletes those that it does not list.
func TestConfigurationAsCodeThatRebuildsAllAgentsBesideEveryRequest(t *testing.T) {
	takesLong(t)
	t.Parallel()
	listed := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable clean el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	for _, after := range sides() {
		t.Run(fmt.Sprintf("after the request %t", after), func(t *testing.T) {
			inRig(t, setup{agents: listed}, func(r *rig) {
				r.waitState("linux-8", hygiene.Clean)
				r.eachRequest(after, func() { must(r.t, r.jenkins.ApplyConfiguration(listed)) }, func(request string) {
					r.pass(15 * time.Second)
					// It loses clean once per round, and the next cleanup would wait longer each time.
					must(r.t, r.crew.OrderClean(r.t.Context(), "linux-8", "ann", "another round", ""))
					r.pass(15 * time.Second)
					for _, a := range listed {
						r.waitState(a.Name, hygiene.Clean)
						if got := r.labels(a.Name); got != "cleanable clean" {
							t.Errorf("request %s: labels of %s are %q", request, a.Name, got)
						}
						if now := r.agent(a.Name); now.Failures != 0 {
							t.Errorf("request %s: the agent was blamed: %+v", request, now)
						}
					}
				})
				must(r.t, r.jenkins.ApplyConfiguration(listed[:1]))
				r.waitState("linux-8", hygiene.Unmanaged)
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

func TestAConfigurationAsCodeRewriteOfAllAgentsCostsACleanupEachAndNoMore(t *testing.T) {
	var agents []jenkinstest.AgentSpec
	for i := range 5 {
		agents = append(agents, jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", i), Labels: "cleanable el7"})
	}
	inRig(t, setup{agents: agents}, func(r *rig) {
		allClean := func() bool {
			return !slices.ContainsFunc(agents, func(a jenkinstest.AgentSpec) bool { return !r.has(a.Name, isClean) })
		}
		r.wait(time.Hour, "all clean", allClean)
		for round := range 3 {
			for _, a := range agents {
				r.jenkins.SaveLabels(a.Name, a.Labels, "casc")
			}
			r.wait(time.Minute, "all due", func() bool {
				return !slices.ContainsFunc(agents, func(a jenkinstest.AgentSpec) bool { return r.has(a.Name, isClean) })
			})
			r.wait(time.Hour, "all clean again", allClean)
			for _, a := range agents {
				if got := r.agent(a.Name); got.Attempt != int64(round+2) {
					t.Errorf("round %d: %s is at attempt %d", round, a.Name, got.Attempt)
				}
			}
		}
	})
}

func TestAnAgentThatAPersonTookOfflineIsLeftAlone(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.Agent("linux-7").MarkOffline("ann", "new disk")
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "bob", "please", ""))
		r.pass(2 * time.Hour)
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 {
			t.Errorf("got %+v", a)
		}
		if d, _ := r.crew.Explain("linux-7"); d.Reason != "a person took it offline" {
			t.Errorf("the reason is %q", d.Reason)
		}
		if marks := r.marks(); !slices.Equal(marks, []string{"marked-offline by ann"}) {
			t.Errorf("marks: %q", marks)
		}
		r.jenkins.Agent("linux-7").MonitorOnline() // lifts the mark, whoever set it
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAnAgentTakenOfflineByAPersonBesideEveryRequestGetsNoNewProgram(t *testing.T) {
	t.Parallel()
	for _, after := range sides() {
		t.Run(fmt.Sprintf("after the request %t", after), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				started := 0
				r.eachRequest(after, func() {
					r.jenkins.Agent("linux-7").MarkOffline("ann", "new disk")
					running := len(r.cleanups())
					time.AfterFunc(2*time.Minute, func() {
						started = len(r.cleanups()) - running
						if marks := r.marks(); marks[len(marks)-1] != "marked-offline by ann" {
							started = 0 // the mark was undone by a write of labels that was under way
						}
						r.jenkins.Agent("linux-7").MonitorOnline()
					})
				}, func(request string) {
					r.pass(3 * time.Minute)
					if started > 0 {
						t.Errorf("request %s: %d programs were started on an agent that a person took offline", request, started)
					}
					r.waitState("linux-7", hygiene.Clean)
				})
			})
		})
	}
}

func TestABuildThatSneaksInBesideAnyRequestWins(t *testing.T) {
	t.Parallel()
	for _, after := range sides() {
		t.Run(fmt.Sprintf("after the request %t", after), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"})) // asks for no clean agent
				n := 0
				r.eachRequest(after, func() {
					n++
					_, err := r.jenkins.Schedule("app", nil)
					must(r.t, err)
				}, func(request string) {
					var build jenkinstest.BuildState
					r.wait(time.Hour, "the build's end", func() bool {
						if builds := r.jenkins.Builds("app"); len(builds) == n {
							build = builds[n-1]
						}
						return build.Complete
					})
					if build.Result != "SUCCESS" {
						t.Errorf("request %s: the build ended %s", request, build.Result)
					}
					r.pass(time.Minute)
					r.waitState("linux-7", hygiene.Clean)
				})
			})
		})
	}
}

// A claim whose agent is taken by a build while dirty is written hands nothing over, be it only to wait for the executor: the
// agent has been used, and what was decided was decided about another state of it.
func TestAClaimIsGivenBackToABuildThatIsFaster(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"})) // asks for no clean agent
		writesLabels := func(req *http.Request) bool { return line(req) == "POST /computer/linux-7/config.xml" }
		came := r.at(1, false, writesLabels, func() {
			_, err := r.jenkins.Schedule("app", nil)
			must(r.t, err)
			for len(r.jenkins.Builds("app")) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		})
		r.wait(time.Minute, "the claim given back", func() bool { return len(r.events(hygiene.EventGivenBack)) == 1 })
		if came() == "" {
			t.Fatal("dirty was never written")
		}
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.GivenBack || got.Reason != "a build started on it" || !got.Handed.IsZero() {
			t.Errorf("the attempt ended %s: %s, handed over %s", got.Outcome, got.Reason, got.Handed)
		}
		if n := r.jenkins.QueueLength(); n != 0 || r.jenkins.Builds("app")[0].Complete {
			t.Errorf("%d items wait behind the build", n)
		}
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran, want one after the build", n)
		}
	})
}

// Who takes dirty off a proven agent right before it is called clean wants something else than clean.
func TestLabelsThatAPersonChangesBeforeTheGrantEndTheAttempt(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		beforeTheGrant := func(req *http.Request) bool {
			builds := r.jenkins.Builds("pitcrew-slot-01")
			return strings.HasSuffix(req.URL.Path, "/rssAll") && len(builds) == 1 && builds[0].Complete
		}
		r.at(1, true, beforeTheGrant, func() { r.jenkins.SaveLabels("linux-7", "cleanable el7", "ann") })
		r.wait(time.Hour, "the first attempt's end", func() bool {
			return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt > 0 }) && !r.attempt("linux-7", 1).Ended.IsZero()
		})
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || got.Reason != "its labels are cleanable, somebody changed them" {
			t.Errorf("the attempt ended %s: %s", got.Outcome, got.Reason)
		}
		r.waitState("linux-7", hygiene.Clean)
	})
}

// A hold that comes between the claim and the program is a person's word: what the claim would start is not started.
func TestAHoldThatComesBesideTheClaimStopsItsProgram(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		writesLabels := func(req *http.Request) bool { return line(req) == "POST /computer/linux-7/config.xml" }
		remove := r.jenkins.Inject(jenkinstest.Fault{Match: writesLabels, Status: http.StatusServiceUnavailable})
		r.waitState("linux-7", hygiene.Claimed)
		must(t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "mine", time.Time{}))
		remove()
		r.wait(10*time.Minute, "the claim given back", func() bool { return len(r.events(hygiene.EventGivenBack)) == 1 })
		r.pass(time.Hour)
		if n := len(r.cleanups()); n != 0 {
			t.Errorf("%d programs ran on an agent that a person holds", n)
		}
		must(t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done"))
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestOrders(t *testing.T) {
	takesLong(t)
	inRig(t, setup{agents: one}, func(r *rig) {
		ctx := r.t.Context()
		r.waitState("linux-7", hygiene.Clean)
		must(t, r.crew.OrderHold(ctx, "linux-7", "ann", "debugging", time.Now().Add(2*time.Hour)))
		r.wait(time.Minute, "the hold shown", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		r.pass(time.Hour)
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 {
			t.Errorf("held: %+v", a)
		}
		r.wait(2*time.Hour, "a cleanup after the hold expired", func() bool { return r.has("linux-7", isClean) })
		if e := r.events(hygiene.EventUnheld); len(e) != 1 || e[0].Actor != "pitcrew" || e[0].Before != hygiene.Due || !strings.Contains(e[0].Reason, "hold by ann") {
			t.Errorf("the end of the hold is told by %+v", e)
		}

		must(t, r.crew.OrderHold(ctx, "linux-7", "ann", "debugging", time.Time{}))
		r.pass(3 * time.Hour)
		if a := r.agent("linux-7"); a.Attempt != 2 {
			t.Errorf("held without end, and yet: %+v", a)
		}
		must(t, r.crew.OrderRelease(ctx, "linux-7", "ann", "done"))
		r.waitState("linux-7", hygiene.Clean)

		must(t, r.crew.OrderQuarantine(ctx, "linux-7", "ann", "smells", time.Time{}))
		r.wait(time.Minute, "the quarantine shown", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		r.pass(3 * time.Hour)
		if a := r.agent("linux-7"); a.Hygiene() != hygiene.IsQuarantined || a.Attempt != 3 {
			t.Errorf("in quarantine: %+v", a)
		}
		must(t, r.crew.OrderClean(ctx, "linux-7", "ann", "try", ""))
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Quarantine != nil {
			t.Errorf("after a cleanup on order: %+v", a)
		}
		if err := r.crew.OrderClean(ctx, "no-such", "ann", "", ""); err == nil {
			t.Error("an order about an unknown agent was taken")
		}
	})
}

func TestAPauseStopsNewCleanupsAndEndsByItself(t *testing.T) {
	takesLong(t)
	for _, scope := range []string{reconcile.ScopeAll, reconcile.ControllerScope("ci"), reconcile.PoolScope("all")} {
		t.Run(scope, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				now := time.Now()
				must(t, r.store.SetPause(r.t.Context(), pause(scope, now, now.Add(3*time.Hour))))
				r.runBuild("app", "clean&&el7")
				r.waitState("linux-7", hygiene.Due)
				r.pass(2 * time.Hour)
				if a := r.agent("linux-7"); a.Attempt != 1 {
					t.Errorf("paused, and yet: %+v", a)
				}
				if d, _ := r.crew.Explain("linux-7"); !strings.Contains(d.Reason, "paused by ann: moving") {
					t.Errorf("the reason is %q", d.Reason)
				}
				r.wait(2*time.Hour, "a cleanup after the pause", func() bool { return r.has("linux-7", isClean) })
			})
		})
	}
}

func TestAReleaseIsToldAsWhatItEnds(t *testing.T) {
	spec := setup{agents: one, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.QuarantineAfter = 1 }}
	inRig(t, spec, func(r *rig) {
		ctx := r.t.Context()
		told := func(released, unheld int) {
			r.t.Helper()
			if a, b := len(r.events(hygiene.EventReleased)), len(r.events(hygiene.EventUnheld)); a != released || b != unheld {
				r.t.Errorf("%d ends of a quarantine and %d of a hold were told, want %d and %d", a, b, released, unheld)
			}
		}
		r.waitState("linux-7", hygiene.Clean)
		must(r.t, r.crew.OrderQuarantine(ctx, "linux-7", "ann", "smells", time.Time{}))
		must(r.t, r.crew.OrderRelease(ctx, "linux-7", "ann", "mended"))
		told(1, 0)
		must(r.t, r.crew.OrderHold(ctx, "linux-7", "ann", "mine", time.Time{}))
		must(r.t, r.crew.OrderRelease(ctx, "linux-7", "ann", "done"))
		told(1, 1)
		must(r.t, r.crew.OrderHold(ctx, "linux-7", "ann", "mine", time.Time{}))
		must(r.t, r.crew.OrderQuarantine(ctx, "linux-7", "ann", "smells", time.Time{}))
		must(r.t, r.crew.OrderRelease(ctx, "linux-7", "ann", "done"))
		told(2, 2)
		r.bend(failing)
		r.wait(time.Hour, "a quarantine", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Quarantine != nil }) })
		r.jenkins.SaveLabels("linux-7", "el7", "ann")
		r.waitState("linux-7", hygiene.Unmanaged)
		told(3, 2)
	})
}

func TestAHoldLetsTheCleanupEndAndTheAgentIsVerifiedAfterIt(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Running)
		must(r.t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "mine", time.Time{}))
		r.waitState("linux-7", hygiene.Due)
		if b := r.cleanups(); len(b) != 1 || b[0].Result != "SUCCESS" {
			t.Errorf("the cleanup did not end by itself: %+v", b)
		}
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || got.Reason != "held: mine" {
			t.Errorf("its attempt ended %s: %s", got.Outcome, got.Reason)
		}
		must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done"))
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedVerify {
			t.Errorf("after the hold it was not verified but: %s", got.Need)
		}
	})
}

// A plugin, or a job that sets agents up, may put dirty on an agent whenever it sees it without.
func TestALabelThatSomebodyPutsBackAgainAndAgainIsToldOnceAndSlowsDownTheCleanups(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(labels string) string{
		"dirty is put on":    func(labels string) string { return labels + " dirty" },
		"clean is taken off": func(labels string) string { return strings.ReplaceAll(labels, " clean ", " ") },
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				fight := func(until time.Duration) {
					for end := time.Now().Add(until); time.Now().Before(end); r.pass(5 * time.Second) {
						if r.has("linux-7", isClean) && r.labels("linux-7") == "cleanable clean" {
							r.jenkins.SaveLabels("linux-7", edit("cleanable clean el7"), "plugin")
							r.pass(5 * time.Second)
						}
					}
				}
				fight(6 * time.Hour)
				if n := r.agent("linux-7").Attempt; n < 8 || n > 16 {
					t.Errorf("%d cleanups in six hours, with a back-off from one minute to one hour", n)
				}
				told := r.events(hygiene.EventDisputed)
				if len(told) != 1 || !strings.Contains(told[0].Reason, "3 times in a row") {
					t.Errorf("told %+v", told)
				}
				r.end()
				r.start()
				fight(2 * time.Hour)
				r.told(map[hygiene.EventType]int{hygiene.EventDisputed: 1})
				r.waitState("linux-7", hygiene.Clean)
				r.runBuild("app", "clean&&el7") // which ends the row
				r.waitState("linux-7", hygiene.Due)
				r.wait(5*time.Minute, "the next cleanup at once", func() bool { return r.has("linux-7", isClean) })
				before := r.agent("linux-7").Attempt
				r.jenkins.SaveLabels("linux-7", "cleanable el7", "ann") // a person asks for a cleanup
				r.wait(2*time.Minute, "a cleanup", func() bool { return r.agent("linux-7").Attempt == before+1 && r.has("linux-7", isClean) })
			})
		})
	}
}

// A job that writes the labels of an agent as often as the daemon looks must not keep it from seeing that a cleanup has ended.
func TestLabelsThatSomebodyWritesAllTheTimeHoldUpNoCleanup(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		for end := time.Now().Add(20 * time.Minute); time.Now().Before(end); r.pass(time.Second) {
			r.jenkins.SaveLabels("linux-7", "cleanable el7", "job")
		}
		r.pass(time.Minute)
		all, err := r.store.Attempts(r.t.Context(), store.AttemptFilter{Limit: 100})
		must(r.t, err)
		for _, a := range all {
			if a.Outcome == "" || a.Ended.Sub(a.Claimed) > 2*time.Minute {
				r.t.Errorf("attempt %d: %q, claimed %s and ended %s", a.Number, a.Outcome, a.Claimed, a.Ended)
			}
		}
		if n := len(all); n < 2 || n > 12 {
			r.t.Errorf("%d attempts in 20 minutes", n)
		}
	})
}
