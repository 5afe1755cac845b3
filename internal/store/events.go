// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Append stores events that go with no change of an agent. Those without a time get now.
func (s *Store) Append(ctx context.Context, now time.Time, events ...hygiene.Event) error {
	timed := make([]hygiene.Event, len(events))
	for i, e := range events {
		if e.At.IsZero() {
			e.At = now
		}
		timed[i] = e
	}
	return s.write(ctx, func(ctx context.Context, t *txn) error { return t.tell(ctx, timed...) })
}

// Cursor returns the last event that a reader is done with, 0 before the first.
func (s *Store) Cursor(ctx context.Context, reader string) (int64, error) {
	after, err := s.reads.Cursor(ctx, reader)
	if isNoRow(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cursor of %s: %w", reader, explain(s.path, err))
	}
	return after, nil
}

// SaveCursor notes that a reader is done with all events up to after.
func (s *Store) SaveCursor(ctx context.Context, reader string, after int64) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error { return t.SaveCursor(ctx, reader, after) })
	if err != nil {
		return fmt.Errorf("save cursor of %s: %w", reader, err)
	}
	return nil
}
