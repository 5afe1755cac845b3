// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Retention says how long things are kept; 0 = for ever. Agents are never removed, since their
// attempts must not be numbered anew, and neither is an agent's newest attempt.
type Retention struct {
	Events   time.Duration // and loans that are over
	Attempts time.Duration // since their end, reports included
	Logs     time.Duration // since their attempt's end; the newest attempt keeps its log
	Builds   time.Duration
}

// Purged is how much was removed.
type Purged struct {
	Events, Attempts, Logs, Builds, Loans int64
}

// purgeBatch bounds how long a change waits behind a purge.
const purgeBatch = 500

// Purge removes what is older than the retention says, in small transactions. What it had
// removed when it failed or was cancelled stays removed.
func (s *Store) Purge(ctx context.Context, now time.Time, r Retention) (p Purged, err error) {
	for _, kind := range []struct {
		name  string
		keep  time.Duration
		n     *int64
		purge func(ctx context.Context, cutoff int64) (int64, error)
	}{
		{"logs", r.Logs, &p.Logs, s.purgeLogs},
		{"attempts", r.Attempts, &p.Attempts, s.purgeAttempts},
		{"events", r.Events, &p.Events, s.purgeEvents},
		{"builds", r.Builds, &p.Builds, s.purgeBuilds},
		{"loans", r.Events, &p.Loans, s.purgeLoans},
	} {
		if kind.keep <= 0 {
			continue
		}
		if *kind.n, err = kind.purge(ctx, millis(now.Add(-kind.keep))); err != nil {
			return p, fmt.Errorf("purge %s: %w", kind.name, explain(s.path, err))
		}
	}
	return p, nil
}

func (s *Store) purgeEvents(ctx context.Context, cutoff int64) (int64, error) {
	first, err := s.reads.FirstYoungEvent(ctx, cutoff)
	if err != nil {
		return 0, err
	}
	return s.repeat(ctx, func(ctx context.Context, t *txn) (int64, error) { return t.PurgeEvents(ctx, first, purgeBatch) })
}

func (s *Store) purgeLoans(ctx context.Context, cutoff int64) (int64, error) {
	return s.repeat(ctx, func(ctx context.Context, t *txn) (int64, error) { return t.PurgeLoans(ctx, cutoff, purgeBatch) })
}

func (s *Store) purgeBuilds(ctx context.Context, cutoff int64) (int64, error) {
	return s.repeat(ctx, func(ctx context.Context, t *txn) (int64, error) { return t.PurgeBuilds(ctx, cutoff, purgeBatch) })
}

// repeat runs remove in transactions of its own until a batch is not full.
func (s *Store) repeat(ctx context.Context, remove func(context.Context, *txn) (int64, error)) (total int64, err error) {
	for n := int64(purgeBatch); n == purgeBatch; total += n {
		if err := s.write(ctx, func(ctx context.Context, t *txn) (err error) {
			n, err = remove(ctx, t)
			return err
		}); err != nil {
			return total, err
		}
	}
	return total, nil
}

func (s *Store) purgeAttempts(ctx context.Context, cutoff int64) (int64, error) {
	defer s.book.forgetProofs()
	return purgeFound(ctx, s,
		func(after int64) ([]int64, error) { return s.reads.OldAttempts(ctx, after, cutoff, purgeBatch) },
		func(id int64) int64 { return id },
		func(ctx context.Context, t *txn, id int64) error { return t.DeleteAttempt(ctx, id) })
}

func (s *Store) purgeLogs(ctx context.Context, cutoff int64) (int64, error) {
	return purgeFound(ctx, s,
		func(after int64) ([]rows.OldLogsRow, error) { return s.reads.OldLogs(ctx, after, cutoff, purgeBatch) },
		func(r rows.OldLogsRow) int64 { return r.ID },
		func(ctx context.Context, t *txn, r rows.OldLogsRow) error {
			return t.DeleteLog(ctx, r.Controller, r.Agent, r.Number)
		})
}

// purgeFound removes what find finds, batch by batch in the order of IDs. What was found stays
// removable until then: an attempt that has ended stays so, and never is the newest again.
func purgeFound[R any](ctx context.Context, s *Store, find func(after int64) ([]R, error), id func(R) int64, remove func(context.Context, *txn, R) error) (total int64, err error) {
	for after := int64(0); ; {
		found, err := find(after)
		if err != nil || len(found) == 0 {
			return total, err
		}
		if err := s.write(ctx, func(ctx context.Context, t *txn) error {
			for _, r := range found {
				if err := remove(ctx, t, r); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return total, err
		}
		total += int64(len(found))
		after = id(found[len(found)-1])
	}
}
