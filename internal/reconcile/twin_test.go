// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// TestOfTwoDaemonsWithOneNameOneYields: the owner's id is the host's name unless told otherwise, so
// two daemons can have the same.
func TestOfTwoDaemonsWithOneNameOneYields(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		twin := &rig{spec: r.spec, pit: &pit{
			t: r.t, jenkins: r.jenkins, client: r.client, program: r.program, watch: &watcher{},
			path: filepath.Join(r.t.TempDir(), "twin.db"), owner: r.owner,
		}}
		twin.start()
		defer twin.end()
		r.pass(6 * time.Minute)
		if r.crew.Refused() == "" {
			t.Error("the first daemon goes on beside the second")
		}
		if reason := twin.crew.Refused(); reason != "" {
			t.Errorf("both have yielded: %s", reason)
		}
		if n := r.watch.counts()[hygiene.EventRival]; n != 1 || !strings.Contains(r.crew.Refused(), "another pitcrew of the same name") {
			t.Errorf("it was said %d times: %s", n, r.crew.Refused())
		}
		r.pass(time.Hour)
		if reason := twin.crew.Refused(); reason != "" {
			t.Errorf("the second has yielded later: %s", reason)
		}

		// What the first is told helps.
		if reason := r.crew.Refused(); !strings.Contains(reason, "stop that one and then restart this one") {
			t.Errorf("the first was told: %s", reason)
		}
		twin.end()
		r.end()
		r.start()
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "so that there is something to do", ""))
		r.pass(time.Minute)
		r.waitState("linux-7", hygiene.Clean)
		if reason := r.crew.Refused(); reason != "" {
			t.Errorf("after its restart the first says: %s", reason)
		}
	})
}

// TestTwinsDoNotStopEachOthersCleanupsForLong: the mark is renewed every few minutes only, and a
// cleanup of unknown origin is reason enough to look at it at once.
func TestTwinsDoNotStopEachOthersCleanupsForLong(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.takesFor(10 * time.Minute)
		twin := &rig{spec: r.spec, pit: &pit{
			t: r.t, jenkins: r.jenkins, client: r.client, program: r.program, watch: &watcher{},
			path: filepath.Join(r.t.TempDir(), "twin.db"), owner: r.owner,
		}}
		twin.start()
		defer twin.end()
		r.pass(time.Minute)
		if !strings.Contains(r.crew.Refused(), "another pitcrew of the same name") || twin.crew.Refused() != "" {
			t.Errorf("after a minute the first says %q, the second %q", r.crew.Refused(), twin.crew.Refused())
		}
	})
}
