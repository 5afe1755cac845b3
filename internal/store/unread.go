// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"slices"

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

// SaveUnread stores that an agent's build feed cannot be read, or can again, with the events that tell
// of it. An event [hygiene.EventUnread] of the first agent of a pool, and an event [hygiene.EventRead]
// of the last, come with one of the pool. The events that were written are returned.
func (s *Store) SaveUnread(ctx context.Context, id hygiene.AgentID, u hygiene.Unread, events ...hygiene.Event) (told []hygiene.Event, err error) {
	err = s.write(ctx, func(ctx context.Context, t *txn) error {
		told = slices.Clone(events)
		before, err := t.unreadIn(ctx, events)
		if err != nil {
			return err
		}
		row := rows.SaveUnreadParams{Controller: string(id.Controller), Agent: id.Name, UnreadSince: millis(u.Since), UnreadLast: millis(u.Last)}
		if u.Told {
			row.UnreadTold = 1
		}
		if err := t.SaveUnread(ctx, row); err != nil {
			return err
		}
		after, err := t.unreadIn(ctx, events)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e, ok := ofPool(e, before == 0, after == 0); ok {
				told = append(told, e)
			}
		}
		return t.tell(ctx, told...)
	})
	if err != nil {
		return nil, fmt.Errorf("save unread feed of agent %s: %w", id, err)
	}
	return told, nil
}

// unreadIn counts the agents whose builds are not known, in the pool that events are about.
func (t *txn) unreadIn(ctx context.Context, events []hygiene.Event) (int64, error) {
	if len(events) == 0 {
		return 0, nil
	}
	return t.CountUnread(ctx, string(events[0].Agent.Controller), events[0].Pool)
}

// ofPool is what an event of an agent means for its pool, if none was, or none is, like it there.
func ofPool(e hygiene.Event, first, last bool) (hygiene.Event, bool) {
	scope := string(e.Agent.Controller) + "/" + e.Pool
	switch {
	case e.Type == hygiene.EventUnread && first:
		e.Type, e.Reason = hygiene.EventPoolUnread, fmt.Sprintf("on %s: %s; for others of the pool it is in their events", e.Agent.Name, e.Reason)
	case e.Type == hygiene.EventRead && last:
		e.Type, e.Reason = hygiene.EventPoolRead, "the builds of all its agents are known again"
	default:
		return e, false
	}
	e.Subject, e.Agent, e.Attempt, e.Before, e.After = scope, hygiene.AgentID{Controller: e.Agent.Controller}, 0, "", ""
	return e, true
}
