// SPDX-License-Identifier: Apache-2.0

package hygiene

import "time"

// Stuck is an agent whose labels cannot be written: what Jenkins shows of it, clean above all, may be wrong until
// somebody mends that. It goes on being tried as before.
type Stuck struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// stuckAfter is how many writes in a row must fail before it is more than an accident: each of them has already begun
// anew several times when somebody else's edit won.
const stuckAfter = 3

// Unwritten notes the n-th failure in a row to write the agent's labels, one that no trying again can mend if forbidden,
// and reports whether people are to be told. The reason of the first that was told stands.
func (a *Agent) Unwritten(n int, forbidden bool, reason string, now time.Time) (news bool) {
	if a.Stuck != nil || !a.Managed() || n < stuckAfter && !forbidden {
		return false
	}
	a.Stuck = &Stuck{Reason: reason, Since: now}
	return true
}
