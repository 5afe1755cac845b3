// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Start begins to roll a revision out by hand: "" is what the recipe of the pool is now, another may be named by its beginning
// as long as its program is kept.
func (o *Rollouts) Start(ctx context.Context, pool, revision, actor, reason string) (rollout.Status, error) {
	return o.order(ctx, pool, func(row store.Rollout, offer Offer, order rollout.Order) (store.Rollout, error) {
		to, err := o.revision(ctx, revision, offer)
		if err != nil {
			return row, err
		}
		next, err := row.Start(to, rand.Text(), offer.Policy, order)
		if err != nil {
			return row, err
		}
		return store.Rollout{Rollout: next, Told: maps.Clone(row.Told)}, nil
	}, actor, reason)
}

// Promote lets the rollout of a pool go on by one stage or share from where it was seen, whatever the evidence says.
func (o *Rollouts) Promote(ctx context.Context, pool string, seen rollout.Position, actor, reason string) (rollout.Status, error) {
	return o.command(ctx, pool, func(r rollout.Rollout, order rollout.Order) (rollout.Rollout, error) { return r.Promote(seen, order) }, actor, reason)
}

// Pause keeps further agents of a pool from getting the new revision.
func (o *Rollouts) Pause(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return o.command(ctx, pool, rollout.Rollout.Pause, actor, reason)
}

// Resume lets a paused rollout go on where it was.
func (o *Rollouts) Resume(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return o.command(ctx, pool, rollout.Rollout.Resume, actor, reason)
}

// Rollback gives all agents of a pool the old revision again.
func (o *Rollouts) Rollback(ctx context.Context, pool, actor, reason string) (rollout.Status, error) {
	return o.command(ctx, pool, rollout.Rollout.Rollback, actor, reason)
}

func (o *Rollouts) command(ctx context.Context, pool string, f func(rollout.Rollout, rollout.Order) (rollout.Rollout, error), actor, reason string) (rollout.Status, error) {
	return o.order(ctx, pool, func(row store.Rollout, _ Offer, order rollout.Order) (store.Rollout, error) {
		next, err := f(row.Rollout, order)
		row.Rollout = next
		return row, err
	}, actor, reason)
}

// order carries out what a person says, in the crews' turn: no agent is claimed by what was true before.
func (o *Rollouts) order(ctx context.Context, pool string, f func(store.Rollout, Offer, rollout.Order) (store.Rollout, error), actor, reason string) (rollout.Status, error) {
	offer, rolls := o.offer(pool)
	if !rolls {
		return rollout.Status{}, fmt.Errorf("pool %s: %w", pool, rollout.ErrNotRolledOut)
	}
	if err := o.ordered(ctx, offer, f, actor, reason); err != nil {
		return rollout.Status{}, err
	}
	if o.Poke != nil {
		o.Poke()
	}
	if err := o.show(ctx, pool); err != nil {
		return rollout.Status{}, err
	}
	return o.Status(ctx, pool)
}

func (o *Rollouts) ordered(ctx context.Context, offer Offer, f func(store.Rollout, Offer, rollout.Order) (store.Rollout, error), actor, reason string) error {
	o.Turn.Lock()
	defer o.Turn.Unlock()
	now := time.Now()
	if err := o.load(ctx); err != nil {
		return err
	}
	row, _ := o.row(offer.Pool)
	row.Pool = offer.Pool
	before := row
	agents, all, err := o.agents(ctx, offer.Pool)
	if err != nil {
		return err
	}
	if row, err = f(row, offer, rollout.Order{By: actor, Reason: reason, Agents: agents, Away: away(row.Rollout, all, now), Now: now}); err != nil {
		return err
	}
	if row, err = o.save(ctx, before, row, offer, now); err != nil {
		return err
	}
	evidence, l, err := o.gather(ctx, row, offer.Policy, all, now)
	if err != nil {
		return err
	}
	o.note(row, rollout.Next(row.Rollout, evidence, offer.Policy, now), l, now)
	o.happened(offer.Pool)
	return nil
}

var (
	revisionForm  = regexp.MustCompile(`^[0-9a-f]+$`)
	wholeRevision = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// revision finds the one that is meant.
func (o *Rollouts) revision(ctx context.Context, said string, offer Offer) (rollout.Revision, error) {
	compiled := offer.Program.Revision
	switch {
	case said == "" || len(said) >= rollout.Shortest && strings.HasPrefix(compiled, said):
		return rollout.Revision(compiled), nil
	case len(said) < rollout.Shortest || !revisionForm.MatchString(said):
		return "", fmt.Errorf("%w: want at least %d of its digits 0-9 and a-f, not %q", rollout.ErrNoRevision, rollout.Shortest, said)
	}
	found, err := o.Store.RevisionLike(ctx, said)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "", fmt.Errorf("%w: %s is neither what the recipe is now, nor kept because the newest rollout is from or to it", rollout.ErrNoRevision, said)
	case errors.Is(err, store.ErrAmbiguous):
		return "", fmt.Errorf("%w: %s begins several; give more of it", rollout.ErrNoRevision, said)
	}
	return rollout.Revision(found), err
}

// Rehearsed records what a rehearsal of a revision came to, which may be one that the pool has not come to yet.
func (o *Rollouts) Rehearsed(ctx context.Context, pool, revision string, passed bool, report, actor string) (rollout.Status, error) {
	offer, rolls := o.offer(pool)
	if !rolls {
		return rollout.Status{}, fmt.Errorf("pool %s: %w", pool, rollout.ErrNotRolledOut)
	}
	row, _ := o.row(pool)
	for _, known := range []string{string(row.To), offer.Program.Revision} {
		if len(revision) >= rollout.Shortest && strings.HasPrefix(known, revision) {
			revision = known
			break
		}
	}
	if !wholeRevision.MatchString(revision) {
		return rollout.Status{}, fmt.Errorf("%w: %q is not one that the pool has; give all 64 digits of one that it has not come to yet", rollout.ErrNoRevision, revision)
	}
	now := time.Now()
	how := "passed"
	if !passed {
		how = "failed"
	}
	e := hygiene.Event{
		Type: hygiene.EventRolloutRehearsed, At: now, Actor: actor, Subject: pool, Pool: pool,
		Reason: fmt.Sprintf("the rehearsal of revision %.12s %s", revision, how), Data: map[string]string{"to": revision},
	}
	if report != "" {
		e.Reason += ": " + report
	}
	err := o.Store.SaveRehearsal(ctx, store.Rehearsal{Pool: pool, Revision: revision, Passed: passed, Report: report, By: actor, At: now}, e)
	if err != nil {
		return rollout.Status{}, err
	}
	o.tell(ctx, []hygiene.Event{e})
	o.happened(pool)
	if o.Poke != nil {
		o.Poke()
	}
	return o.Status(ctx, pool)
}

// Pools are the names of those that roll out, in order.
func (o *Rollouts) Pools() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.offers))
}

// Status tells how the rollout of a pool stands.
func (o *Rollouts) Status(ctx context.Context, pool string) (rollout.Status, error) {
	offer, rolls := o.offer(pool)
	if !rolls {
		return rollout.Status{}, fmt.Errorf("pool %s: %w", pool, rollout.ErrNotRolledOut)
	}
	s := rollout.Status{Offered: rollout.Revision(offer.Program.Revision)}
	s.Rollout.Pool = pool
	o.mu.Lock()
	if p := o.pools[pool]; p != nil {
		s.Rollout, s.Decision, s.Decided = p.row.Rollout, p.decision, p.looked
	}
	o.mu.Unlock()
	var err error
	if s.Rehearsal, err = o.rehearsed(ctx, s.Rollout); err != nil { // newer than the newest decision: whoever tells of one wants to see it
		return s, err
	}
	agents, _, err := o.agents(ctx, pool)
	for _, name := range agents {
		id, parseErr := hygiene.ParseAgentID(string(name))
		if parseErr != nil {
			continue
		}
		a := rollout.Agent{ID: name}
		if _, t, err := o.Store.Agent(ctx, id); err == nil && t != nil {
			a.Has, a.Got = rollout.Revision(t.Revision), t.Claimed
		}
		s.Agents = append(s.Agents, rollout.Standing{ID: name, Has: a.Has, Wants: s.Rollout.RevisionFor(a)})
	}
	return s, err
}

// show tells the watcher how a rollout stands.
func (o *Rollouts) show(ctx context.Context, pool string) error {
	if o.Watch == nil {
		return nil
	}
	s, err := o.Status(ctx, pool)
	if err == nil {
		o.Watch.Rolled(s)
	}
	return err
}
