// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// needs says which role each operation needs. An operation that is not here fails the test.
var needs = map[string]store.Role{
	"listAgents": store.Viewer, "getAgent": store.Viewer, "listEvents": store.Viewer, "watchEvents": store.Viewer,
	"getGate": store.Viewer, "leaveGate": store.Admin, "listCertificates": store.Viewer,
	"listAttempts": store.Viewer, "getAttempt": store.Viewer, "getAttemptLog": store.Viewer, "listBuilds": store.Viewer,
	"listCulprits": store.Viewer, "listAgentResidue": store.Viewer,
	"listControllers": store.Viewer, "listPools": store.Viewer, "listPauses": store.Viewer, "listSlots": store.Viewer,
	"auditJobs": store.Viewer, "getPlan": store.Viewer, "getOverview": store.Viewer, "whoAmI": store.Borrower, "getVersion": store.Viewer,
	"cleanAgent": store.Operator, "holdAgent": store.Operator, "releaseAgent": store.Operator, "quarantineAgent": store.Operator, "exclusiveAgent": store.Operator,
	"pause": store.Operator, "resume": store.Operator, "resetSlot": store.Operator,
	"listLoans": store.Borrower, "listLoanOffers": store.Borrower, "getPoolProgram": store.Borrower, "getLoan": store.Borrower, "requestLoans": store.Borrower, "returnLoan": store.Borrower, "renewLoan": store.Borrower,
	"listRollouts": store.Viewer, "getRollout": store.Viewer, "startRollout": store.Operator, "promoteRollout": store.Operator, "pauseRollout": store.Operator,
	"resumeRollout": store.Operator, "rollBackRollout": store.Operator, "reportRehearsal": store.Operator,
	"listTokens": store.Admin, "createToken": store.Admin, "revokeToken": store.Admin,
	"backup": store.Admin, "reload": store.Admin, "getConfig": store.Admin, "doctor": store.Admin,
}

// rank orders the roles; no token is below all.
var rank = []store.Role{"", store.Borrower, store.Viewer, store.Operator, store.Admin}

func TestEveryOperationNeedsItsRole(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.EndStreams() // so that a watch ends at once
	operations := h.operations(t)
	if len(operations) != len(needs) {
		t.Errorf("%d operations, the table has %d", len(operations), len(needs))
	}
	for _, o := range operations {
		need, ok := needs[o.ID]
		if !ok {
			t.Errorf("operation %s is not in the table: which role does it need?", o.ID)
			continue
		}
		path := strings.NewReplacer("{controller}", "main", "{agent}", "el9-1", "{id}", "1", "{scope}", "all", "{job}", "x", "{name}", "x", "{loan}", "x", "{pool}", "linux").Replace(o.Path)
		for _, role := range rank {
			w := h.ask(t, role, o.Method, path, map[bool]string{true: "{}"}[o.ID == "requestLoans"])
			want := "pass"
			if slices.Index(rank, role) < slices.Index(rank, need) {
				want = map[bool]string{true: "401", false: "403"}[role == ""]
			}
			if lends := o.ID == "requestLoans" || o.ID == "getPoolProgram" || o.ID == "returnLoan" || o.ID == "renewLoan"; lends && role == store.Viewer {
				want = "403" // who may look at everything borrows nothing
			}
			if got := verdict(w); got != want {
				t.Errorf("%s as %q: got %s (%d), want %s", o.ID, role, got, w.Code, want)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", o.ID)
			}
		}
	}
}

func verdict(w *httptest.ResponseRecorder) string {
	switch w.Code {
	case http.StatusUnauthorized:
		return "401"
	case http.StatusForbidden:
		return "403"
	}
	return "pass"
}

func TestWhoIsAsking(t *testing.T) {
	t.Parallel()
	const target = "/api/v1/whoami"
	tests := []struct {
		name      string
		anonymous store.Role
		method    string
		target    string
		header    func(h *house) http.Header
		want      int
	}{
		{"a token in the header", "", http.MethodGet, target, bearer("Bearer "), http.StatusOK},
		{"the scheme in lower case", "", http.MethodGet, target, bearer("bearer "), http.StatusOK},
		{"another scheme", store.Viewer, http.MethodGet, target, bearer("Basic "), http.StatusUnauthorized},
		{"a cookie, for reading", "", http.MethodGet, target, cookie, http.StatusOK},
		{"a cookie, for an order", "", http.MethodPost, "/api/v1/agents/main/x/clean", cookie, http.StatusUnauthorized},
		{"nothing, where anybody may look", store.Viewer, http.MethodGet, target, nil, http.StatusOK},
		{"nothing, for an order, where anybody may look", store.Viewer, http.MethodPost, "/api/v1/agents/main/x/clean", nil, http.StatusForbidden},
		{"a wrong token, where anybody may look", store.Viewer, http.MethodGet, target, wrong, http.StatusUnauthorized},
		{"nothing", "", http.MethodGet, target, nil, http.StatusUnauthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t, func(o *api.Options) { o.Anonymous = tt.anonymous })
			r := httptest.NewRequestWithContext(t.Context(), tt.method, tt.target, nil)
			if tt.header != nil {
				r.Header = tt.header(h)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			status(t, w, tt.want)
		})
	}
}

func bearer(scheme string) func(*house) http.Header {
	return func(h *house) http.Header {
		return http.Header{"Authorization": {scheme + h.tokens[store.Operator]}}
	}
}

func cookie(h *house) http.Header {
	return http.Header{"Cookie": {api.TokenCookie + "=" + h.tokens[store.Operator]}}
}

func wrong(*house) http.Header { return http.Header{"Authorization": {"Bearer pitcrew_nobody"}} }

func TestARevokedTokenIsWorthNothingAtOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	status(t, h.ask(t, store.Viewer, http.MethodGet, "/api/v1/whoami", ""), http.StatusOK)
	status(t, h.ask(t, store.Admin, http.MethodDelete, "/api/v1/tokens/the%20viewer", ""), http.StatusNoContent)
	status(t, h.ask(t, store.Viewer, http.MethodGet, "/api/v1/whoami", ""), http.StatusUnauthorized)
}

func TestTheLastAdminCannotLockEverybodyOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	w := h.ask(t, store.Admin, http.MethodDelete, "/api/v1/tokens/the%20admin", "")
	status(t, w, http.StatusConflict)
	status(t, h.ask(t, store.Admin, http.MethodPost, "/api/v1/tokens", `{"name":"second","role":"admin"}`), http.StatusCreated)
	status(t, h.ask(t, store.Admin, http.MethodDelete, "/api/v1/tokens/the%20admin", ""), http.StatusNoContent)
}
