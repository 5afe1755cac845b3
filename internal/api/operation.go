// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// maxBody bounds what a request may send: the largest is a reason in words.
const maxBody = 64 << 10

// answer is a response with a body and nothing else.
type answer[T any] struct{ Body T }

func answered[T any](body T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{Body: body}, nil
}

// none is the input of operations that take none.
type none struct{ strict }

// operation is one route: how it is asked for, and who may.
type operation struct {
	id      string // unique, camel case; the OpenAPI operationId
	method  string
	path    string // below /api/v1
	role    store.Role
	tag     string // noun that it belongs to
	summary string
	detail  string // more than the summary says; may be empty
	status  int    // of success; 0 = 200, or 204 without a body
}

// register makes an operation of a handler. The handler's errors are translated by [Server.problem].
func register[I, O any](s *Server, o operation, handle func(context.Context, *I) (*O, error)) {
	op := o.describe()
	op.Middlewares = huma.Middlewares{s.require(o.role)}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		return out, s.problem(ctx, o.id, err)
	})
}

func (o operation) describe() huma.Operation {
	faults := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusInternalServerError}
	if strings.Contains(o.path, "{") {
		faults = append(faults, http.StatusNotFound)
	}
	if o.method != http.MethodGet {
		faults = append(faults, http.StatusConflict)
	}
	return huma.Operation{
		OperationID: o.id, Method: o.method, Path: "/api/v1" + o.path, Summary: o.summary, Tags: []string{o.tag},
		Description:   joined(o.detail, "Needs the role "+string(o.role)+"."),
		DefaultStatus: o.status, Errors: faults, MaxBodyBytes: maxBody,
		Security: []map[string][]string{{"token": {}}},
	}
}

func joined(first, second string) string {
	if first == "" {
		return second
	}
	return first + " " + second
}
