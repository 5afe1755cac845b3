// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// BuildQuery chooses real builds.
type BuildQuery struct {
	strict
	Limit        int       `query:"limit" minimum:"1" maximum:"10000" default:"200" doc:"Most builds to list"`
	Controller   string    `query:"controller" doc:"Only builds on agents of this controller"`
	Agent        string    `query:"agent" doc:"Only builds on this agent; needs controller"`
	Contaminated bool      `query:"contaminated" doc:"Only builds that started while their agent was not proven clean"`
	Since        time.Time `query:"since" doc:"Only builds that started then or later"`
}

func (s *Server) buildRoutes() {
	register(s, operation{
		id: "listBuilds", method: http.MethodGet, path: "/builds", role: store.Viewer, tag: "builds",
		summary: "List real builds that used agents", detail: "Newest first.",
	}, s.listBuilds)
}

func (s *Server) listBuilds(ctx context.Context, q *BuildQuery) (*answer[Page[Build]], error) {
	agent, err := agentFilter(q.Controller, q.Agent)
	if err != nil {
		return nil, err
	}
	found, err := s.Store.Builds(ctx, store.BuildFilter{
		Agent: agent, Controller: hygiene.ControllerID(q.Controller), Contaminated: q.Contaminated, Since: q.Since, Limit: q.Limit,
	})
	if err != nil {
		return nil, err
	}
	return answered(Page[Build]{Items: each(found, buildOf)}, nil)
}
