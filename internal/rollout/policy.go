// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is how a pool wants new revisions rolled out. The zero value of each field is explained beside it;
// configuration supplies the defaults.
type Policy struct {
	RehearsalRequired bool // a new revision has to pass a rehearsal before any agent of the pool gets it
	Plan              Plan // for the next rollout; one that is under way keeps its own

	MinCleanups int           // that must succeed with the new revision in each stage; at least 1
	Soak        time.Duration // that each stage lasts at least; 0 = as short as the evidence allows
	Patience    time.Duration // after which a stage that is not told is paused, so that a person hears of it; 0 = never
	Baseline    time.Duration // before the start of a rollout, for which the old revision's record counts; 0 = since the start only

	MaxFailureRate      float64  // of cleanups with the new revision, 0 to 1; 0 = none may fail, 1 = any may
	MaxRise             float64  // of that rate over the old revision's, 0 to 1; 1 = any
	MaxBuildFailureRise float64  // of the rate at which real builds fail on agents of the new revision, 0 to 1; 1 = any
	OnFailure           Response // to cleanups that fail more than is allowed; "" = roll back

	BlameAgents int // different agents on which a revision must fail to be blamed; at least 2

	Stale      StalePolicy   // when clean agents of an old revision are cleaned again; "" = lazily
	StaleAfter time.Duration // lazily: an agent that nobody has used for so long is cleaned again nevertheless; 0 = never
	Floor      int           // clean agents of the pool that must remain while others are cleaned again for their revision
}

// Response is what is done about a revision that fails too much.
type Response string

// The responses.
const (
	RollBackOnFailure Response = "rollback" // its agents get the old revision again
	PauseOnFailure    Response = "pause"    // it goes no further until a person decides
)

// StalePolicy says when clean agents of an old revision are cleaned again.
type StalePolicy string

// The stale policies.
const (
	StaleLazy StalePolicy = "lazy" // after their next build, as always
	StaleOnce StalePolicy = "once" // at once, as far as the floor allows
)

// minAgents is how many different agents it takes to tell a revision's fault from an agent's.
const minAgents = 2

// blameAgents is how many agents a revision must fail on to be blamed.
func (p Policy) blameAgents() int { return max(p.BlameAgents, minAgents) }

// Validate refuses a policy that says nothing sensible. Errors name the field.
func (p Policy) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for name, rate := range map[string]float64{"maxFailureRate": p.MaxFailureRate, "maxRise": p.MaxRise, "maxBuildFailureRise": p.MaxBuildFailureRise} {
		bad(!(rate >= 0 && rate <= 1), "%s %v: want 0 to 1", name, rate)
	}
	for name, n := range map[string]int{"canaries": p.Plan.Canaries, "minCleanups": p.MinCleanups, "blameAgents": p.BlameAgents, "floor": p.Floor} {
		bad(n < 0, "%s %d: want 0 or more", name, n)
	}
	for name, d := range map[string]time.Duration{"soak": p.Soak, "patience": p.Patience, "baseline": p.Baseline, "staleAfter": p.StaleAfter} {
		bad(d < 0, "%s %s: want 0 or more", name, d)
	}
	bad(p.Patience > 0 && p.Patience <= p.Soak, "patience %s: want more than soak (%s), or no stage could be told in time", p.Patience, p.Soak)
	for i, s := range p.Plan.Shares {
		bad(s < 1 || s > 100, "shares: %d: want 1 to 100 percent", s)
		bad(i > 0 && s <= p.Plan.Shares[i-1], "shares: %d after %d: want them to rise", s, p.Plan.Shares[max(i-1, 0)])
	}
	bad(!slices.Contains([]Response{"", RollBackOnFailure, PauseOnFailure}, p.OnFailure), "onFailure %q: want rollback or pause", p.OnFailure)
	bad(!slices.Contains([]StalePolicy{"", StaleLazy, StaleOnce}, p.Stale), "stale %q: want lazy or once", p.Stale)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
