// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TokenCookie carries a token where no header can: in requests of a browser. It counts for reading
// only, so that no foreign page can make a browser give orders.
const TokenCookie = "pitcrew_token"

// anonymous is the actor of requests without a token.
const anonymous = "anonymous"

// Identity is who asks.
type Identity struct {
	Name string `json:"name" doc:"Name of the token" example:"nightly"`
	Role string `json:"role" enum:"borrower,viewer,operator,admin" doc:"What it may do"`
	// Borrower is whose loans a token of that role is for.
	Borrower string `json:"borrower,omitempty" doc:"Whose loans a token of the role borrower is for"`

	private bool // nobody can read the request on its way
}

type identityKey struct{}

// caller is who made the request being answered.
func caller(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// roles are in the order of what they may do: each may do what those before it may.
var roles = []store.Role{store.Borrower, store.Viewer, store.Operator, store.Admin}

func may(have, need store.Role) bool {
	return slices.Index(roles, have) >= slices.Index(roles, need)
}

// require lets only those pass who may do what the role may.
func (s *Server) require(role store.Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		id, err := s.identify(r)
		switch {
		case errors.Is(err, store.ErrUnauthorized):
			w.Header().Set("WWW-Authenticate", `Bearer realm="pitcrew"`)
			writeProblem(w, http.StatusUnauthorized, unauthorizedDetail(secretOf(r)))
			return
		case err != nil:
			status, detail := translate(err)
			s.Logger.ErrorContext(r.Context(), "token could not be checked", "err", err)
			writeProblem(w, status, detail)
			return
		}
		if rec, ok := w.(*recorder); ok {
			rec.actor = id.Name
		}
		if !may(store.Role(id.Role), role) && id.Name == anonymous && r.Method != http.MethodGet && s.dryRun() {
			writeProblem(w, http.StatusConflict, "this is a dry run: it takes no orders; start the daemon without --dry-run to give some")
			return
		}
		if !may(store.Role(id.Role), role) {
			writeProblem(w, http.StatusForbidden, fmt.Sprintf("this needs the role %s; %s has the role %s", role, id.Name, id.Role))
			return
		}
		id.private = private(r)
		next(huma.WithValue(ctx, identityKey{}, id))
	}
}

// dryRun reports whether nothing is done anywhere.
func (s *Server) dryRun() bool {
	all := s.controllers()
	return len(all) > 0 && !slices.ContainsFunc(all, func(c Controller) bool { return !c.View().DryRun })
}

func unauthorizedDetail(secret string) string {
	if secret == "" {
		return "this needs a token: send it as \"Authorization: Bearer ...\""
	}
	return "nobody knows this token; it may have been revoked"
}

// identify finds out who asks, or returns [store.ErrUnauthorized]. A wrong token is never taken for
// none.
func (s *Server) identify(r *http.Request) (Identity, error) {
	secret := secretOf(r)
	if secret == "" {
		if s.Anonymous == "" {
			return Identity{}, store.ErrUnauthorized
		}
		return Identity{Name: anonymous, Role: string(s.Anonymous)}, nil
	}
	token, err := s.Store.Authenticate(r.Context(), secret)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Name: token.Name, Role: string(token.Role), Borrower: token.Borrower}, nil
}

// private reports whether a request came by TLS, or from this machine.
func private(r *http.Request) bool {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	return r.TLS != nil || err == nil && addr.Addr().Unmap().IsLoopback()
}

// secretOf returns the token that came with the request, or "".
func secretOf(r *http.Request) string {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "-" // something, and no token of ours
		}
		return strings.TrimSpace(secret)
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return ""
	}
	if cookie, err := r.Cookie(TokenCookie); err == nil {
		return cookie.Value
	}
	return ""
}
