// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
)

// everyone is a bound that no agent's place reaches.
const everyone = math.MaxInt64

// place is where an agent stands in the order that a salt draws. Equal names and salts have equal places, on every
// replica and after every restart; different salts have nothing to do with each other. It is not negative, and stays
// below [everyone].
func place(salt string, id AgentID) int64 {
	sum := sha256.Sum256([]byte(salt + "\x00" + string(id)))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 2)
}

// Refit fits a rollout to the agents that its pool has now, and reports whether that changed it: canaries that left the
// pool, or that nothing can be done to now, are made up for, and a share of a pool that lost agents, or had none, reaches as many as it should. Nobody is
// taken back: in a pool that shrank To may have got further than its share, until the share has caught up. Agents that
// join get To as likely as those that were there.
func (r Rollout) Refit(agents []AgentID, away map[AgentID]bool) (Rollout, bool) {
	switch r.Stage {
	case Canary:
		return r.recruit(agents, away)
	case Share:
		return r.widen(agents)
	case Pinned, Rehearsing, Paused, Done, RolledBack:
	}
	return r, false
}

// recruit chooses canaries until there are as many as the plan wants, or the pool has, of those that are not away: others
// tell nothing, and the rollout would wait for them.
func (r Rollout) recruit(agents []AgentID, away map[AgentID]bool) (Rollout, bool) {
	before := len(r.Canaries)
	r.Canaries = slices.Clone(r.Canaries)
	for _, id := range r.Plan.Named {
		if !slices.Contains(r.Canaries, id) {
			r.Canaries = append(r.Canaries, id)
		}
	}
	want := r.Plan.Canaries
	if want == 0 && len(r.Plan.Named) == 0 {
		want = 1
	}
	have, others := r.split(slices.DeleteFunc(slices.Clone(agents), func(id AgentID) bool { return away[id] }))
	if n := min(want-have, len(others)); n > 0 {
		r.Canaries = append(r.Canaries, others[:n]...)
	}
	return r, len(r.Canaries) != before
}

// widen raises the bound until the share is reached.
func (r Rollout) widen(agents []AgentID) (Rollout, bool) {
	before := r.Bound
	percent := r.Percent()
	have, others := r.split(agents)
	if n := shareOf(percent, have+len(others)) - have; n > 0 {
		r.Bound = place(r.Salt, others[n-1]) + 1
	}
	if percent >= 100 {
		r.Bound = everyone
	}
	return r, r.Bound != before
}

// split counts the agents that To has reached, and returns the others in the order of their places.
func (r Rollout) split(agents []AgentID) (have int, others []AgentID) {
	places := make(map[AgentID]int64, len(agents))
	for _, id := range agents {
		if places[id] = place(r.Salt, id); places[id] < r.Bound || slices.Contains(r.Canaries, id) {
			have++
		} else {
			others = append(others, id)
		}
	}
	slices.SortFunc(others, func(a, b AgentID) int {
		return cmp.Or(cmp.Compare(places[a], places[b]), cmp.Compare(a, b))
	})
	return have, others
}

// shareOf is how many of total agents a share is, rounded up: the smallest share of the smallest pool is one agent.
func shareOf(percent, total int) int { return (total*percent + 99) / 100 }
