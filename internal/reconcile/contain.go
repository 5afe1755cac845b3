// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// containEvery is how often the crew looks for clean agents whose build feed is due.
const containEvery = 15 * time.Second

// contain asks agents that stay clean for their builds, each at least once per interval, so that a
// short build between two polls is found even if nothing else happens. Agents that are cleaned are
// asked at that moment.
func (c *Crew) contain(ctx context.Context) error {
	return every(ctx, func() time.Duration { return min(containEvery, c.settings.Load().FeedEvery) }, nil, func(ctx context.Context) {
		c.Watch.Beat(c.id, "contain", time.Now())
		if err := c.containOnce(ctx); err != nil && ctx.Err() == nil {
			c.Log.WarnContext(ctx, "build feeds could not be read", "err", err)
		}
	})
}

func (c *Crew) containOnce(ctx context.Context) error {
	look, s := c.look.Load(), c.settings.Load()
	if look == nil || c.Refused() != "" || s.DryRun {
		return nil
	}
	agents, err := c.Store.Agents(ctx, c.id)
	if err != nil {
		return err
	}
	for _, a := range agents {
		if a.State != hygiene.Clean || !c.feedDue(a, s.FeedEvery) {
			continue
		}
		if _, listed := look.Agents[a.ID.Name]; !listed {
			continue
		}
		newest := c.learn(ctx, a.ID, time.Now())
		if newest == nil {
			continue
		}
		if err := c.lose(ctx, a.ID, hygiene.NeedCleanup, "used by "+newest.URL+", which no poll saw", time.Now()); err != nil {
			return err
		}
		poke(c.wake)
	}
	return nil
}

// feedDue reports whether a clean agent's feed is to be read, and takes its turn.
func (c *Crew) feedDue(a hygiene.Agent, period time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.asked[a.ID.Name]
	if last.Before(a.LastCleaned) {
		last = a.LastCleaned
	}
	return time.Since(last) >= period
}

// learn reads an agent's own build feed and records what it tells: which builds ran there, and
// which of them started while the agent was not proven clean. It returns the newest real build
// since the agent was last granted clean, or nil. Errors are logged: not to know is no reason to
// leave an agent dirty, and the next reading covers the same time.
func (c *Crew) learn(ctx context.Context, id hygiene.AgentID, now time.Time) *store.Build {
	c.mu.Lock()
	c.asked[id.Name] = now
	c.mu.Unlock()
	feed, err := c.Jenkins.AgentBuilds(ctx, id.Name)
	if err != nil {
		c.Log.WarnContext(ctx, "builds of an agent could not be learnt", "agent", id.Name, "err", err)
		return nil
	}
	newest, err := c.record(ctx, id, feed, now)
	if err != nil {
		c.Log.ErrorContext(ctx, "builds of an agent could not be recorded", "agent", id.Name, "err", err)
	}
	return newest
}

// record stores the builds of a feed. Everything is judged by the controller's clock: cleanups of
// ours stand in the same feed.
func (c *Crew) record(ctx context.Context, id hygiene.AgentID, feed []jenkins.FeedBuild, now time.Time) (*store.Build, error) {
	agent, _, err := c.Store.Agent(ctx, id)
	if err != nil {
		return nil, err
	}
	asked, from, err := c.Store.FeedState(ctx, id)
	if err != nil {
		return nil, err
	}
	ours, err := c.ourBuilds(ctx, id)
	if err != nil {
		return nil, err
	}
	s := c.settings.Load()
	starts := make([]hygiene.Started, 0, len(feed))
	var lastGrant time.Time
	for _, b := range feed {
		start := hygiene.Started{URL: b.URL, At: b.At}
		if s.ours(b.Job) {
			start.Attempt = -1 // a cleanup that this store does not know proves nothing
			if t, ok := ours[b.URL]; ok {
				start.Attempt = t.Number
				if !t.Proved.IsZero() && b.At.After(lastGrant) {
					lastGrant = b.At
				}
			}
		}
		starts = append(starts, start)
	}
	if asked.IsZero() {
		from = agent.Since // what ran before the agent was ours is not judged
	}
	granted := func(n int64) bool {
		return slices.ContainsFunc(values(ours), func(t hygiene.Attempt) bool { return t.Number == n && !t.Proved.IsZero() })
	}
	dirty := map[string]string{}
	var events []hygiene.Event
	for _, x := range hygiene.Contaminations(starts, granted, false, from) {
		dirty[x.URL] = x.Reason
		e := event(hygiene.EventContaminated, agent, fmt.Sprintf("%s: %s", x.URL, x.Reason))
		e.At, e.Before, e.After, e.Data = now, agent.State, agent.State, map[string]string{"build": x.URL}
		events = append(events, e)
	}
	builds, newest := c.builds(id, s, feed, dirty, lastGrant)
	if err := c.Store.RecordBuilds(ctx, id, now, builds, events...); err != nil {
		return nil, err
	}
	for _, e := range events {
		c.Watch.Changed(e)
		c.Log.WarnContext(ctx, "contaminated build", "agent", id.Name, "reason", e.Reason)
	}
	return newest, nil
}

// builds turns a feed into rows, and finds the newest real build since the last grant.
func (c *Crew) builds(id hygiene.AgentID, s *Settings, feed []jenkins.FeedBuild, dirty map[string]string, lastGrant time.Time) ([]store.Build, *store.Build) {
	var rows []store.Build
	var newest *store.Build
	for _, b := range feed {
		if s.ours(b.Job) {
			continue
		}
		reason, contaminated := dirty[b.URL]
		row := store.Build{Agent: id, URL: b.URL, Job: b.Job, Number: b.Number, At: b.At, Contaminated: contaminated, Reason: reason}
		rows = append(rows, row)
		if b.At.After(lastGrant) && !lastGrant.IsZero() && (newest == nil || b.At.After(newest.At)) {
			newest = &row
		}
	}
	return rows, newest
}

// ourBuilds are the attempts on an agent that ran as builds, by URL.
func (c *Crew) ourBuilds(ctx context.Context, id hygiene.AgentID) (map[string]hygiene.Attempt, error) {
	attempts, err := c.Store.Attempts(ctx, store.AttemptFilter{Agent: id, Limit: 200})
	if err != nil {
		return nil, err
	}
	out := make(map[string]hygiene.Attempt, len(attempts))
	for _, t := range attempts {
		if t.Run.URL != "" {
			out[t.Run.URL] = t.Attempt
		}
	}
	return out, nil
}

func values(m map[string]hygiene.Attempt) []hygiene.Attempt {
	out := make([]hygiene.Attempt, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	return out
}
