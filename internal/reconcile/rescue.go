// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// stopStray stops builds of our slots on an agent that no attempt owns: one that could not be
// stopped when its attempt ended, or that a person started. The agent could not be cleaned before
// they end by themselves. A job that a team keeps as code may be run by hand, and is waited for.
func (c *Crew) stopStray(ctx context.Context, w *work) error {
	for _, e := range w.look.Agents[w.agent.ID.Name].Running {
		if !strings.HasPrefix(e.Job, w.settings.jobName("slot-")) {
			continue
		}
		c.Log.WarnContext(ctx, "stray cleanup is stopped", "agent", w.agent.ID.Name, "build", e.URL)
		if err := c.Jenkins.StopBuild(ctx, e.Job, e.Number); err != nil && !jenkins.IsNotFound(err) {
			return err
		}
	}
	return nil
}

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
