// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// BuildQuery chooses real builds.
type BuildQuery struct {
	strict
	Paging
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
	after, err := q.build()
	if err != nil {
		return nil, err
	}
	found, err := s.Store.Builds(ctx, store.BuildFilter{
		Agent: agent, Controller: hygiene.ControllerID(q.Controller), Contaminated: q.Contaminated, Since: q.Since,
		After: after, Limit: q.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	return answered(paged(found, q.Paging, buildOf, byBuild), nil)
}

// buildPosition is where a build stands in a list, as a cursor carries it.
type buildPosition struct {
	At                     time.Time
	URL, Agent, Controller string
}

func byBuild(b store.Build) string {
	text, _ := json.Marshal(buildPosition{At: b.At.UTC(), URL: b.URL, Agent: b.Agent.Name, Controller: string(b.Agent.Controller)}) // texts and a stored time
	return string(text)
}

// build reads a cursor that was made of a build; nil is the beginning.
func (p Paging) build() (*store.Build, error) {
	text, err := p.position()
	if err != nil || text == "" {
		return nil, err
	}
	var at buildPosition
	if err := json.Unmarshal([]byte(text), &at); err != nil || at.URL == "" {
		return nil, p.badCursor()
	}
	id := hygiene.AgentID{Controller: hygiene.ControllerID(at.Controller), Name: at.Agent}
	return &store.Build{Agent: id, URL: at.URL, At: at.At}, nil
}
