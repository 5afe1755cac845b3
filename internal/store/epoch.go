// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// NewEpoch gives up everything that the store believes about agents: each managed one becomes
// due for a whole cleanup, each open attempt is lost, all in one transaction. Slots stay taken:
// only the controller can tell whether their builds are gone. What they carry is forgotten: they may have been
// written anew since, and what they are known by would tell of a change by somebody else.
func (s *Store) NewEpoch(ctx context.Context, reason string, now time.Time) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error { return t.startEpoch(ctx, reason, now) })
	if err != nil {
		return fmt.Errorf("start new epoch: %w", err)
	}
	return nil
}

func (t *txn) startEpoch(ctx context.Context, reason string, now time.Time) error {
	if err := t.nameEpoch(ctx); err != nil {
		return err
	}
	if err := t.tell(ctx, hygiene.Event{
		Type: hygiene.EventEpoch, At: now, Actor: "pitcrew", Subject: "store", Reason: reason,
	}); err != nil {
		return err
	}
	found, err := t.Agents(ctx)
	if err != nil {
		return err
	}
	ahead, err := t.clocks(ctx)
	if err != nil {
		return err
	}
	for _, row := range found {
		if err := t.distrust(ctx, agentID(row.Controller, row.Name), reason, now, ahead[row.Controller]); err != nil {
			return fmt.Errorf("agent %s/%s: %w", row.Controller, row.Name, err)
		}
	}
	for controller := range ahead {
		if err := t.forgetContent(ctx, hygiene.ControllerID(controller)); err != nil {
			return fmt.Errorf("slots of controller %s: %w", controller, err)
		}
	}
	return nil
}

// forgetContent makes the next use of each slot write it anew.
func (t *txn) forgetContent(ctx context.Context, controller hygiene.ControllerID) error {
	slots, err := t.slotsOf(ctx, controller)
	if err != nil {
		return err
	}
	for _, r := range slots {
		r.Digest, r.Content, r.Pending = "", "", ""
		if err := t.saveSlot(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) nameEpoch(ctx context.Context) error {
	t.epoch = rand.Text()
	return t.SetEpoch(ctx, t.epoch)
}

// clocks returns how far the clock of each controller is ahead of ours.
func (t *txn) clocks(ctx context.Context) (map[string]time.Duration, error) {
	found, err := t.Controllers(ctx)
	ahead := make(map[string]time.Duration, len(found))
	for _, r := range found {
		ahead[r.ID] = time.Duration(r.ClockAhead) * time.Millisecond
	}
	return ahead, err
}

// distrust makes one managed agent due, whatever it was.
func (t *txn) distrust(ctx context.Context, id hygiene.AgentID, reason string, now time.Time, ahead time.Duration) error {
	before, err := t.load(ctx, id)
	if err != nil || !before.Agent.Managed() {
		return err
	}
	after, events, err := doubted(*before, reason, now, ahead)
	if err != nil {
		return err
	}
	if err := check(*before, after, len(events)); err != nil {
		return err
	}
	return t.store(ctx, *before, after, complete(events, after.Agent, now))
}

func doubted(c Change, reason string, now time.Time, ahead time.Duration) (_ Change, events []hygiene.Event, err error) {
	from := c.Agent.State
	if from.InProgress() {
		lost := hygiene.Verdict{Outcome: hygiene.Lost, Reason: reason}
		var t hygiene.Attempt
		if c.Agent, t, err = hygiene.End(c.Agent, *c.Attempt, lost, hygiene.Policy{}, now); err != nil {
			return c, nil, err
		}
		c.Attempt = &t
		events = append(events, hygiene.Event{
			Type: hygiene.EventLost, Attempt: t.Number, Before: from, After: hygiene.Due, Reason: reason,
		})
	} else {
		if from == hygiene.Clean {
			t := *c.Attempt
			t.Lose(now.Add(ahead), "")
			c.Attempt = &t
		}
		if c.Agent, err = c.Agent.To(hygiene.Due, reason, now); err != nil {
			return c, nil, err
		}
		events = append(events, hygiene.Event{Type: hygiene.EventUncleaned, Before: from, After: hygiene.Due, Reason: reason})
	}
	c.Agent.Need = hygiene.NeedCleanup
	return c, events, nil
}
