// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// root is where the emulated controller lives.
const root = "http://ci.test/"

// rig is a controller, a daemon that services it, and an auditor that sees what really happens.
// It lives inside a synctest bubble.
type rig struct {
	t       testing.TB
	name    hygiene.ControllerID
	jenkins *jenkinstest.Jenkins
	client  *jenkins.Client
	store   *store.Store
	crew    *reconcile.Crew
	audit   *auditor
	shop    *workshop
	path    string
	bend    func(*reconcile.Settings)
	watch   *stopwatch     // for benchmarks; may be nil
	with    reconcile.Deps // shared with other controllers of the same daemon
	wire    http.RoundTripper
	framed  *framed   // what wire is once [rig.speak] was called
	started time.Time // the daemon

	stop    context.CancelFunc
	stopped chan error
	log     *slog.Logger
}

// newRig makes everything but the daemon, which starts with [rig.start].
func newRig(tb testing.TB, timing jenkinstest.Timing, agents []jenkinstest.AgentSpec, bend func(*reconcile.Settings), change ...func(*jenkinstest.Options)) *rig {
	tb.Helper()
	r := &rig{
		t: tb, name: "ci", path: filepath.Join(tb.TempDir(), "pitcrew.db"), bend: bend,
		log: slog.New(slog.DiscardHandler),
	}
	if testing.Verbose() && len(agents) < 10 {
		r.log = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r.shop = newWorkshop(small(compile(tb)), small(compileNext(tb)))
	r.audit = newAuditor(r.shop)
	var err error
	o := jenkinstest.Options{
		Execute: r.shop.execute, RootURL: root, Timing: timing, Seed: 1, JournalLimit: 1, FeedLimit: 64, OnEntry: r.entry,
		Plugins: []string{jenkinstest.PluginPipeline},
	}
	for _, f := range change {
		f(&o)
	}
	r.jenkins, err = jenkinstest.New(o)
	must(tb, err)
	for _, spec := range agents {
		_, err := r.jenkins.AddAgent(spec)
		must(tb, err)
	}
	r.wire = r.jenkins.Transport()
	r.client, err = jenkins.New(jenkins.Options{Name: "ci", URL: root, Transport: witnessed{r}, RequestsPerSecond: -1, Advertised: []string{"clean"}, Observe: r.audit.call})
	must(tb, err)
	return r
}

// witnessed tells the auditor when the engine looks at one agent.
type witnessed struct{ *rig }

func (w witnessed) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := w.wire.RoundTrip(req)
	name, direct := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/computer/"), "/api/json")
	if err == nil && resp.StatusCode == http.StatusOK && direct && !strings.HasPrefix(name, "/") {
		w.audit.sees(name, began)
	}
	return resp, err
}

// speak has the client speak HTTP from now on.
func (r *rig) speak() {
	r.framed = frame(r.jenkins)
	r.wire = r.framed
}

// entry passes ground truth on.
func (r *rig) entry(e jenkinstest.Entry) {
	r.log.Debug("truth", "kind", string(e.Kind), "agent", e.Agent, "job", e.Job, "number", e.Number, "labels", e.Labels, "who", e.Who, "result", e.Result)
	r.audit.entry(e)
	if r.watch != nil {
		r.watch.entry(e)
	}
}

// close ends the daemon and the controller.
func (r *rig) close() {
	r.end()
	r.client.Close()
	r.jenkins.Close()
	if r.framed != nil {
		r.framed.close()
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// compiled is the program of all tests, and its next revision; compiling them once saves time.
var compiled, changed = compiling(`test ! -e "$WORKSPACE/../other"`), compiling(`! test -e "$WORKSPACE/../other"`)

func compiling(verify string) func() (*recipe.Program, error) {
	return sync.OnceValues(func() (*recipe.Program, error) {
		r, err := recipe.Parse("test.yaml", []byte(`
version: 1
name: test
clean:
  - name: sweep
    run: rm -rf "$WORKSPACE/../other"
verify:
  - name: swept
    run: '`+verify+`'
`), nil)
		if err != nil {
			return nil, err
		}
		return r.Compile()
	})
}

func compile(tb testing.TB) *recipe.Program {
	tb.Helper()
	program, err := compiled()
	must(tb, err)
	return program
}

// compileNext is the next revision of the same recipe.
func compileNext(tb testing.TB) *recipe.Program {
	tb.Helper()
	program, err := changed()
	must(tb, err)
	return program
}

// small is the program without its text, whose execution is faked anyway: it is carried through
// Jenkins for each of a simulation's cleanups. Its revision stands in it, for the fake to know.
func small(p *recipe.Program) *recipe.Program {
	q := *p
	q.Text = []byte("#!/bin/sh\n# " + p.Revision + "\nexit 70\n")
	q.Digest = fmt.Sprintf("%x", sha256.Sum256(q.Text))
	return &q
}

// settings are those of a crew with one pool that has every agent.
func (r *rig) settings() reconcile.Settings {
	s := reconcile.Settings{
		ID: r.name, Labels: hygiene.DefaultNames, Poll: 15 * time.Second, MaxCleanups: 3,
		Jobs: reconcile.Jobs{Prefix: "pitcrew-"}, FeedEvery: 10 * time.Minute,
		Pools: []reconcile.Pool{{
			Name: "all", Program: r.shop.program(),
			Policy: hygiene.Policy{
				Pool: "all", Recipe: "test", Revision: r.shop.program().Revision, Delivery: hygiene.ByJob,
				Backoff:         hygiene.Backoff{First: time.Minute, Max: 10 * time.Minute},
				QuarantineAfter: 3, QuarantineLook: 30 * time.Minute, Settle: 5 * time.Minute, HiddenAfter: time.Minute,
				TTL: 3 * time.Hour, OnDemand: true, Monitor: hygiene.MonitorLift,
				Limits: hygiene.Limits{Queue: 10 * time.Minute, Run: 20 * time.Minute, Reconnect: 10 * time.Minute, Grant: 10 * time.Minute},
			},
		}},
	}
	if r.bend != nil {
		r.bend(&s)
	}
	return s
}

// start begins servicing; end stops it. Both may be repeated, as restarts of a daemon.
func (r *rig) start() {
	r.t.Helper()
	var err error
	r.store, err = store.Open(r.t.Context(), store.Options{Path: r.path, Owner: "rig"})
	must(r.t, err)
	r.run()
}

// run services the controller out of the open store.
func (r *rig) run() {
	r.t.Helper()
	d := r.with
	d.Jenkins, d.Store, d.Engine = r.client, r.store, engine.NewInProcess(engine.Options{})
	d.Owner, d.Host, d.Log, d.Watch = "rig", "rig.test", r.log, r.audit
	r.crew = reconcile.New(d, r.settings())
	var ctx context.Context
	ctx, r.stop = context.WithCancel(r.t.Context())
	r.stopped = make(chan error, 1)
	r.started = time.Now()
	go func() { r.stopped <- r.crew.Run(ctx) }()
}

func (r *rig) end() {
	r.t.Helper()
	if r.stop == nil {
		return
	}
	r.halt()
	must(r.t, r.store.Close())
}

// halt is the opposite of run.
func (r *rig) halt() {
	r.t.Helper()
	r.stop()
	r.stop = nil
	if err := <-r.stopped; err != nil {
		r.t.Errorf("crew ended with %v", err)
	}
}

func (r *rig) restart() {
	r.end()
	r.start()
}

// agent reads a stored row; the zero Agent if there is none.
func (r *rig) agent(name string) hygiene.Agent {
	a, _, err := r.store.Agent(r.t.Context(), id(name))
	if err != nil {
		return hygiene.Agent{ID: id(name)}
	}
	return a
}

func id(name string) hygiene.AgentID { return hygiene.AgentID{Controller: "ci", Name: name} }

// offlineMark is a mark as an agent's configuration holds it.
var offlineMark = regexp.MustCompile(`(?s)\s*<temporaryOfflineCause.*</temporaryOfflineCause>`)

// config is an agent's whole configuration without its labels, and without its offline mark, which is
// judged when it is set and lifted.
func (r *rig) config(path string) string {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, root+path+"config.xml", nil)
	must(r.t, err)
	resp, err := r.jenkins.Transport().RoundTrip(req)
	must(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(r.t, err)
	text = offlineMark.ReplaceAll(text, nil)
	before, rest, ok := strings.Cut(string(text), "\n  <label")
	if !ok {
		return string(text)
	}
	if _, after, ok := strings.Cut(rest, "</label>"); ok && !strings.HasPrefix(rest, "/>") {
		return before + after
	}
	return before + strings.TrimPrefix(rest, "/>")
}
