// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// errUnread means that an agent's build feed could not be read, for a reason that may go away.
var errUnread = errors.New("it is not known which builds ran on it")

// learn reads an agent's own build feed and records what it tells: which builds ran there, and
// which of them started while the agent was not proven clean. It returns the newest real build
// since the agent was last proven clean, or nil; beside an error, too, if only the store could not take what was learnt. While the feed cannot be read the error is
// [errUnread]; when that has lasted for long enough people are told and it is none any more, for an
// agent must not be left dirty for ever. The next reading covers the same time.
func (c *Crew) learn(ctx context.Context, id hygiene.AgentID, now time.Time) (*hygiene.Start, error) {
	judged, err := c.judgedUntil(ctx, id)
	if err != nil {
		return nil, err
	}
	since, err := c.unlearnt(ctx, id, judged)
	if err != nil {
		return nil, err
	}
	builds, err := c.Jenkins.AgentBuilds(ctx, id.Name, since)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, c.unreadable(ctx, id, err)
	}
	c.askedNow(id.Name, now)
	used, err := c.record(ctx, id, builds, judged, now)
	if err != nil {
		return used, err
	}
	return used, c.readable(ctx, id, "its builds are known again")
}

// askedNow notes that an agent's feed was read.
func (c *Crew) askedNow(agent string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[agent] = now
}

// unlearnt returns a time, by the controller's clock, before which an agent's builds are known already,
// or were none of our business. Judged is from judgedUntil.
func (c *Crew) unlearnt(ctx context.Context, id hygiene.AgentID, judged time.Time) (time.Time, error) {
	if !judged.IsZero() {
		return judged.Add(-clockSlack), nil
	}
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil || a.Adopted.IsZero() {
		return time.Time{}, err
	}
	return a.Adopted.Add(-clockSlack), nil
}

// judgedUntil returns the start of the newest build that was told: those before were judged. On an
// agent with several executors one that began before may end, and be told, after it: all since its
// newest grant are judged again there.
func (c *Crew) judgedUntil(ctx context.Context, id hygiene.AgentID) (time.Time, error) {
	_, newest, err := c.Store.FeedState(ctx, id)
	if look := c.look.Load(); err != nil || look == nil || look.Agents[id.Name].Executors < 2 {
		return newest, err
	}
	a, _, err := c.Store.Agent(ctx, id)
	if cleaned := c.theirs(a.LastCleaned); cleaned.Before(newest) {
		newest = cleaned
	}
	return newest, err
}

// record judges the builds of a feed and stores those that started after newest. What is read again, of the newest
// second that was read, is stored again: a reading may have been cut short by our end.
func (c *Crew) record(ctx context.Context, id hygiene.AgentID, builds []jenkins.FeedBuild, newest, now time.Time) (*hygiene.Start, error) {
	s, feed := c.settings.Load(), hygiene.Feed{From: newest.Add(-hygiene.FeedTick)}
	news := slices.DeleteFunc(slices.Clone(builds), func(b jenkins.FeedBuild) bool { return s.ours(b.Job) || !b.At.After(feed.From) })
	if len(news) == 0 {
		return nil, nil // what is new are cleanups alone
	}
	agent, current, err := c.Store.Agent(ctx, id)
	if err != nil {
		return nil, err
	}
	if feed.Attempts, err = c.proofs(ctx, id, current, builds[len(builds)-1].At); err != nil {
		return nil, err
	}
	feed.Adopted, feed.Starts = agent.Adopted, make([]hygiene.Start, len(builds))
	for i, b := range builds {
		feed.Starts[i] = hygiene.Start{URL: b.URL, At: b.At, Ours: s.ours(b.Job)}
	}
	judged := feed.Judge()
	rows := make([]store.Build, 0, len(news))
	for _, b := range slices.Backward(news) { // oldest first
		row := store.Build{Agent: id, URL: b.URL, Job: b.Job, Number: b.Number, At: b.At}
		n := slices.IndexFunc(judged.Contaminated, func(x hygiene.Contaminated) bool { return x.URL == b.URL })
		// What is read again is not judged again once the attempt that it was judged by is forgotten.
		if n >= 0 && (b.At.After(newest) || reaches(feed.Attempts, nil, b.At)) {
			row.Contaminated, row.Reason = true, judged.Contaminated[n].Reason
		}
		rows = append(rows, row)
	}
	if err := c.keep(ctx, agent, now, now, rows); err != nil {
		return judged.Used, err
	}
	c.retrace(ctx, id)
	return judged.Used, nil
}

// How many of an agent's newest proofs its builds are compared with: a few, and more only where those do not
// reach back to the first of the builds, as after a time in which its feed could not be read.
const (
	fewProofs = 4
	maxProofs = 4000
)

// proofs are the newest attempts on an agent that ended in clean, or were proven and could not be granted,
// and the current one. All that began since the first build are among them, up to maxProofs, and one that
// began before it: what came before that one says nothing any more.
func (c *Crew) proofs(ctx context.Context, id hygiene.AgentID, current *hygiene.Attempt, first time.Time) ([]hygiene.Attempt, error) {
	var over []hygiene.Attempt
	for n := fewProofs; n <= maxProofs; n *= 10 {
		var err error
		if over, err = c.Store.Proofs(ctx, id, n); err != nil {
			return nil, err
		}
		if len(over) < n || reaches(over, current, first) {
			break
		}
	}
	if current != nil {
		over = slices.DeleteFunc(over, func(t hygiene.Attempt) bool { return t.Number == current.Number })
		over = append(over, *current)
	}
	return over, nil
}

// reaches reports whether one of the attempts, the current one apart, surely began before a time of the
// controller's clock.
func reaches(attempts []hygiene.Attempt, current *hygiene.Attempt, at time.Time) bool {
	return slices.ContainsFunc(attempts, func(t hygiene.Attempt) bool {
		began := cmp.Or(t.Began, t.Handed)
		return (current == nil || t.Number != current.Number) && !began.IsZero() && began.Before(at.Add(-clockSlack))
	})
}

// keep stores builds, and tells of those that are contaminated and not known to be. Asked is when
// the feed that told of them was read, zero for builds that a poll saw.
func (c *Crew) keep(ctx context.Context, agent hygiene.Agent, asked, now time.Time, builds []store.Build) error {
	var events []hygiene.Event
	for _, b := range builds {
		if !b.Contaminated {
			continue
		}
		e := event(hygiene.EventContaminated, agent, fmt.Sprintf("%s: %s", b.URL, b.Reason))
		e.At, e.Before, e.After, e.Data = now, agent.State, agent.State, map[string]string{"url": b.URL}
		events = append(events, e)
	}
	told, err := c.Store.RecordBuilds(ctx, agent.ID, asked, builds, events...)
	if err != nil {
		return err
	}
	for _, e := range told {
		c.Watch.Changed(e)
		c.Log.WarnContext(ctx, "contaminated build", "event", string(e.Type), "agent", agent.ID.Name, "reason", e.Reason)
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
		b.At = c.theirs(b.At)
		if err := c.keep(ctx, v.agent, time.Time{}, now, []store.Build{b}); err != nil {
			return err
		}
	}
	return nil
}

// noteUses remembers builds that polls see on agents between their cleaning and their grant: while that
// waits, a block of a Pipeline may come and go, and no feed tells of it. While a gate is lost that may happen unseen.
func (c *Crew) noteUses(ctx context.Context, s *Settings, views []view, now time.Time) error {
	for i := range views {
		v := &views[i]
		if s.DryRun || v.policy.DryRun || !v.agent.Managed() {
			continue
		}
		if g := v.sighting.Gate; g.Mode == hygiene.GateLost && g.Away && v.agent.Need == hygiene.NeedVerify {
			if err := c.needAll(ctx, v.agent.ID, "the gate is lost, and nobody knows what runs here meanwhile", now); err != nil {
				return err
			}
		}
		if !v.sighting.Real {
			continue
		}
		if v.agent.Need == hygiene.NeedVerify || v.agent.State == hygiene.Clean {
			if err := c.needAll(ctx, v.agent.ID, "used by "+v.sighting.RealURL, now); err != nil {
				return err
			}
		}
		if v.agent.State.InProgress() && v.sighting.At.After(v.agent.Since) {
			if err := c.noteUse(ctx, v, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteUse remembers the build that is seen on an agent which the attempt has cleaned already.
func (c *Crew) noteUse(ctx context.Context, v *view, now time.Time) error {
	return c.change(ctx, v.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		t := ch.Attempt
		if ch.Agent.State != v.agent.State || t == nil || t.Number != v.agent.Attempt || t.Run.Used != "" ||
			ch.Agent.State != hygiene.Granting && t.Reconnect == 0 {
			return nil, store.ErrUnchanged
		}
		t.Run.Used, t.Run.LetIn = v.sighting.RealURL, v.letIn()
		return nil, nil
	})
}

// needAll stores that an agent needs all phases because of a build that ran on it, in whatever state it
// is by now. A clean one is left to lose its cleanliness.
func (c *Crew) needAll(ctx context.Context, id hygiene.AgentID, reason string, now time.Time) error {
	if a, _, err := c.Store.Agent(ctx, id); err == nil && !a.NeedAll() {
		return nil // each poll that sees a build on a clean agent asks: the door need not be opened for that
	}
	return c.change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if !ch.Agent.Managed() || !ch.Agent.NeedAll() {
			return nil, store.ErrUnchanged
		}
		return []hygiene.Event{event(hygiene.EventUncleaned, ch.Agent, reason+": verification alone proves nothing any more")}, nil
	})
}

// intruder is the real build that was seen to start on an agent that was not clean, if there is one.
func (v *view) intruder() (store.Build, bool) {
	a, s := v.agent, v.sighting
	if !s.Real || !a.Managed() || a.State == hygiene.Clean || v.letIn() || a.Used != nil && a.Used.URL == s.RealURL {
		return store.Build{}, false
	}
	if a.Used != nil && a.Used.Item != 0 {
		return store.Build{}, false // most likely the very one, which is not named yet
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

// letIn reports whether the build that is seen on the agent is the one that its grant lets in. A controller shows the label clean before it
// answers that it was written, and may take its time between; nobody else writes it while the agent is granting.
func (v *view) letIn() bool {
	return v.agent.State == hygiene.Granting && v.sighting.Labels.Has(hygiene.LabelClean)
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
