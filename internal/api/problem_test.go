// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// problem is an answer that says no.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

func TestEveryErrorIsAProblem(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error // of the order that is given
		want   int
		detail string
	}{
		{"vanished meanwhile", fmt.Errorf("read agent: %w", store.ErrNotFound), http.StatusNotFound, "there is no such thing"},
		{"changed meanwhile", store.ErrConflict, http.StatusConflict, "it was changed meanwhile; try again"},
		{"exists", store.ErrExists, http.StatusConflict, "it exists already"},
		{
			"no way there", &hygiene.StateError{Agent: hygiene.AgentID{Controller: "main", Name: "a"}, From: hygiene.Due, To: hygiene.Clean},
			http.StatusConflict, "agent main/a: no way from due to clean",
		},
		{
			"disk full", &store.FileError{Path: "/secret/path", Problem: store.ErrFull, Remedy: "free some space"},
			http.StatusInsufficientStorage, "the disk is full: free some space",
		},
		{
			"controller refuses", &jenkins.Error{Op: "read", Object: `agent "a"`, Status: 403, Kind: jenkins.KindForbidden},
			http.StatusBadGateway, "the controller: ",
		},
		{"too slow", context.DeadlineExceeded, http.StatusGatewayTimeout, "it took too long"},
		{"given up", context.Canceled, http.StatusServiceUnavailable, "the request was given up, or the daemon stops"},
		{"nobody foresaw it", errUnknown, http.StatusInternalServerError, "the daemon could not do this; its log says why"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.adopt(t, "el9-1")
			h.crew.fault = tt.err
			p := h.refused(t, store.Operator, http.MethodPost, "/api/v1/agents/main/el9-1/clean", "", tt.want)
			if !strings.HasPrefix(p.Detail, tt.detail) {
				t.Errorf("detail %q, want %q", p.Detail, tt.detail)
			}
		})
	}
}

// refused asks and returns the problem that it must be answered with.
func (h *house) refused(t *testing.T, role store.Role, method, target, body string, want int) problem {
	t.Helper()
	w := h.ask(t, role, method, target, body)
	status(t, w, want)
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q, want application/problem+json", got)
	}
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("read problem: %v\n%s", err, w.Body)
	}
	if p.Status != want || p.Title != http.StatusText(want) {
		t.Errorf("the problem says %d %q, the status is %d", p.Status, p.Title, want)
	}
	if strings.Contains(w.Body.String(), nonce) || strings.Contains(w.Body.String(), "/secret/path") {
		t.Errorf("the problem tells internals: %s", w.Body)
	}
	return p
}

func TestAddressesThatDoNotExist(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.adopt(t, "el9-1")
	tests := []struct {
		name, method, target, body string
		want                       int
	}{
		{"no such address", http.MethodGet, "/api/v1/nodes", "", http.StatusNotFound},
		{"no such version", http.MethodGet, "/api/v2/agents", "", http.StatusNotFound},
		{"wrong method", http.MethodDelete, "/api/v1/agents", "", http.StatusMethodNotAllowed},
		{"no such agent", http.MethodGet, "/api/v1/agents/main/el9-2", "", http.StatusNotFound},
		{"no such controller", http.MethodGet, "/api/v1/agents/other/el9-1", "", http.StatusNotFound},
		{"no such controller to audit", http.MethodGet, "/api/v1/controllers/other/audit", "", http.StatusNotFound},
		{"no such attempt", http.MethodGet, "/api/v1/attempts/99", "", http.StatusNotFound},
		{"an event's id is not an attempt's", http.MethodGet, "/api/v1/attempts/1", "", http.StatusNotFound},
		{"no such slot", http.MethodPost, "/api/v1/controllers/main/slots/pitcrew-slot-01/reset", "", http.StatusNotFound},
		{"no such pause", http.MethodDelete, "/api/v1/pauses/all", "", http.StatusNotFound},
		{"no such token", http.MethodDelete, "/api/v1/tokens/nobody", "", http.StatusNotFound},
		{"an agent's name with a slash", http.MethodGet, "/api/v1/agents/main/a%2Fb", "", http.StatusNotFound},
		{"nothing to read again", http.MethodPost, "/api/v1/reload", "", http.StatusConflict},
		{"no configuration to show", http.MethodGet, "/api/v1/config", "", http.StatusConflict},
		{"a broken body", http.MethodPost, "/api/v1/tokens", "{", http.StatusBadRequest},
		{"no body", http.MethodPost, "/api/v1/tokens", "", http.StatusBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h.refused(t, store.Admin, tt.method, tt.target, tt.body, tt.want)
		})
	}
}

func TestBadInputIsListedWhole(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.adopt(t, "el9-1")
	tests := []struct {
		name, method, target, body string
		want                       []string // locations
	}{
		{"filters", http.MethodGet, "/api/v1/agents?limit=0&state=lost,due&lable=x&held=maybe", "", []string{"query.held", "query.lable", "query.limit", "query.state[0]"}},
		{"a controller that there is not", http.MethodGet, "/api/v1/agents?controller=mian", "", []string{"query.controller"}},
		{"a pool that there is not", http.MethodGet, "/api/v1/agents?pool=lunix&controller=main", "", []string{"query.pool"}},
		{"a pool to plan for that there is not", http.MethodGet, "/api/v1/plan?pool=lunix", "", []string{"query.pool"}},
		{"a label expression", http.MethodGet, "/api/v1/agents?labels=a+%26%26", "", []string{"query.labels"}},
		{"a cursor", http.MethodGet, "/api/v1/agents?cursor=%21", "", []string{"query.cursor"}},
		{"a cursor of another list", http.MethodGet, "/api/v1/events?cursor=YWJj", "", []string{"query.cursor"}},
		{"an agent without its controller", http.MethodGet, "/api/v1/events?agent=a", "", []string{"query.agent"}},
		{"a hold", http.MethodPost, "/api/v1/agents/main/el9-1/hold", `{"reason":"","until":"x"}`, []string{"body.reason", "body.until"}},
		{"a time", http.MethodPost, "/api/v1/agents/main/el9-1/hold", `{"reason":"x","for":"-2h"}`, []string{"body.for"}},
		{"a token", http.MethodPost, "/api/v1/tokens", `{"name":"\u0007","role":"root"}`, []string{"body.name", "body.role"}},
		{"a name that the audit trail uses", http.MethodPost, "/api/v1/tokens", `{"name":"pitcrew","role":"viewer"}`, []string{"body.name"}},
		{"a scope", http.MethodPut, "/api/v1/pauses/pool:nobody", `{"reason":"x"}`, []string{"path.scope"}},
		{"a path", http.MethodPost, "/api/v1/backup", `{"path":"backup.db"}`, []string{"body.path"}},
		{"a path without its directory", http.MethodPost, "/api/v1/backup", `{"path":"/no/such/directory/backup.db"}`, []string{"body.path"}},
		{"a depth", http.MethodPost, "/api/v1/agents/main/el9-1/clean", `{"depth":"bottomless"}`, []string{"body.depth"}},
		{"a number", http.MethodGet, "/api/v1/attempts/zero", "", []string{"path.id"}},
		{"a reason that is a book", http.MethodPost, "/api/v1/agents/main/el9-1/clean", `{"reason":"` + strings.Repeat("x", 501) + `"}`, []string{"body.reason"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := h.refused(t, store.Admin, tt.method, tt.target, tt.body, http.StatusUnprocessableEntity)
			got := map[string]bool{}
			for _, e := range p.Errors {
				got[e.Location] = true
			}
			want := map[string]bool{}
			for _, l := range tt.want {
				want[l] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("locations (-want +got):\n%s\n%+v", diff, p.Errors)
			}
		})
	}
}

func TestAReloadThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) {
		o.Reload = func(context.Context, string) error { return errors.New("pitcrew.yaml:7:3: unknown field \"pol\"") }
	})
	p := h.refused(t, store.Admin, http.MethodPost, "/api/v1/reload", "", http.StatusUnprocessableEntity)
	if want := "pitcrew.yaml:7:3"; !strings.Contains(p.Detail, want) {
		t.Errorf("detail %q, want it to say %q", p.Detail, want)
	}
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) { o.Config = func() (string, error) { panic(nonce) } })
	h.refused(t, store.Admin, http.MethodGet, "/api/v1/config", "", http.StatusInternalServerError)
}
