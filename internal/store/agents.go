// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// Agent returns an agent and its newest attempt, nil before the first, or [ErrNotFound].
func (s *Store) Agent(ctx context.Context, id hygiene.AgentID) (hygiene.Agent, *hygiene.Attempt, error) {
	c, err := s.load(ctx, id)
	if err == nil && c.Agent.Version == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return hygiene.Agent{}, nil, fmt.Errorf("read agent %s: %w", id, err)
	}
	return c.Agent, c.Attempt, nil
}

// load reads both rows as of one moment.
func (s *Store) load(ctx context.Context, id hygiene.AgentID) (_ *Change, err error) {
	tx, err := s.readers.BeginTx(ctx, nil)
	if err != nil {
		return nil, explain(s.path, err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	c, err := load(ctx, s.reads.WithTx(tx), id)
	return c, explain(s.path, err)
}

// Agents returns the agents of a controller, those once known included, ordered by name; of all
// controllers for "".
func (s *Store) Agents(ctx context.Context, controller hygiene.ControllerID) ([]hygiene.Agent, error) {
	var found []rows.Agent
	var err error
	if controller == "" {
		found, err = s.reads.Agents(ctx)
	} else {
		found, err = s.reads.AgentsOf(ctx, string(controller))
	}
	if err != nil {
		return nil, fmt.Errorf("read agents: %w", explain(s.path, err))
	}
	return each(found, agentOf)
}
