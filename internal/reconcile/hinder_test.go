// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// A fleet of a thousand agents would otherwise keep a controller busy with what it refuses, and fill the history.
func TestAnObstacleThatStaysIsTriedLessAndLess(t *testing.T) {
	takesLong(t)
	t.Parallel()
	answers := func(method, path string) func(*rig) func() {
		return func(r *rig) func() {
			return r.jenkins.Inject(jenkinstest.Fault{Method: method, Path: path, Status: http.StatusForbidden})
		}
	}
	tests := map[string]struct {
		begin func(*rig) (end func())
		why   string
	}{
		"its job may not be built":   {answers(http.MethodPost, "/job/*/buildWithParameters"), "grant its user Job/Build"},
		"its job may not be written": {answers(http.MethodPost, "/job/pitcrew-slot-01/config.xml"), "grant its user Job/Configure"},
		"every slot was changed": {func(r *rig) func() {
			r.meddle("pitcrew-slot-01", "<concurrentBuild>false", "<concurrentBuild>true")
			return func() { r.resetSlots() }
		}, "pitcrew slots reset pitcrew-slot-01"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}, settings: oneSlot}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				end := tt.begin(r)
				r.mu.Lock()
				r.program = another(t) // so that the slot must be written
				r.mu.Unlock()
				r.set(func(*reconcile.Settings) {})
				must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
				r.pass(3 * time.Hour)
				a := r.agent("linux-7")
				if n := a.Attempt - 1; n < 8 || n > 25 {
					t.Errorf("%d attempts in three hours, from one in 15 s to one in 15 min", n)
				}
				if d, _ := r.crew.Explain("linux-7"); a.State != hygiene.Due || !strings.Contains(d.Reason, tt.why) || a.Failures != 0 {
					t.Errorf("it is %s because %q, with %d failures", a.State, d.Reason, a.Failures)
				}
				end()
				r.wait(20*time.Minute, "a cleanup", func() bool { return r.has("linux-7", isClean) })
			})
		})
	}
}

// resetSlots does what `pitcrew slots reset` does.
func (r *rig) resetSlots() {
	r.t.Helper()
	slots, err := r.store.Slots(r.t.Context(), "ci")
	must(r.t, err)
	for _, s := range slots {
		s.Refused, s.Digest, s.Content, s.Pending = "", "", "", "reset"
		must(r.t, r.store.SaveSlot(r.t.Context(), s))
	}
}
