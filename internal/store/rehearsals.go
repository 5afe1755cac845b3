// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Rehearsal is what the newest rehearsal of a revision came to.
type Rehearsal struct {
	Pool     string
	Revision string
	Passed   bool
	Report   string // in words, or where it is
	By       string
	At       time.Time // zero = there was none
}

// SaveRehearsal stores what a rehearsal came to in place of an earlier one of the same revision, with the events that tell of it.
func (s *Store) SaveRehearsal(ctx context.Context, r Rehearsal, events ...hygiene.Event) error {
	row := rows.SaveRehearsalParams{Pool: r.Pool, Revision: r.Revision, Report: r.Report, Actor: r.By, At: millis(r.At)}
	if r.Passed {
		row.Passed = 1
	}
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		if err := t.SaveRehearsal(ctx, row); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("save rehearsal of pool %s, revision %.12s: %w", r.Pool, r.Revision, err)
	}
	return nil
}

// Rehearsal returns what the newest rehearsal of a revision came to; the zero time says that there was none.
func (s *Store) Rehearsal(ctx context.Context, pool, revision string) (Rehearsal, error) {
	r, err := s.reads.Rehearsal(ctx, pool, revision)
	if err != nil && !isNoRow(err) {
		return Rehearsal{}, fmt.Errorf("read rehearsal of pool %s, revision %.12s: %w", pool, revision, explain(s.path, err))
	}
	return Rehearsal{Pool: pool, Revision: revision, Passed: r.Passed != 0, Report: r.Report, By: r.Actor, At: moment(r.At)}, nil
}

// PurgeRehearsals removes what rehearsals came to before cutoff, but for those that the newest rollouts rest on.
func (s *Store) PurgeRehearsals(ctx context.Context, cutoff time.Time) (n int64, err error) {
	err = s.write(ctx, func(ctx context.Context, t *txn) (err error) {
		n, err = t.PurgeRehearsals(ctx, millis(cutoff))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge rehearsals: %w", err)
	}
	return n, nil
}
