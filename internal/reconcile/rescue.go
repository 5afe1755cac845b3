// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// stopStray stops builds of our slots on an agent that no attempt owns: one that could not be
// stopped when its attempt ended, or that a person started. The agent could not be cleaned before
// they end by themselves. A job that a team keeps as code may be run by hand, and is waited for.
// Another daemon of our name may have started them: the next poll reads the owner's mark, so that two
// do not stop each other's for long.
func (c *Crew) stopStray(ctx context.Context, w *work) error {
	c.forgetOwner()
	for _, e := range w.look.Agents[w.agent.ID.Name].Running {
		if !strings.HasPrefix(e.Job, w.settings.jobName("slot-")) && !strings.HasPrefix(e.Job, w.settings.jobName(loanJobs)) {
			continue
		}
		c.Log.WarnContext(ctx, "stray build of ours is stopped", "agent", w.agent.ID.Name, "build", e.URL)
		if err := c.Jenkins.StopBuild(ctx, e.Job, e.Number); err != nil && !jenkins.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// setBack mends the stored times of agents that our clock, before it was set back, wrote into what
// is the future now.
func (c *Crew) setBack(ctx context.Context, s *Settings, agents []hygiene.Agent, now time.Time) error {
	for i := range agents {
		if s.DryRun || !hygiene.Ahead(agents[i], now) {
			continue
		}
		c.Log.WarnContext(ctx, "the clock was set back", "agent", agents[i].ID.Name, "since", agents[i].Since)
		err := c.change(ctx, agents[i].ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
			ch.Agent = hygiene.SetBack(ch.Agent, ch.Attempt, now)
			agents[i] = ch.Agent
			return nil, nil
		})
		if err != nil {
			return fmt.Errorf("set back times of %s: %w", agents[i].ID, err)
		}
		agents[i].Version++
	}
	return nil
}

// endHolds ends the holds that have run out, so that the audit trail has their end.
func (c *Crew) endHolds(ctx context.Context, s *Settings, agents []hygiene.Agent, now time.Time) error {
	for i := range agents {
		if s.DryRun || agents[i].Hold == nil || agents[i].Held(now) != nil {
			continue
		}
		err := c.change(ctx, agents[i].ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
			hold := ch.Agent.Hold
			if hold == nil || ch.Agent.Held(now) != nil {
				return nil, store.ErrUnchanged // ended or prolonged by a person meanwhile
			}
			ch.Agent.Hold = nil
			agents[i] = ch.Agent
			agents[i].Version++
			return []hygiene.Event{event(hygiene.EventUnheld, ch.Agent, fmt.Sprintf("the hold by %s ran out: %s", hold.By, hold.Reason))}, nil
		})
		if err != nil {
			return fmt.Errorf("end hold of %s: %w", agents[i].ID, err)
		}
	}
	return nil
}

// rescue puts things in order that the last process left behind. Attempts need no putting in
// order: each is driven from its stored row, whatever the process before died of. Slots of
// attempts whose program has ended meanwhile are freed.
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
		owned := err == nil && t != nil && t.Number == slot.Attempt && t.Ended.IsZero() && holdsPlace(a.State)
		if owned {
			continue
		}
		if err := c.Store.FreeSlot(ctx, c.id, slot.Agent, slot.Attempt); err != nil {
			return fmt.Errorf("free slot %s: %w", slot.Job, err)
		}
	}
	return nil
}
