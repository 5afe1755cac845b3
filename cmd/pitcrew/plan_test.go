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
