// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// shelves are what the book has beside agents: what is read when it is asked for, and then kept. Each poll and each
// cleanup asks for it, and a connection that reads forgets all pages of the file as soon as the other one has written any.
type shelves struct {
	controllers    map[hygiene.ControllerID]Controller
	feeds          map[hygiene.AgentID]feedState
	proofs         map[hygiene.AgentID][]proof // the newest, newest first
	slots          map[hygiene.ControllerID][]rows.Slot
	contaminations map[string]Contamination  // by scope
	explained      map[hygiene.AgentID]int64 // the newest attempt, if all that it found has a culprit
	newest         int64                     // event; -1 = not read
}

func newShelves() shelves {
	return shelves{
		controllers: map[hygiene.ControllerID]Controller{}, feeds: map[hygiene.AgentID]feedState{}, proofs: map[hygiene.AgentID][]proof{},
		slots: map[hygiene.ControllerID][]rows.Slot{}, contaminations: map[string]Contamination{}, explained: map[hygiene.AgentID]int64{},
		newest: -1,
	}
}

// draft is what a transaction changes of the shelves.
type draft struct {
	controllers    map[hygiene.ControllerID]Controller
	feeds          map[hygiene.AgentID]feedState
	proofs         []hygiene.Attempt // that were among the changed attempts, oldest first
	slots          map[hygiene.ControllerID][]rows.Slot
	contaminations map[string]bool           // scopes that changed
	residue        map[hygiene.AgentID]int64 // attempts whose residue changed; below 0, that are new and have none
	events         int64                     // that were appended
}

func newDraft() draft {
	return draft{
		controllers: map[hygiene.ControllerID]Controller{}, feeds: map[hygiene.AgentID]feedState{}, slots: map[hygiene.ControllerID][]rows.Slot{},
		contaminations: map[string]bool{}, residue: map[hygiene.AgentID]int64{},
	}
}

func (d *draft) empty() bool {
	return len(d.controllers) == 0 && len(d.feeds) == 0 && len(d.proofs) == 0 && len(d.slots) == 0 && len(d.contaminations) == 0 &&
		len(d.residue) == 0 && d.events == 0
}

// take puts in what was committed.
func (s *shelves) take(d *draft) {
	maps.Copy(s.controllers, d.controllers)
	maps.Copy(s.feeds, d.feeds)
	maps.Copy(s.slots, d.slots)
	for i := range d.proofs {
		s.prove(d.proofs[i].Agent, proofOf(&d.proofs[i]))
	}
	for scope := range d.contaminations {
		delete(s.contaminations, scope)
	}
	for id, number := range d.residue {
		if number < 0 {
			s.explained[id] = -number
		} else {
			delete(s.explained, id)
		}
	}
	if s.newest >= 0 {
		s.newest += d.events // they have consecutive numbers: the newest of before is never removed
	}
}

// NewestEvent returns the number of the newest event, 0 if there is none.
func (s *Store) NewestEvent(ctx context.Context) (int64, error) {
	s.book.mu.RLock()
	newest, edition := s.book.newest, s.book.edition
	s.book.mu.RUnlock()
	if newest >= 0 {
		return newest, nil
	}
	events, err := s.Events(ctx, EventFilter{Newest: true, Limit: 1})
	if err != nil {
		return 0, err
	}
	newest = 0
	if len(events) > 0 {
		newest = events[0].ID
	}
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if s.book.edition == edition {
		s.book.newest = newest
	}
	return newest, nil
}

// Unexplained reports whether an agent's attempt found residue of which no culprit is known.
func (s *Store) Unexplained(ctx context.Context, id hygiene.AgentID, number int64) (bool, error) {
	s.book.mu.RLock()
	explained := s.book.explained[id] == number
	s.book.mu.RUnlock()
	if explained {
		return false, nil
	}
	found, err := s.reads.Unexplained(ctx, string(id.Controller), id.Name, number)
	if err != nil {
		return false, fmt.Errorf("read residue of agent %s, attempt %d: %w", id, number, explain(s.path, err))
	}
	return found > 0, nil
}

// feed is how far an agent's feed was read, as this transaction has it.
func (t *txn) feed(ctx context.Context, id hygiene.AgentID) (feedState, error) {
	if known, ok := t.feeds[id]; ok {
		return known, nil
	}
	t.from.book.mu.RLock()
	known, ok := t.from.book.feeds[id]
	t.from.book.mu.RUnlock()
	if ok {
		return known, nil
	}
	feed, err := t.Feed(ctx, string(id.Controller), id.Name)
	if isNoRow(err) {
		err = nil
	}
	return feedState(feed), err
}

// slotsOf are a controller's slots, by job, as this transaction has them. Whoever changes them puts a new list in their place.
func (t *txn) slotsOf(ctx context.Context, controller hygiene.ControllerID) ([]rows.Slot, error) {
	if known, ok := t.slots[controller]; ok {
		return known, nil
	}
	t.from.book.mu.RLock()
	known, ok := t.from.book.slots[controller]
	t.from.book.mu.RUnlock()
	if !ok {
		var err error
		if known, err = t.Slots(ctx, string(controller)); err != nil {
			return nil, err
		}
	}
	t.slots[controller] = known
	return known, nil
}

// saveSlot stores a slot as it is.
func (t *txn) saveSlot(ctx context.Context, slot rows.Slot) error {
	id := hygiene.ControllerID(slot.Controller)
	known, err := t.slotsOf(ctx, id)
	if err != nil {
		return err
	}
	known = slices.Clone(known)
	at, found := slices.BinarySearchFunc(known, slot.Job, func(s rows.Slot, job string) int { return strings.Compare(s.Job, job) })
	if found {
		known[at] = slot
	} else {
		known = slices.Insert(known, at, slot)
	}
	t.slots[id] = known
	return t.SaveSlot(ctx, rows.SaveSlotParams(slot))
}

// freeSlot gives an attempt's slot back, if it has one.
func (t *txn) freeSlot(ctx context.Context, id hygiene.AgentID, attempt int64) error {
	known, err := t.slotsOf(ctx, id.Controller)
	if err != nil {
		return err
	}
	for _, slot := range known {
		if slot.Agent == id.Name && slot.Attempt == attempt {
			slot.Agent, slot.Attempt = "", 0
			if err := t.saveSlot(ctx, slot); err != nil {
				return err
			}
		}
	}
	return nil
}
