// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Overview is what a person wants to see first.
type Overview struct {
	At      time.Time `json:"at"`
	Event   int64     `json:"event" doc:"ID of the newest event that it knows; watch events after it"`
	Version Version   `json:"version"`
	Started time.Time `json:"started" doc:"Start of the daemon"`

	Alerts       []Alert           `json:"alerts" doc:"What a person should look at, the worst first"`
	Counts       Counts            `json:"counts"`
	Controllers  []ControllerState `json:"controllers"`
	Pools        []Pool            `json:"pools"`
	Running      []Attempt         `json:"running" doc:"Attempts in progress, longest first"`
	Contaminated []Build           `json:"contaminated" doc:"The newest builds that started while their agent was not proven clean"`
	Events       []Event           `json:"events" doc:"Newest first"`
}

// Alert is something that a person should look at.
type Alert struct {
	Level string    `json:"level" enum:"fail,warn"`
	About string    `json:"about" doc:"Controller, pool or agent" example:"pool linux"`
	Text  string    `json:"text"`
	Since time.Time `json:"since,omitzero"`
}

// shownInOverview bounds the lists of events and builds.
const shownInOverview = 25

// maxRunning is above any cap on cleanups at once.
const maxRunning = 10000

func (s *Server) overviewRoutes() {
	register(s, operation{
		id: "getOverview", method: http.MethodGet, path: "/overview", role: store.Viewer, tag: "daemon",
		summary: "Get what a person wants to see first",
	}, func(ctx context.Context, _ *none) (*answer[Overview], error) {
		return answered(s.overview(ctx, time.Now()))
	})
}

func (s *Server) overview(ctx context.Context, now time.Time) (Overview, error) {
	o := Overview{At: utc(now), Version: s.Version, Started: utc(s.Started)}
	var err error
	// Read first: what happens meanwhile is then watched a second time, and not missed.
	if o.Event, err = s.newestEvent(ctx); err != nil {
		return o, err
	}
	seen, err := s.sights(ctx, "", now)
	if err != nil {
		return o, err
	}
	o.Counts = countAll(seen, func(sight) bool { return true })
	o.Controllers = s.controllerStates(seen, now)
	if o.Pools, err = s.pools(ctx, seen, now); err != nil {
		return o, err
	}
	if err := s.happenings(ctx, &o); err != nil {
		return o, err
	}
	pauses, err := s.pauses(ctx, now)
	if err != nil {
		return o, err
	}
	o.Alerts = alerts(&o, pauses, seen)
	rollouts, err := s.rolloutStates(ctx)
	o.Alerts = append(o.Alerts, rolloutAlerts(rollouts)...)
	return o, err
}

// happenings adds what goes on and what has happened.
func (s *Server) happenings(ctx context.Context, o *Overview) error {
	open, err := s.Store.Attempts(ctx, store.AttemptFilter{Open: true, Limit: maxRunning})
	if err != nil {
		return err
	}
	o.Running = each(open, attemptOf)
	slices.SortFunc(o.Running, func(a, b Attempt) int {
		return cmp.Or(a.Claimed.Compare(b.Claimed), cmp.Compare(a.Controller, b.Controller), cmp.Compare(a.Agent, b.Agent))
	})
	builds, err := s.Store.Builds(ctx, store.BuildFilter{Contaminated: true, Limit: shownInOverview})
	if err != nil {
		return err
	}
	o.Contaminated = each(builds, buildOf)
	events, err := s.Store.Events(ctx, store.EventFilter{Newest: true, Limit: shownInOverview})
	o.Events = each(events, eventOf)
	return err
}

// alerts gathers what is wrong, the worst first.
func alerts(o *Overview, pauses []Pause, seen []sight) []Alert {
	out := []Alert{}
	for _, c := range o.Controllers {
		if c.Problem != "" {
			out = append(out, Alert{Level: "fail", About: "controller " + c.Name, Text: c.Problem, Since: c.LastSweep})
		}
	}
	for _, p := range o.Pools {
		if !p.DeadSince.IsZero() {
			out = append(out, Alert{Level: "fail", About: "pool " + p.Name, Text: "agents wait, and none is cleaned", Since: p.DeadSince})
		}
		if !p.BreakerAt.IsZero() {
			out = append(out, Alert{Level: "fail", About: "pool " + p.Name, Text: "cleanups stopped, because the recipe fails: " + p.Breaker, Since: p.BreakerAt})
		}
	}
	for _, v := range seen {
		if s := v.agent.Stuck; s != nil {
			out = append(out, Alert{Level: "fail", About: "agent " + v.agent.ID.Name, Text: s.Reason, Since: utc(s.Since)})
		}
	}
	for _, p := range pauses {
		out = append(out, Alert{Level: "warn", About: p.Scope, Text: fmt.Sprintf("paused by %s: %s", p.By, p.Reason), Since: p.Since})
	}
	for _, v := range seen {
		if q := v.agent.Quarantine; q != nil && v.agent.Managed() {
			out = append(out, Alert{Level: "warn", About: "agent " + v.agent.ID.Name, Text: "in quarantine: " + q.Reason, Since: utc(q.Since)})
		}
	}
	return out
}
