// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Controller is what is known of a controller.
type Controller struct {
	ID           hygiene.ControllerID
	URL          string
	Session      string    // X-Jenkins-Session of the last sweep
	SessionSince time.Time // when a change to this session was noticed; zero when none was
	Version      string
	LastSweep    time.Time     // end of the last sweep that saw everything
	Problem      string        // why it cannot be served now; "" = it can
	Ahead        time.Duration // of its clock, compared with ours
	Gate         Gate          // changed by SaveGate alone
}

// Gate is what is known of a controller's gate.
type Gate struct {
	Use     GateUse
	Since   time.Time // when it was lost, or when its removal was announced; zero otherwise
	Problem string    // why it does not answer
}

// Lost reports whether there was a gate that does not answer.
func (g Gate) Lost() bool { return g.Use == Gated && !g.Since.IsZero() }

// GateUse says whether builds are kept off agents that are not clean by a gate.
type GateUse string

// The uses of a gate.
const (
	LabelsOnly  GateUse = ""
	Gated       GateUse = "gate"
	LeavingGate GateUse = "leaving" // it is about to be removed, which is no loss
)

// Controller returns what is known of a controller: nothing but its ID before the first save.
func (s *Store) Controller(ctx context.Context, id hygiene.ControllerID) (Controller, error) {
	return recall(s, func(b *book) map[hygiene.ControllerID]Controller { return b.controllers }, id, func() (Controller, error) {
		row, err := s.reads.Controller(ctx, string(id))
		if isNoRow(err) {
			return Controller{ID: id}, nil
		}
		if err != nil {
			return Controller{}, fmt.Errorf("read controller %s: %w", id, explain(s.path, err))
		}
		return controllerOf(row)
	})
}

// Controllers returns all controllers that were ever saved, ordered by name.
func (s *Store) Controllers(ctx context.Context) ([]Controller, error) {
	found, err := s.reads.Controllers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read controllers: %w", explain(s.path, err))
	}
	return each(found, controllerOf)
}

// SaveController stores a controller but for its gate, and events with it. A change from one session to another
// never goes untold: when no event comes with it, the store writes one.
func (s *Store) SaveController(ctx context.Context, c Controller, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		old, err := t.Controller(ctx, string(c.ID))
		if err != nil && !isNoRow(err) {
			return err
		}
		if len(events) == 0 && old.Session != "" && old.Session != c.Session {
			events = []hygiene.Event{restarted(c)}
		}
		row := rows.Controller{
			ID: string(c.ID), URL: c.URL, Session: c.Session, SessionSince: millis(c.SessionSince),
			Version: c.Version, LastSweep: millis(c.LastSweep), Problem: c.Problem, ClockAhead: c.Ahead.Milliseconds(),
			Gate: old.Gate, GateSince: old.GateSince, GateProblem: old.GateProblem,
		}
		return t.saveController(ctx, row, events)
	})
	if err != nil {
		return fmt.Errorf("save controller %s: %w", c.ID, err)
	}
	return nil
}

// SaveGate changes what is known of a controller's gate, and stores events with it. It fails with [ErrConflict] if the gate
// is not as before any more: a poll and a person may change it at once.
func (s *Store) SaveGate(ctx context.Context, id hygiene.ControllerID, before, after Gate, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		row, err := t.Controller(ctx, string(id))
		if err != nil && !isNoRow(err) {
			return err
		}
		if gateOf(row) != before {
			return ErrConflict
		}
		row.ID, row.Gate, row.GateSince, row.GateProblem = string(id), string(after.Use), millis(after.Since), after.Problem
		return t.saveController(ctx, row, events)
	})
	if err != nil {
		return fmt.Errorf("save the gate of controller %s: %w", id, err)
	}
	return nil
}

func (t *txn) saveController(ctx context.Context, row rows.Controller, events []hygiene.Event) error {
	err := t.SaveController(ctx, rows.SaveControllerParams(row))
	if err != nil {
		return err
	}
	if t.controllers[hygiene.ControllerID(row.ID)], err = controllerOf(row); err != nil {
		return err
	}
	return t.tell(ctx, events...)
}

func restarted(c Controller) hygiene.Event {
	at := c.SessionSince
	if at.IsZero() {
		at = c.LastSweep
	}
	return hygiene.Event{
		Type: hygiene.EventController, At: at, Actor: "pitcrew", Subject: string(c.ID),
		Agent: hygiene.AgentID{Controller: c.ID}, Reason: "it was restarted or reloaded: its session changed",
	}
}

func controllerOf(r rows.Controller) (Controller, error) {
	return Controller{
		ID: hygiene.ControllerID(r.ID), URL: r.URL, Session: r.Session, SessionSince: moment(r.SessionSince),
		Version: r.Version, LastSweep: moment(r.LastSweep), Problem: r.Problem, Ahead: time.Duration(r.ClockAhead) * time.Millisecond,
		Gate: gateOf(r),
	}, nil
}

func gateOf(r rows.Controller) Gate {
	return Gate{Use: GateUse(r.Gate), Since: moment(r.GateSince), Problem: r.GateProblem}
}
