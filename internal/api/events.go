// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// EventSelect chooses events.
type EventSelect struct {
	Controller string   `query:"controller" doc:"Only events of this controller"`
	Agent      string   `query:"agent" doc:"Only events of this agent; needs controller"`
	Pool       string   `query:"pool" doc:"Only events of this pool"`
	Type       []string `query:"type" doc:"Only events of these types" example:"agent.clean,cleanup.failed"`
}

func (q EventSelect) filter() (store.EventFilter, error) {
	agent, err := agentFilter(q.Controller, q.Agent)
	f := store.EventFilter{Agent: agent, Pool: q.Pool, Controller: hygiene.ControllerID(q.Controller)}
	for _, t := range q.Type {
		f.Types = append(f.Types, hygiene.EventType(t))
	}
	return f, err
}

// EventQuery chooses a page of events.
type EventQuery struct {
	strict
	Paging
	EventSelect
}

func (s *Server) eventRoutes() {
	register(s, operation{
		id: "listEvents", method: http.MethodGet, path: "/events", role: store.Viewer, tag: "events",
		summary: "List events", detail: "Newest first.",
	}, s.listEvents)
	s.watchRoute()
}

func (s *Server) listEvents(ctx context.Context, q *EventQuery) (*answer[Page[Event]], error) {
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	f.Newest, f.Limit = true, q.Limit+1
	if f.Before, err = q.number(); err != nil {
		return nil, err
	}
	events, err := s.Store.Events(ctx, f)
	if err != nil {
		return nil, err
	}
	return answered(paged(events, q.Paging, eventOf, func(e hygiene.Event) string { return byID(e.ID) }), nil)
}
