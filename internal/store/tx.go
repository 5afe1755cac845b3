// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// txn is a transaction that writes.
type txn struct {
	*rows.Queries // nil until it began
	tx            *sql.Tx
	from          *Store
	draft
	epoch   string                     // a new one was started
	changed map[hygiene.AgentID]Change // as they would be read back
	paused  bool                       // the pauses changed
	wrote   bool                       // the change at hand may have written something
}

// begin begins the transaction in the file if that was not done yet. Whoever begins it late must do so
// before it writes.
func (t *txn) begin(ctx context.Context) (err error) {
	t.wrote = true
	if t.tx != nil {
		return nil
	}
	if t.tx, err = t.from.db.BeginTx(ctx, nil); err == nil {
		t.Queries = t.from.writes.WithTx(t.tx)
	}
	return err
}

func (t *txn) undo() {
	if t.tx != nil {
		_ = t.tx.Rollback()
	}
}

// write runs f in one transaction, no other change at the same time, and remembers whether the file let it.
func (s *Store) write(ctx context.Context, f func(context.Context, *txn) error) error {
	err := s.transact(ctx, false, f)
	s.noteFault(ctx, err, time.Now())
	return err
}

// decide is write for what is often refused: f begins the transaction when it knows that it writes.
func (s *Store) decide(ctx context.Context, f func(context.Context, *txn) error) error {
	err := s.transact(ctx, true, f)
	s.noteFault(ctx, err, time.Now())
	return err
}

// errNoTime refuses events that nobody could put in order.
var errNoTime = errors.New("event without a time")

// tell appends the events in their order.
func (t *txn) tell(ctx context.Context, events ...hygiene.Event) error {
	for _, e := range events {
		if e.At.IsZero() {
			return fmt.Errorf("append %s: %w", e.Type, errNoTime)
		}
		row, err := eventRow(e)
		if err != nil {
			return fmt.Errorf("append %s: %w", e.Type, err)
		}
		if err := t.InsertEvent(ctx, row); err != nil {
			return fmt.Errorf("append %s: %w", e.Type, err)
		}
		t.events++
	}
	return nil
}

// millis is how times are stored.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
