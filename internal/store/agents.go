// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Agent returns an agent and its newest attempt, nil before the first, or [ErrNotFound].
func (s *Store) Agent(ctx context.Context, id hygiene.AgentID) (hygiene.Agent, *hygiene.Attempt, error) {
	c, err := s.known(ctx, id)
	if err == nil && c.Agent.Version == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return hygiene.Agent{}, nil, fmt.Errorf("read agent %s: %w", id, err)
	}
	return c.Agent, c.Attempt, nil
}

// Agents returns the agents of a controller, those once known included, ordered by name; of all
// controllers for "".
func (s *Store) Agents(ctx context.Context, controller hygiene.ControllerID) ([]hygiene.Agent, error) {
	return s.AppendAgents(ctx, nil, controller)
}

// AppendAgents is [Store.Agents] for who asks often: it appends the agents to a list, whose memory it uses.
func (s *Store) AppendAgents(ctx context.Context, to []hygiene.Agent, controller hygiene.ControllerID) ([]hygiene.Agent, error) {
	if err := s.consult(ctx, func(b *book) { to = b.list(to, controller) }); err != nil {
		return nil, fmt.Errorf("read agents: %w", err)
	}
	return to, nil
}
