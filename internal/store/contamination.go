// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Contamination is a time in which builds of a pool's agents were contaminated.
type Contamination struct {
	Scope  string    // controller/pool
	Since  time.Time // when the first was found; zero = there are none
	Newest time.Time // when the newest was found
	Builds int64     // how many were found
}

// Contamination returns the one that lasts in a scope, controller/pool; the zero one but for its scope
// if none does. [Store.RecordBuilds] begins it.
func (s *Store) Contamination(ctx context.Context, scope string) (Contamination, error) {
	return recall(s, func(b *book) map[string]Contamination { return b.contaminations }, scope, func() (Contamination, error) {
		r, err := s.reads.Contamination(ctx, scope)
		if err != nil && !isNoRow(err) {
			return Contamination{}, fmt.Errorf("read contamination of %s: %w", scope, explain(s.path, err))
		}
		return Contamination{Scope: scope, Since: moment(r.Since), Newest: moment(r.Newest), Builds: r.Builds}, nil
	})
}

// EndContamination ends one, with the events that tell of it. It does nothing, and is told by
// [ErrConflict], if a contaminated build was found since c was read.
func (s *Store) EndContamination(ctx context.Context, c Contamination, events ...hygiene.Event) error {
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		t.contaminations[c.Scope] = true
		n, err := t.EndContamination(ctx, c.Scope, millis(c.Newest))
		if err == nil && n == 0 {
			err = ErrConflict
		}
		if err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("end contamination of %s: %w", c.Scope, err)
	}
	return nil
}

// countContaminated counts the contaminated builds that events tell of, by the scopes of their pools,
// and adds an event for each scope where they are the first.
func (t *txn) countContaminated(ctx context.Context, events []hygiene.Event) ([]hygiene.Event, error) {
	told := events
	for _, e := range events {
		if e.Type != hygiene.EventContaminated {
			continue
		}
		scope := string(e.Agent.Controller) + "/" + e.Pool
		r, err := t.Contamination(ctx, scope)
		if err != nil && !isNoRow(err) {
			return nil, err
		}
		if isNoRow(err) {
			r.Since = millis(e.At)
			told = append(told, hygiene.Event{
				Type: hygiene.EventBuildsBad, At: e.At, Actor: e.Actor, Subject: scope, Pool: e.Pool,
				Agent: hygiene.AgentID{Controller: e.Agent.Controller}, Data: e.Data,
				Reason: fmt.Sprintf("on %s: %s; those that follow are counted, and listed by pitcrew builds --contaminated", e.Agent.Name, e.Reason),
			})
		}
		t.contaminations[scope] = true
		if err := t.SaveContamination(ctx, rows.SaveContaminationParams{
			Pool: scope, Since: r.Since, Newest: max(r.Newest, millis(e.At)), Builds: r.Builds + 1,
		}); err != nil {
			return nil, err
		}
	}
	return told, nil
}
