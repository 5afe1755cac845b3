// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"slices"
	"time"
)

// Started is one start of a build on an agent, as the agent's own build feed tells it. All times
// are the controller's clock, cleanups of ours included, so that clocks need not agree.
type Started struct {
	URL     string
	At      time.Time
	Attempt int64 // for a cleanup of ours: its number; 0 for a real build; for a loss: the attempt whose proof was lost
	// Lost marks no build at all, but the moment when the agent stopped being clean without being
	// used: held, asked for, too old, displaced, disconnected.
	Lost bool
}

// Contaminated is a real build that started while its agent was not proven clean.
type Contaminated struct {
	URL    string
	At     time.Time
	Reason string
}

// Contaminations walks the starts on one agent in the order of time. A real build is clean if it
// is the first since a cleanup that was granted; granted says so of an attempt's number. Starts
// before from were judged earlier: they are walked for what they say about later ones, but not
// reported. wasClean says what the agent was before the first start in the list.
func Contaminations(starts []Started, granted func(int64) bool, wasClean bool, from time.Time) []Contaminated {
	starts = slices.Clone(starts)
	slices.SortStableFunc(starts, func(a, b Started) int { return a.At.Compare(b.At) })
	var out []Contaminated
	isClean, reason := wasClean, "it started before the agent was cleaned"
	for _, s := range starts {
		if s.Lost {
			isClean, reason = false, "it started when the agent was not clean any more"
			continue
		}
		if s.Attempt != 0 {
			isClean = granted(s.Attempt)
			reason = "it started after a cleanup that did not succeed"
			continue
		}
		if !isClean && s.At.After(from) {
			out = append(out, Contaminated{URL: s.URL, At: s.At, Reason: reason})
		}
		isClean, reason = false, "it is not the first build since the agent was cleaned"
	}
	return out
}
