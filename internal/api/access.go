// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	actor  string
}

// WriteHeader notes the first final status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write answers 200 unless something else was said before.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets [http.ResponseController] flush and set deadlines.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// finish logs the request, and answers one whose handler panicked.
func (s *Server) finish(rec *recorder, r *http.Request, began time.Time) {
	if cause := recover(); cause != nil {
		if cause == http.ErrAbortHandler { //nolint:errorlint // net/http compares this value as well
			panic(cause)
		}
		s.Logger.ErrorContext(r.Context(), "request handler panicked", "method", r.Method, "path", r.URL.Path,
			"cause", fmt.Sprint(cause), "stack", string(debug.Stack()))
		if rec.status != 0 {
			panic(http.ErrAbortHandler) // a part of the answer is out: it must not look whole
		}
		writeProblem(rec, http.StatusInternalServerError, internalDetail)
	}
	level := slog.LevelDebug
	if r.Method != http.MethodGet && r.Method != http.MethodHead && rec.status < http.StatusBadRequest {
		level = slog.LevelInfo
	}
	s.Logger.Log(context.WithoutCancel(r.Context()), level, "request", "method", r.Method, "path", r.URL.Path,
		"status", rec.status, "took", time.Since(began), "actor", rec.actor)
}
