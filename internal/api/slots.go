// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Slot is a job that carries programs to agents, to one at a time.
type Slot struct {
	Controller string `json:"controller"`
	Job        string `json:"job" doc:"Full name"`
	Agent      string `json:"agent,omitempty" doc:"Whose attempt has it; absent: it is free"`
	Attempt    int64  `json:"attempt,omitempty" doc:"Number of that attempt"`
	Content    string `json:"content,omitempty" doc:"Digest of the program that it carries"`
	Refused    string `json:"refused,omitempty" doc:"Why it is not used until somebody resets it"`
}

// ControllerPath names a controller.
type ControllerPath struct {
	Controller string `path:"controller"`
}

type controllerInput struct {
	strict
	ControllerPath
}

type slotInput struct {
	strict
	ControllerPath
	Job  string `path:"job" doc:"Full name of the job, its slashes encoded"`
	Body *Order // optional
}

func (s *Server) slotRoutes() {
	register(s, operation{
		id: "listSlots", method: http.MethodGet, path: "/controllers/{controller}/slots", role: store.Viewer, tag: "slots",
		summary: "List the jobs that carry programs to agents",
	}, s.listSlots)
	register(s, operation{
		id: "resetSlot", method: http.MethodPost, path: "/controllers/{controller}/slots/{job}/reset", role: store.Operator, tag: "slots",
		summary: "Use a slot again that was refused",
		detail:  "Its job is written anew before the next use: what somebody changed there is lost.",
	}, s.resetSlot)
}

func (s *Server) listSlots(ctx context.Context, in *controllerInput) (*answer[Page[Slot]], error) {
	if _, ok := s.controller(in.Controller); !ok {
		return nil, noController(in.Controller)
	}
	found, err := s.Store.Slots(ctx, hygiene.ControllerID(in.Controller))
	return answered(Page[Slot]{Items: each(found, slotOf)}, err)
}

func slotOf(r store.Slot) Slot {
	return Slot{
		Controller: string(r.Controller), Job: r.Job, Agent: r.Agent, Attempt: r.Attempt, Content: r.Content, Refused: r.Refused,
	}
}

func (s *Server) resetSlot(ctx context.Context, in *slotInput) (*answer[Slot], error) {
	c, ok := s.controller(in.Controller)
	if !ok {
		return nil, noController(in.Controller)
	}
	found, err := s.Store.Slots(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(found, func(r store.Slot) bool { return r.Job == in.Job })
	switch {
	case i < 0:
		return nil, store.ErrNotFound
	case found[i].Refused == "":
		return nil, refusal(http.StatusConflict, "the slot is not refused: there is nothing to reset")
	}
	slot := found[i]
	// A write that is marked as begun is done again whatever stands there.
	slot.Refused, slot.Digest, slot.Content, slot.Pending = "", "", "", "reset"
	if err := s.Store.SaveSlot(ctx, slot); err != nil {
		return nil, err
	}
	now := time.Now()
	err = s.Store.Append(ctx, now, hygiene.Event{
		Type: hygiene.EventSlot, At: now, Actor: caller(ctx).Name, Subject: slot.Job, Agent: hygiene.AgentID{Controller: c.ID},
		Reason: "reset; it was refused because " + found[i].Refused + because(in.Body.reason()),
	})
	c.Orders.Poke()
	return answered(slotOf(slot), err)
}

func noController(name string) error {
	return refusal(http.StatusNotFound, fmt.Sprintf("there is no controller %q in the configuration", name))
}
