// SPDX-License-Identifier: Apache-2.0

package rollout

import "fmt"

// Stage is the one stored field of a rollout's life. How far a share has got is its step, whether it soaks or waits
// for evidence is derived.
type Stage string

// The stages. Their order is the order of a rollout's life.
const (
	// Pinned: no rollout yet; the pool has the revision that it began with.
	Pinned Stage = ""
	// Rehearsing: no agent of the pool has the new revision; it has to pass a rehearsal first.
	Rehearsing Stage = "rehearsing"
	// Canary: a few chosen agents get the new revision.
	Canary Stage = "canary"
	// Share: a part of the pool gets it. Step says which of the shares.
	Share Stage = "share"
	// Paused: no further agent gets it, and those that have it keep it, until a person says what next.
	Paused Stage = "paused"
	// Done: the pool pins the new revision.
	Done Stage = "done"
	// RolledBack: the pool pins the old revision again.
	RolledBack Stage = "rolled back"
)

// Stages lists all stages in the order of a rollout's life.
var Stages = []Stage{Pinned, Rehearsing, Canary, Share, Paused, Done, RolledBack}

// Open reports whether a rollout in this stage is under way.
func (s Stage) Open() bool {
	switch s {
	case Rehearsing, Canary, Share, Paused:
		return true
	case Pinned, Done, RolledBack:
		return false
	}
	return false
}

// Who may bring a change of stage about.
type Who string

// The ones who do.
const (
	ByHand   Who = "a person"
	ByEither Who = "the daemon, or a person"
)

// Edge is one permitted change of stage: who may bring it about, and why it exists. That a new rollout of the pool
// follows one that is over is no edge: it is a rollout of its own, and begins at [Pinned].
type Edge struct {
	From, To Stage
	Who      Who
	Why      string
}

// Edges is the whole transition table; the table in docs/rollout.md is generated from it.
var Edges = []Edge{
	{Pinned, Rehearsing, ByEither, "a new revision arrived, and the policy wants a rehearsal first"},
	{Pinned, Canary, ByEither, "a new revision arrived"},
	{Rehearsing, Canary, ByEither, "the rehearsal passed"},
	{Rehearsing, Paused, ByEither, "paused by hand, or no result within the pool's patience"},
	{Rehearsing, RolledBack, ByEither, "the rehearsal failed, another revision took its place, or rolled back by hand"},
	{Canary, Share, ByEither, "promoted to the first share"},
	{Canary, Done, ByEither, "promoted, and the plan has no shares"},
	{Canary, Paused, ByEither, "blamed for failures, not told within the pool's patience, or paused by hand"},
	{Canary, RolledBack, ByEither, "fails more than the policy allows, or another rehearsal that is required; another revision took its place, or rolled back by hand"},
	{Share, Share, ByEither, "promoted to the next share"},
	{Share, Done, ByEither, "promoted from the last share"},
	{Share, Paused, ByEither, "blamed for failures, not told within the pool's patience, or paused by hand"},
	{Share, RolledBack, ByEither, "fails more than the policy allows, or another rehearsal that is required; another revision took its place, or rolled back by hand"},
	{Paused, Rehearsing, ByHand, "resumed where it was"},
	{Paused, Canary, ByHand, "resumed where it was"},
	{Paused, Share, ByHand, "resumed where it was"},
	{Paused, RolledBack, ByHand, "given up, or the recipe was changed"},
	{Done, RolledBack, ByHand, "found to be bad after all"},
}

var edges = func() map[[2]Stage]Who {
	m := make(map[[2]Stage]Who, len(Edges))
	for _, e := range Edges {
		m[[2]Stage{e.From, e.To}] = e.Who
	}
	return m
}()

// CanGo reports whether the table has the edge, for a person or for the evidence alone.
func CanGo(from, to Stage, hand bool) bool {
	who, ok := edges[[2]Stage{from, to}]
	return ok && (hand || who == ByEither)
}

// StageError is a change of stage that the transition table does not have.
type StageError struct {
	Pool     string
	From, To Stage
}

func (e *StageError) Error() string {
	return fmt.Sprintf("rollout of pool %s: no way from %s to %s", e.Pool, e.From.Name(), e.To.Name())
}

// Name spells a stage for people and programs; unlike the stored text it is never empty.
func (s Stage) Name() string {
	if s == Pinned {
		return "pinned"
	}
	return string(s)
}
