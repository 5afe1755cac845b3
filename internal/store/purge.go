// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"
)

// Retention says how long things are kept; 0 = for ever. Agents are never removed, since their
// attempts must not be numbered anew, and neither is an agent's newest attempt.
type Retention struct {
	Events   time.Duration
	Attempts time.Duration // since their end, reports included
	Logs     time.Duration // since their attempt's end
	Builds   time.Duration
}

// Purged is how much was removed.
type Purged struct {
	Events, Attempts, Logs, Builds int64
}

// purgeBatch bounds how long a change waits behind a purge.
const purgeBatch = 500

// Purge removes what is older than the retention says, in small transactions. What it had
// removed when it failed or was cancelled stays removed.
func (s *Store) Purge(ctx context.Context, now time.Time, r Retention) (p Purged, err error) {
	for _, kind := range []struct {
		name string
		keep time.Duration
		n    *int64
		purge
	}{
		{"logs", r.Logs, &p.Logs, func(t *txn) remove { return t.PurgeLogs }},
		{"attempts", r.Attempts, &p.Attempts, func(t *txn) remove { return t.PurgeAttempts }},
		{"events", r.Events, &p.Events, func(t *txn) remove { return t.PurgeEvents }},
		{"builds", r.Builds, &p.Builds, func(t *txn) remove { return t.PurgeBuilds }},
	} {
		if kind.keep <= 0 {
			continue
		}
		if *kind.n, err = s.purge(ctx, millis(now.Add(-kind.keep)), kind.purge); err != nil {
			return p, fmt.Errorf("purge %s: %w", kind.name, err)
		}
	}
	return p, nil
}

type (
	purge  func(*txn) remove
	remove func(ctx context.Context, cutoff int64, n int32) (int64, error)
)

func (s *Store) purge(ctx context.Context, cutoff int64, purge purge) (total int64, err error) {
	for n := int64(purgeBatch); n == purgeBatch; total += n {
		err := s.write(ctx, func(ctx context.Context, t *txn) (err error) {
			n, err = purge(t)(ctx, cutoff, purgeBatch)
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
