// SPDX-License-Identifier: Apache-2.0

package rollout

import "fmt"

// Arrival is what follows from the recipe of a pool as it is compiled now.
type Arrival string

// The arrivals.
const (
	// Nothing: it is known, or must not be rolled out without a person.
	Nothing Arrival = "nothing"
	// Pin: the pool has no revision yet; it pins this one.
	Pin Arrival = "pin"
	// Begin: it is new; start its rollout.
	Begin Arrival = "start"
	// Replace: it is newer than the one that is being rolled out; roll that one back and start this one.
	Replace Arrival = "replace"
	// Withdraw: the recipe is again what the pool pins; roll back what is being rolled out.
	Withdraw Arrival = "withdraw"
)

// Arrive says what to do about revision compiled, which is what the recipe of the pool of r has become, and why. A
// revision that was rolled back does not come again by itself: only a person starts it once more, or another takes its
// place.
func (r Rollout) Arrive(compiled Revision) (Arrival, string) {
	switch {
	case compiled == "":
		return Nothing, "the recipe is not compiled"
	case r.Pinned() == "":
		return Pin, fmt.Sprintf("revision %s is the pool's first", compiled.Short())
	case r.Open() && compiled == r.To:
		return Nothing, fmt.Sprintf("revision %s is %s", compiled.Short(), r.Where())
	case r.Open() && compiled == r.From:
		return Withdraw, fmt.Sprintf("the recipe is that of revision %s again", compiled.Short())
	case r.Open():
		return Replace, fmt.Sprintf("revision %s takes the place of %s", compiled.Short(), r.To.Short())
	case compiled == r.Pinned():
		return Nothing, fmt.Sprintf("the pool pins revision %s", compiled.Short())
	case r.Stage == RolledBack && compiled == r.To:
		return Nothing, fmt.Sprintf("revision %s was rolled back by %s: %s", compiled.Short(), r.By, r.Reason)
	}
	return Begin, fmt.Sprintf("revision %s is new", compiled.Short())
}
