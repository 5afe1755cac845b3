// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestWhatFollowsFromARecipe(t *testing.T) {
	t.Parallel()
	rollouts := inEach(t)
	const newest rollout.Revision = "0123456789abcdef"
	for _, c := range []struct {
		stage    rollout.Stage
		compiled rollout.Revision
		want     rollout.Arrival
		why      string
	}{
		{rollout.Pinned, "", rollout.Nothing, "the recipe is not compiled"},
		{rollout.Pinned, oldRev, rollout.Nothing, "the pool pins revision old"},
		{rollout.Pinned, newest, rollout.Begin, "revision 0123456789ab is new"},
		{rollout.Canary, newRev, rollout.Nothing, "revision new is canary"},
		{rollout.Canary, newest, rollout.Replace, "revision 0123456789ab takes the place of new"},
		{rollout.Canary, oldRev, rollout.Withdraw, "the recipe is that of revision old again"},
		{rollout.Paused, newRev, rollout.Nothing, "revision new is paused at share 10%"},
		{rollout.Paused, newest, rollout.Replace, "revision 0123456789ab takes the place of new"},
		{rollout.Done, newRev, rollout.Nothing, "the pool pins revision new"},
		{rollout.Done, oldRev, rollout.Begin, "revision old is new"},
		{rollout.RolledBack, newRev, rollout.Nothing, "revision new was rolled back by ann: the mirror is down"},
		{rollout.RolledBack, oldRev, rollout.Nothing, "the pool pins revision old"},
		{rollout.RolledBack, newest, rollout.Begin, "revision 0123456789ab is new"},
	} {
		if got, why := rollouts[c.stage].Arrive(c.compiled); got != c.want || why != c.why {
			t.Errorf("a pool that is %q, revision %q: %s (%s), want %s (%s)", c.stage, c.compiled, got, why, c.want, c.why)
		}
	}
	if got, why := (rollout.Rollout{Pool: "el7"}).Arrive(newRev); got != rollout.Pin || why != "revision new is the pool's first" {
		t.Errorf("a pool without a revision: %s (%s)", got, why)
	}
}
