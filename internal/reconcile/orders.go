// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// ErrNotManaged means that an order names an agent that is not in pitcrew's care.
var ErrNotManaged = errors.New("the agent is not managed: it does not carry the label cleanable")

// order applies what a person (actor) asked for to a managed agent, and makes it happen soon.
func (c *Crew) order(ctx context.Context, name, actor string, kind hygiene.EventType, reason string, f func(*hygiene.Agent, time.Time) error) error {
	now := time.Now()
	lost := false
	err := c.change(ctx, c.agentID(name), now, func(ch *store.Change) ([]hygiene.Event, error) {
		before := ch.Agent
		if !ch.Agent.Managed() {
			return nil, fmt.Errorf("agent %s: %w", ch.Agent.ID, ErrNotManaged)
		}
		if err := f(&ch.Agent, now); err != nil {
			return nil, err
		}
		if lost = before.State == hygiene.Clean && ch.Agent.State != hygiene.Clean; lost {
			ch.Attempt.Lose(c.theirs(now), "")
		}
		e := event(kind, ch.Agent, reason)
		e.Actor = actor
		if kind == hygiene.EventRequested && ch.Agent.Depth != "" {
			e.Data = map[string]string{"depth": string(ch.Agent.Depth)}
		}
		events := []hygiene.Event{e}
		if before.Quarantine != nil && ch.Agent.Quarantine == nil {
			e.Type = hygiene.EventReleased
			events = append(events, e)
			if kind == hygiene.EventUnheld && before.Hold == nil {
				events = events[1:] // it ended no hold
			}
		}
		return events, nil
	})
	if err != nil {
		return err
	}
	if lost {
		c.unlabel(ctx, name)
	}
	c.Poke()
	return nil
}

// unlabel takes clean off an agent that is clean no more. If that fails the next poll does it.
func (c *Crew) unlabel(ctx context.Context, name string) {
	w := &work{agent: hygiene.Agent{ID: c.agentID(name)}, look: c.look.Load(), settings: c.settings.Load()}
	if err := c.writeLabels(ctx, w, hygiene.ShowDirty); err != nil {
		c.Log.WarnContext(ctx, "clean could not be taken off at once", "agent", name, "err", err)
	}
}

// OrderClean asks for a cleanup: at once for a due agent whatever its back-off or quarantine says,
// and by making a clean agent due. A cleanup in progress is left to end; one that
// only verifies is followed by a whole one.
// It is as deep as depth says, and so are those after it until one succeeds; "" leaves the depth to what was asked for
// before, or else to the pool.
func (c *Crew) OrderClean(ctx context.Context, name, actor, reason string, depth hygiene.Depth) error {
	return c.order(ctx, name, actor, hygiene.EventRequested, reason, func(a *hygiene.Agent, now time.Time) error {
		a.NextLook = time.Time{}
		a.AskDepth(depth)
		if a.Quarantine != nil {
			q := *a.Quarantine
			q.NextLook = now
			a.Quarantine = &q
		}
		if a.State != hygiene.Clean {
			a.NeedAll()
			return nil
		}
		moved, err := a.To(hygiene.Due, "a cleanup was asked for by "+actor, now)
		moved.Need = hygiene.NeedCleanup
		*a = moved
		return err
	})
}

// OrderHold keeps an agent out until it is released, or until expires; zero means no expiry.
func (c *Crew) OrderHold(ctx context.Context, name, actor, reason string, expires time.Time) error {
	return c.order(ctx, name, actor, hygiene.EventHeld, reason, func(a *hygiene.Agent, now time.Time) error {
		a.Hold = &hygiene.Hold{Reason: reason, By: actor, Since: now, Expires: expires}
		return nil
	})
}

// OrderRelease ends a hold and a quarantine. The agent is cleaned before it is used again.
func (c *Crew) OrderRelease(ctx context.Context, name, actor, reason string) error {
	return c.order(ctx, name, actor, hygiene.EventUnheld, reason, func(a *hygiene.Agent, _ time.Time) error {
		a.Hold, a.Quarantine, a.Failures, a.NextLook = nil, nil, 0, time.Time{}
		return nil
	})
}

// OrderQuarantine keeps an agent out until its next look, or for ever when that is zero.
func (c *Crew) OrderQuarantine(ctx context.Context, name, actor, reason string, nextLook time.Time) error {
	return c.order(ctx, name, actor, hygiene.EventQuarantined, reason, func(a *hygiene.Agent, now time.Time) error {
		if nextLook.IsZero() {
			nextLook = hygiene.UntilReleased(now)
		}
		a.Quarantine = &hygiene.Quarantine{Reason: reason, Since: now, NextLook: nextLook, By: actor}
		a.NextLook = nextLook
		if a.State != hygiene.Clean {
			return nil
		}
		moved, err := a.To(hygiene.Due, "quarantined by "+actor, now)
		moved.Need = hygiene.NeedCleanup
		*a = moved
		return err
	})
}

// OrderExclusive makes an agent one that can be kept clean by labels: usage EXCLUSIVE, one
// executor. Nothing else of pitcrew's changes these. A quarantine for want of them ends.
func (c *Crew) OrderExclusive(ctx context.Context, name, actor, reason string) error {
	if err := c.Jenkins.SetExclusive(ctx, name); err != nil {
		return fmt.Errorf("make agent %s exclusive: %w", name, err)
	}
	if err := c.Jenkins.SetExecutors(ctx, name, 1); err != nil {
		return fmt.Errorf("give agent %s one executor: %w", name, err)
	}
	return c.order(ctx, name, actor, hygiene.EventConfigured, reason, func(a *hygiene.Agent, _ time.Time) error {
		if a.Quarantine != nil && a.Failures == 0 {
			a.Quarantine, a.NextLook = nil, time.Time{}
		}
		return nil
	})
}

// OrderTrial closes the open breaker of a pool, because a person says that its recipe is well again.
// What failed before does not count any more. It reports whether the breaker was open.
func (c *Crew) OrderTrial(ctx context.Context, pool, actor, reason string) (bool, error) {
	p := c.settings.Load().named(pool)
	if p == nil {
		return false, nil
	}
	row, err := c.breakerRow(ctx, p)
	if err != nil || row.Opened.IsZero() {
		return false, err
	}
	now := time.Now()
	row.Opened, row.Since, row.Reason = time.Time{}, now, reason
	e := hygiene.Event{
		Type: hygiene.EventBreakerShut, At: now, Actor: actor, Subject: pool, Pool: pool,
		Agent: hygiene.AgentID{Controller: c.id}, Reason: reason,
	}
	if err := c.Store.SaveBreaker(ctx, row, e); err != nil {
		return false, err
	}
	c.mu.Lock()
	delete(c.tripped, pool)
	c.mu.Unlock()
	c.Watch.Changed(e)
	c.Poke()
	return true, nil
}

// Explain says what was decided about an agent last, and why.
func (c *Crew) Explain(name string) (Decision, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.decisions[name]; d != nil {
		return *d, true
	}
	return Decision{}, false
}

// LastSweep returns when the newest successful poll was sent; zero before the first.
func (c *Crew) LastSweep() time.Time {
	if look := c.look.Load(); look != nil {
		return look.At
	}
	return time.Time{}
}

// Owns reports whether a job is one that carries our programs.
func (c *Crew) Owns(job string) bool { return c.settings.Load().ours(job) }

// PoolScope is the name under which breaker and dead-man alarm of a pool are stored.
func (c *Crew) PoolScope(pool string) string { return string(c.id) + "/" + pool }

// Settings returns the settings in force.
func (c *Crew) Settings() *Settings { return c.settings.Load() }
