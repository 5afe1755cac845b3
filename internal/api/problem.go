// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

const (
	problemType    = "application/problem+json"
	internalDetail = "the daemon could not do this; its log says why"
)

// refusal is an answer that says no for a reason that the client may read.
func refusal(status int, detail string) error { return huma.NewError(status, detail) }

// invalid is the answer to input that the schema could not refuse.
func invalid(location, message string, value any) error {
	return huma.Error422UnprocessableEntity("validation failed",
		&huma.ErrorDetail{Location: location, Message: message, Value: value})
}

// repeatNoBody drops what stood in the body of a request from the answer that says what is wrong with it: the whole of it where only a name
// is misspelt. A secret may be in it, and the console of a CI job shows answers.
func repeatNoBody(_ huma.Context, _ string, v any) (any, error) {
	if model, ok := v.(*huma.ErrorModel); ok {
		for _, fault := range model.Errors {
			if strings.HasPrefix(fault.Location, "body") {
				fault.Value = nil
			}
		}
	}
	return v, nil
}

// problem translates an error for the client. It is the only place that decides so; what it does
// not know is logged and answered without details.
func (s *Server) problem(ctx context.Context, operation string, err error) error {
	var ready huma.StatusError
	if err == nil || errors.As(err, &ready) {
		return err
	}
	status, detail := translate(err)
	if status == http.StatusInternalServerError {
		s.Logger.ErrorContext(ctx, "request could not be answered", "operation", operation, "err", err)
	}
	return huma.NewError(status, detail)
}

func translate(err error) (status int, detail string) {
	var file *store.FileError
	var remote *jenkins.Error
	var edge *hygiene.StateError
	var step *loan.StateError
	var refused *rollout.RefusedError
	switch {
	case errors.As(err, &refused):
		return http.StatusConflict, refused.Error()
	case errors.Is(err, loan.ErrOver):
		return http.StatusConflict, err.Error()
	case errors.As(err, &step):
		return http.StatusConflict, step.Error()
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound, "there is no such thing"
	case errors.Is(err, store.ErrExists):
		return http.StatusConflict, "it exists already"
	case errors.Is(err, store.ErrConflict):
		return http.StatusConflict, "it was changed meanwhile; try again"
	case errors.As(err, &edge):
		return http.StatusConflict, edge.Error()
	case errors.As(err, &file):
		return http.StatusInsufficientStorage, file.Problem.Error() + ": " + file.Remedy
	case errors.As(err, &remote):
		return http.StatusBadGateway, "the controller: " + remote.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout, "it took too long"
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "the request was given up, or the daemon stops"
	}
	return http.StatusInternalServerError, internalDetail
}

// writeProblem answers outside of an operation.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	// The client has the status even when the body cannot be written.
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail})
}

// noRoute tells a wrong method from a wrong address.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, http.StatusNotFound, "there is nothing at this address; /api/openapi.json lists what there is")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, http.StatusMethodNotAllowed, "this address takes "+strings.Join(allowed, ", "))
}
