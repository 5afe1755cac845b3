// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// trip is the breaker of a pool as the newest decision found it.
type trip struct {
	state    hygiene.BreakerState
	reason   string
	revision string
	failures int // attempts that failed while this process lived; known is how many it was computed of
	known    int
	at       time.Time // when it was computed
	window   ledger    // what it was computed of
}

// tripEvery is how often a closed breaker is computed when nothing fails.
const tripEvery = time.Minute

// fresh reports whether a breaker need not be computed again: it looks through every attempt of its window.
func (t trip) fresh(revision string, now time.Time) bool {
	return t.state == hygiene.BreakerClosed && t.revision == revision && t.known == t.failures && now.Sub(t.at) < tripEvery
}

// breakers looks after the breaker of every pool. It comes before every choice: an attempt that just
// failed may be the one that opens it, or the trial that keeps it open.
func (c *Crew) breakers(ctx context.Context, s *Settings, now time.Time) error {
	return s.eachLive(func(p *Pool) error { return c.breaker(ctx, p, now) })
}

// alarms looks after the alarms of every pool. Each says something once per change.
func (c *Crew) alarms(ctx context.Context, s *Settings, views []view, now time.Time) error {
	return s.eachLive(func(p *Pool) error { return c.poolAlarms(ctx, p, views, now) })
}

// eachLive calls f for every pool that is not only shown what would be done.
func (s *Settings) eachLive(f func(*Pool) error) error {
	for i := range s.Pools {
		if p := &s.Pools[i]; !p.Policy.DryRun && !s.DryRun {
			if err := f(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// breaker opens and closes the breaker of a pool's present recipe revision.
func (c *Crew) breaker(ctx context.Context, p *Pool, now time.Time) error {
	revision := c.Rollouts.pinned(p) // one that is being rolled out is not everywhere: stopping it is the rollout's business
	c.mu.Lock()
	last := c.tripped[p.Name]
	c.mu.Unlock()
	if last.fresh(revision, now) || p.Breaker.Agents <= 0 {
		return nil
	}
	row, err := c.breakerRow(ctx, p)
	if err != nil {
		return err
	}
	since := now.Add(-p.Breaker.Within)
	if !row.Opened.IsZero() && row.Opened.Add(-p.Breaker.Within).Before(since) {
		since = row.Opened.Add(-p.Breaker.Within)
	}
	window, err := last.window.read(ctx, c.Store, p.Name, c.id, since, now)
	if err != nil {
		return err
	}
	state, reason := hygiene.Trip(hygiene.Breaker{Opened: row.Opened, Since: row.Since}, window.ended, revision, p.Breaker, now)
	c.mu.Lock()
	failures := c.tripped[p.Name].failures // one may have failed meanwhile
	c.tripped[p.Name] = trip{state: state, reason: reason, revision: revision, failures: failures, known: last.failures, at: now, window: window}
	c.mu.Unlock()
	open := state != hygiene.BreakerClosed
	if open == !row.Opened.IsZero() {
		return nil
	}
	e := hygiene.Event{
		Type: hygiene.EventBreakerOpen, At: now, Actor: "pitcrew", Subject: p.Name, Pool: p.Name,
		Agent: hygiene.AgentID{Controller: c.id}, Reason: "no cleanup of this recipe revision starts: " + reason,
	}
	row.Opened, row.Reason = now, reason
	if !open {
		e.Type, e.Reason = hygiene.EventBreakerShut, reason
		row.Opened, row.Since = time.Time{}, now
	}
	if err := c.Store.SaveBreaker(ctx, row, e); err != nil {
		return err
	}
	c.Watch.Changed(e)
	c.Log.WarnContext(ctx, "alarm changed", "event", string(e.Type), "pool", p.Name, "reason", e.Reason)
	return nil
}

// breakerRow reads the stored breaker of a pool's present revision; a closed one if there is none.
func (c *Crew) breakerRow(ctx context.Context, p *Pool) (store.BreakerRow, error) {
	rows, err := c.Store.Breakers(ctx)
	if err != nil {
		return store.BreakerRow{}, err
	}
	want := store.BreakerRow{Pool: c.PoolScope(p.Name), Revision: c.Rollouts.pinned(p)}
	for _, row := range rows {
		if row.Pool == want.Pool && row.Revision == want.Revision {
			return row, nil
		}
	}
	return want, nil
}

// stopped says why the breaker lets no cleanup of a pool with a revision start, and whether one trial may.
func (c *Crew) stopped(pool, revision string) (reason string, trial bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tripped[pool]
	if t.revision != revision {
		return "", false
	}
	switch t.state {
	case hygiene.BreakerOpen:
		return "stopped, because its recipe fails: " + t.reason, false
	case hygiene.BreakerTrial:
		return "", true
	case hygiene.BreakerClosed:
	}
	return "", false
}

// poolAlarms raises and lowers the alarms of a pool: nothing is cleaned although agents wait, fewer agents than the
// capacity floor are of use to anybody, or the labels of some cannot be written.
func (c *Crew) poolAlarms(ctx context.Context, p *Pool, views []view, now time.Time) error {
	row, err := c.poolRow(ctx, p)
	if err != nil {
		return err
	}
	var events []hygiene.Event
	say := func(kind hygiene.EventType, reason string) {
		events = append(events, hygiene.Event{
			Type: kind, At: now, Actor: "pitcrew", Subject: c.PoolScope(p.Name), Pool: p.Name,
			Agent: hygiene.AgentID{Controller: c.id}, Reason: reason,
		})
	}
	dead, err := c.isDead(ctx, p, views, row, now)
	if err != nil {
		return err
	}
	switch {
	case dead && row.DeadSince.IsZero():
		row.DeadSince = now
		say(hygiene.EventDead, "agents wait, and none was cleaned for longer than "+p.DeadMan.String())
	case !dead && !row.DeadSince.IsZero():
		row.DeadSince = time.Time{}
		say(hygiene.EventAlive, "agents are cleaned again, or none waits")
	}
	switch usable, floor := usable(p, views, now); {
	case usable < floor && row.ShortSince.IsZero():
		row.ShortSince = now
		say(hygiene.EventShort, fmt.Sprintf("%d agents are usable, and the floor is %d", usable, floor))
	case usable >= floor && !row.ShortSince.IsZero():
		row.ShortSince = time.Time{}
		say(hygiene.EventEnough, fmt.Sprintf("%d agents are usable again, and the floor is %d", usable, floor))
	}
	switch reason := stuckIn(p, views); {
	case reason != "" && row.StuckSince.IsZero():
		row.StuckSince = now
		say(hygiene.EventPoolStuck, reason)
	case reason == "" && !row.StuckSince.IsZero():
		row.StuckSince = time.Time{}
		say(hygiene.EventPoolUnstuck, "the labels of all its agents can be written again")
	}
	switch reason := c.unreadIn(p, views); {
	case reason != "" && row.UnreadSince.IsZero():
		row.UnreadSince = now
		say(hygiene.EventPoolUnread, reason)
	case reason == "" && !row.UnreadSince.IsZero():
		row.UnreadSince = time.Time{}
		say(hygiene.EventPoolRead, "the builds of all its agents are known again")
	}
	if len(events) == 0 {
		return nil
	}
	if err := c.Store.SavePoolState(ctx, row, events...); err != nil {
		return err
	}
	c.notePoolRow(row)
	for _, e := range events {
		c.Watch.Changed(e)
		c.Log.WarnContext(ctx, "alarm changed", "event", string(e.Type), "pool", p.Name, "reason", e.Reason)
	}
	return nil
}

// poolRow returns what is stored of a pool. It is read once: this crew alone writes it.
func (c *Crew) poolRow(ctx context.Context, p *Pool) (store.PoolRow, error) {
	scope := c.PoolScope(p.Name)
	c.mu.Lock()
	row, ok := c.poolRows[scope]
	c.mu.Unlock()
	if ok {
		return row, nil
	}
	row, err := c.Store.PoolState(ctx, scope)
	if err == nil {
		c.notePoolRow(row)
	}
	return row, err
}

func (c *Crew) notePoolRow(row store.PoolRow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poolRows[row.Pool] = row
}

// usable counts the agents of a pool that serve or soon will: those that are clean, in use, waiting
// their turn or being cleaned, that did not fail and are not on loan. The floor is of all that are managed, or will be
// by this very decision.
func usable(p *Pool, views []view, now time.Time) (usable, floor int) {
	total := 0
	for i := range views {
		v := &views[i]
		if v.pool == nil || v.pool.Name != p.Name || !v.counts() {
			continue
		}
		total++
		if v.usable(now) {
			usable++
		}
	}
	if p.Floor != nil {
		floor = p.Floor(total)
	}
	return usable, floor
}

// counts reports whether the agent is managed, or will be by this very decision.
func (v *view) counts() bool { return v.agent.Managed() || v.action.Kind == hygiene.Adopt }

// usable reports whether the agent serves its controller or soon will: it is there, did not fail, and nobody keeps or has it.
func (v *view) usable(now time.Time) bool {
	a := &v.agent
	return v.counts() && a.Failures == 0 && a.Quarantine == nil && a.Held(now) == nil && a.Loan == nil && v.sighting.Present && !v.sighting.Offline
}

// stuckIn says of one agent of a pool whose labels cannot be written why, "" when those of all can: a permission that is
// missing on all is one change of state.
func stuckIn(p *Pool, views []view) string {
	for i := range views {
		if a := &views[i].agent; a.Stuck != nil && a.Pool == p.Name {
			return fmt.Sprintf("on %s: %s; for others of the pool it is in their events", a.ID.Name, a.Stuck.Reason)
		}
	}
	return ""
}

// isDead reports whether the dead-man alarm of a pool is due, or stays.
func (c *Crew) isDead(ctx context.Context, p *Pool, views []view, row store.PoolRow, now time.Time) (bool, error) {
	waiting, cleaned := waits(p, views, now)
	switch {
	case p.DeadMan <= 0 || len(waiting) == 0:
		return false, nil
	case !row.DeadSince.IsZero():
		return !cleaned.After(row.DeadSince), nil
	case now.Sub(cleaned) <= p.DeadMan:
		return false, nil
	}
	for _, a := range waiting {
		if hygiene.Dead(a.Since, cleaned, p.DeadMan, now) {
			return true, nil
		}
	}
	for _, a := range waiting { // each attempt began a state anew, however long the agent has waited
		since, err := c.triedSince(ctx, a)
		if err != nil || hygiene.Dead(since, cleaned, p.DeadMan, now) {
			return err == nil, err
		}
	}
	return false, nil
}

// triedSince returns when the first of an agent's attempts was claimed that have not succeeded since
// the last that did; zero if there is none. Those that are too many to read began long ago.
func (c *Crew) triedSince(ctx context.Context, a hygiene.Agent) (time.Time, error) {
	attempts, err := c.Store.Attempts(ctx, store.AttemptFilter{Agent: a.ID})
	var since time.Time
	for _, t := range attempts {
		if t.Outcome == hygiene.Cleaned {
			break
		}
		since = t.Claimed
	}
	return since, err
}

// waits returns the agents of a pool that wait to be cleaned or are just tried, and when the newest
// of the pool was cleaned. Agents that a person keeps out do not wait. Those in quarantine do only
// where all are: a sick one beside others that nobody uses is no dead pool.
func waits(p *Pool, views []view, now time.Time) (waiting []hygiene.Agent, cleaned time.Time) {
	var sick []hygiene.Agent
	well := false
	for i := range views {
		v := &views[i]
		if v.pool == nil || v.pool.Name != p.Name {
			continue
		}
		if v.agent.LastCleaned.After(cleaned) {
			cleaned = v.agent.LastCleaned
		}
		well = well || v.agent.Managed() && v.agent.Quarantine == nil && v.agent.KeptOut(now) == ""
		switch {
		case !v.waits(now):
		case v.agent.Quarantine != nil:
			sick = append(sick, v.agent)
		default:
			waiting = append(waiting, v.agent)
		}
	}
	if !well {
		waiting = append(waiting, sick...)
	}
	return waiting, cleaned
}

// waits reports whether an agent is tried or could be.
func (v *view) waits(now time.Time) bool {
	ready := v.sighting.OfflineBy == hygiene.OnlineNow && v.sighting.Present && v.sighting.Idle
	return v.agent.State.InProgress() || v.agent.State == hygiene.Due && v.agent.KeptOut(now) == "" && ready
}
