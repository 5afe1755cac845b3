// SPDX-License-Identifier: Apache-2.0

package rollout

import "time"

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
