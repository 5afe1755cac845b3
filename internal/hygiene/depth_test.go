// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestADeeperCleanupCoversALighterOne(t *testing.T) {
	t.Parallel()
	all := append([]hygiene.Depth{""}, hygiene.Depths()...)
	for i, d := range all {
		for j, other := range all {
			if got := d.Covers(other); got != (i >= j) {
				t.Errorf("%q covers %q: got %t", d, other, got)
			}
		}
	}
}

func TestAnAttemptIsAsDeepAsAPersonOrElseThePoolWantsIt(t *testing.T) {
	t.Parallel()
	tests := []struct{ asked, pool, want hygiene.Depth }{
		{"", "", hygiene.Standard},
		{"", hygiene.Light, hygiene.Light},
		{hygiene.Deep, hygiene.Light, hygiene.Deep},
		{hygiene.Light, hygiene.Deep, hygiene.Light},
	}
	for _, tt := range tests {
		a, p := agentIn(hygiene.Due), pool
		a.AskDepth(tt.asked)
		p.Depth = tt.pool
		if _, got, err := hygiene.Claim(a, p, "s1", "nonce", epoch); err != nil || got.Depth != tt.want {
			t.Errorf("%q was asked for in a pool of %q: got %q, %v", tt.asked, tt.pool, got.Depth, err)
		}
	}
}

func TestTheNewestWordOnDepthCounts(t *testing.T) {
	t.Parallel()
	var a hygiene.Agent
	for _, word := range []struct{ says, want hygiene.Depth }{
		{"", ""}, {hygiene.Deep, hygiene.Deep}, {"", hygiene.Deep}, {hygiene.Light, hygiene.Light},
	} {
		if a.AskDepth(word.says); a.Depth != word.want {
			t.Errorf("after %q: got %q, want %q", word.says, a.Depth, word.want)
		}
	}
}

func TestAnAttemptIsAsDeepAsAskedForWhenItIsHandedOver(t *testing.T) {
	t.Parallel()
	deep := hygiene.Agent{Depth: hygiene.Deep}
	attempt := hygiene.Attempt{Depth: hygiene.Standard}
	if attempt.Suit(hygiene.Agent{}); attempt.Depth != hygiene.Standard {
		t.Errorf("nobody asked, and it became %s", attempt.Depth)
	}
	if attempt.Suit(deep); attempt.Depth != hygiene.Deep {
		t.Errorf("before: got %s", attempt.Depth)
	}
	attempt = hygiene.Attempt{Depth: hygiene.Standard, Began: epoch}
	if attempt.Suit(deep); attempt.Depth != hygiene.Standard {
		t.Errorf("after: got %s", attempt.Depth)
	}
}

// TestADepthIsAskedForUntilItSucceeds draws what was asked for before and during an attempt, and how that ends.
func TestADepthIsAskedForUntilItSucceeds(t *testing.T) {
	t.Parallel()
	depths := append([]hygiene.Depth{""}, hygiene.Depths()...)
	rapid.Check(t, func(r *rapid.T) {
		asked := rapid.SampledFrom(depths)
		a := agentIn(hygiene.Due)
		a.Depth, a.Need = asked.Draw(r, "before"), rapid.SampledFrom([]hygiene.Need{hygiene.NeedCleanup, hygiene.NeedVerify}).Draw(r, "need")
		a, attempt := running(t, a, epoch)
		later := asked.Draw(r, "meanwhile")
		if later != "" {
			a.AskDepth(later)
			a.NeedAll()
		}
		want := a.Depth
		if rapid.Bool().Draw(r, "fails") {
			a, _, err := hygiene.Judge(a, attempt, hygiene.Verdict{Outcome: hygiene.Failed}, pool, epoch)
			if err != nil || a.Depth != want || a.Need != hygiene.NeedCleanup {
				r.Fatalf("after a failure %q is asked for, want %q; %v", a.Depth, want, err)
			}
			return
		}
		a, attempt, err := hygiene.Judge(a, attempt, good(attempt), pool, epoch)
		if err != nil {
			r.Fatal(err)
		}
		granted, _, err := hygiene.Grant(a, attempt, "e", epoch)
		enough := slices.Index(depths, attempt.Depth) >= slices.Index(depths, want) && (attempt.Need == hygiene.NeedCleanup || later == "")
		switch {
		case enough && (err != nil || granted.Depth != ""):
			r.Fatalf("a %s attempt for %q: %v, and %q is asked for", attempt.Depth, want, err, granted.Depth)
		case !enough && !errors.Is(err, hygiene.ErrOvertaken):
			r.Fatalf("a %s attempt for %q was granted: %v", attempt.Depth, want, err)
		case enough:
			return
		}
		a, _, err = hygiene.End(a, attempt, hygiene.Verdict{Outcome: hygiene.Lost, Unused: true}, pool, epoch)
		if err != nil || a.Depth != want || a.Need != hygiene.NeedCleanup {
			r.Fatalf("after %s it needs %q of depth %q, want a cleanup of %q; %v", attempt.Depth, a.Need, a.Depth, want, err)
		}
	})
}
