// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestAFeedThatCannotBeReadDelaysAGrantUpToALimit(t *testing.T) {
	t.Parallel()
	short := hygiene.Policy{Limits: hygiene.Limits{Grant: 4 * time.Minute}}
	type reading struct {
		at     time.Duration
		failed bool
	}
	bad := func(at ...time.Duration) (out []reading) {
		for _, d := range at {
			out = append(out, reading{d, true})
		}
		return out
	}
	tests := map[string]struct {
		policy   hygiene.Policy
		readings []reading
		waits    bool
		told     bool
		since    time.Duration
	}{
		"it can be read":                   {readings: []reading{{0, false}}},
		"it failed once":                   {readings: bad(0), waits: true},
		"it fails up to the limit":         {readings: bad(0, time.Minute, hygiene.UnreadLimit-1), waits: true},
		"it fails for longer":              {readings: bad(0, time.Minute, hygiene.UnreadLimit), told: true},
		"it failed, and can be read":       {readings: append(bad(0, hygiene.UnreadLimit), reading{hygiene.UnreadLimit + 1, false})},
		"two failures hours apart":         {readings: bad(0, 3*time.Hour), waits: true, since: 3 * time.Hour},
		"told, it stays so for hours":      {readings: bad(0, hygiene.UnreadLimit, 3*time.Hour), told: true},
		"a clock that was set back":        {readings: bad(0, -time.Hour), waits: true, since: -time.Hour},
		"a grant may not wait so long":     {policy: short, readings: bad(0, 2*time.Minute), told: true},
		"nor is it given up at once there": {policy: short, readings: bad(0, 2*time.Minute-1), waits: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var u hygiene.Unread
			for _, r := range tt.readings {
				u = u.Read(r.failed, tt.policy, epoch.Add(r.at))
			}
			if u.Waits() != tt.waits || u.Told != tt.told {
				t.Errorf("got %+v, waits %t", u, u.Waits())
			}
			if (tt.waits || tt.told) && !u.Since.Equal(epoch.Add(tt.since)) {
				t.Errorf("it fails since %s", u.Since)
			}
		})
	}
}

// The retries of a feed come so often that a row of failures is not taken for several.
func TestAFeedIsTriedAgainWithBackoffUntilPeopleAreTold(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{time.Second, time.Minute, 10 * time.Minute, 100 * time.Hour} {
		for _, agent := range []string{"a", "b", "c", "d"} {
			var u hygiene.Unread
			now, n := epoch, 0
			for ; !u.Told; n++ {
				u = u.Read(true, hygiene.Policy{}, now)
				wait := hygiene.UnreadRetry(n+1, agent, every)
				if wait <= 0 || wait > every {
					t.Fatalf("every %s: retry %d comes after %s", every, n+1, wait)
				}
				if now.Sub(epoch) > 3*hygiene.UnreadLimit {
					t.Fatalf("every %s: not told after %d tries in %s: %+v", every, n, now.Sub(epoch), u)
				}
				now = now.Add(wait)
			}
		}
	}
}
