// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Pause stops new cleanups within its scope.
type Pause struct {
	Scope  string // "all", "controller:NAME" or "pool:NAME"
	Reason string
	By     string
	Since  time.Time
	Until  time.Time // zero = until somebody resumes
}

// Pauses returns all pauses, those that have run out included.
func (s *Store) Pauses(ctx context.Context) ([]Pause, error) {
	var pauses []Pause
	if err := s.consult(ctx, func(b *book) { pauses = slices.Clone(b.pauses) }); err != nil {
		return nil, fmt.Errorf("read pauses: %w", err)
	}
	return pauses, nil
}

func pauseOf(r rows.Pause) (Pause, error) {
	return Pause{Scope: r.Scope, Reason: r.Reason, By: r.Actor, Since: moment(r.Since), Until: moment(r.Until)}, nil
}

// SetPause stores a pause, in place of one with the same scope, and the events that tell of it.
func (s *Store) SetPause(ctx context.Context, p Pause, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		t.paused = true
		if err := t.SavePause(ctx, rows.SavePauseParams{
			Scope: p.Scope, Reason: p.Reason, Actor: p.By, Since: millis(p.Since), Until: millis(p.Until),
		}); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("pause %s: %w", p.Scope, err)
	}
	return nil
}

// ClearPause removes the pause of a scope and stores the events that tell of it, or returns
// [ErrNotFound].
func (s *Store) ClearPause(ctx context.Context, scope string, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		t.paused = true
		n, err := t.DeletePause(ctx, scope)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("resume %s: %w", scope, err)
	}
	return nil
}
