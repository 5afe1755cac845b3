// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func monitors(p hygiene.MonitorPolicy) func(*reconcile.Settings) {
	return func(s *reconcile.Settings) { s.Pools[0].Policy.Monitor = p }
}

// lowDisk is a due agent that a monitor of Jenkins took offline.
func (r *rig) lowDisk() {
	r.t.Helper()
	r.waitState("linux-7", hygiene.Clean)
	r.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
	must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
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

// lifted is an agent whose mark was lifted for a cleanup that runs.
func (r *rig) lifted() {
	r.t.Helper()
	r.lowDisk()
	r.takesFor(10 * time.Minute)
	r.wait(time.Hour, "a cleanup with the mark lifted", func() bool {
		return r.has("linux-7", func(a hygiene.Agent) bool { return a.State == hygiene.Running && a.Mark != "" }) && len(r.cleanups()) > 1
	})
}

// markedByUs holds that the lifted mark is back, and owed no more.
func (r *rig) markedByUs() {
	r.t.Helper()
	seen, err := r.client.Agent(r.t.Context(), "linux-7")
	must(r.t, err)
	if want := "pitcrew: put back after a cleanup: Disk space is too low."; !strings.HasPrefix(seen.OfflineReason, want) {
		r.t.Errorf("it is offline because %q, want %q", seen.OfflineReason, want)
	}
	if a := r.agent("linux-7"); a.Mark != "" {
		r.t.Errorf("the mark %q is still owed", a.Mark)
	}
}

func putsBack(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/changeOfflineCause") }

func TestALiftedMarkIsOwedUntilItIsBackOrCanNeverBe(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fail func(*rig) // ends the cleanup without success
		want func(*rig)
	}{
		"the daemon dies before it can put it back": {func(r *rig) {
			remove := r.jenkins.Inject(jenkinstest.Fault{Match: putsBack, Refuse: true})
			must(r.t, r.client.StopBuild(r.t.Context(), "pitcrew-slot-01", 2))
			r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > 0 }) })
			r.end()
			remove()
			must(r.t, r.startPaused())
		}, (*rig).markedByUs},
		"cleanable is withdrawn": {func(r *rig) {
			r.jenkins.SaveLabels("linux-7", "dirty el7", "ann")
			r.waitState("linux-7", hygiene.Unmanaged)
		}, (*rig).markedByUs},
		"the daemon dies when cleanable is withdrawn": {func(r *rig) {
			remove := r.jenkins.Inject(jenkinstest.Fault{Match: putsBack, Refuse: true})
			r.jenkins.SaveLabels("linux-7", "dirty el7", "ann")
			r.waitState("linux-7", hygiene.Unmanaged)
			r.end()
			remove()
			r.start()
		}, (*rig).markedByUs},
		"a new epoch begins": {func(r *rig) {
			must(r.t, r.store.SetPause(r.t.Context(), pause(reconcile.ScopeAll, time.Now(), time.Time{})))
			must(r.t, r.store.NewEpoch(r.t.Context(), "test", time.Now()))
		}, (*rig).markedByUs},
		"a person marks it meanwhile": {func(r *rig) {
			r.jenkins.Agent("linux-7").MarkOffline("ann", "new disk")
			must(r.t, r.client.StopBuild(r.t.Context(), "pitcrew-slot-01", 2))
			r.waitState("linux-7", hygiene.Due)
		}, func(r *rig) { r.markedBy("new disk") }},
		"the monitor marks it again meanwhile": {func(r *rig) {
			r.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
			must(r.t, r.client.StopBuild(r.t.Context(), "pitcrew-slot-01", 2))
			r.waitState("linux-7", hygiene.Due)
		}, func(r *rig) { r.markedBy("Disk space is too low.") }},
		"it is withdrawn and deleted": {func(r *rig) {
			remove := r.jenkins.Inject(jenkinstest.Fault{Match: putsBack, Refuse: true})
			r.jenkins.SaveLabels("linux-7", "dirty el7", "ann")
			r.waitState("linux-7", hygiene.Unmanaged)
			r.deleteAgent("linux-7")
			remove()
		}, func(r *rig) {
			if a := r.agent("linux-7"); a.Mark != "" {
				r.t.Errorf("the mark %q of an agent that is gone is still owed", a.Mark)
			}
		}},
		"we may not mark agents": {func(r *rig) {
			r.jenkins.Inject(jenkinstest.Fault{Match: putsBack, Status: http.StatusForbidden})
			must(r.t, r.client.StopBuild(r.t.Context(), "pitcrew-slot-01", 2))
			r.waitState("linux-7", hygiene.Due)
		}, func(r *rig) {
			if a := r.agent("linux-7"); a.Mark != "" {
				r.t.Errorf("the mark %q keeps the agent from being cleaned", a.Mark)
			}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, settings: monitors(hygiene.MonitorLift)}, func(r *rig) {
				r.lifted()
				tt.fail(r)
				r.pass(30 * time.Second)
				tt.want(r)
				if events := r.events(hygiene.EventMarked); len(events) != 2 || !strings.Contains(events[1].Reason, "put back: ") {
					t.Errorf("the mark's way is told by %+v", events)
				}
				r.liftedOnlyWhileDirty()
			})
		})
	}
}

// startPaused starts the crew, which is to begin nothing.
func (r *rig) startPaused() error {
	db, err := store.Open(r.t.Context(), store.Options{Path: r.path, Owner: r.owner})
	if err != nil {
		return err
	}
	err = errors.Join(db.SetPause(r.t.Context(), pause(reconcile.ScopeAll, time.Now(), time.Time{})), db.Close())
	r.start()
	return err
}

func (r *rig) markedBy(reason string) {
	r.t.Helper()
	seen, err := r.client.Agent(r.t.Context(), "linux-7")
	must(r.t, err)
	if !strings.HasPrefix(seen.OfflineReason, reason) || !seen.TemporarilyOffline {
		r.t.Errorf("it is offline because %q, want %q", seen.OfflineReason, reason)
	}
	if a := r.agent("linux-7"); a.Mark != "" {
		r.t.Errorf("the mark %q is still owed", a.Mark)
	}
}

func TestAMarkThatWasPutBackIsOwedAgainByTheNextCleanup(t *testing.T) {
	inRig(t, setup{agents: one, settings: monitors(hygiene.MonitorLift)}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.bend(failing)
		r.lowDisk()
		for n := range 3 {
			r.wait(3*time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > n }) })
			r.pass(20 * time.Second)
			r.markedByUs()
		}
		r.liftedOnlyWhileDirty()
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

func TestACleanAgentThatAMonitorTakesOfflineIsCleaned(t *testing.T) {
	t.Parallel()
	for policy, want := range map[hygiene.MonitorPolicy]int64{hygiene.MonitorLift: 2, hygiene.MonitorLeave: 1} {
		t.Run(string(policy), func(t *testing.T) {
			inRig(t, setup{agents: one, settings: monitors(policy)}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				r.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
				r.pass(3 * time.Hour)
				if a := r.agent("linux-7"); !isClean(a) || a.Attempt != want {
					t.Errorf("got %s at attempt %d, want it clean at %d", a.State, a.Attempt, want)
				}
			})
		})
	}
}
