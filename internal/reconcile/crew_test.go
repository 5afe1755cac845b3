// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// pit is a crew with everything around it: a controller, a store, and programs whose execution is
// faked. It lives inside a synctest bubble, so that its hours take no time.
type pit struct {
	t       *testing.T
	jenkins *jenkinstest.Jenkins
	client  *jenkins.Client
	store   *store.Store
	crew    *reconcile.Crew
	program *recipe.Program
	watch   *watcher
	path    string
	owner   string
	others  []*recipe.Program // revisions that jobs may carry as well

	mu         sync.Mutex
	report     func(recipe.Report) recipe.Report                              // bends what a program reports
	takes      time.Duration                                                  // how long a program runs
	buildFails func(agent string) bool                                        // says which real builds fail; nil = none
	works      time.Duration                                                  // how long a real build runs, 0 = a minute
	hold       func(context.Context, jenkinstest.Step) jenkinstest.StepResult // stands in for the program that holds a loan
	stop       context.CancelFunc
	stopped    chan error
}

// inPit runs f inside a bubble with a controller that has the given agents.
func inPit(t *testing.T, agents []jenkinstest.AgentSpec, f func(*pit)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pit{t: t, takes: 30 * time.Second, watch: &watcher{}, path: filepath.Join(t.TempDir(), "pitcrew.db"), owner: "pit"}
		p.program = compile(t)
		var err error
		p.jenkins, err = jenkinstest.New(jenkinstest.Options{Execute: p.execute, RootURL: "http://ci.test/"})
		must(t, err)
		defer p.jenkins.Close()
		for _, spec := range agents {
			_, err := p.jenkins.AddAgent(spec)
			must(t, err)
		}
		p.client, err = jenkins.New(jenkins.Options{Name: "ci", URL: "http://ci.test/", Transport: p.jenkins.Transport(), RequestsPerSecond: -1})
		must(t, err)
		defer p.client.Close()
		p.start()
		defer p.end()
		f(p)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// compile makes a small program.
func compile(t *testing.T) *recipe.Program {
	t.Helper()
	return compileFor(t, "other")
}

// compileFor makes one of what it is to remove: each makes another revision.
func compileFor(t *testing.T, what string) *recipe.Program {
	t.Helper()
	return compileAs(t, "test", what)
}

func compileAs(t *testing.T, name, what string) *recipe.Program {
	t.Helper()
	r, err := recipe.Parse("test.yaml", fmt.Appendf(nil, `
version: 1
name: %[2]s
clean:
  - name: sweep
    run: rm -rf "$WORKSPACE/../%[1]s"
verify:
  - name: swept
    run: test ! -e "$WORKSPACE/../%[1]s"
`, what, name), nil)
	must(t, err)
	program, err := r.Compile()
	must(t, err)
	return program
}

// settings are those of a crew with one pool that has every agent.
func (p *pit) settings() reconcile.Settings {
	return reconcile.Settings{
		ID: "ci", Labels: hygiene.DefaultNames, Poll: 5 * time.Second, MaxCleanups: 3,
		Jobs: reconcile.Jobs{Prefix: "pitcrew-"}, FeedEvery: 10 * time.Minute,
		Pools: []reconcile.Pool{{
			Name: "all", Program: p.program,
			Policy: hygiene.Policy{
				Pool: "all", Recipe: "test", Revision: p.program.Revision, Delivery: hygiene.ByJob,
				Backoff:         hygiene.Backoff{First: time.Minute, Max: time.Hour},
				QuarantineAfter: 3, QuarantineLook: 24 * time.Hour, Settle: 5 * time.Minute, HiddenAfter: time.Minute,
				Limits: hygiene.Limits{Queue: 10 * time.Minute, Run: time.Hour, Reconnect: 10 * time.Minute, Grant: 10 * time.Minute},
			},
		}},
	}
}

// start begins servicing; end stops it. Both may be repeated, as restarts of a daemon.
func (p *pit) start() {
	p.t.Helper()
	var err error
	p.store, err = store.Open(p.t.Context(), store.Options{Path: p.path, Owner: p.owner})
	must(p.t, err)
	p.crew = reconcile.New(reconcile.Deps{
		Jenkins: p.client, Store: p.store, Engine: engine.NewInProcess(engine.Options{}),
		Owner: p.owner, Host: "pit.test", Log: slog.New(slog.NewTextHandler(p.t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo})), Watch: p.watch,
	}, p.settings())
	var ctx context.Context
	ctx, p.stop = context.WithCancel(p.t.Context())
	p.stopped = make(chan error, 1)
	go func() { p.stopped <- p.crew.Run(ctx) }()
}

func (p *pit) end() {
	p.t.Helper()
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop = nil
	if err := <-p.stopped; err != nil {
		p.t.Errorf("crew ended with %v", err)
	}
	if err := p.store.Close(); err != nil {
		p.t.Error(err)
	}
}

// execute stands in for the shell: a program of ours reports success after a while, anything else
// takes as long as its parameter says.
func (p *pit) execute(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
	if _, lent := step.Env["PITCREW_LOAN"]; lent {
		return p.hold(ctx, step)
	}
	nonce, ours := step.Env["PITCREW_NONCE"]
	p.mu.Lock()
	takes, bend, fails := p.takes, p.report, p.buildFails
	if !ours {
		takes = cmp.Or(p.works, time.Minute)
	}
	p.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return jenkinstest.StepResult{Exit: 143}
	}
	if !ours {
		if fails != nil && fails(step.Agent) {
			return jenkinstest.StepResult{Exit: 1}
		}
		return jenkinstest.StepResult{}
	}
	attempt, err := strconv.ParseInt(step.Env["PITCREW_ATTEMPT"], 10, 64)
	if err != nil || step.Env["PITCREW_AGENT"] != step.Agent {
		fmt.Fprintf(step.Out, "pitcrew: refused: issued for agent '%s', but this is '%s'; nothing was touched\n", step.Env["PITCREW_AGENT"], step.Agent)
		return jenkinstest.StepResult{Exit: 78}
	}
	program := p.programIn(step)
	if why := undelivered(step, program); why != "" {
		fmt.Fprintln(step.Out, "pitcrew: "+why)
		return jenkinstest.StepResult{Exit: 74}
	}
	r := recipe.Report{
		Version: recipe.Version, Attempt: attempt, Agent: step.Agent, Controller: step.Env["PITCREW_CONTROLLER"],
		Recipe: program.Recipe, Revision: program.Revision, Phases: step.Env["PITCREW_PHASES"], Outcome: recipe.Cleaned, Verified: true,
		Depth:   recipe.Depth(step.Env["PITCREW_DEPTH"]),
		Machine: recipe.Machine{ID: "machine-of-" + step.Agent, BootID: "boot-1"},
	}
	for _, s := range program.Steps {
		if r.Phases == "all" || s.Phase == recipe.Verify {
			r.Steps = append(r.Steps, recipe.StepReport{Name: s.Name, Phase: s.Phase, Outcome: recipe.StepOK, Tries: 1})
		}
	}
	if bend != nil {
		r = bend(r)
	}
	text, err := r.Format(nonce)
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	fmt.Fprintf(step.Out, "| sweeping\n%s", text)
	if r.Outcome == recipe.Failed {
		return jenkinstest.StepResult{Exit: 1}
	}
	return jenkinstest.StepResult{}
}

// programIn is the one of our programs that a step holds, or the pit's own.
func (p *pit) programIn(step jenkinstest.Step) *recipe.Program {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, other := range p.others {
		if bytes.Equal(bytes.TrimSpace([]byte(step.Script)), bytes.TrimSpace(other.Text)) {
			return other
		}
	}
	return p.program
}

// undelivered says why a step cannot have the program, "" if it was embedded or came by file.
func undelivered(step jenkinstest.Step, program *recipe.Program) string {
	switch {
	case !program.ByFile():
		if len(step.Files) > 0 || !bytes.Equal(bytes.TrimSpace([]byte(step.Script)), bytes.TrimSpace(program.Text)) {
			return "the job does not hold the program"
		}
	case len(step.Files) != 1 || step.Files[0].Name != recipe.FileParameter || !bytes.Equal(step.Files[0].Data, program.Text):
		return "the program did not arrive"
	case !strings.Contains(step.Script, program.Digest):
		return "the job does not hold the digest"
	}
	return ""
}

// bend changes what programs report from now on; nil lets them succeed.
func (p *pit) bend(f func(recipe.Report) recipe.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report = f
}

// agent reads the stored row.
func (p *pit) agent(name string) hygiene.Agent {
	p.t.Helper()
	a, _, err := p.store.Agent(p.t.Context(), hygiene.AgentID{Controller: "ci", Name: name})
	must(p.t, err)
	return a
}

// wait lets time pass until ok, and fails the test after the virtual limit.
func (p *pit) wait(limit time.Duration, what string, ok func() bool) {
	p.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if ok() {
			return
		}
		time.Sleep(time.Second)
		synctest.Wait()
	}
	for name, d := range p.crew.Decisions() {
		p.t.Logf("%s: %s, %s", name, d.Action.Kind, d.Reason)
	}
	p.t.Fatalf("after %s: %s did not happen", limit, what)
}

func (p *pit) waitState(name string, want hygiene.State) {
	p.t.Helper()
	p.wait(time.Hour, name+" becoming "+string(want), func() bool {
		a, _, err := p.store.Agent(p.t.Context(), hygiene.AgentID{Controller: "ci", Name: name})
		return err == nil && a.State == want
	})
}

// labels are those of ours on an agent, as Jenkins has them.
func (p *pit) labels(name string) string {
	return hygiene.DefaultNames.Read(strings.Fields(p.jenkins.Labels(name))).String()
}

// watcher counts events.
type watcher struct {
	mu     sync.Mutex
	events map[hygiene.EventType]int
	things map[spec.Kind]int64

	decided int // how often
}

func (w *watcher) Found(_ hygiene.Agent, _ hygiene.Attempt, r reconcile.Residue) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.things == nil {
		w.things = map[spec.Kind]int64{}
	}
	w.things[r.Kind] += r.Things
}

// found is how many things steps of a kind found.
func (w *watcher) found(kind spec.Kind) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.things[kind]
}

func (w *watcher) Swept(hygiene.ControllerID, time.Duration, error)                   {}
func (w *watcher) Ended(hygiene.Agent, hygiene.Attempt, time.Duration, time.Duration) {}
func (w *watcher) Beat(hygiene.ControllerID, string, time.Time)                       {}
func (w *watcher) Gated(hygiene.ControllerID, reconcile.GateSight)                    {}
func (w *watcher) Decided(hygiene.ControllerID, []reconcile.Decision) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decided++
}

func (w *watcher) decisions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.decided
}

func (w *watcher) Changed(e hygiene.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events == nil {
		w.events = map[hygiene.EventType]int{}
	}
	w.events[e.Type]++
}

func (w *watcher) counts() map[hygiene.EventType]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.events)
}

var one = []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}

func TestANewAgentIsCleanedAndGranted(t *testing.T) {
	inPit(t, one, func(p *pit) {
		p.waitState("linux-7", hygiene.Clean)
		if got := p.labels("linux-7"); got != "cleanable clean" {
			t.Errorf("labels are %s", got)
		}
		if a := p.agent("linux-7"); a.Attempt != 1 || a.Machine != "machine-of-linux-7" {
			t.Errorf("got %+v", a)
		}
	})
}

// TestTheSameFactsAreNotJudgedAgain lets nothing happen: there is one decision per poll.
func TestTheSameFactsAreNotJudgedAgain(t *testing.T) {
	for poll, want := range map[time.Duration]int{10 * time.Minute: 6, 15 * time.Second: 240} {
		t.Run(poll.String(), func(t *testing.T) {
			inRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.Poll = poll }}, func(r *rig) {
				r.wait(2*time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
				before := r.watch.decisions()
				r.pass(time.Hour)
				if n := r.watch.decisions() - before; n < want-1 || n > want+1 {
					t.Errorf("%d decisions in an hour without news, want %d", n, want)
				}
			})
		})
	}
}

func TestABuildConsumesTheCleanliness(t *testing.T) {
	inPit(t, one, func(p *pit) {
		p.waitState("linux-7", hygiene.Clean)
		must(t, p.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		_, err := p.jenkins.Schedule("app", nil)
		must(t, err)
		p.waitState("linux-7", hygiene.Due)
		p.wait(time.Minute, "clean being taken off", func() bool { return p.labels("linux-7") == "cleanable" })
		if got := p.jenkins.Builds("app")[0]; got.Complete {
			t.Error("the build ended before its agent was taken out")
		}
		p.waitState("linux-7", hygiene.Clean)
		if a := p.agent("linux-7"); a.Attempt != 2 {
			t.Errorf("attempt %d, want the second", a.Attempt)
		}
		if n := p.watch.counts()[hygiene.EventContaminated]; n != 0 {
			t.Errorf("%d contaminated builds", n)
		}
	})
}

func TestAFailingRecipeFailsNobodyAndEndsInQuarantine(t *testing.T) {
	inPit(t, one, func(p *pit) {
		p.bend(func(r recipe.Report) recipe.Report {
			r.Outcome, r.Verified, r.Reason = recipe.Failed, false, "sweep failed"
			r.Steps[0].Outcome = recipe.StepFailed
			return r
		})
		p.wait(time.Hour, "a quarantine", func() bool {
			a, _, err := p.store.Agent(p.t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"})
			return err == nil && a.Quarantine != nil
		})
		if a := p.agent("linux-7"); a.Failures != 3 || a.NextLook.IsZero() {
			t.Errorf("got %+v", a)
		}
		if got := p.labels("linux-7"); got != "cleanable dirty" {
			t.Errorf("labels are %s", got)
		}
		p.bend(nil)
		p.wait(25*time.Hour, "the next look's success", func() bool { return p.agent("linux-7").State == hygiene.Clean })
		if a := p.agent("linux-7"); a.Quarantine != nil || a.Failures != 0 {
			t.Errorf("after success: %+v", a)
		}
	})
}

func TestWithdrawal(t *testing.T) {
	inPit(t, one, func(p *pit) {
		p.waitState("linux-7", hygiene.Clean)
		p.jenkins.SaveLabels("linux-7", "el7 clean", "ann")
		p.waitState("linux-7", hygiene.Unmanaged)
		if got := p.jenkins.Labels("linux-7"); got != "el7" {
			t.Errorf("labels are %q, want ours gone and the rest left", got)
		}
	})
}

func TestForeignCleanIsTakenAway(t *testing.T) {
	inPit(t, one, func(p *pit) {
		p.bend(func(r recipe.Report) recipe.Report {
			r.Outcome, r.Verified = recipe.Failed, false
			r.Steps[0].Outcome = recipe.StepFailed
			return r
		})
		p.wait(time.Hour, "a failure", func() bool {
			a, _, err := p.store.Agent(p.t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"})
			return err == nil && a.Failures > 0
		})
		p.jenkins.SaveLabels("linux-7", "cleanable clean el7", "ann")
		p.wait(time.Minute, "the foreign clean being taken off", func() bool { return p.labels("linux-7") == "cleanable dirty" })
	})
}

func TestARestartOfTheDaemonInEveryStateLosesNothing(t *testing.T) {
	inPit(t, one, func(p *pit) {
		for range 40 {
			time.Sleep(1700 * time.Millisecond)
			p.end()
			p.start()
		}
		p.waitState("linux-7", hygiene.Clean)
		if a := p.agent("linux-7"); a.Attempt != 1 {
			t.Errorf("attempt %d, want no double cleanup", a.Attempt)
		}
	})
}
