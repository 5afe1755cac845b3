// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestThin(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.adopt(t, odd)
	h.crew.see(odd, "cleanable", "el9")
	w := h.ask(t, store.Viewer, http.MethodGet, agentPath(odd), "")
	status(t, w, http.StatusOK)
	t.Log(w.Body)
	w = h.ask(t, store.Viewer, http.MethodGet, "/api/v1/agents?labels=el9", "")
	status(t, w, http.StatusOK)
	t.Log(w.Body)
	w = h.ask(t, store.Operator, http.MethodPost, agentPath(odd)+"/hold", `{"reason":"disk swap","for":"2h"}`)
	status(t, w, http.StatusOK)
	t.Log(w.Body)
	t.Log(h.ask(t, store.Viewer, http.MethodGet, "/api/v1/agents?labels=(el9&limit=0&state=foo&lable=1", "").Body)
	t.Log(h.ask(t, store.Viewer, http.MethodGet, "/api/v1/events", "").Body)
	t.Log(h.ask(t, store.Viewer, http.MethodPost, "/api/v1/events", "").Body)
	t.Log(h.ask(t, "", http.MethodGet, "/healthz", "").Body)
}
