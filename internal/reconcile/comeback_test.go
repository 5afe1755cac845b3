// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// returning makes agents come back so late after a restart that the grace time is over by then: only
// the queue still tells what waits for them.
func returning(after time.Duration) func(*jenkinstest.Options) {
	return func(o *jenkinstest.Options) {
		o.Plugins, o.Timing = []string{jenkinstest.PluginPipeline}, slowBoot
		o.Timing.Reconnect = after
	}
}

// uninterrupted holds that no cleanup began between the first start of a job on an agent and its last
// end, whatever happened to the controller in between.
func (r *rig) uninterrupted(job string) {
	r.t.Helper()
	var first, last time.Time
	for _, e := range r.jenkins.Journal() {
		switch {
		case e.Job == job && e.Kind == jenkinstest.EntryBuildStart && first.IsZero():
			first = e.At
		case e.Job == job && e.Kind == jenkinstest.EntryBuildEnd:
			last = e.At
		}
	}
	if first.IsZero() || last.IsZero() {
		r.t.Fatalf("%s began at %s and ended at %s", job, first, last)
	}
	for _, e := range r.jenkins.Journal() {
		if e.Kind == jenkinstest.EntryBuildStart && strings.HasPrefix(e.Job, "pitcrew-") && e.At.After(first) && e.At.Before(last) {
			r.t.Errorf("I4: a cleanup began at %s, within %s from %s to %s", e.At, job, first, last)
		}
	}
}

func TestAPipelinesBlockThatComesBackAfterARestartMeetsNoCleanup(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"at once": 0, "within the grace": time.Minute, "after the grace": 20 * time.Minute} {
		for how, mode := range map[string]jenkinstest.RestartMode{"orderly": jenkinstest.RestartNow, "crash": jenkinstest.RestartCrash} {
			t.Run("its agent is back "+name+", "+how, func(t *testing.T) {
				inRig(t, setup{agents: one, jenkins: returning(after)}, func(r *rig) {
					r.withPipeline()
					r.waitState("linux-7", hygiene.Clean)
					_, err := r.jenkins.Schedule("pipe", nil)
					must(t, err)
					r.waitState("linux-7", hygiene.Due)
					r.pass(20 * time.Second) // of its minute
					must(t, r.jenkins.Restart(r.t.Context(), mode))
					r.wait(2*time.Hour, "the Pipeline's end", func() bool { return r.jenkins.Builds("pipe")[0].Complete })
					if got := r.jenkins.Builds("pipe")[0].Result; got != "SUCCESS" {
						t.Errorf("the Pipeline ended %s", got)
					}
					r.waitState("linux-7", hygiene.Clean)
					r.uninterrupted("pipe")
					if n := len(r.cleanups()); n != 2 {
						t.Errorf("%d cleanups ran, want one before and one after", n)
					}
				})
			})
		}
	}
}

// The agent is online and looks idle, but does not take the block back yet.
func TestAnAgentThatABlockWillComeBackToIsNotClaimedHoweverIdleItLooks(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]time.Duration{"within the grace": 3 * time.Minute, "long after the grace": time.Hour} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, jenkins: returning(30 * time.Second)}, func(r *rig) {
				r.withPipeline()
				r.waitState("linux-7", hygiene.Clean)
				_, err := r.jenkins.Schedule("pipe", nil)
				must(t, err)
				r.waitState("linux-7", hygiene.Due)
				must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartCrash))
				agent := r.jenkins.Agent("linux-7")
				agent.RefuseTasks(true)
				r.pass(wait)
				seen, err := r.client.Agent(r.t.Context(), "linux-7")
				must(t, err)
				if a := r.agent("linux-7"); a.Attempt != 1 || !seen.Idle || seen.Offline {
					t.Errorf("the agent is at attempt %d, idle %t, offline %t", a.Attempt, seen.Idle, seen.Offline)
				}
				agent.RefuseTasks(false)
				r.wait(2*time.Hour, "the Pipeline's end", func() bool { return r.jenkins.Builds("pipe")[0].Complete })
				r.waitState("linux-7", hygiene.Clean)
				r.uninterrupted("pipe")
			})
		})
	}
}

func TestAnItemThatOnlyItsAgentCanServeIsAwaitedAfterARestart(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: returning(20 * time.Minute)}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean&&el7")
		r.waitState("linux-7", hygiene.Due)
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "own", Label: "linux-7", Script: "make"}))
		_, err := r.jenkins.Schedule("own", nil) // waits behind app
		must(t, err)
		must(t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartNow))
		r.wait(2*time.Hour, "the end of the build that waited", func() bool {
			builds := r.jenkins.Builds("own")
			return len(builds) == 1 && builds[0].Complete
		})
		r.waitState("linux-7", hygiene.Clean)
		r.uninterrupted("own")
		for _, e := range r.jenkins.Journal() {
			if e.Kind == jenkinstest.EntryRestart {
				r.firstAfter(e.At, "own")
			}
		}
	})
}

// firstAfter holds which job is the first to begin on an agent from a time on.
func (r *rig) firstAfter(at time.Time, want string) {
	r.t.Helper()
	for _, e := range r.jenkins.Journal() {
		if e.Kind == jenkinstest.EntryBuildStart && e.At.After(at) {
			if e.Job != want {
				r.t.Errorf("%s began first, want %s", e.Job, want)
			}
			return
		}
	}
}
