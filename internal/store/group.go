// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// group is the changes that wait for the writer. Whoever gets the turn writes all of them in one
// transaction of the file, each wholly or not at all: a transaction costs as much as two changes.
type group struct {
	mu      sync.Mutex
	waiting []*entry
}

// entry is one of them.
type entry struct {
	f    func(context.Context, *txn) error
	late bool       // f begins the transaction itself, when it has something to write
	done chan error // gets what became of it
}

// groupMost bounds how long the last of a group waits for the first.
const groupMost = 64

// errAlone tells a change that its group was undone because of one of them, and that it must be made again.
var errAlone = errors.New("made again, alone")

// transact makes the change f. The context bounds the wait for its turn; once begun, a transaction is
// short and is not interrupted. It may run f more than once, and on the goroutine of another change.
func (s *Store) transact(ctx context.Context, late bool, f func(context.Context, *txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e := &entry{f: f, late: late, done: make(chan error, 1)}
	s.group.join(e)
	select {
	case s.turn <- struct{}{}:
		s.lead(ctx, e)
	case err := <-e.done:
		e.done <- err
	case <-ctx.Done():
		if s.group.leave(e) {
			return ctx.Err()
		}
	}
	if err := <-e.done; !errors.Is(err, errAlone) {
		return err
	}
	return s.alone(ctx, late, f)
}

// lead makes the changes that wait, e among them unless another has just made it: nobody else would be sure to come for
// it. Those that are about to join are let in first.
func (s *Store) lead(ctx context.Context, e *entry) {
	defer func() { <-s.turn }()
	runtime.Gosched()
	batch := s.group.take(e)
	said := make([]error, len(batch))
	for i := range said {
		said[i] = errAlone
	}
	defer func() {
		_ = recover() // a change that panics does so again, where its own caller sees it
		for i, e := range batch {
			e.done <- said[i]
		}
	}()
	s.commit(context.WithoutCancel(ctx), batch, said)
}

// alone makes one change in a transaction of its own.
func (s *Store) alone(ctx context.Context, late bool, f func(context.Context, *txn) error) (err error) {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turn }()
	var failed error
	said := []error{nil}
	s.commit(context.WithoutCancel(ctx), []*entry{{late: late, f: func(ctx context.Context, t *txn) error {
		failed = f(ctx, t)
		return failed
	}}}, said)
	return cmp.Or(explain(s.path, failed), said[0])
}

// commit makes changes in one transaction and notes in said what became of each. One that is refused
// before it wrote anything is left out. One that fails later undoes all, and said is left as it is.
func (s *Store) commit(ctx context.Context, batch []*entry, said []error) {
	t := &txn{from: s, changed: map[hygiene.AgentID]Change{}, draft: newDraft()}
	defer t.undo() // of no effect after the commit
	refused := make([]error, len(batch))
	for i, e := range batch {
		if !e.late {
			if err := t.begin(ctx); err != nil {
				tell(said, explain(s.path, err))
				return
			}
		}
		t.wrote = !e.late
		if err := e.f(ctx, t); err != nil && t.wrote {
			return
		} else if err != nil {
			refused[i] = explain(s.path, err)
		}
	}
	copy(said, refused)
	if t.tx == nil || !slices.Contains(refused, nil) {
		return
	}
	if err := s.book.commit(t.tx, t); err != nil {
		tell(said, explain(s.path, fmt.Errorf("commit: %w", err)))
		return
	}
	if t.epoch != "" {
		s.epoch.Store(&t.epoch)
	}
	if t.events > 0 {
		s.watchers.poke()
	}
}

// tell notes an error for all that were not refused.
func tell(said []error, err error) {
	for i := range said {
		if said[i] == nil || errors.Is(said[i], errAlone) {
			said[i] = err
		}
	}
}

func (g *group) join(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, e)
}

// leave reports whether the entry still waited.
func (g *group) leave(e *entry) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, e)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	return i >= 0
}

// take returns those that waited longest, and e in any case if it waits.
func (g *group) take(e *entry) []*entry {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting, e); i >= groupMost {
		g.waiting = slices.Insert(slices.Delete(g.waiting, i, i+1), 0, e)
	}
	n := min(len(g.waiting), groupMost)
	batch := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return batch
}
