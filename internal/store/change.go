// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Change is an agent with its newest attempt, as loaded and as it is to be stored.
type Change struct {
	Agent   hygiene.Agent
	Attempt *hygiene.Attempt // number Agent.Attempt; nil before the first
	Epoch   string           // of the store

	// FreeSlot, set by the change, gives the attempt's slot back with it, as [Store.FreeSlot] does.
	FreeSlot bool
	// Loan, set by the change, is stored with it, as [Store.SaveLoan] does.
	Loan *loan.Loan
	// Said, set by the change, is stored with it, as [Store.SaveReport] does.
	Said *Said
}

// Change is the only way to change an agent or an attempt. It loads both (an unknown agent is
// the zero one with its ID), lets f alter them, and stores both and the events that f returns in
// one transaction. It must not be called inside f, and f must do no I/O; f may run more than once.
//
// What f's events leave empty is filled in: time, actor, agent, subject and pool. Nothing is
// stored when f returns an error, which Change returns; [ErrUnchanged] stores nothing and is no
// error. A change that breaks a rule is a [*RuleError] or a [*hygiene.StateError].
func (s *Store) Change(ctx context.Context, id hygiene.AgentID, now time.Time, f func(*Change) ([]hygiene.Event, error)) error {
	err := s.decide(ctx, func(ctx context.Context, t *txn) error {
		c, err := t.load(ctx, id)
		if err != nil {
			return err
		}
		c.Epoch = cmp.Or(t.epoch, s.Epoch())
		before := *c
		if c.Attempt != nil {
			attempt := *c.Attempt
			before.Attempt = &attempt
		}
		events, err := f(c)
		if err != nil {
			return err
		}
		if err := check(before, *c, len(events)); err != nil {
			return err
		}
		if err := t.begin(ctx); err != nil {
			return err
		}
		return t.store(ctx, before, *c, complete(events, c.Agent, now))
	})
	if errors.Is(err, ErrUnchanged) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("change agent %s: %w", id, err)
	}
	return nil
}

// load returns an agent as this transaction has it.
func (t *txn) load(ctx context.Context, id hygiene.AgentID) (*Change, error) {
	if c, ok := t.changed[id]; ok {
		c = c.copied()
		return &c, nil
	}
	c, err := t.from.known(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return c, nil
}

// complete fills in what every event of one agent's change has in common.
func complete(events []hygiene.Event, a hygiene.Agent, now time.Time) []hygiene.Event {
	out := make([]hygiene.Event, len(events))
	for i, e := range events {
		if e.At.IsZero() {
			e.At = now
		}
		e.Agent = cmp.Or(e.Agent, a.ID)
		e.Actor = cmp.Or(e.Actor, "pitcrew")
		e.Subject = cmp.Or(e.Subject, a.ID.String())
		e.Pool = cmp.Or(e.Pool, a.Pool)
		out[i] = e
	}
	return out
}

// store writes the agent before its attempt, which refers to it.
func (t *txn) store(ctx context.Context, before, after Change, events []hygiene.Event) error {
	written, err := t.storeAgent(ctx, before.Agent.Version, after.Agent)
	if err != nil {
		return err
	}
	attempt, err := t.storeAttempt(ctx, before.Attempt, after.Attempt)
	if err != nil {
		return err
	}
	t.changed[written.ID] = Change{Agent: written, Attempt: attempt}
	if after.FreeSlot && attempt != nil {
		if err := t.freeSlot(ctx, written.ID, attempt.Number); err != nil {
			return fmt.Errorf("free slot of attempt %d: %w", attempt.Number, err)
		}
	}
	if after.Loan != nil {
		if err := t.saveLoan(ctx, *after.Loan); err != nil {
			return err
		}
	}
	if after.Said != nil {
		if err := t.keepSaid(ctx, written.ID, written.Attempt, after.Said); err != nil {
			return fmt.Errorf("save report of attempt %d: %w", written.Attempt, err)
		}
	}
	return t.tell(ctx, events...)
}

// storeAgent returns the agent as it would be read back.
func (t *txn) storeAgent(ctx context.Context, version int64, a hygiene.Agent) (hygiene.Agent, error) {
	a.Version = version + 1
	row, err := agentRow(a)
	if err != nil {
		return a, err
	}
	write := func() (int64, error) { return t.UpdateAgent(ctx, rows.UpdateAgentParams(row)) }
	if version == 0 {
		write = func() (int64, error) { return t.InsertAgent(ctx, rows.InsertAgentParams(row)) }
	}
	n, err := write()
	if err != nil {
		return a, fmt.Errorf("write: %w", err)
	}
	if n == 0 {
		return a, t.conflict()
	}
	return agentOf(row)
}

// storeAttempt returns the attempt as it would be read back.
func (t *txn) storeAttempt(ctx context.Context, before, after *hygiene.Attempt) (*hygiene.Attempt, error) {
	if after == nil || before != nil && *before == *after {
		return before, nil
	}
	row, err := attemptRow(*after)
	if err != nil {
		return nil, err
	}
	n := int64(1)
	if before == nil || before.Number != after.Number {
		err = t.InsertAttempt(ctx, row)
		t.residue[after.Agent] = -after.Number
	} else if before.Pool == after.Pool && before.Ended.Equal(after.Ended) && before.UsedBy == after.UsedBy {
		n, err = t.ProceedAttempt(ctx, proceeding(row))
	} else {
		n, err = t.UpdateAttempt(ctx, rows.UpdateAttemptParams(row))
	}
	if err == nil && n == 0 {
		err = t.conflict()
	}
	if err != nil {
		return nil, fmt.Errorf("write attempt %d: %w", after.Number, err)
	}
	stored, err := attemptOf(rows.Attempt{
		Controller: row.Controller, Agent: row.Agent, Number: row.Number, Nonce: row.Nonce, Pool: row.Pool, Recipe: row.Recipe,
		Revision: row.Revision, Need: row.Need, Delivery: row.Delivery, Session: row.Session, Claimed: row.Claimed,
		Handed: row.Handed, Started: row.Started, Ended: row.Ended, Proved: row.Proved, Reconnect: row.Reconnect,
		Asked: row.Asked, Outcome: row.Outcome, Reason: row.Reason, Step: row.Step, Run: row.Run,
		Began: row.Began, Lost: row.Lost, UsedBy: row.UsedBy, Depth: row.Depth,
	})
	if err == nil && isProof(&stored) {
		t.proofs = append(t.proofs, stored)
	}
	return &stored, err
}

// conflict is the error of a row that is not what the book says.
func (t *txn) conflict() error {
	t.from.book.distrust()
	return ErrConflict
}
