// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// someEnded are ended attempts of one revision on agents a to f in the hour before base, in the order of their ends.
func someEnded(t *rapid.T) []hygiene.Ended {
	ended := rapid.SliceOf(rapid.Custom(func(t *rapid.T) hygiene.Ended {
		at := base.Add(-time.Duration(rapid.IntRange(0, 3599).Draw(t, "ago")) * time.Second)
		return hygiene.Ended{
			Agent: hygiene.AgentID{Controller: "ci", Name: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "agent")}, Revision: "r1",
			Step: rapid.SampledFrom([]string{"sweep", "packages"}).Draw(t, "step"), Failed: rapid.Bool().Draw(t, "failed"), At: at, Claimed: at.Add(-time.Minute),
		}
	})).Draw(t, "ended")
	slices.SortStableFunc(ended, func(a, b hygiene.Ended) int { return a.At.Compare(b.At) })
	return ended
}

func TestBreakerOpensWhenAgentsFailNowAndNotOtherwise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := hygiene.BreakerPolicy{Agents: rapid.IntRange(2, 4).Draw(t, "agents"), Failures: rapid.IntRange(1, 8).Draw(t, "failures"), Within: time.Hour}
		ended := someEnded(t)
		failures, sick := 0, map[hygiene.AgentID]bool{}
		for i, e := range ended {
			cleanedSince := slices.ContainsFunc(ended[i:], func(l hygiene.Ended) bool { return l.Agent == e.Agent && !l.Failed })
			if e.Failed && !cleanedSince {
				failures++
				sick[e.Agent] = true
			}
		}
		over := len(sick) >= p.Agents && failures >= p.Failures
		if got, reason := hygiene.Trip(hygiene.Breaker{}, ended, "r1", p, base); over != (got != hygiene.BreakerClosed) {
			t.Fatalf("%d failures on %d agents: %s (%s)", failures, len(sick), got, reason)
		}
	})
}

func TestSuccessesOfOtherAgentsMoveNoBreaker(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := hygiene.BreakerPolicy{Agents: 3, Failures: 5, Within: time.Hour}
		b := hygiene.Breaker{}
		if rapid.Bool().Draw(t, "open") {
			b.Opened = base // nothing was claimed since
		}
		ended := someEnded(t)
		with := slices.Clone(ended)
		for range rapid.IntRange(1, 50).Draw(t, "successes") {
			i := rapid.IntRange(0, len(with)).Draw(t, "place")
			at := base
			if i < len(with) {
				at = with[i].At
			}
			with = slices.Insert(with, i, hygiene.Ended{Agent: hygiene.AgentID{Controller: "ci", Name: "other"}, Revision: "r1", At: at, Claimed: at.Add(-time.Minute)})
		}
		state, reason := hygiene.Trip(b, ended, "r1", p, base)
		if got, why := hygiene.Trip(b, with, "r1", p, base); got != state || why != reason {
			t.Fatalf("%s (%s) with other agents' successes, %s (%s) without", got, why, state, reason)
		}
	})
}

// TestAFewSickAgentsOfABigFleetOpenNoBreaker has some of a hundred agents fail three times each, and all others be cleaned.
func TestAFewSickAgentsOfABigFleetOpenNoBreaker(t *testing.T) {
	t.Parallel()
	for sick, want := range map[int]hygiene.BreakerState{3: hygiene.BreakerClosed, 4: hygiene.BreakerClosed, 5: hygiene.BreakerOpen, 100: hygiene.BreakerOpen} {
		var ended []hygiene.Ended
		for i := range 100 {
			id := hygiene.AgentID{Controller: "ci", Name: fmt.Sprint("a", i)}
			for try := range 3 {
				at := base.Add(time.Duration(try-10) * time.Minute)
				ended = append(ended, hygiene.Ended{Agent: id, Revision: "r1", Step: "sweep", Failed: i < sick, At: at, Claimed: at.Add(-time.Minute)})
			}
		}
		slices.SortStableFunc(ended, func(a, b hygiene.Ended) int { return a.At.Compare(b.At) })
		if got, reason := hygiene.Trip(hygiene.Breaker{}, ended, "r1", hygiene.BreakerPolicy{Agents: 3, Failures: 5, Within: time.Hour}, base); got != want {
			t.Errorf("%d of 100 fail: %s (%s), want %s", sick, got, reason, want)
		}
	}
}
