// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// fleet is a daemon whose one pool rolls out, with one controller or two. Its recipe can be changed, and what each revision
// does on each agent.
type fleet struct {
	*pit
	servers  map[hygiene.ControllerID]*jenkinstest.Jenkins
	clients  map[hygiene.ControllerID]*jenkins.Client
	crews    map[hygiene.ControllerID]*reconcile.Crew
	stops    []func()
	rollouts *reconcile.Rollouts
	policy   rollout.Policy
	floor    func(int) int
	ttl      time.Duration
	rolls    bool // the pool has the section
	pool     string
	old, now *recipe.Program
	told     *rolledWatcher

	reads atomic.Int64 // requests for how a real build ended
}

// rolledWatcher keeps the newest status.
type rolledWatcher struct {
	*watcher
	mu     sync.Mutex
	status rollout.Status
}

func (w *rolledWatcher) Rolled(s rollout.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = s
}

func (w *rolledWatcher) Unrolled(string) {}

// quick is a policy whose stages are over as soon as two cleanups say so.
func quick() rollout.Policy {
	return rollout.Policy{
		Plan: rollout.Plan{Canaries: 1, Shares: []int{50, 100}}, MinCleanups: 2, Patience: 72 * time.Hour, Baseline: 72 * time.Hour,
		MaxFailureRate: 0.1, MaxRise: 0.05, MaxBuildFailureRise: 0.1, OnFailure: rollout.RollBackOnFailure, BlameAgents: 2,
	}
}

// inFleet runs f with agents a1, a2, ... of the controllers ci, or ci and b in turn.
func inFleet(t *testing.T, agents, controllers int, f func(*fleet)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pit{t: t, takes: 30 * time.Second, watch: &watcher{}, path: filepath.Join(t.TempDir(), "pitcrew.db"), owner: "pit", program: compile(t)}
		f1 := &fleet{
			pit: p, servers: map[hygiene.ControllerID]*jenkinstest.Jenkins{}, clients: map[hygiene.ControllerID]*jenkins.Client{},
			policy: quick(), floor: func(int) int { return 0 }, rolls: true, pool: "all", old: p.program, now: p.program, told: &rolledWatcher{watcher: p.watch},
		}
		ids := []hygiene.ControllerID{"ci", "b"}[:controllers]
		for i, id := range ids {
			root := "http://" + string(id) + ".test/"
			server, err := jenkinstest.New(jenkinstest.Options{Execute: p.execute, RootURL: root, Security: jenkinstest.Security{NoCrumbs: true}})
			must(t, err)
			defer server.Close()
			for n := i; n < agents; n += controllers {
				name := fmt.Sprintf("a%d", n+1)
				_, err = server.AddAgent(jenkinstest.AgentSpec{Name: name, Labels: "cleanable el7"})
				must(t, err)
				must(t, server.CreateFreeStyle(jenkinstest.JobSpec{Name: "app-" + name, Label: "clean&&" + name, Script: "make"}))
			}
			client, err := jenkins.New(jenkins.Options{Name: string(id), URL: root, Transport: counted{server.Transport(), f1}, RequestsPerSecond: -1})
			must(t, err)
			defer client.Close()
			f1.servers[id], f1.clients[id] = server, client
		}
		p.jenkins = f1.servers["ci"]
		f1.up()
		defer func() { f1.down() }()
		f(f1)
		for _, server := range f1.servers {
			truth(t, server.Journal(), false)
		}
	})
}

func (f *fleet) settings(id hygiene.ControllerID) reconcile.Settings {
	s := f.pit.settings()
	s.ID = id
	s.Pools[0].Program, s.Pools[0].Policy.Revision, s.Pools[0].Policy.TTL = f.now, f.now.Revision, f.ttl
	s.Pools[0].Name, s.Pools[0].Floor = f.pool, f.floor
	return s
}

func (f *fleet) offers() []reconcile.Offer {
	if !f.rolls {
		return nil
	}
	return []reconcile.Offer{{Pool: f.pool, Policy: f.policy, Floor: f.floor, Program: f.now, QuarantineLook: 24 * time.Hour}}
}

// counted counts the requests for real builds.
type counted struct {
	http.RoundTripper
	fleet *fleet
}

func (c counted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/job/app-") {
		c.fleet.reads.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// up starts the daemon; down ends it.
func (f *fleet) up() {
	f.t.Helper()
	var err error
	f.store, err = store.Open(f.t.Context(), store.Options{Path: f.path, Owner: f.owner})
	must(f.t, err)
	machines, crewsTurn := reconcile.NewMachines(), make(turn, 1)
	log := slog.New(slog.NewTextHandler(f.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	f.crews, f.stops = map[hygiene.ControllerID]*reconcile.Crew{}, nil
	f.rollouts = reconcile.NewRollouts(reconcile.RolloutDeps{Store: f.store, Turn: crewsTurn, Watch: f.told, Poke: func() {
		for _, c := range f.crews {
			c.Poke()
		}
	}, Log: log})
	f.rollouts.Apply(f.offers())
	for id := range f.servers {
		crew := reconcile.New(reconcile.Deps{
			Jenkins: f.clients[id], Store: f.store, Engine: engine.NewInProcess(engine.Options{}), Turn: crewsTurn, Machines: machines, Rollouts: f.rollouts,
			Owner: f.owner, Host: "pit.test", Log: log, Watch: f.watch,
		}, f.settings(id))
		f.crew, f.crews[id] = crew, crew
		ctx, cancel := context.WithCancel(f.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- crew.Run(ctx) }()
		f.stops = append(f.stops, func() {
			cancel()
			must(f.t, <-ended)
		})
	}
}

func (f *fleet) down() {
	f.t.Helper()
	for _, stop := range f.stops {
		stop()
	}
	f.stops = nil
	must(f.t, f.store.Close())
}

// change gives the pool another recipe, as a reload does.
func (f *fleet) change(p *recipe.Program) {
	f.mu.Lock()
	f.others = append(f.others, p)
	f.mu.Unlock()
	f.now = p
	f.reload()
}

func (f *fleet) reload() {
	f.rollouts.Apply(f.offers())
	for id, c := range f.crews {
		c.Apply(f.settings(id))
	}
}

// fails has cleanups fail where is says so.
func (f *fleet) fails(is func(revision, agent string) bool) {
	f.bend(func(r recipe.Report) recipe.Report {
		if is(r.Revision, r.Agent) {
			r.Outcome, r.Verified, r.Reason = recipe.Failed, false, "sweep failed"
			r.Steps[0].Outcome = recipe.StepFailed
		}
		return r
	})
}

// stored is the rollout as it stands in the store.
func (f *fleet) stored() rollout.Rollout {
	f.t.Helper()
	all, err := f.store.Rollouts(f.t.Context())
	must(f.t, err)
	if len(all) == 0 {
		return rollout.Rollout{}
	}
	return all[0].Rollout
}

func (f *fleet) waitStage(stage rollout.Stage) {
	f.t.Helper()
	f.wait(200*time.Hour, "stage "+string(stage), func() bool { return f.stored().Stage == stage })
}

func (f *fleet) all() []hygiene.Agent {
	f.t.Helper()
	agents, err := f.store.Agents(f.t.Context(), "")
	must(f.t, err)
	return agents
}

func (f *fleet) allClean() {
	f.t.Helper()
	f.wait(72*time.Hour, "all agents clean", func() bool {
		agents := f.all()
		return len(agents) > 0 && !slices.ContainsFunc(agents, func(a hygiene.Agent) bool { return a.State != hygiene.Clean })
	})
}

// got are the agents that attempts with a revision were made on, ever.
func (f *fleet) got(p *recipe.Program) []string {
	f.t.Helper()
	attempts, err := f.store.Attempts(f.t.Context(), store.AttemptFilter{Limit: 100_000})
	must(f.t, err)
	var names []string
	for _, a := range attempts {
		if a.Revision == p.Revision {
			names = append(names, a.Agent.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// has are the agents whose newest attempt was made with a revision.
func (f *fleet) has(p *recipe.Program) int {
	n := 0
	for _, a := range f.all() {
		if _, t, err := f.store.Agent(f.t.Context(), a.ID); err == nil && t != nil && t.Revision == p.Revision {
			n++
		}
	}
	return n
}

// use has every clean agent used by a build, again and again, until ok.
func (f *fleet) use(limit time.Duration, what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		synctest.Wait() // what a change or a start set off at this moment is done
		if ok() {
			return
		}
		for _, a := range f.all() {
			if a.State == hygiene.Clean {
				_, err := f.servers[a.ID.Controller].Schedule("app-"+a.ID.Name, nil)
				must(f.t, err)
			}
		}
		time.Sleep(20 * time.Second)
	}
	f.t.Fatalf("after %s: %s did not happen; the rollout is %+v", limit, what, f.stored())
}

func (f *fleet) events(kinds ...hygiene.EventType) []hygiene.Event {
	f.t.Helper()
	events, err := f.store.Events(f.t.Context(), store.EventFilter{Types: kinds, Limit: 10000})
	must(f.t, err)
	return events
}

// builds is how many real builds there were.
func (f *fleet) builds() (n int) {
	for _, a := range f.all() {
		n += len(f.servers[a.ID.Controller].Builds("app-" + a.ID.Name))
	}
	return n
}

// promote lets the rollout go on, as a person who saw it there wants.
func (f *fleet) promote(seen rollout.Position) error {
	_, err := f.rollouts.Promote(f.t.Context(), "all", seen, "ann", "it is known to be good")
	return err
}

func (f *fleet) inStage(stage rollout.Stage) func() bool {
	return func() bool { return f.stored().Stage == stage }
}

// pass lets time go by, whatever happens.
func (f *fleet) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
