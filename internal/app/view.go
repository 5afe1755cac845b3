// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// apiController shows a crew to the API.
func apiController(r *crewRun, version string) api.Controller {
	return api.Controller{
		ID: r.crew.ID(), Orders: r.crew, Jenkins: examined{r.client, version},
		View: func() api.View { return viewOf(r) },
	}
}

// examined is a controller whose check includes its gate's.
type examined struct {
	*jenkins.Client
	version string // of this pitcrew
}

// Check implements [api.Jenkins].
func (e examined) Check(ctx context.Context, o jenkins.CheckOptions) []jenkins.Finding {
	found, holds := gate.Check(ctx, e.Client, e.version, gate.Labels(o.Names))
	o.Gated = holds
	return append(e.Client.Check(ctx, o), found...)
}

func viewOf(r *crewRun) api.View {
	s := r.crew.Settings()
	v := api.View{
		URL: r.client.URL(), Refused: r.crew.Refused(), Problem: r.crew.Problem(), DryRun: s.DryRun, Poll: s.Poll,
		Labels: s.Labels, Folder: s.Jobs.Folder, Owns: r.crew.Owns, Pools: make([]api.PoolView, 0, len(s.Pools)),
		Decisions: map[string]api.Decision{},
	}
	for i := range s.Pools {
		v.Pools = append(v.Pools, poolView(r.crew, &s.Pools[i]))
	}
	if look := r.crew.Seen(); look != nil {
		v.Look = &api.Look{
			At: look.At, Session: look.Session, Version: look.Version, Agents: look.Agents, Queue: look.Queue,
			Unproven: look.Unproven, UnprovenSince: look.UnprovenSince,
			Gate: api.GateView{Status: look.Gate, Problem: look.GateProblem, Leaving: look.LeavingGate},
		}
	}
	for name, d := range r.crew.Decisions() {
		v.Decisions[name] = api.Decision{
			At: d.At, Agent: d.Agent, Pool: d.Pool, Action: d.Action, Sighting: d.Sighting, Chosen: d.Chosen, Turn: d.Turn, Reason: d.Reason,
		}
	}
	return v
}

func poolView(crew *reconcile.Crew, p *reconcile.Pool) api.PoolView {
	return api.PoolView{
		Name: p.Name, Scope: crew.PoolScope(p.Name), Agents: p.Agents.String(), Recipe: p.Policy.Recipe, Revision: crew.Pinned(p),
		Delivery: p.Policy.Delivery, MaxCleanups: p.MaxCleanups, DryRun: p.Policy.DryRun, DeadMan: p.DeadMan, TTL: p.Policy.TTL,
		Lends: p.Lend != nil, Program: p.Program, Endangers: p.Program.Endangers,
	}
}
