// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*api.Options)
		alter  func(*testing.T, *house)
		reason string // part of it; "" = healthy
	}{
		{"all is well", nil, func(*testing.T, *house) {}, ""},
		{"never seen", nil, func(_ *testing.T, h *house) { h.crew.view.Look, h.crew.view.Problem = nil, "connection refused" }, "controller main was never seen"},
		{"never seen, and just started", func(o *api.Options) { o.Started = time.Now() }, func(_ *testing.T, h *house) { h.crew.view.Look = nil }, ""},
		{"last seen too long ago", nil, func(_ *testing.T, h *house) { h.crew.view.Look.At = time.Now().Add(-time.Hour) }, "was last seen 1h0m0s ago, which is longer than 2m0s"},
		{"last seen long ago, as configured", nil, func(_ *testing.T, h *house) {
			h.crew.view.Look.At, h.crew.view.Stale = time.Now().Add(-time.Hour), 2*time.Hour
		}, ""},
		{"refused", nil, func(_ *testing.T, h *house) { h.crew.view.Refused = "it is serviced by \"other\"" }, "controller main is not serviced: it is serviced by \"other\""},
		{"unproven for a moment", nil, func(_ *testing.T, h *house) {
			h.crew.view.Look.Unproven, h.crew.view.Look.UnprovenSince = "read the owner's mark: 500", time.Now().Add(-time.Minute)
		}, ""},
		{"unproven for long", nil, func(_ *testing.T, h *house) {
			h.crew.view.Look.Unproven, h.crew.view.Look.UnprovenSince = "read the owner's mark: 403", time.Now().Add(-time.Hour)
		}, "controller main: nothing begins while it cannot be told who services it: read the owner's mark: 403"},
		{"dead-man", nil, func(t *testing.T, h *house) {
			t.Helper()
			if err := h.store.SavePoolState(t.Context(), store.PoolRow{Pool: "main/linux", DeadSince: began}); err != nil {
				t.Fatal(err)
			}
		}, "pool linux of controller main: agents wait"},
		{"stuck", nil, func(t *testing.T, h *house) {
			t.Helper()
			h.stick(t, h.adopt(t, "el9-3"))
		}, "agent main/el9-3 is stuck since 2026-11-22T10:00:00Z: its labels cannot be made cleanable"},
		{"many stuck", nil, func(t *testing.T, h *house) {
			t.Helper()
			for i := range 7 {
				h.stick(t, h.adopt(t, fmt.Sprintf("el9-%d", i)))
			}
		}, "2 more agents of controller main are stuck"},
		{"stopping", nil, func(_ *testing.T, h *house) { h.EndStreams() }, "the daemon stops"},
		{"no store", nil, func(t *testing.T, h *house) {
			t.Helper()
			if err := h.store.Close(); err != nil {
				t.Fatal(err)
			}
		}, "the store cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var changes []func(*api.Options)
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			h := setup(t, changes...)
			tt.alter(t, h)
			w := h.ask(t, "", http.MethodGet, "/healthz", "")
			got := decode[api.Health](t, w)
			if tt.reason == "" {
				status(t, w, http.StatusOK)
				if got.Status != "ok" || len(got.Reasons) != 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			status(t, w, http.StatusServiceUnavailable)
			if got.Status != "failing" || !strings.Contains(strings.Join(got.Reasons, "\n"), tt.reason) {
				t.Errorf("got %+v, want a reason with %q", got, tt.reason)
			}
		})
	}
}

func TestReadinessIsAboutAnsweringOnly(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.view.Refused = "another daemon services it"
	status(t, h.ask(t, "", http.MethodGet, "/readyz", ""), http.StatusOK)
	h.EndStreams()
	status(t, h.ask(t, "", http.MethodGet, "/readyz", ""), http.StatusServiceUnavailable)
}

func TestMetricsAreServedWhereThereAreSome(t *testing.T) {
	t.Parallel()
	status(t, setup(t).ask(t, "", http.MethodGet, "/metrics", ""), http.StatusNotFound)
	h := setup(t, func(o *api.Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("pitcrew_agents 1\n")) })
	})
	w := h.ask(t, "", http.MethodGet, "/metrics", "")
	status(t, w, http.StatusOK)
	if got := w.Body.String(); got != "pitcrew_agents 1\n" {
		t.Errorf("got %q", got)
	}
}
