// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// book is every agent with its newest attempt as committed, decoded once, and the pauses: each poll
// asks for all of them, and each step of a cleanup for one. It cannot grow stale: one process owns the
// file, agents and attempts change through one door, and a commit holds the book closed until it
// stands there.
//
// Nothing that is handed out shares memory with the book.
type book struct {
	mu      sync.RWMutex
	read    bool // false before the first use, and when only the file can tell what was committed
	agents  map[hygiene.AgentID]*Change
	ordered map[hygiene.ControllerID][]*Change // by name
	open    map[hygiene.AgentID]*Change        // those with an attempt in progress
	pauses  []Pause

	shelves
	edition int64 // counts what may have changed these
}

// consult calls f with the book open, reading the file first if it must.
func (s *Store) consult(ctx context.Context, f func(*book)) error {
	s.book.mu.RLock()
	if s.book.read {
		defer s.book.mu.RUnlock()
		f(&s.book)
		return nil
	}
	s.book.mu.RUnlock()
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if !s.book.read {
		if err := s.book.fill(ctx, s.reads); err != nil {
			return explain(s.path, err)
		}
	}
	f(&s.book)
	return nil
}

// fill reads everything. The caller holds the book closed, so that nothing is committed meanwhile.
func (b *book) fill(ctx context.Context, q *rows.Queries) error {
	b.clear()
	b.agents, b.ordered, b.open = map[hygiene.AgentID]*Change{}, map[hygiene.ControllerID][]*Change{}, map[hygiene.AgentID]*Change{}
	newest, err := newestAttempts(ctx, q)
	if err != nil {
		return err
	}
	agents, err := q.Agents(ctx)
	if err != nil {
		return err
	}
	for _, row := range agents {
		a, err := agentOf(row)
		if err != nil {
			return err
		}
		t := newest[a.ID]
		if a.Attempt != 0 && t == nil {
			return fmt.Errorf("agent %s has no attempt %d: %w", a.ID, a.Attempt, sql.ErrNoRows)
		}
		b.enter(Change{Agent: a, Attempt: t})
	}
	pauses, err := q.Pauses(ctx)
	if err != nil {
		return err
	}
	b.pauses, err = each(pauses, pauseOf)
	b.read = err == nil
	return err
}

func newestAttempts(ctx context.Context, q *rows.Queries) (map[hygiene.AgentID]*hygiene.Attempt, error) {
	found, err := q.NewestAttempts(ctx)
	if err != nil {
		return nil, err
	}
	newest := make(map[hygiene.AgentID]*hygiene.Attempt, len(found))
	for _, row := range found {
		t, err := attemptOf(row)
		if err != nil {
			return nil, err
		}
		newest[t.Agent] = &t
	}
	return newest, nil
}

// enter puts an agent into the book, in place of what it says of it.
func (b *book) enter(c Change) {
	id := c.Agent.ID
	at, ok := b.agents[id]
	if ok {
		*at = c
	} else {
		at = &c
		all := b.ordered[id.Controller]
		i, _ := slices.BinarySearchFunc(all, id.Name, func(c *Change, name string) int { return cmp.Compare(c.Agent.ID.Name, name) })
		b.agents[id], b.ordered[id.Controller] = at, slices.Insert(all, i, at)
	}
	if c.Attempt != nil && c.Attempt.Ended.IsZero() {
		b.open[id] = at
	} else {
		delete(b.open, id)
	}
}

// commit ends a transaction. Whoever can see the change in the file sees it in
// the book, too.
func (b *book) commit(tx *sql.Tx, t *txn) error {
	if len(t.changed) == 0 && !t.paused && t.empty() {
		return tx.Commit()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := tx.Commit(); err != nil {
		b.clear() // the file alone knows whether it was
		return err
	}
	if t.paused {
		b.read = false // which is rare enough to read everything anew
	}
	b.edition++
	b.take(&t.draft)
	if b.read {
		for _, c := range t.changed {
			b.enter(c)
		}
	}
	return nil
}

// distrust makes the next use read the file.
func (b *book) distrust() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
}

// clear forgets everything. The caller holds the book closed.
func (b *book) clear() {
	b.read = false
	b.shelves = newShelves()
	b.edition++
}

// recall returns what a shelf of the book has for a key; what it does not have yet is read and kept, unless it may have
// changed meanwhile.
func recall[K comparable, V any](s *Store, shelf func(*book) map[K]V, key K, read func() (V, error)) (V, error) {
	s.book.mu.RLock()
	v, ok := shelf(&s.book)[key]
	edition := s.book.edition
	s.book.mu.RUnlock()
	if ok {
		return v, nil
	}
	v, err := read()
	if err != nil {
		return v, err
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if s.book.edition == edition {
		shelf(&s.book)[key] = v
	}
	return v, nil
}

// keptProofs is how many of an agent's newest proofs are kept: as many as a reading of its feed usually asks for.
const keptProofs = 4

// forgetProofs has them read anew, because some are gone.
func (b *book) forgetProofs() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.proofs)
	b.edition++
}

// proof is what builds are judged by of an attempt, in a quarter of its memory: there are several for each agent.
type proof struct {
	number, reconnects          int64
	handed, began, proved, lost int64
	need                        hygiene.Need
	outcome                     hygiene.Outcome
	url, usedBy                 string
	swept                       hygiene.Swept
}

func proofOf(t *hygiene.Attempt) proof {
	return proof{
		number: t.Number, reconnects: int64(t.Reconnect), handed: millis(t.Handed), began: millis(t.Began), proved: millis(t.Proved),
		lost: millis(t.Lost), need: t.Need, outcome: t.Outcome, url: t.Run.URL, usedBy: t.UsedBy, swept: t.Run.Swept,
	}
}

func (p *proof) attempt(id hygiene.AgentID) hygiene.Attempt {
	return hygiene.Attempt{
		Agent: id, Number: p.number, Reconnect: int(p.reconnects), Handed: moment(p.handed), Began: moment(p.began), Proved: moment(p.proved),
		Lost: moment(p.lost), Need: p.need, Outcome: p.outcome, UsedBy: p.usedBy, Run: hygiene.Run{URL: p.url, Swept: p.swept},
	}
}

// isProof reports whether an attempt is one of those that [Store.Proofs] returns.
func isProof(t *hygiene.Attempt) bool {
	return !t.Proved.IsZero() && (t.Outcome == hygiene.Cleaned || t.Outcome == hygiene.Lost)
}

// prove enters a proof, in place of what the book says of it, where the agent's proofs are kept.
func (s *shelves) prove(id hygiene.AgentID, p proof) {
	kept, ok := s.proofs[id]
	if !ok {
		return
	}
	i := slices.IndexFunc(kept, func(k proof) bool { return k.number <= p.number })
	kept = slices.Clone(kept) // which somebody may be reading
	switch {
	case i < 0:
		kept = append(kept, p)
	case kept[i].number == p.number:
		kept[i] = p
	default:
		kept = slices.Insert(kept, i, p)
	}
	s.proofs[id] = kept[:min(len(kept), keptProofs)]
}

// known returns an agent as committed, the zero one with its ID if it is unknown.
func (s *Store) known(ctx context.Context, id hygiene.AgentID) (*Change, error) {
	c := &Change{Agent: hygiene.Agent{ID: id}}
	err := s.consult(ctx, func(b *book) {
		if found, ok := b.agents[id]; ok {
			*c = found.copied()
		}
	})
	return c, err
}

// unproven counts the attempts in progress that are not proven yet, by pool.
func (b *book) unproven() map[string]int {
	n := map[string]int{}
	for _, c := range b.open {
		if c.Attempt.Proved.IsZero() {
			n[c.Attempt.Pool]++
		}
	}
	return n
}

// list appends agents in their order.
func (b *book) list(to []hygiene.Agent, controller hygiene.ControllerID) []hygiene.Agent {
	found := b.of(controller)
	n := 0
	for _, all := range found {
		n += len(all)
	}
	to = slices.Grow(to, n)
	for _, all := range found {
		for _, c := range all {
			to = append(to, c.Agent)
			unshare(&to[len(to)-1])
		}
	}
	return to
}

// of returns the agents of a controller, of all in the order of their names for "".
func (b *book) of(controller hygiene.ControllerID) [][]*Change {
	if controller != "" {
		return [][]*Change{b.ordered[controller]}
	}
	ids := slices.Sorted(maps.Keys(b.ordered))
	out := make([][]*Change, len(ids))
	for i, id := range ids {
		out[i] = b.ordered[id]
	}
	return out
}

// copied returns c with nothing shared.
func (c *Change) copied() Change {
	out := *c
	out.Attempt = copyOf(c.Attempt)
	unshare(&out.Agent)
	return out
}

// unshare gives a copied agent memory of its own.
func unshare(a *hygiene.Agent) {
	a.Quarantine, a.Hold, a.Loan, a.Used, a.Stuck = copyOf(a.Quarantine), copyOf(a.Hold), copyOf(a.Loan), copyOf(a.Used), copyOf(a.Stuck)
	a.Boots = slices.Clone(a.Boots)
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}
