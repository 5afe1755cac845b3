// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// containEvery is how often the crew looks for agents whose build feed is due.
func (s *Settings) containEvery() time.Duration {
	return min(max(15*time.Second, s.FeedEvery/20), s.FeedEvery)
}

// Feeds are read at this pace while more of them are due than are read at once: after a start, that is
// one second for five clean agents.
const (
	feedPause   = time.Second
	feedsAtOnce = 5
)

// contain asks agents for their builds, so that a short build between two polls is found even if
// nothing else happens. Agents that are believed clean are asked once at the start, for what ran while
// no daemon lived, and after a restart of the controller; all that stay as they are, clean, waiting or
// never cleaned, are asked once per interval. Agents that are cleaned are asked before they are called
// clean again, and those that one build goes on using have nothing to tell until then.
func (c *Crew) contain(ctx context.Context) error {
	wait := feedPause
	return every(ctx, func() time.Duration { return wait }, nil, func(ctx context.Context) {
		c.Watch.Beat(c.id, "contain", time.Now())
		more, err := c.containOnce(ctx)
		if err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "build feeds could not be read", "err", err)
		}
		if wait = feedPause; !more {
			wait = c.settings.Load().containEvery()
		}
	})
}

// containOnce reads some of the feeds that are due, and reports whether more are.
func (c *Crew) containOnce(ctx context.Context) (more bool, err error) {
	look, s := c.look.Load(), c.settings.Load()
	if look == nil || c.Refused() != "" || s.DryRun {
		return look == nil, nil
	}
	agents, err := c.Store.Agents(ctx, c.id)
	if err != nil {
		return false, err
	}
	err = c.clearPools(ctx, s, time.Now()) // what cannot be stored keeps no feed from being read
	err = errors.Join(err, c.learnUses(ctx, s, look, time.Now()))
	agents = slices.DeleteFunc(agents, func(a hygiene.Agent) bool {
		seen, listed := look.Agents[a.ID.Name]
		return !listed || !a.Managed() || a.State.InProgress() || s.showsOnly(a.Pool) || stillUsed(a, seen)
	})
	due := c.feedsDue(agents, s.FeedEvery, time.Now())
	// Twice what the interval alone asks of a big fleet, so that a start is caught up with.
	most := max(feedsAtOnce, int(2*time.Duration(len(agents))*feedPause/max(s.FeedEvery, feedPause)))
	for _, a := range due[:min(most, len(due))] {
		err = errors.Join(err, c.containAgent(ctx, a))
	}
	return len(due) > most, err
}

// stillUsed reports whether the build that used an agent up is still running there. Nothing else can
// have run since on its one executor.
func stillUsed(a hygiene.Agent, seen jenkins.Agent) bool {
	return a.State == hygiene.Due && a.Used != nil && seen.Executors == 1 && len(seen.Running) == 1 && seen.Running[0].URL == a.Used.URL
}

// containAgent reads one agent's feed, and ends its cleanliness, or what is left of it, if a build has
// used it.
func (c *Crew) containAgent(ctx context.Context, a hygiene.Agent) error {
	used, err := c.learn(ctx, a.ID, time.Now())
	if errors.Is(err, errUnread) {
		return nil // it is tried again soon
	}
	if used == nil {
		return err
	}
	reason := "used by " + used.URL + ", which no poll saw"
	if a.State == hygiene.Clean {
		defer poke(c.wake)
		l := loss{need: hygiene.NeedCleanup, use: &hygiene.Use{URL: used.URL, At: used.At}, reason: reason, at: time.Now()}
		if lost := c.spoil(ctx, a.ID, l, l.at); lost != nil {
			c.unlabel(ctx, a.ID.Name)
			return errors.Join(err, lost)
		}
	}
	return errors.Join(err, c.needAll(ctx, a.ID, reason, time.Now())) // also if it was lost to something less meanwhile
}

// feedsDue returns the agents whose feeds are to be read, in the order of their turns. The clean ones
// that this process has not asked yet come first.
func (c *Crew) feedsDue(agents []hygiene.Agent, period time.Duration, now time.Time) []hygiene.Agent {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := func(a hygiene.Agent) time.Time {
		asked, ok := c.asked[a.ID.Name]
		if _, owed := c.unreads[a.ID.Name]; !ok && !owed && a.State != hygiene.Clean {
			return c.unread
		}
		return asked
	}
	due := slices.DeleteFunc(slices.Clone(agents), func(a hygiene.Agent) bool { return now.Sub(last(a)) < period })
	slices.SortStableFunc(due, func(a, b hygiene.Agent) int { return last(a).Compare(last(b)) })
	return due
}

// clearAfter is how long no contaminated build must be found in a pool before people are told that
// there are none any more, and that new ones are news.
const clearAfter = 24 * time.Hour

// clearPools ends the contamination of pools in which it is over.
func (c *Crew) clearPools(ctx context.Context, s *Settings, now time.Time) error {
	return s.eachLive(func(p *Pool) error {
		bad, err := c.Store.Contamination(ctx, c.PoolScope(p.Name))
		if err != nil || bad.Since.IsZero() || now.Sub(bad.Newest) < clearAfter {
			return err
		}
		e := hygiene.Event{
			Type: hygiene.EventBuildsGood, At: now, Actor: "pitcrew", Subject: bad.Scope, Pool: p.Name,
			Agent:  hygiene.AgentID{Controller: c.id},
			Reason: fmt.Sprintf("no contaminated build was found for %s, after %d since %s", clearAfter, bad.Builds, bad.Since.Format(time.RFC3339)),
		}
		err = c.Store.EndContamination(ctx, bad, e)
		if errors.Is(err, store.ErrConflict) {
			return nil // one more was found just now
		}
		if err == nil {
			c.Watch.Changed(e)
		}
		return err
	})
}
