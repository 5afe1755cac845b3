// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// setup is what a rig is built from; the zero value is a controller without agents.
type setup struct {
	agents   []jenkinstest.AgentSpec
	settings func(*reconcile.Settings) // changes those of a pit
	jenkins  func(*jenkinstest.Options)
	client   func(*jenkins.Options)
	engine   func(engine.Engine) engine.Engine // wraps the crew's
	asleep   bool                              // the crew is not started
	unproved bool                              // cleanups do not run as builds: the journal cannot prove them
}

// rig is a pit that a test can bend. When the test is over, what really happened is held against
// the invariants.
type rig struct {
	*pit
	spec setup
}

// inRig runs f inside a bubble.
func inRig(t *testing.T, s setup, f func(*rig)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { rigUp(t, s, f) })
}

func rigUp(t *testing.T, s setup, f func(*rig)) {
	t.Helper()
	p := &pit{t: t, takes: 30 * time.Second, watch: &watcher{}, path: filepath.Join(t.TempDir(), "pitcrew.db"), owner: "pit", program: compile(t)}
	r := &rig{pit: p, spec: s}
	server := jenkinstest.Options{Execute: p.execute, RootURL: "http://ci.test/", Security: jenkinstest.Security{NoCrumbs: true}}
	if s.jenkins != nil {
		s.jenkins(&server)
	}
	var err error
	p.jenkins, err = jenkinstest.New(server)
	must(t, err)
	defer p.jenkins.Close()
	for _, spec := range s.agents {
		_, err := p.jenkins.AddAgent(spec)
		must(t, err)
	}
	options := jenkins.Options{Name: "ci", URL: "http://ci.test/", Transport: p.jenkins.Transport(), RequestsPerSecond: -1}
	if s.client != nil {
		s.client(&options)
	}
	p.client, err = jenkins.New(options)
	must(t, err)
	defer p.client.Close()
	if !s.asleep {
		r.start()
	}
	defer r.end()
	f(r)
	r.hasNextLooks()
	truth(t, p.jenkins.Journal(), s.unproved)
}

// start is that of a pit, with the rig's own settings.
func (r *rig) start() {
	r.t.Helper()
	r.startAs(r.owner)
}

func (r *rig) startAs(owner string) {
	r.t.Helper()
	var err error
	r.store, err = store.Open(r.t.Context(), store.Options{Path: r.path, Owner: owner})
	must(r.t, err)
	s := r.settings()
	var e engine.Engine = engine.NewInProcess(engine.Options{})
	if r.spec.engine != nil {
		e = r.spec.engine(e)
	}
	r.crew = reconcile.New(reconcile.Deps{
		Jenkins: r.client, Store: r.store, Engine: e,
		Owner: owner, Host: owner + ".test", Log: slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})), Watch: r.watch,
	}, s)
	var ctx context.Context
	ctx, r.stop = context.WithCancel(r.t.Context())
	r.stopped = make(chan error, 1)
	go func() { r.stopped <- r.crew.Run(ctx) }()
}

func (r *rig) settings() reconcile.Settings {
	s := r.pit.settings()
	if r.spec.settings != nil {
		r.spec.settings(&s)
	}
	return s
}

// set changes the settings of the running crew.
func (r *rig) set(change func(*reconcile.Settings)) {
	before := r.spec.settings
	r.spec.settings = func(s *reconcile.Settings) {
		if before != nil {
			before(s)
		}
		change(s)
	}
	r.crew.Apply(r.settings())
}

// takesFor changes how long programs run from now on.
func (r *rig) takesFor(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takes = d
}

// has reports whether an agent is known and satisfies ok.
func (r *rig) has(name string, ok func(hygiene.Agent) bool) bool {
	a, _, err := r.store.Agent(r.t.Context(), hygiene.AgentID{Controller: "ci", Name: name})
	return err == nil && ok(a)
}

// attempt reads one attempt.
func (r *rig) attempt(name string, number int64) store.AttemptRecord {
	r.t.Helper()
	t, err := r.store.Attempt(r.t.Context(), hygiene.AgentID{Controller: "ci", Name: name}, number)
	must(r.t, err)
	return t
}

// events are all of a kind, oldest first.
func (r *rig) events(kinds ...hygiene.EventType) []hygiene.Event {
	r.t.Helper()
	events, err := r.store.Events(r.t.Context(), store.EventFilter{Types: kinds, Limit: 10000})
	must(r.t, err)
	return events
}

// pass lets time go by, whatever happens.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// cleanups are the builds of our slots, in the order of the slots.
func (r *rig) cleanups() []jenkinstest.BuildState {
	var all []jenkinstest.BuildState
	for _, slot := range []string{"pitcrew-slot-01", "pitcrew-slot-02", "pitcrew-slot-03"} {
		all = append(all, r.jenkins.Builds(slot)...)
	}
	return all
}

// runBuild starts a real build that asks for label and waits until it runs.
func (r *rig) runBuild(job, label string) {
	r.t.Helper()
	if len(r.jenkins.Builds(job)) == 0 {
		must(r.t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: job, Label: label, Script: "make"}))
	}
	before := len(r.jenkins.Builds(job))
	_, err := r.jenkins.Schedule(job, nil)
	must(r.t, err)
	r.wait(time.Hour, "a build of "+job, func() bool { return len(r.jenkins.Builds(job)) > before })
}

// marks lists who set and lifted offline marks, in order.
func (r *rig) marks() []string {
	var marks []string
	for _, e := range r.jenkins.Journal() {
		if e.Kind == jenkinstest.EntryMarked || e.Kind == jenkinstest.EntryUnmarked {
			marks = append(marks, string(e.Kind)+" by "+e.Who)
		}
	}
	return marks
}

// pause stops cleanups in scope.
func pause(scope string, since, until time.Time) store.Pause {
	return store.Pause{Scope: scope, Reason: "moving", By: "ann", Since: since, Until: until}
}

// others are the labels that are not ours.
func others(labels string) []string { return hygiene.DefaultNames.Apply(strings.Fields(labels), 0) }

func mustParse(expression string) labelexpr.Expr {
	e, err := labelexpr.Parse(expression)
	if err != nil {
		panic(err)
	}
	return e
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// overwritten reports whether the newest edit of an agent's labels by somebody else was overwritten
// at once by one of ours that was under way.
func (r *rig) overwritten(agent string) bool {
	other := -1
	journal := r.jenkins.Journal()
	for i, e := range journal {
		if e.Kind == jenkinstest.EntryLabels && e.Agent == agent && !us(e.Who) {
			other = i
		}
	}
	return other >= 0 && slices.ContainsFunc(journal[other+1:], func(e jenkinstest.Entry) bool {
		return e.Kind == jenkinstest.EntryLabels && e.Agent == agent && e.At.Equal(journal[other].At)
	})
}

// hasNextLooks holds I6: each managed agent that is not clean has an owner or a next look.
func (r *rig) hasNextLooks() {
	r.t.Helper()
	if r.stop == nil || r.crew.Refused() != "" {
		return
	}
	agents, err := r.store.Agents(r.t.Context(), "ci")
	must(r.t, err)
	decisions := r.crew.Decisions()
	for _, a := range agents {
		if !a.Managed() || a.State == hygiene.Clean {
			continue
		}
		d, ok := decisions[a.ID.Name]
		if !ok || d.Action.Kind == hygiene.Rest && d.Action.Wake.IsZero() {
			r.t.Errorf("I6: %s is %s and has neither owner nor next look: %+v", a.ID, a.State, d.Action)
		}
	}
}

// line is a request in short.
func line(r *http.Request) string { return r.Method + " " + r.URL.Path }

// at calls f beside the n-th request that matches from now on, before or after it is served, and
// tells later which request that was, "" if it never came. Requests are counted from 1.
func (r *rig) at(n int, after bool, match func(*http.Request) bool, f func()) (came func() string) {
	var mu sync.Mutex
	seen, done, which := 0, false, ""
	fault := jenkinstest.Fault{Count: 1, Match: func(req *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if done || match != nil && !match(req) {
			return false
		}
		seen++
		if done = seen == n; done {
			which = line(req)
		}
		return done
	}}
	act := func(*http.Request) { f() }
	if fault.Before = act; after {
		fault.Before, fault.After = nil, act
	}
	remove := r.jenkins.Inject(fault)
	return func() string {
		remove()
		mu.Lock()
		defer mu.Unlock()
		return which
	}
}

// truth holds the journal of what really happened against the invariants. It forgives one thing:
// Jenkins has no conditional write, so what somebody else does between our last look and our write
// is overlooked. Requests take no time here, so that both bear the same time.
func truth(t *testing.T, journal []jenkinstest.Entry, unproved bool) {
	t.Helper()
	type life struct {
		real, ours int
		proved     bool      // a cleanup ended well and no real build started since
		other      time.Time // when somebody else last did something to the agent
	}
	lives := map[string]*life{}
	for i, e := range journal {
		l := lives[e.Agent]
		if l == nil {
			l = &life{}
			lives[e.Agent] = l
		}
		ours := strings.HasPrefix(e.Job, "pitcrew-")
		switch {
		case e.Continued && e.Kind == jenkinstest.EntryBuildStart: // it never ended
		case e.Kind == jenkinstest.EntryBuildStart && ours:
			if l.ours > 0 {
				t.Errorf("I3: entry %d: a second cleanup runs on %s", i, e.Agent)
			}
			if l.real > 0 {
				t.Errorf("I4: entry %d: a cleanup starts on %s beside a real build", i, e.Agent)
			}
			l.ours++
			l.proved = false
		case e.Kind == jenkinstest.EntryBuildStart:
			if !e.Continued { // a block that comes back has never ended
				l.real++
			}
			l.proved, l.other = false, e.At
		case e.Kind == jenkinstest.EntryBuildEnd && ours:
			l.ours--
			l.proved = e.Result == "SUCCESS"
		case e.Kind == jenkinstest.EntryBuildEnd:
			l.real--
		case e.Kind == jenkinstest.EntryLabels && !us(e.Who):
			l.other = e.At
		case e.Kind == jenkinstest.EntryLabels && !l.other.Equal(e.At):
			truthOfEdit(t, e)
			if granted(e) && !l.proved && !unproved {
				t.Errorf("I2: entry %d: clean was granted to %s without proof", i, e.Agent)
			}
		}
	}
}

// us is the user as whom the crew edits labels: pitcrew, or nobody where Jenkins has no users.
func us(who string) bool { return who == "" || who == "anonymous" || who == "pitcrew" }

// asPitcrew lets the client log in.
func asPitcrew(token string) func(*jenkins.Options) {
	return func(o *jenkins.Options) {
		o.User, o.Token = "pitcrew", func(context.Context) (string, error) { return token, nil }
	}
}

func granted(e jenkinstest.Entry) bool {
	clean := func(labels string) bool { return slices.Contains(strings.Fields(labels), "clean") }
	return clean(e.Labels) && !clean(e.Before)
}

// renamed are the labels of a daemon that was configured anew.
var renamed = hygiene.Names{Cleanable: "ci-managed", Dirty: "ci-dirty", Clean: "ci-clean"}

// truthOfEdit holds I8: only our labels change, and only on agents with cleanable, but for the
// withdrawal.
func truthOfEdit(t *testing.T, e jenkinstest.Entry) {
	t.Helper()
	names := hygiene.DefaultNames
	before, after := strings.Fields(e.Before), strings.Fields(e.Labels)
	theirs := func(labels []string) []string { return renamed.Apply(names.Apply(labels, 0), 0) }
	if strings.HasPrefix(e.Agent, "pitcrew-loan-") {
		return // a node that we made for a borrower
	}
	if !slices.Equal(theirs(before), theirs(after)) {
		t.Errorf("I8: labels of others were changed: %q became %q", e.Before, e.Labels)
	}
	if !names.Read(before).Has(hygiene.LabelCleanable) && names.Read(after) != 0 {
		t.Errorf("I8: labels were written to an agent without cleanable: %q became %q", e.Before, e.Labels)
	}
}
