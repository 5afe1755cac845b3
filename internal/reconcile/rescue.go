// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
)

// rescue puts things in order that the last process left behind. Attempts need no putting in
// order: each is driven from its stored row, whatever the process before died of. Slots of
// attempts that have ended meanwhile are freed.
func (c *Crew) rescue(ctx context.Context) error {
	slots, err := c.Store.Slots(ctx, c.id)
	if err != nil {
		return fmt.Errorf("rescue slots: %w", err)
	}
	for _, slot := range slots {
		if slot.Attempt == 0 {
			continue
		}
		a, t, err := c.Store.Agent(ctx, c.agentID(slot.Agent))
		owned := err == nil && t != nil && t.Number == slot.Attempt && t.Ended.IsZero() && a.State.InProgress()
		if owned {
			continue
		}
		if err := c.Store.FreeSlot(ctx, c.id, slot.Agent, slot.Attempt); err != nil {
			return fmt.Errorf("free slot %s: %w", slot.Job, err)
		}
	}
	return nil
}
