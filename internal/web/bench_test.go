// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
	"github.com/pitcrew-ci/pitcrew/internal/web"
)

// BenchmarkFleet is what one viewer costs: answers about 10,000 agents, and the page of them.
func BenchmarkFleet(b *testing.B) {
	now := time.Now()
	db, err := store.Open(b.Context(), store.Options{Path: filepath.Join(b.TempDir(), "pitcrew.db"), Owner: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	look := &api.Look{At: now, Agents: map[string]jenkins.Agent{}}
	decisions := map[string]api.Decision{}
	for i := range 10000 {
		id := hygiene.AgentID{Controller: "main", Name: fmt.Sprintf("vm-%d", i)}
		err := db.Change(b.Context(), id, now, func(c *store.Change) ([]hygiene.Event, error) {
			a, err := c.Agent.To(hygiene.Due, "somebody put the label cleanable on it", now)
			a.Pool = "linux"
			c.Agent = a
			return []hygiene.Event{{Type: hygiene.EventAdopted, After: hygiene.Due}}, err
		})
		if err != nil {
			b.Fatal(err)
		}
		look.Agents[id.Name] = jenkins.Agent{Name: id.Name, Labels: []string{"cleanable", "el9", "x86", id.Name}}
		decisions[id.Name] = api.Decision{At: now, Agent: id, Pool: "linux", Sighting: hygiene.Sighting{Present: true, Idle: true}}
	}
	view := api.View{Poll: time.Second, Labels: hygiene.DefaultNames, Look: look, Pools: []api.PoolView{{Name: "linux", Scope: "main/linux"}}}
	server := api.New(api.Options{Store: db, Anonymous: store.Viewer, Controllers: func() []api.Controller {
		return []api.Controller{{ID: "main", Orders: crew{}, Jenkins: crew{}, View: func() api.View {
			v := view
			v.Decisions = maps.Clone(decisions) // as the daemon does
			return v
		}}}
	}})
	for name, target := range map[string]string{
		"healthz": "/healthz", "overview": "/api/v1/overview", "agents-200": "/api/v1/agents", "agents-all": "/api/v1/agents?limit=10000",
		"one-agent": "/api/v1/agents/main/vm-1",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if w := ask(server, http.MethodGet, target, nil, nil); w.Code != http.StatusOK {
					b.Fatalf("status %d", w.Code)
				}
			}
		})
	}
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			h := web.New(web.Options{API: server}) // a new one each time: nothing rendered is fresh
			if w := ask(h, http.MethodGet, "/fleet", nil, nil); w.Code != http.StatusOK {
				b.Fatalf("status %d", w.Code)
			}
		}
	})
}
