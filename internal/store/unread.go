// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store/rows"
)

// UnreadFeeds returns the build feeds of a controller's agents that could not be read when they were
// last asked.
func (s *Store) UnreadFeeds(ctx context.Context, controller hygiene.ControllerID) (map[string]hygiene.Unread, error) {
	found, err := s.reads.UnreadFeeds(ctx, string(controller))
	if err != nil {
		return nil, fmt.Errorf("read unread feeds of %s: %w", controller, explain(s.path, err))
	}
	out := make(map[string]hygiene.Unread, len(found))
	for _, r := range found {
		out[r.Agent] = hygiene.Unread{Since: moment(r.UnreadSince), Last: moment(r.UnreadLast), Told: r.UnreadTold != 0}
	}
	return out, nil
}

// SaveUnread stores that an agent's build feed cannot be read, or can again, with the events that tell of it.
func (s *Store) SaveUnread(ctx context.Context, id hygiene.AgentID, u hygiene.Unread, events ...hygiene.Event) error {
	row := rows.SaveUnreadParams{Controller: string(id.Controller), Agent: id.Name, UnreadSince: millis(u.Since), UnreadLast: millis(u.Last)}
	if u.Told {
		row.UnreadTold = 1
	}
	err := s.write(ctx, func(ctx context.Context, t *txn) error {
		if err := t.SaveUnread(ctx, row); err != nil {
			return err
		}
		return t.tell(ctx, events...)
	})
	if err != nil {
		return fmt.Errorf("save unread feed of agent %s: %w", id, err)
	}
	return nil
}
