// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Pause stops new cleanups; those in progress go on.
type Pause struct {
	Scope  string    `json:"scope" doc:"all, controller:NAME or pool:NAME" example:"pool:linux"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero" doc:"Absent: until somebody resumes"`
}

const (
	everywhere      = "all"
	controllerScope = "controller:"
	poolScope       = "pool:"
)

// ScopePath names what a pause is about.
type ScopePath struct {
	Scope string `path:"scope" doc:"all, controller:NAME or pool:NAME"`
}

type scopeInput struct {
	strict
	ScopePath
}

type pauseInput struct {
	strict
	ScopePath
	Body ReasonedOrder
}

func (s *Server) pauseRoutes() {
	register(s, operation{
		id: "listPauses", method: http.MethodGet, path: "/pauses", role: store.Viewer, tag: "pauses",
		summary: "List pauses in force",
	}, func(ctx context.Context, _ *none) (*answer[Page[Pause]], error) {
		pauses, err := s.pauses(ctx, time.Now())
		return answered(Page[Pause]{Items: pauses}, err)
	})
	register(s, operation{
		id: "pause", method: http.MethodPut, path: "/pauses/{scope}", role: store.Operator, tag: "pauses",
		summary: "Start no new cleanups", detail: "Takes the place of a pause with the same scope. Cleanups in progress go on.",
	}, s.setPause)
	register(s, operation{
		id: "resume", method: http.MethodDelete, path: "/pauses/{scope}", role: store.Operator, tag: "pauses",
		summary: "Start cleanups again", status: http.StatusNoContent,
		detail: "Ends the pause, and closes the breakers of the pools in the scope whose recipe failed on many agents.",
	}, s.clearPause)
}

// pauses returns those in force.
func (s *Server) pauses(ctx context.Context, now time.Time) ([]Pause, error) {
	found, err := s.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	out := []Pause{}
	for _, p := range found {
		if p.Until.IsZero() || now.Before(p.Until) {
			out = append(out, pauseOf(p))
		}
	}
	return out, nil
}

func pauseOf(p store.Pause) Pause {
	return Pause{Scope: p.Scope, Reason: p.Reason, By: p.By, Since: utc(p.Since), Until: utc(p.Until)}
}

// pausedBy returns why a pool is paused, or "".
func pausedBy(pauses []Pause, controller, pool string) string {
	for _, p := range pauses {
		if p.Scope == everywhere || p.Scope == controllerScope+controller || p.Scope == poolScope+pool {
			return fmt.Sprintf("%s: %s", p.By, p.Reason)
		}
	}
	return ""
}

func (s *Server) setPause(ctx context.Context, in *pauseInput) (*answer[Pause], error) {
	if !s.hasScope(in.Scope) {
		return nil, invalid("path.scope", "want all, controller:NAME or pool:NAME, of a controller or pool of the configuration", in.Scope)
	}
	now := time.Now()
	until, err := in.Body.until(now)
	if err != nil {
		return nil, err
	}
	p := store.Pause{Scope: in.Scope, Reason: in.Body.Reason, By: caller(ctx).Name, Since: now, Until: until}
	if err := s.Store.SetPause(ctx, p, pauseEvent(hygiene.EventPaused, p.Scope, p.By, p.Reason, now)); err != nil {
		return nil, err
	}
	s.pokeAll()
	return answered(pauseOf(p), nil)
}

func (s *Server) clearPause(ctx context.Context, in *scopeInput) (*struct{}, error) {
	who := caller(ctx).Name
	closed, err := s.closeBreakers(ctx, in.Scope, who)
	if err != nil {
		return nil, err
	}
	err = s.Store.ClearPause(ctx, in.Scope, pauseEvent(hygiene.EventResumed, in.Scope, who, "resumed", time.Now()))
	if err != nil && (!closed || !errors.Is(err, store.ErrNotFound)) {
		return nil, err
	}
	s.pokeAll()
	return nil, nil
}

// closeBreakers closes the open breakers of the pools in a scope, and reports whether there were any.
func (s *Server) closeBreakers(ctx context.Context, scope, who string) (bool, error) {
	closedAny := false
	for _, c := range s.controllers() {
		for _, p := range c.View().Pools {
			if scope != everywhere && scope != controllerScope+string(c.ID) && scope != poolScope+p.Name {
				continue
			}
			closed, err := c.Orders.OrderTrial(ctx, p.Name, who, "resumed by "+who)
			if err != nil {
				return closedAny, err
			}
			closedAny = closedAny || closed
		}
	}
	return closedAny, nil
}

// pauseEvent tells of a pause. It belongs to what its scope names, so that filters find it there.
func pauseEvent(kind hygiene.EventType, scope, actor, reason string, now time.Time) hygiene.Event {
	e := hygiene.Event{Type: kind, At: now, Actor: actor, Subject: scope, Reason: reason}
	if name, ok := strings.CutPrefix(scope, controllerScope); ok {
		e.Agent.Controller = hygiene.ControllerID(name)
	}
	if name, ok := strings.CutPrefix(scope, poolScope); ok {
		e.Pool = name
	}
	return e
}

// hasScope reports whether the configuration knows what a scope names.
func (s *Server) hasScope(scope string) bool {
	if scope == everywhere {
		return true
	}
	for _, c := range s.controllers() {
		if scope == controllerScope+string(c.ID) {
			return true
		}
		for _, p := range c.View().Pools {
			if scope == poolScope+p.Name {
				return true
			}
		}
	}
	return false
}

// pokeAll makes what was changed take effect now.
func (s *Server) pokeAll() {
	for _, c := range s.controllers() {
		c.Orders.Poke()
	}
}
