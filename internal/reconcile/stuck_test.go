// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// unwritable makes edits of an agent's configuration fail, until remove.
func (r *rig) unwritable(agent string, f jenkinstest.Fault) (remove func()) {
	f.Match = func(q *http.Request) bool {
		return q.Method == http.MethodPost && q.URL.Path == "/computer/"+agent+"/config.xml"
	}
	return r.jenkins.Inject(f)
}

// told holds how often each kind of event was written.
func (r *rig) told(want map[hygiene.EventType]int) {
	r.t.Helper()
	for kind, n := range want {
		if events := r.events(kind); len(events) != n {
			r.t.Errorf("%d events %s, want %d: %+v", len(events), kind, n, events)
		}
	}
}

func TestAnAgentWhoseLabelCannotBeTakenOffIsToldOnceAndItsEndOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault jenkinstest.Fault
		says  string
	}{
		"forbidden":     {jenkinstest.Fault{Status: http.StatusForbidden}, "its labels cannot be made cleanable: grant pitcrew's user Agent/Configure on it"},
		"dropped":       {jenkinstest.Fault{Drop: true}, "its labels cannot be made cleanable: Jenkins drops the edit"},
		"server errors": {jenkinstest.Fault{Status: http.StatusInternalServerError}, `its labels cannot be made cleanable: write configuration of agent "linux-`},
	} {
		t.Run(name, func(t *testing.T) {
			agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
			inRig(t, setup{agents: agents}, func(r *rig) {
				r.wait(time.Hour, "all clean", r.allClean(agents))
				writable7, writable8 := r.unwritable("linux-7", c.fault), r.unwritable("linux-8", c.fault)
				r.runBuild("app", "linux-7")
				r.runBuild("lib", "linux-8")
				r.wait(2*time.Minute, "the alarm", func() bool { return r.agent("linux-7").Stuck != nil && r.agent("linux-8").Stuck != nil })
				r.pass(3 * time.Hour)
				r.told(map[hygiene.EventType]int{hygiene.EventStuck: 2, hygiene.EventPoolStuck: 1, hygiene.EventUnstuck: 0, hygiene.EventPoolUnstuck: 0})
				for _, e := range r.events(hygiene.EventStuck) {
					if !strings.HasPrefix(e.Reason, c.says) || e.Pool != "all" {
						t.Errorf("it was told by %+v", e)
					}
				}
				r.end() // a restart of the daemon is no reason to tell again
				r.start()
				r.pass(time.Hour)
				writable7()
				r.wait(15*time.Minute, "a clean agent", func() bool { return r.has("linux-7", isClean) })
				r.told(map[hygiene.EventType]int{hygiene.EventStuck: 2, hygiene.EventPoolStuck: 1, hygiene.EventUnstuck: 1, hygiene.EventPoolUnstuck: 0})
				writable8()
				r.wait(15*time.Minute, "all clean", r.allClean(agents))
				r.pass(time.Minute)
				r.told(map[hygiene.EventType]int{hygiene.EventStuck: 2, hygiene.EventPoolStuck: 1, hygiene.EventUnstuck: 2, hygiene.EventPoolUnstuck: 1})
			})
		})
	}
}

// Two failures, or many while the controller does not answer, may have nothing to do with the agent.
func TestAnAgentWhoseLabelsCouldNotBeWrittenForAMomentIsNotStuck(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*rig) (over func()){
		"two failures": func(r *rig) func() {
			return r.unwritable("linux-7", jenkinstest.Fault{Status: http.StatusInternalServerError, Count: 2})
		},
		"no answer from the controller": func(r *rig) func() {
			var answers func()
			r.unwritable("linux-7", jenkinstest.Fault{Status: http.StatusInternalServerError, Count: 1})
			r.unwritable("linux-7", jenkinstest.Fault{Status: http.StatusInternalServerError, Count: 1, Before: func(*http.Request) {
				answers = r.jenkins.Inject(jenkinstest.Fault{Refuse: true})
			}})
			return func() { answers() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"}))
				_, err := r.jenkins.Schedule("app", nil)
				must(t, err)
				over := fail(r)
				r.pass(10 * time.Minute)
				over()
				r.wait(time.Hour, "a clean agent", func() bool { return r.agent("linux-7").Attempt > 1 && r.has("linux-7", isClean) })
				r.told(map[hygiene.EventType]int{hygiene.EventStuck: 0, hygiene.EventPoolStuck: 0})
			})
		})
	}
}

func TestAnAgentIsStuckNoMoreOnceItIsTakenOut(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		writable := r.unwritable("linux-7", jenkinstest.Fault{Status: http.StatusForbidden})
		r.jenkins.SaveLabels("linux-7", "clean el7", "ann")
		r.wait(time.Minute, "the alarm", func() bool { return len(r.events(hygiene.EventPoolStuck)) > 0 })
		if e := r.events(hygiene.EventStuck)[0]; !strings.HasPrefix(e.Reason, "our labels cannot be taken off: ") {
			t.Errorf("it was told by %+v", e)
		}
		r.jenkins.SaveLabels("linux-7", "el7", "ann")
		r.wait(5*time.Minute, "the withdrawal", func() bool { return !r.agent("linux-7").Managed() })
		r.pass(time.Minute)
		r.told(map[hygiene.EventType]int{hygiene.EventUnstuck: 1, hygiene.EventPoolUnstuck: 1})
		writable()
	})
}
