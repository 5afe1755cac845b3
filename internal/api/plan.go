// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Plan is what would be done now, agent by agent. In a dry run it is all that is ever done.
type Plan struct {
	Controller string    `json:"controller"`
	Agent      string    `json:"agent"`
	Pool       string    `json:"pool,omitempty"`
	Action     string    `json:"action" enum:"rest,adopt,withdraw,forget,unclean,relabel,begin,refresh,launch,unmark,remark,stop,drive"`
	Now        bool      `json:"now" doc:"False for what must wait for its turn"`
	Turn       int       `json:"turn,omitempty" doc:"Place in the order in which cleanups are chosen, from 1"`
	Reason     string    `json:"reason" doc:"Why it is done, or why it waits"`
	Labels     string    `json:"labels,omitempty" doc:"Our labels that are written, or none to take all off; absent: nothing is written"`
	Need       string    `json:"need,omitempty" enum:"cleanup,verify"`
	Wake       time.Time `json:"wake,omitzero" doc:"When it is looked at again if nothing happens before"`
	Decided    time.Time `json:"decided"`
	DryRun     bool      `json:"dry_run,omitempty" doc:"It is not done"`
}

// PlanQuery chooses decisions.
type PlanQuery struct {
	strict
	Controller string `query:"controller" doc:"Only this controller"`
	Pool       string `query:"pool" doc:"Only agents of this pool"`
	All        bool   `query:"all" doc:"Also agents with which nothing is to be done; those that cannot be kept clean as they are configured are there in any case"`
}

func (s *Server) planRoutes() {
	register(s, operation{
		id: "getPlan", method: http.MethodGet, path: "/plan", role: store.Viewer, tag: "agents",
		summary: "Say what would be done now, and why", detail: "As of the newest poll. For each controller, what is chosen among comes first, in the order of choice.",
	}, s.getPlan)
}

func (s *Server) getPlan(_ context.Context, q *PlanQuery) (*answer[Page[Plan]], error) {
	if err := s.knownScope(q.Controller, q.Pool, nil); err != nil {
		return nil, err
	}
	page := Page[Plan]{Items: []Plan{}}
	for id, v := range s.views(hygiene.ControllerID(q.Controller)) {
		for _, d := range v.Decisions {
			if (q.All || d.Action.Kind != hygiene.Rest || d.Sighting.Unfit != "") && (q.Pool == "" || q.Pool == d.Pool) {
				page.Items = append(page.Items, v.plan(id, d))
			}
		}
	}
	slices.SortFunc(page.Items, func(a, b Plan) int {
		return cmp.Or(
			cmp.Compare(a.Controller, b.Controller), cmp.Compare(min(b.Turn, 1), min(a.Turn, 1)),
			cmp.Compare(a.Turn, b.Turn), cmp.Compare(a.Agent, b.Agent),
		)
	})
	return answered(page, nil)
}

func (v View) plan(id hygiene.ControllerID, d Decision) Plan {
	p := Plan{
		Controller: string(id), Agent: d.Agent.Name, Pool: d.Pool, Action: string(d.Action.Kind), Now: d.Chosen, Turn: d.Turn,
		Reason: d.Reason, Need: string(d.Action.Need), Wake: utc(d.Action.Wake), Decided: utc(d.At),
		DryRun: v.DryRun || slices.ContainsFunc(v.Pools, func(p PoolView) bool { return p.Name == d.Pool && p.DryRun }),
	}
	if d.Action.Write {
		p.Labels = cmp.Or(strings.Join(v.Labels.Strings(d.Action.Labels), " "), "none")
	}
	return p
}
