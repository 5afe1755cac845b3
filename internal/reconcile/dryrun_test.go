// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func TestADryRunShowsWhoWouldBeCleanedAndInWhichOrder(t *testing.T) {
	spec := setup{settings: func(s *reconcile.Settings) { s.DryRun, s.MaxCleanups = true, 2 }}
	for _, name := range []string{"a", "b", "c", "wanted"} {
		spec.agents = append(spec.agents, jenkinstest.AgentSpec{Name: name, Labels: "cleanable " + name})
	}
	inRig(t, spec, func(r *rig) {
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&wanted", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.pass(time.Minute)
		var got []string
		decisions := r.crew.Decisions()
		for _, name := range slices.SortedFunc(maps.Keys(decisions), func(a, b string) int { return cmp.Compare(decisions[a].Turn, decisions[b].Turn) }) {
			d := decisions[name]
			got = append(got, fmt.Sprintf("%d %s %s %v: %s", d.Turn, name, d.Action.Kind, d.Chosen, d.Reason))
		}
		want := []string{
			"1 wanted begin true: the queue wants it",
			"2 a begin true: its turn",
			"3 b begin false: waits: the controller's cap on cleanups is reached",
			"4 c begin false: waits: the controller's cap on cleanups is reached",
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("the plan (-want +got):\n%s", diff)
		}
	})
}

// NORMAL is what Jenkins gives a new agent, and no list of agents tells it: the claim would find out.
func TestADryRunForeseesThatAnAgentCannotBeKeptClean(t *testing.T) {
	spec := setup{
		settings: func(s *reconcile.Settings) { s.DryRun = true },
		agents:   []jenkinstest.AgentSpec{{Name: "open", Labels: "cleanable el7", Normal: true}, {Name: "fit", Labels: "cleanable el7"}},
	}
	inRig(t, spec, func(r *rig) {
		plan := func(name string, kind hygiene.Kind) func() bool {
			return func() bool {
				return r.crew.Decisions()[name].Action.Kind == kind
			}
		}
		r.wait(time.Minute, "a plan for the agent that is fit", plan("fit", hygiene.Begin))
		d := r.crew.Decisions()["open"]
		if d.Action.Kind != hygiene.Rest || !strings.Contains(d.Reason, "its usage is NORMAL") || d.Sighting.Unfit == "" {
			t.Errorf("it shows %s: %s", d.Action.Kind, d.Reason)
		}
		must(t, r.client.SetExclusive(r.t.Context(), "open"))
		r.wait(10*time.Minute, "a plan for the agent that was mended", plan("open", hygiene.Begin))
	})
}

func TestAReloadToADryRunLetsCleanupsEnd(t *testing.T) {
	for name, dry := range map[string]func(*reconcile.Settings){
		"of the pool":       func(s *reconcile.Settings) { s.Pools[0].Policy.DryRun = true },
		"of the controller": func(s *reconcile.Settings) { s.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}
			inRig(t, setup{agents: agents}, func(r *rig) {
				r.takesFor(10 * time.Minute)
				r.waitState("linux-7", hygiene.Running)
				r.set(dry)
				r.waitState("linux-7", hygiene.Clean)
				if got := r.jenkins.Labels("linux-7"); got != "cleanable el7 clean" {
					t.Errorf("its labels are %q", got)
				}
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
				_, err := r.jenkins.Schedule("app", nil)
				must(t, err)
				r.pass(time.Hour)
				if got := r.jenkins.Labels("linux-7"); got != "cleanable el7 clean" || len(r.cleanups()) != 1 {
					t.Errorf("it was serviced in a dry run: labels %q, %d cleanups", got, len(r.cleanups()))
				}
				if events := r.events(hygiene.EventUncleaned, hygiene.EventContaminated); len(events) > 0 {
					t.Errorf("a dry run recorded %v", events)
				}
			})
		})
	}
}

// A copy of a database must be safe to look at: it says of attempts that they are in progress.
func TestADaemonThatBeginsAsADryRunLeavesOpenAttemptsAlone(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}
	wire := &writes{}
	spec := setup{agents: agents, client: func(o *jenkins.Options) { wire.RoundTripper = o.Transport; o.Transport = wire }}
	inRig(t, spec, func(r *rig) {
		r.takesFor(10 * time.Minute)
		r.waitState("linux-7", hygiene.Running)
		r.end()
		wrote := len(wire.all())
		r.spec.settings = func(s *reconcile.Settings) { s.DryRun = true }
		r.start()
		r.pass(time.Hour)
		if got := wire.all()[wrote:]; len(got) > 0 {
			t.Errorf("it wrote: %q", got)
		}
		r.set(func(s *reconcile.Settings) { s.DryRun = false })
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d cleanups, want the one of before", n)
		}
	})
}

// The configuration is read anew while the agent is clean, and its pool is called otherwise.
func TestAnAgentAtRestIsOfThePoolThatTheConfigurationSays(t *testing.T) {
	for name, dry := range map[string]bool{"at once": false, "but not in a dry run": true} {
		t.Run(name, func(t *testing.T) {
			agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}
			inRig(t, setup{agents: agents}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				r.set(func(s *reconcile.Settings) {
					s.Pools[0].Name, s.Pools[0].Policy.Pool, s.Pools[0].Policy.DryRun = "renamed", "renamed", dry
				})
				r.pass(time.Minute)
				want := "renamed"
				if dry {
					want = "all"
				}
				if a := r.agent("linux-7"); a.Pool != want || a.State != hygiene.Clean || len(r.cleanups()) != 1 {
					t.Errorf("it is %s, of pool %s, after %d cleanups", a.State, a.Pool, len(r.cleanups()))
				}
			})
		})
	}
}
