// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// GateView is what a crew knows of its controller's gate.
type GateView struct {
	Status  *gate.Status // as the newest poll read it; nil = none answered
	Problem string       // why a gate that was there does not answer
	Leaving bool         // it is about to be removed
}

// The modes of a controller, as they are shown.
const (
	modeLabels  = "labels"
	modeGate    = "gate"
	modeLost    = "gate lost"
	modeLeaving = "gate leaving"
)

// mode says what keeps builds off agents that are not clean.
func (g GateView) mode() string {
	switch {
	case g.Problem != "":
		return modeLost
	case g.Status == nil:
		return modeLabels
	case g.Leaving:
		return modeLeaving
	}
	return modeGate
}

// Gate is the part of pitcrew that runs inside a controller and refuses to start builds on agents that are not clean.
type Gate struct {
	Controller string      `json:"controller"`
	Mode       string      `json:"mode" enum:"labels,gate,gate lost,gate leaving" doc:"What keeps builds off agents that are not clean"`
	Problem    string      `json:"problem,omitempty" doc:"Why a gate that was there does not answer"`
	Since      time.Time   `json:"since,omitzero" doc:"When it was lost, or when its removal was announced"`
	Version    string      `json:"version,omitempty" doc:"Of the pitcrew that it came with"`
	Protocol   int         `json:"protocol,omitempty"`
	Hook       string      `json:"hook,omitempty" doc:"What registered it; one that only the console did is gone after a restart of the controller" example:"init script"`
	Owner      string      `json:"owner,omitempty" doc:"The daemon that it serves"`
	Asked      int64       `json:"asked,omitempty" doc:"Questions of the controller's queue since it was registered"`
	Vetoed     int64       `json:"vetoed,omitempty" doc:"Of them, answered with no"`
	Failed     int64       `json:"failed,omitempty" doc:"Faults of its own"`
	States     GateStates  `json:"states" doc:"How many agents its ledger has in which state"`
	Ready      bool        `json:"ready,omitempty" doc:"It may be removed, as was announced: nothing relies on it any more"`
	Drifted    []GateDrift `json:"drifted" doc:"Agents that the ledger has as clean, and that changed since"`
}

// GateStates counts the agents of a ledger.
type GateStates struct {
	Unknown int `json:"unknown"`
	Claimed int `json:"claimed"`
	Clean   int `json:"clean"`
	Used    int `json:"used"`
	Held    int `json:"held"`
}

// GateDrift is an agent that is clean in the ledger, and that the gate lets nothing onto all the same.
type GateDrift struct {
	Agent string `json:"agent"`
	Drift string `json:"drift" doc:"What changed: computer, class, connection, executors, busy, label; or fault, if that cannot be told" example:"label"`
}

type gateInput struct {
	strict
	Controller string `path:"controller"`
}

type leaveGateInput struct {
	strict
	Controller string `path:"controller"`
	Body       *Order // optional
}

func (s *Server) gateRoutes() {
	register(s, operation{
		id: "getGate", method: http.MethodGet, path: "/controllers/{controller}/gate", role: store.Viewer, tag: "controllers",
		summary: "Show a controller's gate", detail: "As the newest poll saw it.",
	}, s.getGate)
	register(s, operation{
		id: "leaveGate", method: http.MethodPost, path: "/controllers/{controller}/gate/leave", role: store.Admin, tag: "controllers",
		summary: "Announce that a controller's gate is about to be removed, or give up one that is lost",
		detail: "Agents that labels alone cannot keep clean lose clean at once. That the gate is gone is no alarm then. " +
			"One that is still there after a quarter of an hour stays in force.",
	}, s.leaveGate)
}

func (s *Server) getGate(ctx context.Context, in *gateInput) (*answer[Gate], error) {
	c, ok := s.controller(in.Controller)
	if !ok {
		return nil, noController(in.Controller)
	}
	return answered(s.gateOf(ctx, c))
}

func (s *Server) leaveGate(ctx context.Context, in *leaveGateInput) (*answer[Gate], error) {
	c, ok := s.controller(in.Controller)
	if !ok {
		return nil, noController(in.Controller)
	}
	row, err := s.Store.Controller(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	if row.Gate.Use == store.LabelsOnly {
		return nil, refusal(http.StatusConflict, fmt.Sprintf("controller %s has no gate", c.ID))
	}
	if err := c.Orders.LeaveGate(ctx, caller(ctx).Name, in.Body.reason()); err != nil {
		return nil, err
	}
	return answered(s.gateOf(ctx, c))
}

// gateOf joins what the newest poll saw with what is stored.
func (s *Server) gateOf(ctx context.Context, c Controller) (Gate, error) {
	v := c.View()
	g := Gate{Controller: string(c.ID), Mode: v.gate().mode(), Problem: v.gate().Problem, Drifted: []GateDrift{}}
	row, err := s.Store.Controller(ctx, c.ID)
	if err != nil {
		return g, err
	}
	if row.Gate.Use == store.LeavingGate && g.Mode != modeLabels {
		g.Mode = modeLeaving
	}
	g.Since = utc(row.Gate.Since)
	status := v.gate().Status
	if status == nil {
		g.Ready = row.Gate.Use != store.Gated
		return g, nil
	}
	if v.gate().Leaving {
		if g.Ready, err = s.unreliant(ctx, c.ID, v); err != nil {
			return g, err
		}
	}
	g.Version, g.Protocol, g.Hook, g.Owner = status.Version, status.Protocol, status.Hook, status.Owner
	g.Asked, g.Vetoed, g.Failed = status.Asked, status.Vetoed, status.Failed
	for _, name := range slices.Sorted(maps.Keys(status.Agents)) {
		a := status.Agents[name]
		g.States.add(a.State)
		if a.State == gate.Clean && a.Drift != "" {
			g.Drifted = append(g.Drifted, GateDrift{Agent: name, Drift: a.Drift})
		}
	}
	return g, nil
}

// unreliant reports whether no agent is clean that labels alone cannot keep so.
func (s *Server) unreliant(ctx context.Context, id hygiene.ControllerID, v View) (bool, error) {
	agents, err := s.Store.Agents(ctx, id)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(agents, func(a hygiene.Agent) bool {
		s := v.Decisions[a.ID.Name].Sighting
		relies := a.State == hygiene.Clean || a.State == hygiene.Granting // by a request that may be under way
		return relies && (s.Unfit != "" || s.At.Before(v.Look.At))        // not decided about yet
	}), nil
}

func (n *GateStates) add(s gate.State) {
	switch s {
	case gate.Claimed:
		n.Claimed++
	case gate.Clean:
		n.Clean++
	case gate.Used:
		n.Used++
	case gate.Held:
		n.Held++
	case gate.Unknown:
		n.Unknown++
	}
}

// gate is what the newest poll saw of the gate.
func (v View) gate() GateView {
	if v.Look == nil {
		return GateView{}
	}
	return v.Look.Gate
}
