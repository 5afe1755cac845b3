// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// CleanAgent is a clean agent of a pool.
type CleanAgent struct {
	ID    AgentID
	With  Revision  // that cleaned it
	Wants Revision  // that it would get now, see [Rollout.RevisionFor]
	Since time.Time // when it was called clean
	Kept  string    // why it must not be cleaned now (a hold, a loan, a build that starts); "" = it may be
}

// Restaled is a clean agent that is to be cleaned again for its revision.
type Restaled struct {
	Agent  AgentID
	Reason string
}

// Restale chooses among all clean agents of a pool those to clean again now because they were cleaned with another
// revision than they would get, the longest clean first. At least the policy's floor of clean agents remains, of
// whichever revision: to have fewer builds wait comes before the new recipe. Those that are chosen are not clean any
// more, and so do not count the next time.
func Restale(agents []CleanAgent, p Policy, now time.Time) []Restaled {
	var old []CleanAgent
	for _, a := range agents {
		if a.With != a.Wants && a.Kept == "" && p.ripe(a, now) {
			old = append(old, a)
		}
	}
	slices.SortFunc(old, func(a, b CleanAgent) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	spare := max(len(agents)-p.Floor, 0)
	var chosen []Restaled
	for _, a := range old[:min(len(old), spare)] {
		chosen = append(chosen, Restaled{Agent: a.ID, Reason: fmt.Sprintf("clean by revision %s, and its pool wants %s", a.With.Short(), a.Wants.Short())})
	}
	return chosen
}

// ripe reports whether an agent's other revision is reason enough to clean it before it is used.
func (p Policy) ripe(a CleanAgent, now time.Time) bool {
	if p.Stale == StaleOnce {
		return true
	}
	return p.StaleAfter > 0 && !now.Before(a.Since.Add(p.StaleAfter))
}
