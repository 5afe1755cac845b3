// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Pool is agents that share recipe and policy.
type Pool struct {
	Controller  string `json:"controller"`
	Name        string `json:"name"`
	Agents      string `json:"agents,omitempty" doc:"Label expression that chooses them; absent: all"`
	Recipe      string `json:"recipe,omitempty"`
	Revision    string `json:"revision,omitempty" doc:"Content address of the compiled recipe"`
	Delivery    string `json:"delivery,omitempty" enum:"job,ssh"`
	MaxCleanups int    `json:"max_cleanups,omitempty" doc:"Most cleanups at once; absent: as many as the controller takes"`
	TTL         string `json:"ttl,omitempty" doc:"Clean agents older than this are verified again"`
	DryRun      bool   `json:"dry_run,omitempty"`

	Counts Counts `json:"counts"`

	Paused    string    `json:"paused,omitempty" doc:"Why no cleanup starts, when a person paused it"`
	Breaker   string    `json:"breaker,omitempty" doc:"Why no cleanup of this recipe revision starts, when its failures stopped it"`
	BreakerAt time.Time `json:"breaker_at,omitzero" doc:"When they did"`
	DeadSince time.Time `json:"dead_since,omitzero" doc:"When the alarm was raised that agents wait and none is cleaned"`
}

func (s *Server) poolRoutes() {
	register(s, operation{
		id: "listPools", method: http.MethodGet, path: "/pools", role: store.Viewer, tag: "pools",
		summary: "List pools, with counts and alarms",
	}, func(ctx context.Context, _ *none) (*answer[Page[Pool]], error) {
		now := time.Now()
		seen, err := s.sights(ctx, "", now)
		if err != nil {
			return nil, err
		}
		pools, err := s.pools(ctx, seen, now)
		return answered(Page[Pool]{Items: pools}, err)
	})
}

func (s *Server) pools(ctx context.Context, seen []sight, now time.Time) ([]Pool, error) {
	breakers, err := s.Store.Breakers(ctx)
	if err != nil {
		return nil, err
	}
	pauses, err := s.pauses(ctx, now)
	if err != nil {
		return nil, err
	}
	pools := []Pool{}
	for _, c := range s.controllers() {
		v := c.View()
		for _, p := range v.Pools {
			row, err := s.Store.PoolState(ctx, p.Scope)
			if err != nil {
				return nil, err
			}
			w := poolOf(string(c.ID), p, v.DryRun)
			w.DeadSince = utc(row.DeadSince)
			w.Counts = countAll(seen, func(a sight) bool {
				return a.agent.ID.Controller == c.ID && cmp.Or(a.agent.Pool, a.decision.Pool) == p.Name
			})
			w.Paused = pausedBy(pauses, w.Controller, w.Name)
			w.stop(breakers, p)
			pools = append(pools, w)
		}
	}
	return pools, nil
}

func poolOf(controller string, p PoolView, dryRun bool) Pool {
	w := Pool{
		Controller: controller, Name: p.Name, Agents: p.Agents, Recipe: p.Recipe, Revision: p.Revision,
		Delivery: string(p.Delivery), MaxCleanups: p.MaxCleanups, DryRun: p.DryRun || dryRun,
	}
	if p.TTL > 0 {
		w.TTL = p.TTL.String()
	}
	return w
}

// stop tells of an open breaker of the revision that the pool uses now.
func (p *Pool) stop(breakers []store.BreakerRow, view PoolView) {
	for _, b := range breakers {
		if b.Pool == view.Scope && b.Revision == view.Revision && !b.Opened.IsZero() {
			p.Breaker, p.BreakerAt = b.Reason, utc(b.Opened)
		}
	}
}
