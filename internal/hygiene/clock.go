// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// clockSlack is how far in the future the end of an attempt may lie before our clock must have been set back.
const clockSlack = time.Minute

// aheadSlack is the same of what is stored about an agent, in whose last digit it may be rounded up. A clock that was set back by less hides
// builds for no longer than a poll would.
const aheadSlack = time.Second

// Ahead reports whether something about an agent was stored by a clock that has been set back since.
// Until now catches up, no look would be newer than what was stored, and nothing would happen: a build that uses a clean agent up would
// not be seen.
func Ahead(a Agent, now time.Time) bool { return ahead(a, now) > aheadSlack }

func ahead(a Agent, now time.Time) time.Duration {
	var most time.Duration
	for _, t := range []time.Time{a.Since, a.LabelsAt, a.LastServed, a.LastCleaned} {
		most = max(most, t.Sub(now))
	}
	return most
}

// SetBack moves all times of an agent and its attempt that lie after now back by as much as the
// clock was ahead. What a person set, a hold's expiry, stays.
func SetBack(a Agent, t *Attempt, now time.Time) Agent {
	by := ahead(a, now)
	times := []*time.Time{&a.Since, &a.LabelsAt, &a.LastServed, &a.LastCleaned, &a.NextLook}
	if t != nil {
		times = append(times, &t.Claimed, &t.Handed, &t.Started, &t.Proved, &t.Ended, &t.Run.Kicked, &t.Run.Away)
	}
	if a.Quarantine != nil {
		q := *a.Quarantine
		a.Quarantine = &q
		times = append(times, &q.Since, &q.NextLook)
	}
	for _, at := range times {
		if at.After(now) {
			*at = at.Add(-by)
		}
	}
	return a
}
