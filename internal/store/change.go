// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Change is an agent with its newest attempt, as loaded and as it is to be stored.
type Change struct {
	Agent   hygiene.Agent
	Attempt *hygiene.Attempt // number Agent.Attempt; nil before the first
	Epoch   string           // of the store
}

// Change is the only way to change an agent or an attempt. It loads both (an unknown agent is
// the zero one with its ID), lets f alter them, and stores both and the events that f returns in
// one transaction. It must not be called inside f, and f must do no I/O; f may run more than once.
//
// What f's events leave empty is filled in: time, actor, agent, subject and pool. Nothing is
// stored when f returns an error, which Change returns; [ErrUnchanged] stores nothing and is no
// error. A change that breaks a rule is a [*RuleError] or a [*hygiene.StateError].
func (s *Store) Change(ctx context.Context, id hygiene.AgentID, now time.Time, f func(*Change) ([]hygiene.Event, error)) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		c, err := load(ctx, t.Queries, id)
		if err != nil {
			return err
		}
		c.Epoch = s.Epoch()
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

func load(ctx context.Context, q *rows.Queries, id hygiene.AgentID) (*Change, error) {
	row, err := q.Agent(ctx, string(id.Controller), id.Name)
	if isNoRow(err) {
		return &Change{Agent: hygiene.Agent{ID: id}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	var c Change
	if c.Agent, err = agentOf(row); err != nil || c.Agent.Attempt == 0 {
		return &c, err
	}
	attempt, err := q.Attempt(ctx, string(id.Controller), id.Name, c.Agent.Attempt)
	if err != nil {
		return nil, fmt.Errorf("read attempt %d: %w", c.Agent.Attempt, err)
	}
	t, err := attemptOf(attempt)
	c.Attempt = &t
	return &c, err
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
	if err := t.storeAgent(ctx, before.Agent.Version, after.Agent); err != nil {
		return err
	}
	if err := t.storeAttempt(ctx, before.Attempt, after.Attempt); err != nil {
		return err
	}
	return t.tell(ctx, events...)
}

func (t *txn) storeAgent(ctx context.Context, version int64, a hygiene.Agent) error {
	a.Version = version + 1
	row, err := agentRow(a)
	if err != nil {
		return err
	}
	write := func() (int64, error) { return t.UpdateAgent(ctx, rows.UpdateAgentParams(row)) }
	if version == 0 {
		write = func() (int64, error) { return t.InsertAgent(ctx, rows.InsertAgentParams(row)) }
	}
	n, err := write()
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if n == 0 {
		return ErrConflict
	}
	return nil
}

func (t *txn) storeAttempt(ctx context.Context, before, after *hygiene.Attempt) error {
	if after == nil || before != nil && *before == *after {
		return nil
	}
	row, err := attemptRow(*after)
	if err != nil {
		return err
	}
	n := int64(1)
	if before == nil || before.Number != after.Number {
		err = t.InsertAttempt(ctx, row)
	} else {
		n, err = t.UpdateAttempt(ctx, rows.UpdateAttemptParams(row))
	}
	if err == nil && n == 0 {
		err = ErrConflict
	}
	if err != nil {
		return fmt.Errorf("write attempt %d: %w", after.Number, err)
	}
	return nil
}
