// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Slot is a job that carries programs to agents, to one at a time.
type Slot struct {
	Controller hygiene.ControllerID
	Job        string // full name
	Digest     string // of its configuration as we last read it back; "" = never
	Content    string // digest of the program that it carries
	Pending    string // digest of the program that is being written; "" = no write is under way
	Refused    string // why it is not used until a person resets it; "" = it is
	Agent      string // whose attempt has it
	Attempt    int64  // 0 = free
}

// Slots returns a controller's slots, ordered by job.
func (s *Store) Slots(ctx context.Context, controller hygiene.ControllerID) ([]Slot, error) {
	found, err := s.reads.Slots(ctx, string(controller))
	if err != nil {
		return nil, fmt.Errorf("read slots of controller %s: %w", controller, explain(s.path, err))
	}
	return each(found, slotOf)
}

// SaveSlot stores a slot as it is.
func (s *Store) SaveSlot(ctx context.Context, slot Slot) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error { return t.saveSlot(ctx, slotRow(slot)) })
	if err != nil {
		return fmt.Errorf("save slot %s: %w", slot.Job, err)
	}
	return nil
}

// TakeSlot gives the attempt a free one of the jobs that is not refused, or [ErrNoSlot]: one that carries the program with
// the digest content, or else one that carries none, or else any, each in their order. An attempt that has a slot gets the
// same again, so a call may be repeated.
func (s *Store) TakeSlot(ctx context.Context, controller hygiene.ControllerID, agent string, attempt int64, content string, jobs []string) (Slot, error) {
	var taken Slot
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		t.wrote = false
		found, err := t.slotsOf(ctx, controller)
		if err != nil {
			return err
		}
		known := make(map[string]rows.Slot, len(found))
		for _, r := range found {
			if r.Agent == agent && r.Attempt == attempt {
				taken, err = slotOf(r)
				return err
			}
			known[r.Job] = r
		}
		free := slices.DeleteFunc(slices.Clone(jobs), func(job string) bool { return known[job].Attempt != 0 || known[job].Refused != "" })
		if len(free) == 0 {
			return ErrNoSlot
		}
		job := free[0]
		for _, want := range []string{content, ""} {
			if i := slices.IndexFunc(free, func(job string) bool { return known[job].Content == want }); i >= 0 {
				job = free[i]
				break
			}
		}
		r := known[job]
		r.Controller, r.Job, r.Agent, r.Attempt = string(controller), job, agent, attempt
		taken, _ = slotOf(r)
		t.wrote = true
		return t.saveSlot(ctx, r)
	})
	if err != nil {
		return Slot{}, fmt.Errorf("take slot on controller %s for attempt %d of %s: %w", controller, attempt, agent, err)
	}
	return taken, nil
}

// FreeSlot gives an attempt's slot back. It must only be called once no build of the attempt is
// queued or running. An attempt without a slot is fine.
func (s *Store) FreeSlot(ctx context.Context, controller hygiene.ControllerID, agent string, attempt int64) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		return t.freeSlot(ctx, hygiene.AgentID{Controller: controller, Name: agent}, attempt)
	})
	if err != nil {
		return fmt.Errorf("free slot of attempt %d of %s: %w", attempt, agent, err)
	}
	return nil
}

func slotRow(s Slot) rows.Slot {
	return rows.Slot{Controller: string(s.Controller), Job: s.Job, Digest: s.Digest, Content: s.Content, Pending: s.Pending, Refused: s.Refused, Agent: s.Agent, Attempt: s.Attempt}
}

func slotOf(r rows.Slot) (Slot, error) {
	return Slot{
		Controller: hygiene.ControllerID(r.Controller), Job: r.Job, Digest: r.Digest,
		Content: r.Content, Pending: r.Pending, Refused: r.Refused, Agent: r.Agent, Attempt: r.Attempt,
	}, nil
}
