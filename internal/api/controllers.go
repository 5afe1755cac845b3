// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// ControllerState is a controller and how its service goes.
type ControllerState struct {
	Name      string    `json:"name"`
	URL       string    `json:"url"`
	Version   string    `json:"version,omitempty" doc:"Of Jenkins"`
	LastSweep time.Time `json:"last_sweep,omitzero" doc:"When it was last looked at with success"`
	Poll      string    `json:"poll" doc:"Interval of looks" example:"1s"`
	DryRun    bool      `json:"dry_run,omitempty" doc:"Nothing is written there"`
	Problem   string    `json:"problem,omitempty" doc:"Why it is not serviced, or not seen"`
	Mode      string    `json:"mode" enum:"labels,gate,gate lost,gate leaving" doc:"What keeps builds off agents that are not clean"`
	Queue     int       `json:"queue" doc:"Items in its queue, ours not counted"`
	Counts    Counts    `json:"counts"`
}

// Counts says how many agents are what.
type Counts struct {
	Managed     int `json:"managed"`
	Clean       int `json:"clean"`
	Cleaning    int `json:"cleaning"`
	Due         int `json:"due"`
	Quarantined int `json:"quarantined"`
	Held        int `json:"held" doc:"Those that a person keeps out; they are counted above as well"`
	Busy        int `json:"busy" doc:"Those with a build; they are counted above as well"`
	Offline     int `json:"offline" doc:"Those offline or unseen; they are counted above as well"`
}

func (c *Counts) add(v sight) {
	switch v.agent.Hygiene() {
	case hygiene.IsUnmanaged:
		return
	case hygiene.IsClean:
		c.Clean++
	case hygiene.IsCleaning:
		c.Cleaning++
	case hygiene.IsDue:
		c.Due++
	case hygiene.IsQuarantined:
		c.Quarantined++
	}
	c.Managed++
	if v.agent.Held(v.now) != nil {
		c.Held++
	}
	switch v.occupancy() {
	case hygiene.IsBusy:
		c.Busy++
	case hygiene.IsOffline, hygiene.IsSetAside, hygiene.IsUnseen:
		c.Offline++
	case hygiene.IsIdle, hygiene.IsOnLoan:
	}
}

func countAll(seen []sight, of func(sight) bool) Counts {
	var c Counts
	for _, v := range seen {
		if of(v) {
			c.add(v)
		}
	}
	return c
}

func (s *Server) controllerRoutes() {
	register(s, operation{
		id: "listControllers", method: http.MethodGet, path: "/controllers", role: store.Viewer, tag: "controllers",
		summary: "List the controllers that are serviced",
	}, func(ctx context.Context, _ *none) (*answer[Page[ControllerState]], error) {
		now := time.Now()
		seen, err := s.sights(ctx, "", now)
		if err != nil {
			return nil, err
		}
		return answered(Page[ControllerState]{Items: s.controllerStates(seen, now)}, nil)
	})
}

func (s *Server) controllerStates(seen []sight, now time.Time) []ControllerState {
	out := []ControllerState{}
	for _, c := range s.controllers() {
		v := c.View()
		w := ControllerState{
			Name: string(c.ID), URL: v.URL, LastSweep: utc(v.lastSweep()), Poll: v.Poll.String(), DryRun: v.DryRun,
			Problem: cmp.Or(v.Refused, v.Problem, v.late(s.Started, now), v.lost()),
			Mode:    v.gate().mode(),
			Counts:  countAll(seen, func(v sight) bool { return v.agent.ID.Controller == c.ID }),
		}
		if v.Look != nil {
			w.Version, w.Queue = v.Look.Version, v.waiting()
		}
		out = append(out, w)
	}
	return out
}

// lost says that the controller's gate is lost, or "".
func (v View) lost() string {
	if v.gate().Problem == "" {
		return ""
	}
	return "its gate is lost, and nothing there is clean" + because(v.gate().Problem)
}

// waiting counts the queue without our own jobs.
func (v View) waiting() int {
	n := 0
	for _, item := range v.Look.Queue.Items {
		if !v.owns(item.Job) {
			n++
		}
	}
	return n
}

func (v View) owns(job string) bool { return v.Owns != nil && v.Owns(job) }
