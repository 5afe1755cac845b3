// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// AttemptQuery chooses attempts.
type AttemptQuery struct {
	strict
	Paging
	Controller string `query:"controller" doc:"Only attempts on agents of this controller"`
	Agent      string `query:"agent" doc:"Only attempts on this agent; needs controller"`
	Pool       string `query:"pool" doc:"Only attempts of this pool"`
	Outcome    string `query:"outcome" enum:"cleaned,failed,lost,given back" doc:"Only attempts that ended so"`
	Open       bool   `query:"open" doc:"Only attempts in progress"`
}

// AttemptDetail is an attempt with what its program said.
type AttemptDetail struct {
	Attempt
	Report json.RawMessage `json:"report,omitempty" doc:"What the program reported: steps, disk, machine"`
	HasLog bool            `json:"has_log" doc:"The end of the program's output is kept"`
}

type attemptInput struct {
	strict
	ID int64 `path:"id" minimum:"1" doc:"The attempt's id, not its number"`
}

// logOutput is text, and no JSON.
type logOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *Server) attemptRoutes() {
	register(s, operation{
		id: "listAttempts", method: http.MethodGet, path: "/attempts", role: store.Viewer, tag: "attempts",
		summary: "List attempts", detail: "Newest first.",
	}, s.listAttempts)
	register(s, operation{
		id: "getAttempt", method: http.MethodGet, path: "/attempts/{id}", role: store.Viewer, tag: "attempts",
		summary: "Get an attempt with its report",
	}, func(ctx context.Context, in *attemptInput) (*answer[AttemptDetail], error) {
		r, err := s.attempt(ctx, in.ID)
		return answered(AttemptDetail{Attempt: attemptOf(r), Report: r.Report, HasLog: len(r.Log) > 0}, err)
	})
	register(s, operation{
		id: "getAttemptLog", method: http.MethodGet, path: "/attempts/{id}/log", role: store.Viewer, tag: "attempts",
		summary: "Get the end of an attempt's output", detail: "As plain text.",
	}, s.getAttemptLog)
}

func (s *Server) listAttempts(ctx context.Context, q *AttemptQuery) (*answer[Page[Attempt]], error) {
	f := store.AttemptFilter{
		Controller: hygiene.ControllerID(q.Controller), Pool: q.Pool, Outcome: hygiene.Outcome(q.Outcome),
		Open: q.Open, Limit: q.Limit + 1,
	}
	var err error
	if f.Agent, err = agentFilter(q.Controller, q.Agent); err != nil {
		return nil, err
	}
	if f.Before, err = q.number(); err != nil {
		return nil, err
	}
	found, err := s.Store.Attempts(ctx, f)
	if err != nil {
		return nil, err
	}
	return answered(paged(found, q.Paging, attemptOf, func(r store.AttemptRecord) string { return byID(r.ID) }), nil)
}

// agentFilter reads an optional agent; its name says nothing without its controller.
func agentFilter(controller, agent string) (hygiene.AgentID, error) {
	if agent == "" {
		return hygiene.AgentID{}, nil
	}
	if controller == "" {
		return hygiene.AgentID{}, invalid("query.agent", "agent names are unique per controller only: give controller as well", agent)
	}
	return hygiene.AgentID{Controller: hygiene.ControllerID(controller), Name: agent}, nil
}

// attempt finds an attempt by its id: the newest one that is not newer.
func (s *Server) attempt(ctx context.Context, id int64) (store.AttemptRecord, error) {
	found, err := s.Store.Attempts(ctx, store.AttemptFilter{Before: id + 1, Limit: 1})
	if err != nil {
		return store.AttemptRecord{}, err
	}
	if len(found) == 0 || found[0].ID != id {
		return store.AttemptRecord{}, store.ErrNotFound
	}
	return s.Store.Attempt(ctx, found[0].Agent, found[0].Number)
}

func (s *Server) getAttemptLog(ctx context.Context, in *attemptInput) (*logOutput, error) {
	r, err := s.attempt(ctx, in.ID)
	switch {
	case err != nil:
		return nil, err
	case r.Log == nil:
		return nil, refusal(http.StatusNotFound, "no output of this attempt is kept")
	}
	text := r.Log
	if r.Nonce != "" { // it stands in the sentinels around the report
		text = bytes.ReplaceAll(text, []byte(r.Nonce), []byte("[nonce]"))
	}
	return &logOutput{ContentType: "text/plain; charset=utf-8", Body: text}, nil
}
