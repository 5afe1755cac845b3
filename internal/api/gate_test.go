// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

const gateOfMain = "/api/v1/controllers/main/gate"

// gated gives a house a controller with a gate.
func gated(t *testing.T, use store.GateUse) *house {
	t.Helper()
	h := setup(t)
	if err := h.store.SaveGate(t.Context(), "main", store.Gate{}, store.Gate{Use: use}); err != nil {
		t.Fatal(err)
	}
	h.crew.view.Look.Gate = api.GateView{Status: &gate.Status{
		Head:  gate.Head{Protocol: 1, Version: "1.2.3", Hook: "init script", Owner: "pit"},
		Asked: 40, Vetoed: 7,
		Agents: map[string]gate.Agent{
			"el9-1": {State: gate.Clean, Attempt: 3}, "el9-2": {State: gate.Clean, Attempt: 4, Drift: "label"},
			"el9-3": {State: gate.Used, Attempt: 1, Item: 9}, "el9-4": {State: gate.Unknown},
		},
	}}
	return h
}

func TestAGateIsShown(t *testing.T) {
	t.Parallel()
	h := gated(t, store.Gated)
	want := api.Gate{
		Controller: "main", Mode: "gate", Version: "1.2.3", Protocol: 1, Hook: "init script", Owner: "pit", Asked: 40, Vetoed: 7,
		States: api.GateStates{Unknown: 1, Clean: 2, Used: 1}, Drifted: []api.GateDrift{{Agent: "el9-2", Drift: "label"}},
	}
	w := h.ask(t, store.Viewer, http.MethodGet, gateOfMain, "")
	status(t, w, http.StatusOK)
	if diff := cmp.Diff(want, decode[api.Gate](t, w)); diff != "" {
		t.Errorf("gate (-want +got):\n%s", diff)
	}
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/controllers/other/gate", "", http.StatusNotFound)

	h.crew.view.Look.Gate = api.GateView{}
	if g := decode[api.Gate](t, h.ask(t, store.Viewer, http.MethodGet, gateOfMain, "")); g.Mode != "labels" || g.Ready {
		t.Errorf("without a gate, which was there: %+v", g)
	}
}

func TestALostGateIsNotWell(t *testing.T) {
	t.Parallel()
	h := gated(t, store.Gated)
	h.crew.view.Look.At = time.Now()
	h.crew.view.Look.Gate = api.GateView{Problem: "no gate is loaded"}
	w := h.ask(t, "", http.MethodGet, "/healthz", "")
	status(t, w, http.StatusServiceUnavailable)
	if got := decode[api.Health](t, w); len(got.Reasons) != 1 || got.Reasons[0] != "controller main: its gate is lost, and nothing there is clean: no gate is loaded" {
		t.Errorf("health: %+v", got)
	}
	c := decode[api.Page[api.ControllerState]](t, h.ask(t, store.Viewer, http.MethodGet, "/api/v1/controllers", "")).Items[0]
	if c.Mode != "gate lost" || !strings.Contains(c.Problem, "no gate is loaded") {
		t.Errorf("controller: %+v", c)
	}
}

func TestARemovalIsAnnouncedAndReadyWhenNothingReliesOnTheGate(t *testing.T) {
	t.Parallel()
	h := gated(t, store.Gated)
	h.refused(t, store.Operator, http.MethodPost, gateOfMain+"/leave", "", http.StatusForbidden)
	w := h.ask(t, store.Admin, http.MethodPost, gateOfMain+"/leave", `{"reason":"moving"}`)
	status(t, w, http.StatusOK)
	if g := decode[api.Gate](t, w); g.Mode != "gate leaving" || g.Ready || g.Since.IsZero() {
		t.Errorf("announced, and not looked at since: %+v", g)
	}
	id := h.adopt(t, "el9-1")
	h.claim(t, id)
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.State = hygiene.Running
		return []hygiene.Event{{Type: hygiene.EventHanded}}, nil
	})
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.State, c.Attempt.Proved = hygiene.Granting, began
		return []hygiene.Event{{Type: hygiene.EventProved}}, nil
	})
	h.crew.view.Look.Gate.Leaving = true
	h.crew.view.Decisions = map[string]api.Decision{"el9-1": {Sighting: hygiene.Sighting{At: h.crew.view.Look.At, Unfit: "two executors"}}}
	if g := decode[api.Gate](t, h.ask(t, store.Viewer, http.MethodGet, gateOfMain, "")); g.Ready {
		t.Error("ready while the gate may be granting one that labels alone cannot keep")
	}
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		a, attempt, err := hygiene.Grant(c.Agent, *c.Attempt, c.Epoch, began)
		c.Agent, c.Attempt = a, &attempt
		return []hygiene.Event{{Type: hygiene.EventGranted}}, err
	})
	for name, c := range map[string]struct {
		sighting hygiene.Sighting
		ready    bool
	}{
		"not decided about yet":         {hygiene.Sighting{}, false},
		"labels alone cannot keep it":   {hygiene.Sighting{At: h.crew.view.Look.At, Unfit: "two executors"}, false},
		"labels alone can keep it well": {hygiene.Sighting{At: h.crew.view.Look.At}, true},
	} {
		h.crew.view.Decisions = map[string]api.Decision{"el9-1": {Sighting: c.sighting}}
		if g := decode[api.Gate](t, h.ask(t, store.Viewer, http.MethodGet, gateOfMain, "")); g.Ready != c.ready {
			t.Errorf("%s: %+v", name, g)
		}
	}
	row, err := h.store.Controller(t.Context(), "main")
	if err == nil {
		err = h.store.SaveGate(t.Context(), "main", row.Gate, store.Gate{})
	}
	if err != nil {
		t.Fatal(err)
	}
	h.refused(t, store.Admin, http.MethodPost, gateOfMain+"/leave", "", http.StatusConflict)
}

func TestABuildHasACertificate(t *testing.T) {
	t.Parallel()
	h := setup(t)
	const build = "https://ci.example.org/job/team/job/app/17/"
	id := h.adopt(t, "el9-1")
	h.claim(t, id)
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		c.Attempt.Lose(began.Add(time.Hour), build)
		return nil, nil
	})
	ask := func(page string) []api.Certificate {
		t.Helper()
		w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/certificates?build="+page, "")
		status(t, w, http.StatusOK)
		return decode[api.Page[api.Certificate]](t, w).Items
	}
	for _, page := range []string{build, "https://ci.example.org/job/team/job/app/17", build + "console", build + "artifact/a/b.txt?x=1%23y"} {
		got := ask(page)
		if len(got) != 1 || got[0].Agent != "el9-1" || got[0].Attempt != 1 || got[0].Recipe != "scrub" || got[0].Ran != "cleanup" || got[0].Build != build || got[0].Contaminated != "" {
			t.Errorf("%s: %+v", page, got)
		}
	}
	if got := ask("https://ci.example.org/job/team/job/app/18/"); len(got) != 0 {
		t.Errorf("another build: %+v", got)
	}
	if _, err := h.store.RecordBuilds(t.Context(), id, began, []store.Build{{Agent: id, URL: build, At: began, Contaminated: true, Reason: "second build on one cleaning"}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(build); len(got) != 1 || got[0].Contaminated != "second build on one cleaning" {
		t.Errorf("void: %+v", got)
	}
	for _, bad := range []string{"app%2017", "", "/job/x/1/"} {
		h.refused(t, store.Viewer, http.MethodGet, "/api/v1/certificates?build="+bad, "", http.StatusUnprocessableEntity)
	}
}
