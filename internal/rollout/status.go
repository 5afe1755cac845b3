// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"errors"
	"time"
)

// Whoever asks about a rollout may be told one of these.
var (
	// ErrNotRolledOut: the pool takes new revisions at once, or there is no such pool.
	ErrNotRolledOut = errors.New("no pool of this name rolls out: it needs the section rollout in the configuration")
	// ErrNoRevision: a revision is named that is not known, or not unmistakably.
	ErrNoRevision = errors.New("no such revision")
)

// Status is all that can be told of the rollout of a pool.
type Status struct {
	Rollout   Rollout
	Offered   Revision // what the pool's recipe is compiled to now
	Decision  Decision // the newest about it
	Decided   time.Time
	Rehearsal Rehearsal // of the new revision
	Agents    []Standing
}

// Standing is how far a rollout has got with one agent.
type Standing struct {
	ID    AgentID
	Has   Revision // of its newest attempt; "" = none
	Wants Revision // that its next attempt will be made with
}
