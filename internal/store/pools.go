// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// BreakerRow is the stored breaker of one pool and recipe revision; see [hygiene.Breaker].
type BreakerRow struct {
	Pool     string
	Revision string
	Opened   time.Time // zero = closed
	Since    time.Time
	Reason   string
}

// PoolRow is what is known of a pool.
type PoolRow struct {
	Pool        string
	LastCleaned time.Time // when clean was last granted in it
	DeadSince   time.Time // when the dead-man alarm was raised; zero = it is not
	ShortSince  time.Time // when it fell under its capacity floor; zero = it has not
	UnreadSince time.Time // when it was told that the builds of one of its agents are unknown; zero = those of all are known
	StuckSince  time.Time // when the labels of one of its agents could not be written; zero = those of all can
}

// Breakers returns all breakers that ever opened.
func (s *Store) Breakers(ctx context.Context) ([]BreakerRow, error) {
	found, err := s.reads.Breakers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read breakers: %w", explain(s.path, err))
	}
	return each(found, func(r rows.Breaker) (BreakerRow, error) {
		return BreakerRow{
			Pool: r.Pool, Revision: r.Revision, Opened: moment(r.Opened), Since: moment(r.Since), Reason: r.Reason,
		}, nil
	})
}

// SaveBreaker stores a breaker and the events that tell of it.
func (s *Store) SaveBreaker(ctx context.Context, b BreakerRow, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		if err := t.SaveBreaker(ctx, rows.SaveBreakerParams{
			Pool: b.Pool, Revision: b.Revision, Opened: millis(b.Opened), Since: millis(b.Since), Reason: b.Reason,
		}); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("save breaker of pool %s: %w", b.Pool, err)
	}
	return nil
}

// PoolState returns what is known of a pool: nothing but its name before the first save.
func (s *Store) PoolState(ctx context.Context, pool string) (PoolRow, error) {
	r, err := s.reads.Pool(ctx, pool)
	if err != nil && !isNoRow(err) {
		return PoolRow{}, fmt.Errorf("read pool %s: %w", pool, explain(s.path, err))
	}
	return PoolRow{
		Pool: pool, LastCleaned: moment(r.LastCleaned), DeadSince: moment(r.DeadSince), ShortSince: moment(r.ShortSince),
		StuckSince: moment(r.StuckSince), UnreadSince: moment(r.UnreadSince),
	}, nil
}

// SavePoolState stores what is known of a pool and the events that tell of it.
func (s *Store) SavePoolState(ctx context.Context, p PoolRow, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		if err := t.SavePool(ctx, rows.SavePoolParams{
			Name: p.Pool, LastCleaned: millis(p.LastCleaned), DeadSince: millis(p.DeadSince), ShortSince: millis(p.ShortSince),
			StuckSince: millis(p.StuckSince), UnreadSince: millis(p.UnreadSince),
		}); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("save pool %s: %w", p.Pool, err)
	}
	return nil
}
