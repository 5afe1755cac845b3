// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func TestTheDepthOfThePoolReachesTheProgram(t *testing.T) {
	t.Parallel()
	for pool, want := range map[recipe.Depth]recipe.Depth{"": recipe.Standard, recipe.Light: recipe.Light, recipe.Deep: recipe.Deep} {
		t.Run(string(pool), func(t *testing.T) {
			inRig(t, setup{agents: one, asleep: true, settings: func(s *reconcile.Settings) { s.Pools[0].Policy.Depth = pool }}, func(r *rig) {
				reported := make(chan recipe.Depth, 10)
				r.bend(func(rep recipe.Report) recipe.Report {
					reported <- rep.Depth
					return rep
				})
				r.start()
				r.waitState("linux-7", hygiene.Clean)
				if got := <-reported; got != want {
					t.Errorf("the program cleans %q; want %q", got, want)
				}
				if got := r.attempt("linux-7", 1).Depth; got != want {
					t.Errorf("the attempt says %q; want %q", got, want)
				}
			})
		})
	}
}

func TestTheReportOfALighterCleanupProvesNothing(t *testing.T) {
	t.Parallel()
	tests := map[recipe.Depth]bool{"": false, recipe.Light: false, recipe.Standard: true, recipe.Deep: true}
	for depth, proves := range tests {
		t.Run(string(depth), func(t *testing.T) {
			inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
				r.bend(func(rep recipe.Report) recipe.Report {
					rep.Depth = depth
					return rep
				})
				r.start()
				r.wait(time.Hour, "the end of the attempt", func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) || a.Failures > 0 })
				})
				got := r.attempt("linux-7", 1)
				if (got.Outcome == hygiene.Cleaned) != proves {
					t.Errorf("a report of depth %q: %s: %s", depth, got.Outcome, got.Reason)
				}
				if !proves && (!strings.Contains(got.Reason, "it was to clean standard") || r.labels("linux-7") != "cleanable dirty") {
					t.Errorf("reason %q, labels %s", got.Reason, r.labels("linux-7"))
				}
			})
		})
	}
}
