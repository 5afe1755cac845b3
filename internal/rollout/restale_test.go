// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestRestale(t *testing.T) {
	t.Parallel()
	agents := []rollout.CleanAgent{
		{ID: "ci/a", With: oldRev, Wants: newRev, Since: base.Add(-1 * time.Hour)},
		{ID: "ci/b", With: oldRev, Wants: newRev, Since: base.Add(-3 * time.Hour)},
		{ID: "ci/c", With: newRev, Wants: newRev, Since: base.Add(-9 * time.Hour)},
		{ID: "ci/d", With: oldRev, Wants: oldRev, Since: base.Add(-9 * time.Hour)},
		{ID: "ci/e", With: newRev, Wants: oldRev, Since: base.Add(-2 * time.Hour)},
		{ID: "ci/f", With: oldRev, Wants: newRev, Since: base.Add(-4 * time.Hour), Kept: "held"},
		{ID: "ci/g", With: oldRev, Wants: newRev, Since: base.Add(-1 * time.Hour)},
	}
	for name, c := range map[string]struct {
		policy rollout.Policy
		want   string
	}{
		"at once":                          {rollout.Policy{Stale: rollout.StaleOnce}, "ci/b ci/e ci/a ci/g"},
		"at once, above the floor":         {rollout.Policy{Stale: rollout.StaleOnce, Floor: 5}, "ci/b ci/e"},
		"at once, at the floor":            {rollout.Policy{Stale: rollout.StaleOnce, Floor: 7}, ""},
		"at once, below the floor":         {rollout.Policy{Stale: rollout.StaleOnce, Floor: 99}, ""},
		"lazily":                           {rollout.Policy{Stale: rollout.StaleLazy}, ""},
		"as nothing says otherwise":        {rollout.Policy{}, ""},
		"lazily, and some are old by now":  {rollout.Policy{StaleAfter: 2 * time.Hour}, "ci/b ci/e"},
		"lazily, old ones above the floor": {rollout.Policy{StaleAfter: 2 * time.Hour, Floor: 6}, "ci/b"},
	} {
		var got []string
		for _, r := range rollout.Restale(agents, c.policy, base) {
			got = append(got, string(r.Agent))
			if !strings.HasPrefix(r.Reason, "clean by revision ") {
				t.Errorf("%s: %s: %q", name, r.Agent, r.Reason)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

func TestRestaleNeverGoesBelowTheFloor(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rollout.Policy{
			Stale: rapid.SampledFrom([]rollout.StalePolicy{"", rollout.StaleLazy, rollout.StaleOnce}).Draw(t, "stale"),
			Floor: rapid.IntRange(0, 12).Draw(t, "floor"), StaleAfter: time.Duration(rapid.IntRange(0, 3).Draw(t, "after")) * time.Hour,
		}
		revision := rapid.SampledFrom([]rollout.Revision{oldRev, newRev})
		var agents []rollout.CleanAgent
		for i := range rapid.IntRange(0, 12).Draw(t, "agents") {
			agents = append(agents, rollout.CleanAgent{
				ID: rollout.AgentID(fmt.Sprint("ci/", i)), With: revision.Draw(t, "with"), Wants: revision.Draw(t, "wants"),
				Since: base.Add(-time.Duration(rapid.IntRange(0, 5).Draw(t, "hours")) * time.Hour), Kept: rapid.SampledFrom([]string{"", "", "held"}).Draw(t, "kept"),
			})
		}
		// Again and again, until nothing is chosen any more: none of those chosen becomes clean meanwhile.
		want := rollout.Restale(agents, p, base)
		if got := rollout.Restale(rapid.Permutation(agents).Draw(t, "other order"), p, base); !slices.Equal(got, want) {
			t.Fatalf("in another order %v, not %v", got, want)
		}
		for left := agents; ; {
			chosen := rollout.Restale(left, p, base)
			if len(chosen) == 0 {
				break
			}
			if len(left)-len(chosen) < p.Floor {
				t.Fatalf("of %d clean agents %d are cleaned again, the floor is %d", len(left), len(chosen), p.Floor)
			}
			for _, c := range chosen {
				i := slices.IndexFunc(left, func(a rollout.CleanAgent) bool { return a.ID == c.Agent })
				if i < 0 || left[i].With == left[i].Wants || left[i].Kept != "" {
					t.Fatalf("chooses %s without need: %+v", c.Agent, left)
				}
				left = slices.Delete(slices.Clone(left), i, i+1)
			}
		}
	})
}
