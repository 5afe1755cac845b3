// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func TestPlanSaysWhichControllerItKnowsNothingNewOf(t *testing.T) {
	t.Parallel()
	sweep := ago(3 * time.Minute)
	seen := api.ControllerState{Name: "main", LastSweep: ago(time.Second)}
	lost := api.ControllerState{Name: "main", LastSweep: sweep, Problem: "poll agents: 401 Unauthorized"}
	never := api.ControllerState{Name: "east", Problem: "poll agents: 401 Unauthorized"}
	due := page(api.Plan{Controller: "main", Agent: "el9-1", Action: "begin", Now: true, Reason: "new"})
	for name, c := range map[string]struct {
		plan   api.Page[api.Plan]
		states api.Page[api.ControllerState]
		args   string
		code   int
		want   string // on stderr
	}{
		"all were looked at":               {page[api.Plan](), page(seen), "plan", exitOK, "Nothing is to be done.\n"},
		"one never was":                    {page[api.Plan](), page(never, seen), "plan", exitFound, "Controller east has not been looked at yet: poll agents: 401 Unauthorized\n"},
		"none was since the daemon began":  {page[api.Plan](), page(api.ControllerState{Name: "main"}), "plan", exitFound, "Controller main has not been looked at yet: the daemon has just started\n"},
		"one was lost after it was seen":   {due, page(lost), "plan", exitFound, "Controller main was last looked at 3m ago (" + stamp(sweep) + "): poll agents: 401 Unauthorized\n"},
		"it is not the one that was asked": {page[api.Plan](), page(never, seen), "plan --controller main", exitOK, "Nothing is to be done.\n"},
		"a program reads it":               {page[api.Plan](), page(never), "plan -o json", exitFound, "Controller east has not been looked at yet: poll agents: 401 Unauthorized\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				var body any = c.plan
				if strings.HasSuffix(r.URL.Path, "/controllers") {
					body = c.states
				}
				if err := json.NewEncoder(w).Encode(body); err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			f := &fakeDaemon{url: server.URL}
			var out, errs bytes.Buffer
			if code := f.run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &errs}, nil, strings.Fields(c.args)...); code != c.code {
				t.Errorf("ended with %d, want %d", code, c.code)
			}
			if errs.String() != c.want {
				t.Errorf("said %q, want %q", errs.String(), c.want)
			}
			if shown := strings.Contains(out.String(), "main/el9-1"); shown != (len(c.plan.Items) > 0) {
				t.Errorf("showed %q", out.String())
			}
		})
	}
}

// A list of agents looks as if it were of now. Where it is not, that is said, once the list is on the screen.
func TestAgentsOfAControllerThatIsNotSeenAreShownAsOld(t *testing.T) {
	t.Parallel()
	sweep := ago(3 * time.Minute)
	lost := api.ControllerState{Name: "main", LastSweep: sweep, Problem: "poll agents: connection refused"}
	agent := api.Agent{Controller: "main", Name: "el9-1", Hygiene: "clean", State: "clean"}
	const old = "Controller main was last looked at 3m ago"
	for name, c := range map[string]struct {
		agents []api.Agent
		state  api.ControllerState
		args   string
		want   string // on stderr
	}{
		"a list":            {[]api.Agent{agent}, lost, "agents", old},
		"for a program":     {[]api.Agent{agent}, lost, "agents -o json", old},
		"one agent":         {[]api.Agent{agent}, lost, "agent el9-1", old},
		"none is known":     {nil, lost, "agents", old},
		"all is well":       {[]api.Agent{agent}, api.ControllerState{Name: "main", LastSweep: sweep}, "agents", ""},
		"another one's":     {[]api.Agent{agent}, api.ControllerState{Name: "east", Problem: "gone"}, "agent el9-1", ""},
		"none, all is well": {nil, api.ControllerState{Name: "main", LastSweep: sweep}, "agents", "No agent is managed."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			for path, body := range map[string]any{
				"/api/v1/controllers": page(c.state), agentList: page(c.agents...), agentDetail: api.AgentDetail{Agent: agent},
			} {
				mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					if err := json.NewEncoder(w).Encode(body); err != nil {
						t.Error(err)
					}
				})
			}
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			var out, errs bytes.Buffer
			if code := (&fakeDaemon{url: server.URL}).run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &errs}, nil, strings.Fields(c.args)...); code != exitOK {
				t.Errorf("ended with %d", code)
			}
			if said := errs.String(); !strings.HasPrefix(said, c.want) || c.want == "" && said != "" {
				t.Errorf("said %q, want %q", said, c.want)
			}
		})
	}
}
