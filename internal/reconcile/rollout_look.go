// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// How long a pool goes without a look when nothing happens: agents come and go, and their number makes a share.
const (
	lookWhileOpen = time.Minute
	lookWhileOver = 5 * time.Minute
)

// rollOut lets the rollouts of all pools of a crew go on. It is part of the crew's turn.
func (c *Crew) rollOut(ctx context.Context, s *Settings, now time.Time) error {
	if c.Rollouts == nil {
		return nil
	}
	if err := c.Rollouts.load(ctx); err != nil {
		return err
	}
	if s.DryRun {
		return nil
	}
	err := c.Rollouts.drop(ctx, now)
	return errors.Join(err, s.eachLive(func(p *Pool) error { return c.Rollouts.look(ctx, p.Name, now) }))
}

// drop forgets the rollouts of pools that do not roll out any more: what is compiled is taken at once there, so that what
// they pinned says nothing. A pool that came in place of another goes on with what that had: else a revision that nobody has proved,
// or one that was rolled back, would be everywhere as soon as its pool is called otherwise.
func (o *Rollouts) drop(ctx context.Context, now time.Time) error {
	o.mu.Lock()
	var gone []store.Rollout
	for pool, p := range o.pools {
		if _, rolls := o.offers[pool]; !rolls && !o.tidy {
			gone = append(gone, p.row)
		}
	}
	o.tidy = true
	o.mu.Unlock()
	slices.SortFunc(gone, func(a, b store.Rollout) int { return strings.Compare(a.Pool, b.Pool) })
	for i := range gone {
		row := &gone[i]
		heirs, err := o.inherit(ctx, row)
		var events []hygiene.Event
		if err == nil {
			if why := "its pool does not roll out any more: all agents get what its recipe is"; row.Open() {
				if len(heirs) > 0 {
					why = "its pool does not roll out any more; it goes on in pool " + strings.Join(heirs, ", ") + ", which is new and has its recipe"
				}
				events = []hygiene.Event{rolloutEvent(hygiene.EventRolloutDropped, row.Rollout, now, "pitcrew", why)}
			}
			err = o.Store.DropRollout(ctx, *row, events...)
		}
		if err != nil {
			o.reread()
			o.mu.Lock()
			o.tidy = false
			o.mu.Unlock()
			return err
		}
		o.mu.Lock()
		delete(o.pools, row.Pool)
		o.mu.Unlock()
		o.tell(ctx, events)
		if o.Watch != nil {
			o.Watch.Unrolled(row.Pool)
		}
	}
	return nil
}

// inherit gives what a pool had to those that have had none yet and have its recipe, and returns their names.
func (o *Rollouts) inherit(ctx context.Context, row *store.Rollout) (heirs []string, err error) {
	had, err := o.Store.Program(ctx, string(row.Pinned()))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	for pool := range o.offers {
		if o.pools[pool] == nil && o.offers[pool].Program.Recipe == had.Recipe {
			heirs = append(heirs, pool)
		}
	}
	o.mu.Unlock()
	slices.Sort(heirs)
	for _, pool := range heirs {
		one := *row
		one.Pool, one.Version = pool, 0
		saved, err := o.Store.SaveRollout(ctx, one, nil)
		if err != nil {
			return nil, err
		}
		o.mu.Lock()
		o.pools[pool] = &rolling{row: saved, stale: true}
		o.mu.Unlock()
	}
	return heirs, nil
}

// due reports whether a pool is to be decided about now.
func (o *Rollouts) due(pool string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pools[pool]
	return p == nil || p.looked.IsZero() || p.looked.After(now) || !now.Before(p.next) || p.stale && p.evidence.rested(p.looked, now)
}

// look decides about the rollout of a pool, with all its agents of all controllers, and stores what follows. The caller has
// the crews' turn.
func (o *Rollouts) look(ctx context.Context, pool string, now time.Time) error {
	offer, rolls := o.offer(pool)
	if !rolls || !o.due(pool, now) {
		return nil
	}
	agents, all, err := o.agents(ctx, pool)
	if err != nil {
		return err
	}
	row, _ := o.row(pool)
	before := row
	row.Pool = pool
	row.Rollout = row.SetBack(now)
	order := rollout.Order{Agents: agents, Away: away(row.Rollout, all, now), Now: now}
	if row, err = o.arrive(row, offer, order); err != nil {
		return err
	}
	order.Away = away(row.Rollout, all, now)
	row.Rollout, _ = row.Refit(order.Agents, order.Away)
	evidence, ledger, err := o.gather(ctx, row, offer.Policy, all, now)
	if err != nil {
		return err
	}
	d := rollout.Next(row.Rollout, evidence, offer.Policy, now)
	blamed, err := o.blame(ctx, &row, d, offer, now)
	if err != nil {
		return err
	}
	if row.Rollout, err = rollout.Apply(row.Rollout, d, order); err != nil {
		return err
	}
	if row, err = o.save(ctx, before, row, offer, now, blamed...); err != nil {
		return err
	}
	if err := o.forgiveLate(ctx, row.Rollout, now); err != nil {
		return err
	}
	if d.Verdict != rollout.Stay { // what the new stage waits for
		d = rollout.Next(row.Rollout, evidence, offer.Policy, now)
	}
	o.note(row, d, ledger, now)
	return o.show(ctx, pool)
}

// arrive does what follows from what the recipe is compiled to now.
func (o *Rollouts) arrive(row store.Rollout, offer Offer, order rollout.Order) (store.Rollout, error) {
	compiled := rollout.Revision(offer.Program.Revision)
	what, why := row.Arrive(compiled)
	order.By, order.Reason = "pitcrew", why
	var err error
	switch what {
	case rollout.Nothing:
	case rollout.Pin:
		row.From, row.By, row.Reason, row.Since = compiled, order.By, why, order.Now
	case rollout.Withdraw:
		row.Rollout, err = row.Rollback(order)
	case rollout.Replace:
		if row.Rollout, err = row.Rollback(order); err != nil {
			break
		}
		row, err = begin(row, compiled, offer.Policy, order)
	case rollout.Begin:
		row, err = begin(row, compiled, offer.Policy, order)
	}
	return row, err
}

// begin starts a rollout. Of what was told before only agents are remembered.
func begin(row store.Rollout, to rollout.Revision, p rollout.Policy, order rollout.Order) (store.Rollout, error) {
	next, err := row.Start(to, rand.Text(), p, order)
	if err != nil {
		return row, err
	}
	told := maps.Clone(row.Told)
	maps.DeleteFunc(told, func(key string, at time.Time) bool {
		return !isAgentKey(key) || at.Before(rollout.EvidenceSince(next, p))
	})
	return store.Rollout{Rollout: next, Told: told}, nil
}

// save stores what became of a rollout, if anything did, and tells of it.
func (o *Rollouts) save(ctx context.Context, before, row store.Rollout, offer Offer, now time.Time, events ...hygiene.Event) (store.Rollout, error) {
	if reflect.DeepEqual(before, row) {
		return row, nil
	}
	events = append(changes(before.Rollout, row.Rollout, now), events...)
	var programs []store.Program
	if before.From != row.From || before.To != row.To {
		body, err := offer.Program.Pack()
		if err != nil {
			return row, err
		}
		programs = []store.Program{{Revision: offer.Program.Revision, Recipe: offer.Program.Recipe, Disjoint: offer.RecipeDisjoint, Body: body}}
	}
	saved, err := o.Store.SaveRollout(ctx, row, programs, events...)
	if err != nil {
		o.reread()
		return row, err
	}
	o.tell(ctx, events)
	for _, e := range events {
		if e.Type == hygiene.EventRolloutRolledBack {
			err = errors.Join(err, o.forgive(ctx, row.Pool, with(rollout.Revision(e.Data["to"])), now))
		}
	}
	return saved, err
}

// forgiveLate forgives what a revision did in cleanups that ran when it was rolled back or replaced, and have ended since.
func (o *Rollouts) forgiveLate(ctx context.Context, r rollout.Rollout, now time.Time) error {
	switch {
	case r.Stage == rollout.RolledBack:
		return o.forgive(ctx, r.Pool, with(r.To), now)
	case r.Open():
		return o.forgive(ctx, r.Pool, func(t *hygiene.Attempt) bool {
			v := rollout.Revision(t.Revision)
			return v != r.From && v != r.To && t.Ended.After(r.Started)
		}, now)
	}
	return nil
}

func with(v rollout.Revision) func(*hygiene.Attempt) bool {
	return func(t *hygiene.Attempt) bool { return t.Revision == string(v) }
}

// forgive has agents tried at once that failed with a revision which is given to none any more: they wait, or are in
// quarantine, for what it did. What it alone did counts for nothing any more. Those on which others fail as well are blamed
// themselves, and stay where they are.
func (o *Rollouts) forgive(ctx context.Context, pool string, gone func(*hygiene.Attempt) bool, now time.Time) error {
	_, all, err := o.agents(ctx, pool)
	if err != nil {
		return err
	}
	var errs error
	for i := range all {
		a := &all[i]
		if a.Pool != pool || a.State != hygiene.Due || !a.NextLook.After(now) {
			continue
		}
		failed, err := o.Store.Attempts(ctx, store.AttemptFilter{Agent: a.ID, Outcome: hygiene.Failed, Limit: max(a.Failures, 1)})
		if err != nil || len(failed) == 0 || !gone(&failed[0].Attempt) {
			errs = errors.Join(errs, err)
			continue
		}
		alone := !slices.ContainsFunc(failed, func(r store.AttemptRecord) bool { return !gone(&r.Attempt) })
		err = o.Store.Change(ctx, a.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
			t, q := ch.Attempt, ch.Agent.Quarantine
			mine := t != nil && t.Outcome == hygiene.Failed && gone(t) && ch.Agent.State == hygiene.Due
			if !mine || q != nil && (q.By != "pitcrew" || strings.HasPrefix(q.Reason, blamedPrefix)) {
				return nil, store.ErrUnchanged
			}
			ch.Agent.NextLook = time.Time{}
			kind := hygiene.EventRequested
			switch {
			case alone && ch.Agent.Failures == a.Failures:
				if q != nil {
					kind = hygiene.EventReleased
				}
				ch.Agent.Failures, ch.Agent.Quarantine = 0, nil
			case q != nil:
				due := *q
				due.NextLook = now
				ch.Agent.Quarantine = &due
			}
			return []hygiene.Event{event(kind, ch.Agent, "revision "+rollout.Revision(t.Revision).Short()+", with which it failed, was rolled back")}, nil
		})
		errs = errors.Join(errs, err)
	}
	return errs
}

// tell tells the watcher and the log of events that were stored.
func (o *Rollouts) tell(ctx context.Context, events []hygiene.Event) {
	for _, e := range events {
		o.Log.InfoContext(ctx, "rollout changed", "event", string(e.Type), "pool", e.Pool, "by", e.Actor, "reason", e.Reason)
		if o.Watch != nil {
			o.Watch.Changed(e)
		}
	}
}

// note keeps what was stored and decided.
func (o *Rollouts) note(row store.Rollout, d rollout.Decision, l ledger, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.pools[row.Pool]
	if p == nil {
		p = &rolling{}
		o.pools[row.Pool] = p
	}
	p.row, p.decision, p.evidence = row, d, l
	p.looked, p.next, p.stale = now, now.Add(lookWhileOver), false
	if row.Open() {
		p.next = now.Add(lookWhileOpen)
	}
	if !d.NextLook.IsZero() && d.NextLook.Before(p.next) {
		p.next = d.NextLook
	}
}

// agents returns the managed agents of a pool on all controllers, and all agents whatever their pool.
func (o *Rollouts) agents(ctx context.Context, pool string) (ids []rollout.AgentID, all []hygiene.Agent, err error) {
	if all, err = o.Store.Agents(ctx, ""); err != nil {
		return nil, nil, err
	}
	for i := range all {
		if all[i].Pool == pool && all[i].Managed() {
			ids = append(ids, agentOf(all[i].ID))
		}
	}
	return ids, all, nil
}

// awayAfter is how long an agent tells nothing about a revision until the rollout does not wait for it.
const awayAfter = 2 * time.Hour

// away are the agents of a pool that have been kept out by a person, on loan, or out of reach for so long, and that no attempt was
// made on since the rollout began: an agent that is gone since then may be what the revision makes of agents, and of one after the other.
func away(row rollout.Rollout, all []hygiene.Agent, now time.Time) map[rollout.AgentID]bool {
	began := now
	if row.Open() {
		began = row.Started
	}
	long := func(since time.Time) bool { return now.Sub(since) > awayAfter }
	found := map[rollout.AgentID]bool{}
	for i := range all {
		a := &all[i]
		if a.Pool != row.Pool || !a.LastServed.Before(began) {
			continue
		}
		held, kept := a.Held(now) != nil && long(a.Hold.Since), a.Quarantine != nil && a.KeptOut(now) != "" && long(a.Quarantine.Since)
		unreached := a.State == hygiene.Due && a.Quarantine == nil && long(a.Since) && long(a.LastServed)
		if held || kept || unreached || a.Loan != nil && long(a.Loan.Since) {
			found[agentOf(a.ID)] = true
		}
	}
	return found
}

// changes are the events of what became of a rollout.
func changes(before, after rollout.Rollout, now time.Time) []hygiene.Event {
	var events []hygiene.Event
	say := func(kind hygiene.EventType, r rollout.Rollout) {
		events = append(events, rolloutEvent(kind, r, now, r.By, r.Reason))
	}
	if before.Number != after.Number && before.Open() { // another took its place
		given := before
		given.By, given.Reason = after.By, after.Reason
		say(hygiene.EventRolloutRolledBack, given)
		before = rollout.Rollout{}
	}
	switch {
	case before.Number != after.Number:
		say(hygiene.EventRolloutStarted, after)
	case before.Stage == after.Stage && before.Step == after.Step && before.Since.Equal(after.Since):
	case after.Stage == rollout.Paused:
		say(hygiene.EventRolloutPaused, after)
	case after.Stage == rollout.RolledBack:
		say(hygiene.EventRolloutRolledBack, after)
	case before.Stage == rollout.Paused:
		say(hygiene.EventRolloutResumed, after)
	case after.Stage == rollout.Done:
		say(hygiene.EventRolloutDone, after)
	case before.Stage != after.Stage || before.Step != after.Step:
		say(hygiene.EventRolloutStage, after)
	}
	return events
}

// rolloutEvent is one event about a rollout.
func rolloutEvent(kind hygiene.EventType, r rollout.Rollout, now time.Time, by, reason string) hygiene.Event {
	return hygiene.Event{
		Type: kind, At: now, Actor: by, Subject: r.Pool, Pool: r.Pool, Reason: reason,
		Data: map[string]string{"from": string(r.From), "to": string(r.To), "stage": r.Where(), "number": strconv.FormatInt(r.Number, 10)},
	}
}
