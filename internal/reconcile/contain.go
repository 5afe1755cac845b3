// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// containEvery is how often the crew looks for agents whose build feed is due.
func (s *Settings) containEvery() time.Duration {
	return min(max(15*time.Second, s.FeedEvery/20), s.FeedEvery)
}

// contain asks agents that stay as they are for their builds, each at least once per interval, so
// that a short build between two polls is found even if nothing else happens: on clean agents, and
// on those that wait for long or are never cleaned. Agents that are cleaned are asked before they are
// called clean again, and those that one build goes on using have nothing to tell until then.
func (c *Crew) contain(ctx context.Context) error {
	return every(ctx, func() time.Duration { return c.settings.Load().containEvery() }, nil, func(ctx context.Context) {
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
		if !a.Managed() || a.State.InProgress() || s.showsOnly(a.Pool) || !c.feedDue(a, s.FeedEvery) {
			continue
		}
		if seen, listed := look.Agents[a.ID.Name]; !listed || stillUsed(a, seen) {
			continue
		}
		newest := c.learn(ctx, a.ID, time.Now())
		if newest == nil || a.State != hygiene.Clean {
			continue
		}
		use := &hygiene.Use{URL: newest.URL, At: newest.At}
		if err := c.lose(ctx, a.ID, hygiene.NeedCleanup, use, "used by "+newest.URL+", which no poll saw", time.Now()); err != nil {
			return err
		}
		poke(c.wake)
	}
	return nil
}

// stillUsed reports whether the build that used an agent up is still running there. Nothing else can
// have run since on its one executor.
func stillUsed(a hygiene.Agent, seen jenkins.Agent) bool {
	return a.State == hygiene.Due && a.Used != nil && seen.Executors == 1 && len(seen.Running) == 1 && seen.Running[0].URL == a.Used.URL
}

// feedDue reports whether an agent's feed is to be read, and takes its turn.
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
	since, err := c.unlearnt(ctx, id)
	if err != nil {
		c.Log.ErrorContext(ctx, "it is not known which builds of an agent are", "agent", id.Name, "err", err)
		return nil
	}
	feed, err := c.Jenkins.AgentBuilds(ctx, id.Name, since)
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

// unlearnt returns a time, by the controller's clock as far as ours agrees with it, before which an
// agent's builds are known already, or were none of our business.
func (c *Crew) unlearnt(ctx context.Context, id hygiene.AgentID) (time.Time, error) {
	_, since, err := c.Store.FeedState(ctx, id)
	if err == nil && since.IsZero() {
		since, err = c.adoptedAt(ctx, id, true)
	}
	if err != nil || since.IsZero() {
		return since, err
	}
	return since.Add(-clockSlack), nil
}

// record stores the builds of a feed. Everything is judged by the controller's clock: cleanups of
// ours stand in the same feed.
func (c *Crew) record(ctx context.Context, id hygiene.AgentID, feed []jenkins.FeedBuild, now time.Time) (*store.Build, error) {
	_, from, err := c.Store.FeedState(ctx, id)
	if err != nil {
		return nil, err
	}
	s, from, whole := c.settings.Load(), from.Add(-feedTick), feed
	feed = slices.DeleteFunc(slices.Clone(feed), func(b jenkins.FeedBuild) bool { return !b.At.After(from) })
	if !slices.ContainsFunc(feed, func(b jenkins.FeedBuild) bool { return !s.ours(b.Job) }) {
		return nil, nil // what is new are cleanups alone
	}
	agent, current, err := c.Store.Agent(ctx, id)
	if err != nil {
		return nil, err
	}
	ours, err := c.ourBuilds(ctx, id, current)
	if err != nil {
		return nil, err
	}
	starts := make([]hygiene.Started, 0, len(feed))
	var lastGrant time.Time
	grantedAt := len(feed) // the place of that cleanup in the feed
	slices.Reverse(feed)   // oldest first: what began in one second keeps its order then
	for i, b := range feed {
		start := hygiene.Started{URL: b.URL, At: b.At}
		if s.ours(b.Job) {
			start.Attempt = -1 // a cleanup that this store does not know proves nothing
			if t, ok := ours[b.URL]; ok {
				start.Attempt = t.Number
				if !t.Proved.IsZero() && !b.At.Before(lastGrant) {
					lastGrant, grantedAt = b.At, i
				}
			}
		}
		starts = append(starts, start)
	}
	for url, t := range ours { // over SSH, or discarded since: they stand in no feed, and go by our clock
		if t.Handed.IsZero() || slices.ContainsFunc(feed, func(b jenkins.FeedBuild) bool { return b.URL == url }) {
			continue
		}
		starts = append(starts, hygiene.Started{At: t.Handed, Attempt: t.Number})
		if !t.Proved.IsZero() && t.Handed.After(lastGrant) {
			lastGrant, grantedAt = t.Handed, len(feed)
		}
	}
	lost, err := c.losses(ctx, id, whole)
	if err != nil {
		return nil, err
	}
	starts = append(starts, before(lost, starts)...)
	granted := func(n int64) bool {
		return slices.ContainsFunc(values(ours), func(t hygiene.Attempt) bool { return t.Number == n && t.Outcome == hygiene.Cleaned })
	}
	dirty := map[string]string{}
	found := hygiene.Contaminations(starts, granted, false, from)
	adopted, err := c.adoptedAt(ctx, id, len(found) > 0)
	if err != nil {
		return nil, err
	}
	for _, x := range found {
		if !x.At.Before(adopted.Truncate(feedTick)) { // what ran before the agent was ours is not judged
			dirty[x.URL] = x.Reason
		}
	}
	builds, newest := c.builds(id, s, feed, dirty, lastGrant, grantedAt)
	return newest, c.keep(ctx, agent, now, now, builds)
}

// feedTick is how exact the times of a feed are.
const feedTick = time.Second

// maxLosses is how many of an agent's newest losses of clean its builds are compared with.
const maxLosses = 20

// losses are the moments when the agent stopped being clean and its feed does not tell why: it was
// held, asked for, disconnected, or used by a block of a Pipeline, which stands in no feed.
func (c *Crew) losses(ctx context.Context, id hygiene.AgentID, feed []jenkins.FeedBuild) ([]hygiene.Started, error) {
	events, err := c.Store.Events(ctx, store.EventFilter{Agent: id, Newest: true, Limit: maxLosses, Types: []hygiene.EventType{
		hygiene.EventUncleaned, hygiene.EventRequested, hygiene.EventQuarantined, hygiene.EventHeld,
	}})
	if err != nil {
		return nil, err
	}
	var out []hygiene.Started
	for _, e := range events {
		told := slices.ContainsFunc(feed, func(b jenkins.FeedBuild) bool { return strings.Contains(e.Reason, b.URL) })
		if e.Before == hygiene.Clean && e.After == hygiene.Due && !told {
			out = append(out, hygiene.Started{At: e.At, Attempt: e.Attempt, Lost: true})
		}
	}
	return out, nil
}

// before puts losses, whose time is by our clock, before the cleanups that followed them.
func before(losses, starts []hygiene.Started) []hygiene.Started {
	for i := range losses {
		for _, s := range starts {
			if s.Attempt > losses[i].Attempt && s.At.Before(losses[i].At) {
				losses[i].At = s.At.Add(-time.Nanosecond)
			}
		}
	}
	return losses
}

// adoptedAt returns when the agent came into our care last. It is looked for only when needed,
// because that means to walk through the agent's events.
func (c *Crew) adoptedAt(ctx context.Context, id hygiene.AgentID, needed bool) (time.Time, error) {
	if !needed {
		return time.Time{}, nil
	}
	events, err := c.Store.Events(ctx, store.EventFilter{Agent: id, Types: []hygiene.EventType{hygiene.EventAdopted}, Newest: true, Limit: 1})
	if err != nil || len(events) == 0 {
		return time.Time{}, err
	}
	return events[0].At, nil
}

// keep stores builds, and tells of those that are contaminated and not known to be. Asked is when
// the feed that told of them was read, zero for builds that a poll saw.
func (c *Crew) keep(ctx context.Context, agent hygiene.Agent, asked, now time.Time, builds []store.Build) error {
	known, err := c.Store.Builds(ctx, store.BuildFilter{Agent: agent.ID, Contaminated: true, Limit: 1000})
	if err != nil {
		return err
	}
	var events []hygiene.Event
	for _, b := range builds {
		if !b.Contaminated || slices.ContainsFunc(known, func(k store.Build) bool { return k.URL == b.URL }) {
			continue
		}
		e := event(hygiene.EventContaminated, agent, fmt.Sprintf("%s: %s", b.URL, b.Reason))
		e.At, e.Before, e.After, e.Data = now, agent.State, agent.State, map[string]string{"url": b.URL}
		events = append(events, e)
	}
	if err := c.Store.RecordBuilds(ctx, agent.ID, asked, builds, events...); err != nil {
		return err
	}
	for _, e := range events {
		c.Watch.Changed(e)
		c.Log.WarnContext(ctx, "contaminated build", "agent", agent.ID.Name, "reason", e.Reason)
	}
	return nil
}

// witness records builds that a poll sees on agents that are not clean, blocks of Pipelines among
// them, which no feed tells of. The build that used the cleanliness up is none of them, and neither
// is one that ran before the agent was ours.
func (c *Crew) witness(ctx context.Context, s *Settings, views []view, now time.Time) error {
	if s.DryRun {
		return nil
	}
	for i := range views {
		v := &views[i]
		b, ok := v.intruder()
		if v.policy.DryRun || !ok || !c.firstSeen(b) {
			continue
		}
		if err := c.keep(ctx, v.agent, time.Time{}, now, []store.Build{b}); err != nil {
			return err
		}
	}
	return nil
}

// intruder is the real build that was seen to start on an agent that was not clean, if there is one.
func (v *view) intruder() (store.Build, bool) {
	a, s := v.agent, v.sighting
	if !s.Real || !a.Managed() || a.State == hygiene.Clean || a.Used != nil && a.Used.URL == s.RealURL {
		return store.Build{}, false
	}
	began := s.At.Add(-s.BusyFor)
	if !began.After(a.Since) {
		return store.Build{}, false // it may have begun before the agent was due
	}
	b := store.Build{
		Agent: a.ID, URL: s.RealURL, At: began, Contaminated: true,
		Reason: "it was seen to start while the agent was " + string(a.State),
	}
	for _, e := range v.running {
		if e.URL == b.URL {
			b.Job, b.Number = e.Job, e.Number
		}
	}
	return b, true
}

// firstSeen reports whether a build is witnessed for the first time by this process.
func (c *Crew) firstSeen(b store.Build) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.witnessed[b.Agent.Name] == b.URL {
		return false
	}
	c.witnessed[b.Agent.Name] = b.URL
	return true
}

// builds turns what is new in a feed into rows, and finds the newest real build since the last grant.
// A build and the cleanup before it may bear the same second: then their order in the feed tells.
func (c *Crew) builds(
	id hygiene.AgentID, s *Settings, feed []jenkins.FeedBuild, dirty map[string]string, lastGrant time.Time, grantedAt int,
) ([]store.Build, *store.Build) {
	var rows []store.Build
	var newest *store.Build
	for i, b := range feed {
		if s.ours(b.Job) {
			continue
		}
		reason, contaminated := dirty[b.URL]
		row := store.Build{Agent: id, URL: b.URL, Job: b.Job, Number: b.Number, At: b.At, Contaminated: contaminated, Reason: reason}
		rows = append(rows, row)
		if !lastGrant.IsZero() && (b.At.After(lastGrant) || b.At.Equal(lastGrant) && i > grantedAt) {
			newest = &row
		}
	}
	return rows, newest
}

// maxGrants is how many of an agent's newest granted attempts its builds are compared with.
const maxGrants = 20

// ourBuilds are the newest attempts on an agent that were granted, and the current one, by the URL
// of their build. Those that ran over SSH have none and get a key of their own. Others prove nothing.
func (c *Crew) ourBuilds(ctx context.Context, id hygiene.AgentID, current *hygiene.Attempt) (map[string]hygiene.Attempt, error) {
	granted, err := c.Store.Attempts(ctx, store.AttemptFilter{Agent: id, Outcome: hygiene.Cleaned, Limit: maxGrants})
	if err != nil {
		return nil, err
	}
	out := make(map[string]hygiene.Attempt, len(granted)+1)
	note := func(t hygiene.Attempt) {
		key := t.Run.URL
		if t.Delivery == hygiene.BySSH {
			key = fmt.Sprintf("ssh %d", t.Number)
		}
		if key != "" {
			out[key] = t
		}
	}
	for _, t := range granted {
		note(t.Attempt)
	}
	if current != nil {
		note(*current)
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
