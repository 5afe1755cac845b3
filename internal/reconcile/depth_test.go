// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"encoding/json"
	"net/http"
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

// orderDeep asks for a deep cleanup.
func (r *rig) orderDeep() {
	must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "before the audit", hygiene.Deep))
}

// cleanedDeep waits for a deep cleanup that ended well, and returns its number.
func (r *rig) cleanedDeep() int64 {
	r.t.Helper()
	r.wait(3*time.Hour, "a deep cleanup", func() bool {
		return r.has("linux-7", func(a hygiene.Agent) bool {
			return isClean(a) && r.attempt("linux-7", a.Attempt).Depth == hygiene.Deep
		})
	})
	return r.agent("linux-7").Attempt
}

// ran is the depth that an attempt's program reported.
func (r *rig) ran(number int64) recipe.Depth {
	r.t.Helper()
	var report recipe.Report
	must(r.t, json.Unmarshal(r.attempt("linux-7", number).Report, &report))
	return report.Depth
}

func TestADeepCleanupThatIsOrderedIsMadeWheneverItIsOrdered(t *testing.T) {
	t.Parallel()
	for _, state := range []hygiene.State{hygiene.Clean, hygiene.Claimed, hygiene.Running, hygiene.Granting} {
		t.Run(string(state), func(t *testing.T) {
			inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
				inState := map[hygiene.State]func(*http.Request) bool{
					hygiene.Claimed:  writesLabels,
					hygiene.Granting: func(q *http.Request) bool { return writesLabels(q) && r.agent("linux-7").State == hygiene.Granting },
				}
				if match, ok := inState[state]; ok {
					r.at(1, false, match, r.orderDeep)
					r.start()
				} else {
					r.start()
					r.waitState("linux-7", state)
					r.orderDeep()
				}
				deep := r.cleanedDeep()
				want := int64(2)
				if state == hygiene.Claimed { // its program was not handed over yet
					want = 1
				}
				if deep != want {
					t.Errorf("the deep cleanup was attempt %d, want %d", deep, want)
				}
				if got := r.ran(deep); got != recipe.Deep {
					t.Errorf("its program cleaned %s", got)
				}
				if a := r.agent("linux-7"); a.Depth != "" {
					t.Errorf("it is still asked for: %+v", a)
				}
				must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "again", ""))
				r.wait(time.Hour, "another cleanup", func() bool { a := r.agent("linux-7"); return isClean(a) && a.Attempt == deep+1 })
				if got := r.attempt("linux-7", deep+1).Depth; got != hygiene.Standard || r.ran(deep+1) != recipe.Standard {
					t.Errorf("the one after it was %s, its program cleaned %s", got, r.ran(deep+1))
				}
				asked := r.events(hygiene.EventRequested)
				if got := asked[0].Data["depth"]; got != "deep" {
					t.Errorf("the event says depth %q", got)
				}
				if got, ok := asked[1].Data["depth"]; ok {
					t.Errorf("the event of an order without depth says %q", got)
				}
			})
		})
	}
}

func TestADepthThatWasAskedForOutlastsFailuresAndRestarts(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.bend(func(rep recipe.Report) recipe.Report {
			rep.Outcome, rep.Verified, rep.Reason = recipe.Failed, false, "no room"
			rep.Steps[0].Outcome, rep.Steps[0].Reason = recipe.StepFailed, "no room"
			return rep
		})
		r.orderDeep()
		r.wait(time.Hour, "a failure", func() bool { return r.agent("linux-7").Failures > 0 })
		r.end()
		r.start()
		r.wait(3*time.Hour, "another failure", func() bool { return r.agent("linux-7").Failures > 1 })
		r.bend(nil)
		for number := r.cleanedDeep(); number > 1; number-- {
			if got := r.attempt("linux-7", number).Depth; got != hygiene.Deep {
				t.Errorf("attempt %d was to clean %s", number, got)
			}
		}
	})
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
