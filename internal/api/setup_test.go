// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// began is when everything in these tests happens, so that answers can be compared with files.
var began = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// odd is an agent name with everything that addresses, queries and quoting stumble over.
const odd = `büro (2. OG) "süd" 100% & so?`

// house is a server over a real store, with a crew that does what its orders say.
type house struct {
	*api.Server
	store  *store.Store
	crew   *crew
	tokens map[store.Role]string
}

func setup(t *testing.T, change ...func(*api.Options)) *house {
	t.Helper()
	made, err := build()
	if err != nil {
		t.Fatalf("make store: %v", err)
	}
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	if err := os.WriteFile(path, made.file, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Options{Path: path, Owner: "test", Now: began})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{store: db, crew: &crew{store: db, view: view()}, tokens: made.tokens}
	o := api.Options{
		Store: db, Version: api.Version{Version: "1.2.3"}, Started: began,
		Controllers: func() []api.Controller {
			return []api.Controller{{ID: "main", Orders: h.crew, Jenkins: h.crew, View: h.crew.View}}
		},
	}
	for _, f := range change {
		f(&o)
	}
	h.Server = api.New(o)
	t.Cleanup(h.EndStreams)
	return h
}

// furniture is what every house begins with: the file of a store, and the tokens in it.
type furniture struct {
	file   []byte
	tokens map[store.Role]string
}

// build makes it once: to make the tables anew for each test takes longer than all else, most of all with the race detector.
var build = sync.OnceValues(func() (furniture, error) {
	dir, err := os.MkdirTemp("", "pitcrew-api-")
	if err != nil {
		return furniture{}, err
	}
	defer os.RemoveAll(dir)
	f, path, ctx := furniture{tokens: map[store.Role]string{}}, filepath.Join(dir, "pitcrew.db"), context.Background()
	db, err := store.Open(ctx, store.Options{Path: path, Owner: "test", Now: began})
	if err != nil {
		return f, err
	}
	for _, role := range []store.Role{store.Viewer, store.Operator, store.Admin} {
		if f.tokens[role], err = db.CreateToken(ctx, "the "+string(role), role, began); err != nil {
			return f, errors.Join(err, db.Close())
		}
	}
	if f.tokens[store.Borrower], err = db.CreateBorrowerToken(ctx, "the borrower", "staging", began); err != nil {
		return f, errors.Join(err, db.Close())
	}
	if err := db.Close(); err != nil {
		return f, err
	}
	f.file, err = os.ReadFile(path)
	return f, err
})

// ask makes one request with the token of a role, "" for none.
func (h *house) ask(t *testing.T, role store.Role, method, target, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		r.Header.Set("Authorization", "Bearer "+h.tokens[role])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// adopt stores an agent that is due.
func (h *house) adopt(t *testing.T, name string) hygiene.AgentID {
	t.Helper()
	id := hygiene.AgentID{Controller: "main", Name: name}
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		a, err := c.Agent.To(hygiene.Due, "somebody put the label cleanable on it", began)
		a.Pool, a.Need = "linux", hygiene.NeedCleanup
		c.Agent = a
		return []hygiene.Event{{Type: hygiene.EventAdopted, Before: hygiene.Unmanaged, After: hygiene.Due, Reason: a.Reason}}, err
	})
	return id
}

// stick stores an agent whose labels cannot be written.
func (h *house) stick(t *testing.T, id hygiene.AgentID) {
	t.Helper()
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.Stuck = &hygiene.Stuck{Reason: "its labels cannot be made cleanable: grant pitcrew's user Agent/Configure on it", Since: began}
		return []hygiene.Event{{Type: hygiene.EventStuck, Before: c.Agent.State, After: c.Agent.State, Reason: c.Agent.Stuck.Reason}}, nil
	})
}

// claim stores an agent's next attempt.
func (h *house) claim(t *testing.T, id hygiene.AgentID) {
	t.Helper()
	p := hygiene.Policy{Pool: "linux", Recipe: "scrub", Revision: "sha256:0001", Delivery: hygiene.ByJob}
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		a, attempt, err := hygiene.Claim(c.Agent, p, "session", nonce, began)
		c.Agent, c.Attempt = a, &attempt
		return []hygiene.Event{{Type: hygiene.EventClaimed, Attempt: attempt.Number, Before: hygiene.Due, After: hygiene.Claimed}}, err
	})
}

// nonce is what no answer may show.
const nonce = "NONCE0CANARY"

// fail ends an agent's attempt.
func (h *house) fail(t *testing.T, id hygiene.AgentID, reason string) {
	t.Helper()
	h.change(t, id, func(c *store.Change) ([]hygiene.Event, error) {
		v := hygiene.Verdict{Outcome: hygiene.Failed, Step: "processes", Reason: reason}
		a, attempt, err := hygiene.End(c.Agent, *c.Attempt, v, hygiene.Policy{QuarantineAfter: 2, QuarantineLook: time.Hour}, began)
		c.Agent, c.Attempt = a, &attempt
		return []hygiene.Event{{Type: hygiene.EventFailed, Attempt: attempt.Number, Before: hygiene.Claimed, After: hygiene.Due, Reason: reason}}, err
	})
}

func (h *house) change(t *testing.T, id hygiene.AgentID, f func(*store.Change) ([]hygiene.Event, error)) {
	t.Helper()
	if err := h.store.Change(t.Context(), id, began, f); err != nil {
		t.Fatal(err)
	}
}

// crew stands for the crew of controller main: it keeps its orders in the store as the real one does.
type crew struct {
	store  *store.Store
	mu     sync.Mutex
	view   api.View
	jobs   []jenkins.JobInfo
	roots  map[string]string
	fault  error  // what the controller answers
	before func() // an order is carried out
	poked  int
}

func view() api.View {
	return api.View{
		URL: "http://jenkins.example/", Poll: time.Second, Labels: hygiene.DefaultNames,
		Owns:  func(job string) bool { return strings.HasPrefix(job, "pitcrew-") },
		Pools: []api.PoolView{{Name: "linux", Scope: "main/linux", Agents: "el9", Recipe: "scrub", Revision: "sha256:0001", Delivery: hygiene.ByJob, MaxCleanups: 4, DeadMan: time.Hour}},
		// Ahead, so that it does not get stale while a busy machine comes round to the tests.
		Look:      &api.Look{At: time.Now().Add(time.Hour), Session: "session", Version: "2.541.3", Agents: map[string]jenkins.Agent{}},
		Decisions: map[string]api.Decision{},
	}
}

func (c *crew) View() api.View {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.view
}

// see makes the newest poll have seen an idle agent with labels.
func (c *crew) see(name string, labels ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := hygiene.AgentID{Controller: "main", Name: name}
	c.view.Look.Agents[name] = jenkins.Agent{Name: name, Labels: labels, Idle: true, Executors: 1}
	c.view.Decisions[name] = api.Decision{
		At: began, Agent: id, Pool: "linux", Chosen: true, Reason: "nothing to do",
		Action:   hygiene.Action{Kind: hygiene.Rest, Agent: id, Reason: "nothing to do"},
		Sighting: hygiene.Sighting{At: began, Present: true, Idle: true},
	}
}

// rename gives a decision another pool, as after a reload.
func (c *crew) rename(name, pool string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.view.Decisions[name]
	d.Pool = pool
	c.view.Decisions[name] = d
}

func (c *crew) order(ctx context.Context, name, actor string, kind hygiene.EventType, reason string, f func(*hygiene.Agent)) error {
	if c.before != nil {
		c.before()
	}
	return c.store.Change(ctx, hygiene.AgentID{Controller: "main", Name: name}, began, func(ch *store.Change) ([]hygiene.Event, error) {
		if !ch.Agent.Managed() {
			return nil, errUnknown
		}
		f(&ch.Agent)
		return []hygiene.Event{{Type: kind, Actor: actor, Reason: reason, Before: ch.Agent.State, After: ch.Agent.State}}, c.fault
	})
}

func (c *crew) OrderClean(ctx context.Context, agent, actor, reason string, depth hygiene.Depth) error {
	return c.order(ctx, agent, actor, hygiene.EventRequested, reason, func(a *hygiene.Agent) {
		a.NextLook = time.Time{}
		a.AskDepth(depth)
	})
}

func (c *crew) OrderHold(ctx context.Context, agent, actor, reason string, expires time.Time) error {
	return c.order(ctx, agent, actor, hygiene.EventHeld, reason, func(a *hygiene.Agent) {
		a.Hold = &hygiene.Hold{Reason: reason, By: actor, Since: began, Expires: expires}
	})
}

func (c *crew) OrderRelease(ctx context.Context, agent, actor, reason string) error {
	return c.order(ctx, agent, actor, hygiene.EventUnheld, reason, func(a *hygiene.Agent) { a.Hold, a.Quarantine = nil, nil })
}

func (c *crew) OrderQuarantine(ctx context.Context, agent, actor, reason string, nextLook time.Time) error {
	return c.order(ctx, agent, actor, hygiene.EventQuarantined, reason, func(a *hygiene.Agent) {
		if nextLook.IsZero() {
			nextLook = hygiene.UntilReleased(began)
		}
		a.NextLook = nextLook
		a.Quarantine = &hygiene.Quarantine{Reason: reason, By: actor, Since: began, NextLook: nextLook}
	})
}

func (c *crew) Poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.poked++
}

func (c *crew) Jobs(context.Context) iter.Seq2[jenkins.JobInfo, error] {
	return func(yield func(jenkins.JobInfo, error) bool) {
		for _, j := range c.jobs {
			if !yield(j, nil) {
				return
			}
		}
		if c.fault != nil {
			yield(jenkins.JobInfo{}, c.fault)
		}
	}
}

func (c *crew) Check(context.Context, jenkins.CheckOptions) []jenkins.Finding {
	return []jenkins.Finding{{Level: jenkins.LevelWarn, Topic: "agents", Message: "el9-1 has 2 executors", Remedy: "set one"}}
}

func (c *crew) RootDirs(context.Context) (map[string]string, error) { return c.roots, c.fault }

// status fails the test unless the answer has it.
func status(t *testing.T, w *httptest.ResponseRecorder, want int) {
	t.Helper()
	if w.Code != want {
		t.Fatalf("got status %d, want %d; body: %s", w.Code, want, w.Body)
	}
}

var errUnknown = errors.New("an error that nobody foresaw, with a secret: " + nonce)

func escape(segment string) string {
	var b strings.Builder
	for _, c := range []byte(segment) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// LeaveGate stores that the gate is about to be removed.
func (c *crew) LeaveGate(ctx context.Context, actor, reason string) error {
	row, err := c.store.Controller(ctx, "main")
	if err != nil {
		return err
	}
	return c.store.SaveGate(ctx, "main", row.Gate, store.Gate{Use: store.LeavingGate, Since: began}, hygiene.Event{
		Type: hygiene.EventGateLeft, At: time.Now(), Actor: actor, Subject: "main", Agent: hygiene.AgentID{Controller: "main"}, Reason: reason,
	})
}

// OrderTrial closes the breaker of a pool in the store.
func (c *crew) OrderTrial(ctx context.Context, pool, actor, reason string) (bool, error) {
	rows, err := c.store.Breakers(ctx)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		if row.Pool != "main/"+pool || row.Opened.IsZero() {
			continue
		}
		row.Opened, row.Since, row.Reason = time.Time{}, time.Now(), reason
		return true, c.store.SaveBreaker(ctx, row, hygiene.Event{
			Type: hygiene.EventBreakerShut, At: time.Now(), Actor: actor, Subject: pool, Pool: pool, Reason: reason,
		})
	}
	return false, nil
}

// OrderExclusive stands for two writes on the controller.
func (c *crew) OrderExclusive(ctx context.Context, name, actor, reason string) error {
	if c.fault != nil {
		return c.fault
	}
	return c.store.Append(ctx, time.Now(), hygiene.Event{
		Type: hygiene.EventConfigured, Actor: actor, Subject: "main/" + name, Reason: reason,
		Agent: hygiene.AgentID{Controller: "main", Name: name},
	})
}
