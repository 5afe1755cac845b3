// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// What it may cost to learn how builds ended: a request for each that used an agent since the rollout began, and for a few of
// those before it, which tell how the old revision did. No more than some are asked for at once.
const (
	learnEvery  = 30 * time.Second
	learnAtOnce = 20
	learnBefore = 50
	// stillRunning is how long a build that had not ended is left alone: a Pipeline may have gone on elsewhere.
	stillRunning = 5 * time.Minute
)

// learning is what a crew remembers of it.
type learning struct {
	at     time.Time
	before map[string]int64     // by pool: the rollout for which builds of before it were asked for
	later  map[string]time.Time // builds that still ran, by URL: when they are asked for again
}

// learnUses asks how the builds ended that took agents of pools with a rollout under way. It is of the goroutine of contain
// alone, and makes no request where no rollout is under way.
func (c *Crew) learnUses(ctx context.Context, s *Settings, look *Look, now time.Time) error {
	l := &c.learning
	if c.Rollouts == nil || now.Before(l.at) && now.After(l.at.Add(-learnEvery)) {
		return nil
	}
	l.at = now.Add(learnEvery)
	if l.later == nil {
		l.later, l.before = map[string]time.Time{}, map[string]int64{}
	}
	for url, at := range l.later {
		if now.After(at.Add(time.Hour)) {
			delete(l.later, url)
		}
	}
	return s.eachLive(func(p *Pool) error {
		row, _ := c.Rollouts.row(p.Name)
		offer, rolls := c.Rollouts.offer(p.Name)
		if !rolls || !row.Open() {
			return nil
		}
		began := c.theirs(row.Started)
		uses, err := c.Store.OpenUses(ctx, c.id, p.Name, began, c.theirs(now).Add(clockSlack), learnAtOnce)
		if err != nil {
			return err
		}
		if l.before[p.Name] != row.Number {
			old, err := c.Store.OpenUses(ctx, c.id, p.Name, began.Add(-offer.Policy.Baseline), began, learnBefore)
			if err != nil {
				return err
			}
			l.before[p.Name] = row.Number
			uses = append(uses, old...)
		}
		return c.learnEach(ctx, p.Name, look, uses, now)
	})
}

func (c *Crew) learnEach(ctx context.Context, pool string, look *Look, uses []store.OpenUse, now time.Time) error {
	var errs error
	for i := range uses {
		u := &uses[i]
		running := slices.ContainsFunc(look.Agents[u.Agent.Name].Running, func(e jenkins.Executable) bool { return e.URL == u.URL })
		if running || now.Before(c.learning.later[u.URL]) {
			continue
		}
		switch err := c.learnUse(ctx, pool, u, now); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			c.learning.later[u.URL] = now.Add(stillRunning)
			errs = errors.Join(errs, fmt.Errorf("learn how %s ended: %w", u.URL, err))
		}
	}
	return errs
}

// learnUse asks how one build ended: one request. Of one that is gone, or that we may not read, nobody will ever know.
func (c *Crew) learnUse(ctx context.Context, pool string, u *store.OpenUse, now time.Time) error {
	b, err := c.Jenkins.BuildAt(ctx, u.URL)
	unknowable := jenkins.IsNotFound(err) || jenkins.IsForbidden(err)
	switch {
	case err != nil && !unknowable:
		return err
	case err == nil && (b.Building || b.Result == ""):
		c.learning.later[u.URL] = now.Add(stillRunning)
		return nil
	}
	end := b.Timestamp.Add(b.Duration).Add(-time.Duration(c.ahead.Load()))
	if unknowable || b.Timestamp.IsZero() || end.After(now) {
		end = now
	}
	err = c.Store.SaveUseResult(ctx, pool, store.UseResult{OpenUse: *u, Result: b.Result, At: end})
	if err == nil {
		c.Rollouts.happened(pool)
	}
	return err
}
