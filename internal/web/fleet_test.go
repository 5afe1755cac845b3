// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"fmt"
	"iter"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
	"github.com/pitcrew-ci/pitcrew/internal/web"
)

// fleet is the real API over a real store, with agents in every state, behind the page.
type fleet struct {
	t     *testing.T
	store *store.Store
	now   time.Time
	mu    sync.Mutex
	view  api.View
	url   string
	token string
}

func newFleet(t *testing.T, anonymous store.Role) *fleet {
	t.Helper()
	now := time.Now()
	db, err := store.Open(t.Context(), store.Options{Path: filepath.Join(t.TempDir(), "pitcrew.db"), Owner: "test"})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	f := &fleet{t: t, store: db, now: now, view: api.View{
		URL: "http://jenkins.example/", Poll: time.Second, Labels: hygiene.DefaultNames,
		Pools: []api.PoolView{
			{Name: "linux", Scope: "main/linux", Recipe: "linux-scrub", Revision: "r1"},
			{Name: "bare metal s390x", Scope: "main/bare", Recipe: "metal", Revision: "r2"},
		},
		Look:      &api.Look{At: now, Version: "2.541.3", Agents: map[string]jenkins.Agent{}},
		Decisions: map[string]api.Decision{},
	}}
	if f.token, err = db.CreateToken(t.Context(), "looker", store.Viewer, now); err != nil {
		t.Fatalf("create token: %v", err)
	}
	server := api.New(api.Options{
		Store: db, Anonymous: anonymous, Version: api.Version{Version: "0.1.0"},
		Controllers: func() []api.Controller {
			return []api.Controller{{ID: "main", Orders: crew{}, Jenkins: crew{}, View: f.look}}
		},
	})
	ts := httptest.NewServer(web.New(web.Options{API: server}))
	t.Cleanup(ts.Close)
	t.Cleanup(server.EndStreams) // before the server is closed, which waits for its requests
	f.url = ts.URL
	return f
}

func (f *fleet) look() api.View {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view
}

// state of an agent to be.
type state struct {
	pool  string
	ago   time.Duration
	to    hygiene.State
	seen  hygiene.Sighting
	alter func(*hygiene.Agent)
}

var idle = hygiene.Sighting{Present: true, Idle: true}

// add stores an agent and walks it to its state along the transition table.
func (f *fleet) add(name string, s state) {
	f.t.Helper()
	id := hygiene.AgentID{Controller: "main", Name: name}
	at := f.now.Add(-s.ago)
	way := []hygiene.State{hygiene.Due, hygiene.Claimed, hygiene.Running, hygiene.Granting, hygiene.Clean}
	for _, step := range way {
		f.step(id, s.pool, step, at)
		if step == s.to {
			break
		}
	}
	if s.alter != nil {
		f.change(id, at, func(c *store.Change) { s.alter(&c.Agent) }, hygiene.EventHeld, "")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.seen.At = f.now
	f.view.Look.Agents[name] = jenkins.Agent{Name: name, Labels: []string{"cleanable"}, Idle: s.seen.Idle}
	f.view.Decisions[name] = api.Decision{
		At: f.now, Agent: id, Pool: s.pool, Sighting: s.seen, Chosen: true, Reason: "waits for its turn: 4 of 4 cleanups run",
		Action: hygiene.Action{Kind: hygiene.Rest, Agent: id},
	}
}

func (f *fleet) step(id hygiene.AgentID, pool string, to hygiene.State, at time.Time) {
	f.t.Helper()
	kinds := map[hygiene.State]hygiene.EventType{
		hygiene.Due: hygiene.EventAdopted, hygiene.Claimed: hygiene.EventClaimed, hygiene.Running: hygiene.EventHanded,
		hygiene.Granting: hygiene.EventProved, hygiene.Clean: hygiene.EventGranted,
	}
	f.change(id, at, func(c *store.Change) {
		switch to { //nolint:exhaustive // the other steps only change the state
		case hygiene.Claimed:
			p := hygiene.Policy{Pool: pool, Recipe: "linux-scrub", Revision: "r1", Delivery: hygiene.ByJob}
			a, attempt, err := hygiene.Claim(c.Agent, p, "session", "nonce", at)
			f.must(err)
			attempt.Run.URL = "http://jenkins.example/job/pitcrew-slot-01/7/"
			c.Agent, c.Attempt = a, &attempt
			return
		case hygiene.Running:
			c.Attempt.Started = at
		case hygiene.Granting:
			c.Attempt.Proved = at
		case hygiene.Clean:
			a, attempt, err := hygiene.Grant(c.Agent, *c.Attempt, "", at)
			f.must(err)
			c.Agent, c.Attempt = a, &attempt
			return
		}
		a, err := c.Agent.To(to, reasons[to], at)
		f.must(err)
		a.Pool = pool
		c.Agent = a
	}, kinds[to], reasons[to])
}

var reasons = map[hygiene.State]string{
	hygiene.Due: "somebody put the label cleanable on the agent", hygiene.Claimed: "chosen for a cleanup",
	hygiene.Running: "the program was handed over", hygiene.Granting: "proven clean by attempt 1",
}

func (f *fleet) change(id hygiene.AgentID, at time.Time, alter func(*store.Change), kind hygiene.EventType, reason string) {
	f.t.Helper()
	f.must(f.store.Change(f.t.Context(), id, at, func(c *store.Change) ([]hygiene.Event, error) {
		before := c.Agent.State
		alter(c)
		return []hygiene.Event{{Type: kind, Before: before, After: c.Agent.State, Reason: reason, Attempt: c.Agent.Attempt}}, nil
	}))
}

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// populate adds agents of every kind, and what has happened to them.
func (f *fleet) populate() {
	f.t.Helper()
	busy := hygiene.Sighting{Present: true, Real: true, RealURL: "http://jenkins.example/job/team/job/compile-everything/4711/"}
	off := hygiene.Sighting{Present: true, Idle: true, Offline: true, OfflineBy: hygiene.ByConnection}
	for i := range 9 {
		f.add(fmt.Sprintf("el9-%d", i+1), state{pool: "linux", to: hygiene.Clean, seen: idle, ago: time.Duration(i*i) * 7 * time.Minute})
	}
	for i := range 3 {
		f.add(fmt.Sprintf("el9-1%d", i), state{pool: "linux", to: hygiene.Running, seen: hygiene.Sighting{Present: true, Own: true}, ago: time.Duration(i*50+9) * time.Second})
	}
	f.add("el9-20", state{pool: "linux", to: hygiene.Due, seen: busy, ago: 3 * time.Minute})
	f.add("el9-21", state{pool: "linux", to: hygiene.Due, seen: busy, ago: 2 * time.Hour})
	f.add("el9-22", state{pool: "linux", to: hygiene.Due, seen: idle, ago: 40 * time.Second})
	f.add("el9-23", state{pool: "linux", to: hygiene.Due, seen: off, ago: 50 * time.Hour})
	f.add(`büro (2. OG) "süd"`, state{pool: "linux", to: hygiene.Due, seen: idle, alter: func(a *hygiene.Agent) {
		a.Hold = &hygiene.Hold{Reason: "new disk <b>on Monday</b>", By: "nightly", Since: f.now, Expires: f.now.Add(time.Hour)}
	}})
	f.add("a-very-long-agent-name-that-somebody-made-up-in-a-hurry.ci.example.org", state{pool: "bare metal s390x", to: hygiene.Clean, seen: idle})
	f.add("z15-lpar-03", state{pool: "bare metal s390x", to: hygiene.Due, seen: idle, ago: 26 * time.Hour, alter: func(a *hygiene.Agent) {
		a.Failures = 3
		a.Quarantine = &hygiene.Quarantine{Reason: "3 failures, the last: step \"loop devices\": /dev/loop3 is still busy", By: "pitcrew", Since: f.now.Add(-time.Hour), NextLook: f.now.Add(time.Hour)}
	}})
	id := hygiene.AgentID{Controller: "main", Name: "el9-21"}
	_, err := f.store.RecordBuilds(f.t.Context(), id, f.now, []store.Build{{
		Agent: id, URL: busy.RealURL, Job: "team/compile-everything", Number: 4711, At: f.now.Add(-2 * time.Hour),
		Contaminated: true, Reason: "it is not the first build since the agent was cleaned",
	}})
	f.must(err)
	f.must(f.store.SaveResidue(f.t.Context(), hygiene.AgentID{Controller: "main", Name: "el9-1"}, 1, []store.Residue{
		{Pool: "linux", At: f.now.Add(-time.Hour), Kind: "container", Culprit: store.Suspect{Job: "team/<b>integration</b> of everything", Build: 12}, By: "label", Things: 12},
		{Pool: "linux", At: f.now.Add(-time.Hour), Kind: "process", Culprit: store.Suspect{Job: "team/<b>integration</b> of everything", Build: 12}, By: "environment", Things: 3},
		{Pool: "linux", At: f.now.Add(-time.Hour), Kind: "mount", Things: 1},
	}))
}

// crew takes no orders: the page gives none.
type crew struct{ api.Orders }

func (crew) Jobs(context.Context) iter.Seq2[jenkins.JobInfo, error] { return nil }

func (crew) Check(context.Context, jenkins.CheckOptions) []jenkins.Finding { return nil }

func (crew) RootDirs(context.Context) (map[string]string, error) { return nil, nil }
