// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func monitors(p hygiene.MonitorPolicy) func(*reconcile.Settings) {
	return func(s *reconcile.Settings) { s.Pools[0].Policy.Monitor = p }
}

// lowDisk is a due agent that a monitor of Jenkins took offline.
func (r *rig) lowDisk() {
	r.t.Helper()
	r.waitState("linux-7", hygiene.Clean)
	r.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
	must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test"))
}

func TestAnAgentThatAMonitorTookOfflineIsLeftWhenThePolicySaysSo(t *testing.T) {
	inRig(t, setup{agents: one, settings: monitors(hygiene.MonitorLeave)}, func(r *rig) {
		r.lowDisk()
		r.pass(2 * time.Hour)
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 {
			t.Errorf("got %+v", a)
		}
		if d, _ := r.crew.Explain("linux-7"); d.Reason != "a node monitor took it offline" {
			t.Errorf("the reason is %q", d.Reason)
		}
		r.jenkins.Agent("linux-7").MonitorOnline()
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAMonitorsMarkIsLiftedWhileDirtyAndStaysAwayFromAProvenAgent(t *testing.T) {
	inRig(t, setup{agents: one, settings: monitors(hygiene.MonitorLift)}, func(r *rig) {
		r.lowDisk()
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		r.pass(time.Hour)
		if marks := r.marks(); !slices.Equal(marks, []string{"marked-offline by monitor", "unmarked by anonymous"}) {
			t.Errorf("marks: %q", marks)
		}
		r.liftedOnlyWhileDirty()
	})
}

func TestAMonitorsMarkIsPutBackAfterAFailure(t *testing.T) {
	inRig(t, setup{agents: one, settings: monitors(hygiene.MonitorLift)}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.bend(func(rep recipe.Report) recipe.Report {
			rep.Outcome, rep.Verified, rep.Steps[0].Outcome = recipe.Failed, false, recipe.StepFailed
			return rep
		})
		r.lowDisk()
		r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > 0 }) })
		r.pass(20 * time.Second)
		seen, err := r.client.Agent(r.t.Context(), "linux-7")
		must(t, err)
		if want := "pitcrew: put back after a cleanup: Disk space is too low."; !strings.HasPrefix(seen.OfflineReason, want) {
			t.Errorf("it is offline because %q, want %q", seen.OfflineReason, want)
		}
		r.liftedOnlyWhileDirty()
		r.bend(nil)
		r.wait(time.Hour, "an agent that is clean and online", func() bool {
			seen, err := r.client.Agent(r.t.Context(), "linux-7")
			return err == nil && r.has("linux-7", isClean) && !seen.Offline
		})
	})
}

// liftedOnlyWhileDirty holds that no mark was lifted but on an agent that shows dirty.
func (r *rig) liftedOnlyWhileDirty() {
	r.t.Helper()
	for i, e := range r.jenkins.Journal() {
		if e.Kind == jenkinstest.EntryUnmarked && us(e.Who) && !slices.Contains(strings.Fields(e.Labels), "dirty") {
			r.t.Errorf("entry %d: a mark was lifted while the labels were %q", i, e.Labels)
		}
	}
}
