// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// behindGate is a setup whose controller has the gate among its init scripts.
func behindGate(agents ...jenkinstest.AgentSpec) setup {
	return setup{agents: agents, jenkins: func(o *jenkinstest.Options) {
		o.Boot = func(j *jenkinstest.Jenkins) { j.InstallGate(jenkinstest.GateOptions{}) }
	}}
}

// contaminated counts the real builds that began on an agent of ours which no cleanup had proved since another one.
func contaminated(journal []jenkinstest.Entry) (bad, real int) {
	proved := map[string]bool{}
	for _, e := range journal {
		ours := strings.HasPrefix(e.Job, "pitcrew-")
		switch {
		case e.Kind == jenkinstest.EntryBuildEnd && ours:
			proved[e.Agent] = e.Result == "SUCCESS"
		case e.Kind == jenkinstest.EntryBuildStart && !ours && !e.Continued:
			real++
			if !proved[e.Agent] {
				bad++
			}
			proved[e.Agent] = false
		}
	}
	return bad, real
}

// controllerRow is what is stored of the controller.
func (r *rig) controllerRow() store.Controller {
	r.t.Helper()
	row, err := r.store.Controller(r.t.Context(), "ci")
	must(r.t, err)
	return row
}

func TestBehindAGateABuildTakesACleanAgentAndItIsCleanedAgain(t *testing.T) {
	s := behindGate(one[0])
	s.settings = func(s *reconcile.Settings) { s.Poll = time.Minute } // what is quicker is told by the gate
	inRig(t, s, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		if got := r.labels("linux-7"); got != "cleanable clean" {
			t.Errorf("labels: %s", got)
		}
		r.runBuild("app", "clean")
		if got := r.labels("linux-7"); got != "cleanable" {
			t.Errorf("labels while it is used: %s", got)
		}
		r.wait(2*time.Minute, "another cleanup", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		r.waitState("linux-7", hygiene.Clean)
		ended, claimed := endOf(r.jenkins.Journal(), "app"), r.attempt("linux-7", 2).Claimed
		if took := claimed.Sub(ended); took < 0 || took > 5*time.Second {
			t.Errorf("claimed %s after the build, with polls of a minute", took)
		}
		if got := r.attempt("linux-7", 1); got.UsedBy != "http://ci.test/job/app/1/" || got.Lost.IsZero() {
			t.Errorf("what the first cleanup gave was used by %q at %s", got.UsedBy, got.Lost)
		}
		if bad, real := contaminated(r.jenkins.Journal()); bad != 0 || real != 1 {
			t.Errorf("%d contaminated of %d", bad, real)
		}
		if got := r.events(hygiene.EventContaminated); len(got) != 0 {
			t.Errorf("reported: %+v", got)
		}
	})
}

func TestTheEndOfABuildIsSeenThoughItsExecutorIsFreedAfterTheGateTellsOfIt(t *testing.T) {
	s := behindGate(one[0])
	s.settings = func(s *reconcile.Settings) { s.Poll = time.Minute }
	boot := s.jenkins
	s.jenkins = func(o *jenkinstest.Options) {
		boot(o)
		o.Timing.Retire = 20 * time.Millisecond
	}
	inRig(t, s, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean")
		r.wait(2*time.Minute, "another cleanup", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		r.waitState("linux-7", hygiene.Clean)
		ended, attempt := endOf(r.jenkins.Journal(), "app"), r.attempt("linux-7", 2)
		if took := attempt.Claimed.Sub(ended); took > time.Second {
			t.Errorf("claimed %s after the build, with polls of a minute", took)
		}
		if took := attempt.Ended.Sub(endOf(r.jenkins.Journal(), attempt.Run.Job)); took > time.Second {
			t.Errorf("granted %s after the cleanup's build, with polls of a minute", took)
		}
	})
}

func TestTheEndOfABuildIsHeardThoughTheGateToldOfOurOwnDeedsJustBefore(t *testing.T) {
	s := behindGate(one[0], jenkinstest.AgentSpec{Name: "linux-8", Labels: "cleanable"})
	s.settings = func(s *reconcile.Settings) { s.Poll = time.Minute }
	inRig(t, s, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.waitState("linux-8", hygiene.Clean)
		r.runBuild("app", "linux-8")
		began := r.jenkins.Builds("app")[0].Started
		r.pass(time.Until(began.Add(time.Minute - 20*time.Millisecond)))
		// As this daemon would, and without the poll that an order of a person brings.
		gates := gate.NewClient(r.client, gate.Labels{Cleanable: "cleanable", Dirty: "dirty", Clean: "clean"})
		answer, err := gates.Hold(r.t.Context(), gate.Owner{ID: r.crew.Owner}, gate.Ref{Agent: "linux-7"})
		must(t, errors.Join(err, answer.Err("hold", "linux-7")))
		r.wait(2*time.Minute, "another cleanup", func() bool { return r.has("linux-8", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		ended, claimed := endOf(r.jenkins.Journal(), "app"), r.attempt("linux-8", 2).Claimed
		if took := claimed.Sub(ended); took < 0 || took > 60*time.Millisecond {
			t.Errorf("claimed %s after the end of the build", took)
		}
	})
}

func TestABuildThatNoPollSawIsNamedByWhatTheGateTellsOfIt(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.mu.Lock()
		r.works = 100 * time.Millisecond
		r.mu.Unlock()
		for n := range 3 {
			r.waitState("linux-7", hygiene.Clean)
			r.runBuild("app", "clean")
			r.wait(time.Minute, "the next cleanup", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == int64(n+2) }) })
		}
		r.waitState("linux-7", hygiene.Clean)
		for n := range 3 {
			if got, want := r.attempt("linux-7", int64(n+1)), fmt.Sprintf("http://ci.test/job/app/%d/", n+1); got.UsedBy != want {
				t.Errorf("attempt %d was used by %q, want %q", n+1, got.UsedBy, want)
			}
		}
		if a := r.agent("linux-7"); a.Used == nil || a.Used.URL != "http://ci.test/job/app/3/" || a.Used.Item != 0 {
			t.Errorf("the agent was used by %+v", a.Used)
		}
		if got := r.events(hygiene.EventUncleaned); len(got) != 3 || got[0].Reason != "used by http://ci.test/job/app/1/, as the gate says" {
			t.Errorf("due: %+v", got)
		}
		if got := r.events(hygiene.EventContaminated); len(got) != 0 {
			t.Errorf("reported: %+v", got)
		}
	})
}

func TestABuildThatUsedAnAgentWhileTheDaemonWasAwayIsNamed(t *testing.T) {
	for job, start := range map[string]func(*rig){
		"app": func(r *rig) { r.runBuild("app", "clean") },
		"pipe": func(r *rig) {
			_, err := r.jenkins.Schedule("pipe", nil)
			must(r.t, err)
		},
	} {
		t.Run(job, func(t *testing.T) {
			s := behindGate(one[0])
			boot := s.jenkins
			s.jenkins = func(o *jenkinstest.Options) { boot(o); pipelines(o) }
			inRig(t, s, func(r *rig) {
				r.withPipeline()
				r.waitState("linux-7", hygiene.Clean)
				r.end()
				start(r)
				r.pass(time.Hour) // Jenkins has forgotten the queue's item after five minutes
				r.start()
				r.wait(time.Hour, "a second attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
				r.waitState("linux-7", hygiene.Clean)
				if got, want := r.attempt("linux-7", 1).UsedBy, "http://ci.test/job/"+job+"/1/"; got != want {
					t.Errorf("what the first cleanup gave was used by %q, want %q", got, want)
				}
			})
		})
	}
}

func TestAGateKeepsAgentsCleanThatLabelsCannot(t *testing.T) {
	s := behindGate(
		jenkinstest.AgentSpec{Name: "wide", Labels: "cleanable", Executors: 2, Normal: true},
		jenkinstest.AgentSpec{Name: "narrow", Labels: "cleanable"},
	)
	inRig(t, s, func(r *rig) {
		r.takesFor(5 * time.Second)
		for _, job := range []jenkinstest.JobSpec{
			{Name: "labelled", Label: "clean", Concurrent: true},
			{Name: "self", Label: "narrow", Concurrent: true},
			{Name: "free", Concurrent: true},
			{Name: "other", Label: "wide || narrow", Concurrent: true},
		} {
			must(r.t, r.jenkins.CreateFreeStyle(job))
		}
		jobs := []string{"labelled", "self", "free", "other"}
		for i := range 60 {
			_, err := r.jenkins.Schedule(jobs[i%4], nil)
			must(r.t, err)
			r.pass(11 * time.Second)
			switch i % 9 { // somebody meddles
			case 3:
				r.jenkins.SaveLabels("wide", "cleanable clean", "eve")
			case 5:
				r.jenkins.SaveLabels("narrow", "dirty cleanable clean", "eve")
			case 7:
				r.jenkins.SaveLabels("narrow", "cleanable clean", "eve")
			}
		}
		r.pass(time.Hour)
		if bad, real := contaminated(r.jenkins.Journal()); bad != 0 || real < 20 {
			t.Errorf("%d contaminated of %d", bad, real)
		}
	})
}

func TestARestartBehindAGateCostsAVerification(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.wait(time.Hour, "a second attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedVerify {
			t.Errorf("it was to run %s", got.Need)
		}
		if got := r.events(hygiene.EventGateLost); len(got) != 0 {
			t.Errorf("lost: %+v", got)
		}
	})
}

func TestAPipelinesBlockThatARestartMadeTheGateForgetIsCleanedUpAfter(t *testing.T) {
	s := behindGate(one[0])
	boot := s.jenkins
	s.jenkins = func(o *jenkinstest.Options) { boot(o); pipelines(o) }
	inRig(t, s, func(r *rig) {
		r.withPipeline()
		r.waitState("linux-7", hygiene.Clean)
		r.end() // and no feed has blocks of Pipelines
		_, err := r.jenkins.Schedule("pipe", nil)
		must(r.t, err)
		r.wait(time.Hour, "the end of the block", func() bool {
			builds := r.jenkins.Builds("pipe")
			return len(builds) == 1 && builds[0].Complete
		})
		if got := r.labels("linux-7"); got != "cleanable" {
			t.Errorf("labels after the block: %s", got)
		}
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		r.start()
		r.wait(time.Hour, "a second attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedCleanup {
			t.Errorf("it was to run %s", got.Need)
		}
	})
}

func TestAnAgentThatLosesItsConnectionLosesCleanByTheNextPoll(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.Agent("linux-7").Kill()
		r.wait(6*time.Second, "clean taken off", func() bool { return r.labels("linux-7") == "cleanable" })
		if held := r.crew.Seen().Gate.Agents["linux-7"]; held.Open() {
			t.Errorf("in the ledger: %+v", held)
		}
	})
}

func TestAfterARestartThoseAreVerifiedFirstThatTheQueueWants(t *testing.T) {
	var agents []jenkinstest.AgentSpec
	for _, name := range []string{"a", "b", "c", "d"} {
		agents = append(agents, jenkinstest.AgentSpec{Name: name, Labels: "cleanable"})
	}
	agents = append(agents, jenkinstest.AgentSpec{Name: "wanted", Labels: "cleanable el9"})
	s := behindGate(agents...)
	s.settings = func(s *reconcile.Settings) { s.MaxCleanups = 1 }
	inRig(t, s, func(r *rig) {
		for _, a := range agents {
			r.waitState(a.Name, hygiene.Clean)
		}
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean && el9", Script: "make"}))
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		_, err := r.jenkins.Schedule("app", nil)
		must(r.t, err)
		r.wait(time.Hour, "a build", func() bool { return len(r.jenkins.Builds("app")) > 0 })
		first := r.attempt("wanted", 2)
		if first.Need != hygiene.NeedVerify {
			t.Errorf("it ran %s", first.Need)
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if r.agent(name).Attempt > 1 && !first.Claimed.Before(r.attempt(name, 2).Claimed) {
				t.Errorf("%s was verified before the agent that is waited for", name)
			}
		}
	})
}

func TestAWithdrawnAgentIsNotTheGatesAnyMore(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.SaveLabels("linux-7", "el7 clean", "ann") // which would stay shut
		r.waitState("linux-7", hygiene.Unmanaged)
		if got := r.jenkins.Labels("linux-7"); got != "el7" {
			t.Errorf("labels: %q", got)
		}
		must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(r.t, err)
		r.wait(time.Minute, "a build of others", func() bool { return len(r.jenkins.Builds("app")) > 0 })
	})
}

func TestTheGateGivesBackWhatIsOursNoMore(t *testing.T) {
	for name, takeOut := range map[string]func(*rig){
		"taken out while the gate was lost": func(r *rig) {
			r.jenkins.InstallGate(jenkinstest.GateOptions{Broken: true}) // what it vetoes stays vetoed
			r.wait(time.Minute, "the gate lost", func() bool { return len(r.events(hygiene.EventGateLost)) == 1 })
			r.jenkins.SaveLabels("linux-7", "el7", "ann")
			r.waitState("linux-7", hygiene.Unmanaged)
			r.jenkins.InstallGate(jenkinstest.GateOptions{})
		},
		"taken out before the store was lost": func(r *rig) {
			r.end()
			r.jenkins.SaveLabels("linux-7", "el7 clean", "ann")
			for _, suffix := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(r.path + suffix); err != nil && !os.IsNotExist(err) {
					r.t.Fatal(err)
				}
			}
			r.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, behindGate(one[0]), func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				takeOut(r)
				must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Concurrent: true}))
				for n := range 2 {
					_, err := r.jenkins.Schedule("app", nil)
					must(r.t, err)
					r.wait(10*time.Minute, "a build of others", func() bool { return len(r.jenkins.Builds("app")) > n })
				}
				if got := r.jenkins.Labels("linux-7"); got != "el7" {
					t.Errorf("labels: %q", got)
				}
			})
		})
	}
}

func TestAStoreThatIsLostGoesOnAboveTheLedger(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		for range 3 {
			r.waitState("linux-7", hygiene.Clean)
			must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "again", ""))
			r.pass(time.Second)
		}
		r.waitState("linux-7", hygiene.Clean)
		r.end()
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(r.path + suffix); err != nil && !os.IsNotExist(err) {
				r.t.Fatal(err)
			}
		}
		r.start()
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 5 {
			t.Errorf("attempt %d after the ledger's 4", a.Attempt)
		}
	})
}

func TestANewSessionDuringACleanupIsClaimedAnew(t *testing.T) {
	s := behindGate(one[0])
	boot := s.jenkins
	s.jenkins = func(o *jenkinstest.Options) { boot(o); o.Timing.Reconnect = 15 * time.Second }
	inRig(t, s, func(r *rig) {
		session := &session{pid: 100}
		r.asks(recipe.Reconnect, session)
		r.waitState("linux-7", hygiene.Reconnecting)
		session.pid++
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 1 {
			t.Errorf("it took %d attempts", a.Attempt)
		}
	})
}

func TestAConnectionLostAfterTheProofIsNotGranted(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		// As the gate sees it: the agent is back before anybody looks.
		came := r.at(1, false, isGrant, func() {
			r.jenkins.Agent("linux-7").Kill()
			must(r.t, r.jenkins.Agent("linux-7").Connect())
		})
		r.waitState("linux-7", hygiene.Clean)
		if came() == "" {
			r.t.Fatal("no grant was asked for")
		}
		if a, first := r.agent("linux-7"), r.attempt("linux-7", 1); a.Attempt != 2 || first.Outcome != hygiene.Lost || a.Failures != 0 {
			t.Errorf("attempt %d, the first ended %s: %s", a.Attempt, first.Outcome, first.Reason)
		}
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedVerify {
			t.Errorf("then it was to run %s", got.Need)
		}
	})
}

func isGrant(q *http.Request) bool { return strings.HasSuffix(q.URL.Path, "/pitcrew-gate/grant") }

func TestAHeldAgentIsHeldByTheGate(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		must(r.t, r.crew.OrderHold(r.t.Context(), "linux-7", "ann", "disk", time.Time{}))
		r.wait(time.Minute, "dirty", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		r.pass(10 * time.Second)
		if held := r.crew.Seen().Gate.Agents["linux-7"]; held.Open() {
			t.Errorf("in the ledger: %+v", held)
		}
		must(r.t, r.crew.OrderRelease(r.t.Context(), "linux-7", "ann", "done"))
		r.waitState("linux-7", hygiene.Clean)
	})
}

// endOf is when the newest build of a job ended.
func endOf(journal []jenkinstest.Entry, job string) time.Time {
	var at time.Time
	for _, e := range journal {
		if e.Kind == jenkinstest.EntryBuildEnd && e.Job == job {
			at = e.At
		}
	}
	return at
}

func TestARestartBetweenTheListOfAgentsAndTheLedgerHidesNothing(t *testing.T) {
	inRig(t, behindGate(one[0]), func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		came := r.at(1, false, func(req *http.Request) bool { return req.URL.Path == "/pitcrew-gate/status" }, func() {
			// The agents were listed, with clean. It goes, as for a block of a Pipeline, and whatever is in front of Jenkins
			// holds this request until it is back.
			r.jenkins.SaveLabels("linux-7", "cleanable", "ann")
			must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
		})
		r.wait(time.Hour, "a second attempt", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == 2 }) })
		r.waitState("linux-7", hygiene.Clean)
		if came() == "" {
			t.Error("the ledger was not asked for")
		}
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedCleanup {
			t.Errorf("it was to run %s", got.Need)
		}
	})
}
