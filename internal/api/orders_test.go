// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestOrdersAnswerWithTheAgentAndStandInTheAuditTrail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		verb, body string
		event      hygiene.EventType
		check      func(api.Agent) bool
	}{
		{"clean", "", hygiene.EventRequested, func(a api.Agent) bool { return a.Hygiene == "due" }},
		{"clean", `{"reason":"looks odd"}`, hygiene.EventRequested, func(a api.Agent) bool { return a.Hygiene == "due" }},
		{"clean", `{"depth":"deep"}`, hygiene.EventRequested, func(a api.Agent) bool { return a.Hygiene == "due" && a.Depth == "deep" }},
		{"hold", `{"reason":"disk swap"}`, hygiene.EventHeld, func(a api.Agent) bool {
			return a.Hold != nil && a.Hold.Expires.IsZero() && a.Hold.Reason == "disk swap"
		}},
		{"hold", `{"reason":"disk swap","for":"90m"}`, hygiene.EventHeld, func(a api.Agent) bool { return a.Hold != nil && time.Until(a.Hold.Expires) > 89*time.Minute }},
		{"release", `{"reason":"done"}`, hygiene.EventUnheld, func(a api.Agent) bool { return a.Hold == nil && a.Quarantine == nil }},
		{"exclusive", "", hygiene.EventConfigured, func(a api.Agent) bool { return a.Hygiene == "due" }},
		{"quarantine", `{"reason":"smells"}`, hygiene.EventQuarantined, func(a api.Agent) bool {
			return a.Hygiene == "quarantined" && a.Quarantine.By == "the operator" && a.Quarantine.NextLook.IsZero() && a.NextLook.IsZero()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.verb+" "+tt.body, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.adopt(t, "el9-1")
			w := h.ask(t, store.Operator, http.MethodPost, "/api/v1/agents/main/el9-1/"+tt.verb, tt.body)
			status(t, w, http.StatusOK)
			if a := decode[api.Agent](t, w); !tt.check(a) {
				t.Errorf("the agent is now %+v", a)
			}
			w = h.ask(t, store.Viewer, http.MethodGet, "/api/v1/events?limit=1", "")
			e := decode[api.Page[api.Event]](t, w).Items[0]
			if e.Type != string(tt.event) || e.Actor != "the operator" || e.Agent != "el9-1" {
				t.Errorf("the newest event is %+v", e)
			}
		})
	}
}

func TestOrdersThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	const target = "/api/v1/agents/main/el9-1/clean"
	t.Run("to an agent that is not managed", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		h.crew.see("el9-1", "cleanable")
		h.refused(t, store.Operator, http.MethodPost, target, "", http.StatusConflict)
	})
	t.Run("in a dry run", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		h.adopt(t, "el9-1")
		h.crew.view.DryRun = true
		h.refused(t, store.Operator, http.MethodPost, target, "", http.StatusConflict)
	})
	t.Run("in a dry run, without a token", func(t *testing.T) {
		t.Parallel()
		h := setup(t, func(o *api.Options) { o.Anonymous = store.Viewer })
		h.adopt(t, "el9-1")
		h.refused(t, "", http.MethodPost, target, "", http.StatusForbidden)
		h.crew.view.DryRun = true
		h.refused(t, "", http.MethodPost, target, "", http.StatusConflict)
		h.refused(t, "", http.MethodGet, "/api/v1/tokens", "", http.StatusForbidden)
	})
	t.Run("for a reason that says nothing", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		h.adopt(t, "el9-1")
		h.refused(t, store.Operator, http.MethodPost, "/api/v1/agents/main/el9-1/hold", `{"reason":" \n"}`, http.StatusUnprocessableEntity)
	})
	t.Run("to an agent that leaves our care at this moment", func(t *testing.T) {
		t.Parallel()
		h := setup(t)
		id := h.adopt(t, "el9-1")
		h.crew.before = func() { h.withdraw(t, id) }
		h.refused(t, store.Operator, http.MethodPost, target, "", http.StatusConflict)
	})
	t.Run("on a controller that is not configured any more", func(t *testing.T) {
		t.Parallel()
		h := setup(t, func(o *api.Options) { o.Controllers = nil })
		h.adopt(t, "el9-1")
		h.refused(t, store.Operator, http.MethodPost, target, "", http.StatusConflict)
	})
}

// withdraw takes an agent out of our care.
func (h *house) withdraw(t *testing.T, id hygiene.AgentID) {
	t.Helper()
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		a, err := c.Agent.To(hygiene.Unmanaged, "the label was removed", began)
		c.Agent = a
		return []hygiene.Event{{Type: hygiene.EventWithdrawn, Before: hygiene.Due, After: hygiene.Unmanaged}}, err
	})
}

func TestAgentsOfADryRunAreListedThoughNothingIsStored(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.view.DryRun = true
	h.crew.see("el9-1", "cleanable")
	h.crew.see("el9-2", "other")
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/agents", "")
	items := decode[api.Page[api.Agent]](t, w).Items
	if len(items) != 1 || items[0].Name != "el9-1" || items[0].Hygiene != "unmanaged" || items[0].Pool != "linux" {
		t.Errorf("got %+v", items)
	}
}

// The configuration was read anew since the agent was cleaned, and its pool is called otherwise.
func TestAnAgentIsOfThePoolThatTheConfigurationSays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.adopt(t, "el9-1")
	h.crew.see("el9-1", "cleanable")
	h.crew.rename("el9-1", "windows")
	for pool, want := range map[string]int{"windows": 1, "linux": 0} {
		w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/agents?pool="+pool, "")
		if items := decode[api.Page[api.Agent]](t, w).Items; len(items) != want || want > 0 && items[0].Pool != pool {
			t.Errorf("of pool %s are %+v", pool, items)
		}
	}
}

func TestPausesTakeEffectAtOnceAndEnd(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, scope := range []string{"all", "controller:main", "pool:linux"} {
		w := h.ask(t, store.Operator, http.MethodPut, "/api/v1/pauses/"+scope, `{"reason":"new switch","for":"1h"}`)
		status(t, w, http.StatusOK)
		if p := decode[api.Pause](t, w); p.Scope != scope || p.By != "the operator" || time.Until(p.Until) > time.Hour {
			t.Errorf("got %+v", p)
		}
	}
	if h.crew.poked != 3 {
		t.Errorf("the crew was poked %d times, want 3", h.crew.poked)
	}
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/events?pool=linux&type=pause.on", "")
	if items := decode[api.Page[api.Event]](t, w).Items; len(items) != 1 || items[0].Subject != "pool:linux" {
		t.Errorf("events of the pool: %+v", items)
	}
	status(t, h.ask(t, store.Operator, http.MethodDelete, "/api/v1/pauses/all", ""), http.StatusNoContent)
	w = h.ask(t, store.Viewer, http.MethodGet, "/api/v1/pauses", "")
	if items := decode[api.Page[api.Pause]](t, w).Items; len(items) != 2 {
		t.Errorf("pauses in force: %+v", items)
	}
}

func TestAPauseThatHasRunOutIsNotInForce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	p := store.Pause{Scope: "all", Reason: "x", By: "y", Since: began, Until: time.Now().Add(-time.Second)}
	if err := h.store.SetPause(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/pauses", "")
	if items := decode[api.Page[api.Pause]](t, w).Items; len(items) != 0 {
		t.Errorf("pauses in force: %+v", items)
	}
}

func TestASlotIsResetOnlyWhenItIsRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	furnish(t, h)
	const slots = "/api/v1/controllers/main/slots/ci%2Fpitcrew-slot-0"
	h.refused(t, store.Operator, http.MethodPost, slots+"1/reset", "", http.StatusConflict)
	w := h.ask(t, store.Operator, http.MethodPost, slots+"2/reset", `{"reason":"it was me"}`)
	status(t, w, http.StatusOK)
	if got := decode[api.Slot](t, w); got.Refused != "" {
		t.Errorf("got %+v", got)
	}
	stored, err := h.store.Slots(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	if got := stored[1]; got.Refused != "" || got.Digest != "" || got.Pending == "" {
		t.Errorf("stored %+v: it must be written anew, whatever stands there", got)
	}
}

func TestResumingClosesTheBreakersInItsScope(t *testing.T) {
	t.Parallel()
	h := setup(t)
	open := store.BreakerRow{Pool: "main/linux", Revision: "sha256:0001", Opened: began, Reason: "3 failures on 3 agents"}
	if err := h.store.SaveBreaker(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	status(t, h.ask(t, store.Operator, http.MethodDelete, "/api/v1/pauses/pool:linux", ""), http.StatusNoContent)
	rows, err := h.store.Breakers(t.Context())
	if err != nil || len(rows) != 1 || !rows[0].Opened.IsZero() || rows[0].Since.IsZero() {
		t.Errorf("breakers are %+v, %v", rows, err)
	}
	h.refused(t, store.Operator, http.MethodDelete, "/api/v1/pauses/pool:linux", "", http.StatusNotFound)
}
