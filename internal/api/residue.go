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

// CulpritQuery chooses culprits.
type CulpritQuery struct {
	strict
	Paging
	Controller string    `query:"controller" doc:"Only what was found on agents of this controller"`
	Agent      string    `query:"agent" doc:"Only what was found on this agent; needs controller"`
	Pool       string    `query:"pool" doc:"Only what was found by attempts of this pool"`
	Kind       string    `query:"kind" doc:"Only things of this kind; the kinds that there are stand in an answer without it" example:"process"`
	Since      time.Time `query:"since" doc:"Only what was found then or later; without it, in the last 7 days"`
	Order      string    `query:"order" enum:"things,bytes" default:"things" doc:"What makes a culprit the worst"`
}

// ResidueQuery chooses what was found on one agent.
type ResidueQuery struct {
	strict
	Paging
	AgentPath
	Kind  string    `query:"kind" doc:"Only things of this kind; the kinds that there are stand in an answer without it" example:"process"`
	Since time.Time `query:"since" doc:"Only what was found then or later"`
}

// usualPast is how far back culprits are looked for when nothing else is asked for.
const usualPast = 7 * 24 * time.Hour

func (s *Server) residueRoutes() {
	register(s, operation{
		id: "listCulprits", method: http.MethodGet, path: "/residue", role: store.Viewer, tag: "residue",
		summary: "List the jobs that left residue on agents",
		detail:  "The worst first. All that nobody can tell whose it was is an item of its own, without a job.",
	}, s.listCulprits)
	register(s, operation{
		id: "listAgentResidue", method: http.MethodGet, path: "/agents/{controller}/{agent}/residue", role: store.Viewer, tag: "residue",
		summary: "List what cleanups found on an agent", detail: "Newest first: an item for what one build left of one kind.",
	}, s.listAgentResidue)
}

// culpritPosition is where a culprit stands in a list, as a cursor carries it. All pages of a list speak of the same
// time: totals that grew in between would make a culprit appear twice, or not at all.
type culpritPosition struct {
	Controller, Job string
	Things, Bytes   int64
	Since, Until    time.Time
}

func (s *Server) listCulprits(ctx context.Context, q *CulpritQuery) (*answer[Page[Culprit]], error) {
	agent, err := agentFilter(q.Controller, q.Agent)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	at := culpritPosition{Since: q.Since, Until: now}
	if q.Since.IsZero() {
		at.Since = now.Add(-usualPast)
	}
	after, err := q.culprit(&at)
	if err != nil {
		return nil, err
	}
	found, err := s.Store.Culprits(ctx, store.CulpritFilter{
		ResidueFilter: store.ResidueFilter{
			Agent: agent, Controller: hygiene.ControllerID(q.Controller), Pool: q.Pool, Kind: q.Kind,
			Since: at.Since, Until: at.Until, Limit: q.Limit + 1,
		},
		BySize: q.Order == "bytes", After: after,
	})
	if err != nil {
		return nil, err
	}
	return answered(paged(found, q.Paging, culpritOf, func(c store.Culprit) string {
		at.Controller, at.Job, at.Things, at.Bytes = string(c.Controller), c.Job, c.Things, c.Bytes
		text, _ := json.Marshal(at) // texts, numbers and times of this process
		return string(text)
	}), nil)
}

// culprit reads a cursor that was made of a culprit into at; nil is the beginning.
func (p Paging) culprit(at *culpritPosition) (*store.Culprit, error) {
	text, err := p.position()
	if err != nil || text == "" {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), at); err != nil || at.Controller == "" || at.Until.IsZero() {
		return nil, p.badCursor()
	}
	return &store.Culprit{Controller: hygiene.ControllerID(at.Controller), Job: at.Job, Things: at.Things, Bytes: at.Bytes}, nil
}

func (s *Server) listAgentResidue(ctx context.Context, q *ResidueQuery) (*answer[Page[Residue]], error) {
	if _, err := s.find(ctx, q.id()); err != nil {
		return nil, err
	}
	before, err := q.number()
	if err != nil {
		return nil, err
	}
	found, err := s.Store.Residue(ctx, store.ResidueFilter{Agent: q.id(), Kind: q.Kind, Since: q.Since, Before: before, Limit: q.Limit + 1})
	if err != nil {
		return nil, err
	}
	return answered(paged(found, q.Paging, residueOf, func(r store.Residue) string { return byID(r.ID) }), nil)
}
