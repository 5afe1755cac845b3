// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// unread is an agent's build feed that cannot be read.
type unread struct {
	hygiene.Unread
	tries int // of this process, in a row
}

// recallUnread takes up what the last process knew of feeds that cannot be read.
func (c *Crew) recallUnread(ctx context.Context) error {
	stored, err := c.Store.UnreadFeeds(ctx, c.id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, u := range stored {
		c.unreads[name] = unread{Unread: u}
	}
	return nil
}

// unreadable notes that a feed could not be read, because of cause. The error wraps [errUnread] as long
// as a grant is to wait for it. It is said once when that is over.
func (c *Crew) unreadable(ctx context.Context, id hygiene.AgentID, cause error) error {
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil {
		return err
	}
	s, now := c.settings.Load(), time.Now()
	var policy hygiene.Policy
	if pool := s.named(a.Pool); pool != nil {
		policy = pool.Policy
	}
	c.mu.Lock()
	before := c.unreads[id.Name]
	after := unread{before.Read(true, policy, now), before.tries + 1}
	c.unreads[id.Name] = after
	// It is asked again sooner than a feed that was read.
	c.asked[id.Name] = now.Add(hygiene.UnreadRetry(after.tries, id.String(), s.FeedEvery) - s.FeedEvery)
	c.mu.Unlock()
	var events []hygiene.Event
	if after.Told && !before.Told {
		e := event(hygiene.EventUnread, a, fmt.Sprintf("builds unknown since %s: %v; its cleanups are believed without them", after.Since.UTC().Format(time.RFC3339), cause))
		e.At, e.Before, e.After = now, a.State, a.State
		events = append(events, e)
	}
	if err := c.saveUnread(ctx, id, after.Unread, events...); err != nil {
		return err
	}
	if after.Waits() {
		return fmt.Errorf("agent %s: %w: %w", id.Name, errUnread, cause)
	}
	c.Log.DebugContext(ctx, "builds of an agent could not be learnt", "agent", id.Name, "err", cause)
	return nil
}

// readable notes that a feed was read, or that nobody asks for it any more. The others that could not be
// read are asked at once then: what kept them from it may be over for all.
func (c *Crew) readable(ctx context.Context, id hygiene.AgentID, reason string) error {
	c.mu.Lock()
	before, was := c.unreads[id.Name]
	delete(c.unreads, id.Name)
	if was {
		for name := range c.unreads {
			delete(c.asked, name)
		}
	}
	c.mu.Unlock()
	if !was {
		return nil
	}
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil {
		return err
	}
	var events []hygiene.Event
	if before.Told {
		e := event(hygiene.EventRead, a, reason+"; they were not known since "+before.Since.UTC().Format(time.RFC3339))
		e.At, e.Before, e.After = time.Now(), a.State, a.State
		events = append(events, e)
	}
	return c.saveUnread(ctx, id, hygiene.Unread{}, events...)
}

func (c *Crew) saveUnread(ctx context.Context, id hygiene.AgentID, u hygiene.Unread, events ...hygiene.Event) error {
	if err := c.Store.SaveUnread(ctx, id, u, events...); err != nil {
		return err
	}
	for _, e := range events {
		c.Watch.Changed(e)
		c.Log.WarnContext(ctx, "alarm changed", "event", string(e.Type), "agent", id.Name, "reason", e.Reason)
	}
	return nil
}

// unreadIn says of one agent of a pool whose builds are unknown since when, "" when those of all are known: what keeps them
// from being read is often one thing for all.
func (c *Crew) unreadIn(p *Pool, views []view) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range views {
		a := &views[i].agent
		if u := c.unreads[a.ID.Name]; u.Told && a.Pool == p.Name {
			return fmt.Sprintf("on %s: builds unknown since %s; why, and for others of the pool, is in their events", a.ID.Name, u.Since.UTC().Format(time.RFC3339))
		}
	}
	return ""
}
