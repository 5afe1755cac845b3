// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// AgentQuery chooses agents.
type AgentQuery struct {
	strict
	Paging
	Controller string   `query:"controller" doc:"Only agents of this controller"`
	Pool       string   `query:"pool" doc:"Only agents of this pool"`
	Name       string   `query:"name" doc:"Only agents with exactly this name"`
	Hygiene    []string `query:"state" enum:"unmanaged,due,cleaning,clean,quarantined" doc:"Only agents in one of these states; without it, all that are managed or about to be"`
	Occupancy  []string `query:"occupancy" enum:"idle,busy,offline,offline by a person,unseen" doc:"Only agents that do one of these"`
	Held       bool     `query:"held" doc:"Only agents that a person keeps out"`
	Labels     string   `query:"labels" doc:"Only agents whose labels satisfy this label expression" example:"el9 && !gpu"`
}

// AgentPath names one agent.
type AgentPath struct {
	Controller string `path:"controller"`
	Agent      string `path:"agent"`
}

type agentInput struct {
	strict
	AgentPath
}

func (p AgentPath) id() hygiene.AgentID {
	return hygiene.AgentID{Controller: hygiene.ControllerID(p.Controller), Name: p.Agent}
}

// AgentDetail is everything that is known of one agent.
type AgentDetail struct {
	Agent
	Need       string    `json:"need,omitempty" enum:"cleanup,verify" doc:"How much of the recipe its next attempt runs"`
	LastServed time.Time `json:"last_served,omitzero" doc:"When its newest attempt was claimed"`
	Machine    string    `json:"machine,omitempty" doc:"Id of its machine, from the newest report"`
	Used       *Use      `json:"used,omitempty"`
	FeedRead   time.Time `json:"feed_read,omitzero" doc:"When its build feed was last read"`
	Decided    time.Time `json:"decided,omitzero" doc:"When next and why were decided"`
	Offline    string    `json:"offline,omitempty" doc:"Why it is offline, as Jenkins says"`

	Current  *Attempt  `json:"current,omitempty" doc:"The attempt in progress"`
	Attempts []Attempt `json:"attempts" doc:"The newest attempts, newest first"`
	Events   []Event   `json:"events" doc:"The newest events, newest first"`
	Builds   []Build   `json:"builds" doc:"The newest real builds known to have run on it, newest first"`
	Residue  []Residue `json:"residue" doc:"What its newest attempts found that did not belong, newest first"`
}

// shownInDetail bounds the lists of an agent's detail; the lists of their own have the rest.
const shownInDetail = 20

func (s *Server) agentRoutes() {
	register(s, operation{
		id: "listAgents", method: http.MethodGet, path: "/agents", role: store.Viewer, tag: "agents",
		summary: "List agents", detail: "Ordered by controller and name.",
	}, s.listAgents)
	register(s, operation{
		id: "getAgent", method: http.MethodGet, path: "/agents/{controller}/{agent}", role: store.Viewer, tag: "agents",
		summary: "Get the life of one agent",
	}, s.getAgent)
}

func (s *Server) listAgents(ctx context.Context, q *AgentQuery) (*answer[Page[Agent]], error) {
	wanted, err := q.filter()
	if err != nil {
		return nil, err
	}
	after, err := q.position()
	if err != nil {
		return nil, err
	}
	seen, err := s.sights(ctx, hygiene.ControllerID(q.Controller), time.Now())
	if err != nil {
		return nil, err
	}
	if err := s.knownScope(q.Controller, q.Pool, seen); err != nil {
		return nil, err
	}
	seen = slices.DeleteFunc(seen, func(v sight) bool { return v.agent.ID.String() <= after && after != "" || !wanted(v) })
	seen = seen[:min(len(seen), q.Limit+1)]
	return answered(paged(seen, q.Paging, sight.wire, func(v sight) string { return v.agent.ID.String() }), nil)
}

// filter returns what tells the agents that are asked for.
func (q *AgentQuery) filter() (func(sight) bool, error) {
	expr, err := labelexpr.Parse(q.Labels)
	if err != nil && q.Labels != "" {
		return nil, invalid("query.labels", err.Error(), q.Labels)
	}
	return func(v sight) bool {
		w := v.agent
		switch {
		case q.Name != "" && w.ID.Name != q.Name,
			q.Pool != "" && v.pool() != q.Pool,
			len(q.Hygiene) == 0 && !v.listed(),
			len(q.Hygiene) > 0 && !slices.Contains(q.Hygiene, string(w.Hygiene())),
			len(q.Occupancy) > 0 && !slices.Contains(q.Occupancy, string(v.occupancy())),
			q.Held && w.Held(v.now) == nil:
			return false
		}
		return q.Labels == "" || expr.Matches(labelexpr.Has(v.view.labelsOf(w.ID.Name)...))
	}, nil
}

// knownScope refuses the name of a controller or pool that there is not: an empty list reads as good news. Agents may be
// of a pool that is not in the configuration any more.
func (s *Server) knownScope(controller, pool string, seen []sight) error {
	views := s.views("")
	if _, ok := views[hygiene.ControllerID(controller)]; !ok && controller != "" {
		return invalid("query.controller", "there is no such controller", controller)
	}
	has := pool == "" || slices.ContainsFunc(seen, func(v sight) bool { return v.pool() == pool })
	for _, v := range views {
		has = has || slices.ContainsFunc(v.Pools, func(p PoolView) bool { return p.Name == pool })
	}
	if !has {
		return invalid("query.pool", "there is no such pool", pool)
	}
	return nil
}

// sights joins what is stored with what the crews know, ordered by [hygiene.AgentID.String]. In a dry run
// nothing is stored: the crews' decisions alone tell of those agents.
func (s *Server) sights(ctx context.Context, controller hygiene.ControllerID, now time.Time) ([]sight, error) {
	stored, err := s.Store.Agents(ctx, controller)
	if err != nil {
		return nil, err
	}
	views := s.views(controller)
	out := make([]sight, 0, len(stored))
	known := make(map[hygiene.AgentID]bool, len(stored))
	for _, a := range stored {
		known[a.ID] = true
		view, serviced := views[a.ID.Controller]
		v := view.sight(a, now)
		v.orphan = !serviced
		out = append(out, v)
	}
	for id, v := range views {
		for name := range v.Decisions {
			if agent := (hygiene.AgentID{Controller: id, Name: name}); !known[agent] {
				out = append(out, v.sight(hygiene.Agent{ID: agent}, now))
			}
		}
	}
	slices.SortFunc(out, func(a, b sight) int { return cmp.Compare(a.agent.ID.String(), b.agent.ID.String()) })
	return out, nil
}

// views returns what the crews know now: of one controller, or of all for "".
func (s *Server) views(only hygiene.ControllerID) map[hygiene.ControllerID]View {
	views := map[hygiene.ControllerID]View{}
	for _, c := range s.controllers() {
		if only == "" || c.ID == only {
			views[c.ID] = c.View()
		}
	}
	return views
}

func (s *Server) getAgent(ctx context.Context, in *agentInput) (*answer[AgentDetail], error) {
	v, err := s.find(ctx, in.id())
	if err != nil {
		return nil, err
	}
	a := v.agent
	d := AgentDetail{
		Agent: v.wire(), Need: string(a.Need), LastServed: utc(a.LastServed), Machine: a.Machine, Used: useOf(a.Used),
		Decided: utc(v.decision.At),
	}
	if look := v.view.Look; look != nil {
		d.Offline = look.Agents[a.ID.Name].OfflineReason
	}
	err = s.fill(ctx, a.ID, &d)
	return answered(d, err)
}

// find returns one agent, or [store.ErrNotFound].
func (s *Server) find(ctx context.Context, id hygiene.AgentID) (sight, error) {
	view, serviced := s.views(id.Controller)[id.Controller]
	a, _, err := s.Store.Agent(ctx, id)
	if _, decided := view.Decisions[id.Name]; errors.Is(err, store.ErrNotFound) && decided {
		a, err = hygiene.Agent{ID: id}, nil
	}
	if err != nil {
		return sight{}, err
	}
	v := view.sight(a, time.Now())
	v.orphan = !serviced
	return v, nil
}

// fill adds the agent's newest attempts, events, builds and residue.
func (s *Server) fill(ctx context.Context, id hygiene.AgentID, d *AgentDetail) error {
	attempts, err := s.Store.Attempts(ctx, store.AttemptFilter{Agent: id, Limit: shownInDetail})
	if err != nil {
		return err
	}
	events, err := s.Store.Events(ctx, store.EventFilter{Agent: id, Limit: shownInDetail, Newest: true})
	if err != nil {
		return err
	}
	builds, err := s.Store.Builds(ctx, store.BuildFilter{Agent: id, Limit: shownInDetail})
	if err != nil {
		return err
	}
	residue, err := s.Store.Residue(ctx, store.ResidueFilter{Agent: id, Limit: shownInDetail})
	if err != nil {
		return err
	}
	d.Attempts, d.Events, d.Builds = each(attempts, attemptOf), each(events, eventOf), each(builds, buildOf)
	d.Residue = each(residue, residueOf)
	if len(d.Attempts) > 0 && d.Attempts[0].Ended.IsZero() {
		d.Current = &d.Attempts[0]
	}
	asked, _, err := s.Store.FeedState(ctx, id)
	d.FeedRead = utc(asked)
	return err
}

// each converts all; the list of a JSON answer is never null.
func each[R, T any](found []R, convert func(R) T) []T {
	out := make([]T, 0, len(found))
	for _, r := range found {
		out = append(out, convert(r))
	}
	return out
}
