// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// recipeTime is how long each program runs in the benchmarks.
const recipeTime = 20 * time.Second

// wire delays each request, as a controller in the same data centre does; quick is its own pace.
var (
	wire  = jenkinstest.Fault{Latency: 5 * time.Millisecond}
	quick = jenkinstest.Timing{Assign: 20 * time.Millisecond, Create: 20 * time.Millisecond, PostBuild: 100 * time.Millisecond}
)

// BenchmarkReaction measures in virtual time how long an agent waits for its cleanup, and how much
// servicing adds to the recipe's own time, beside the scheme of a scheduler job every minute. The
// traffic and the controller are the same.
func BenchmarkReaction(b *testing.B) {
	for _, agents := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) {
			for b.Loop() {
				crew, scheme := newStopwatch(), newStopwatch()
				inBubble(b, func(t *testing.T) {
					t.Helper()
					crewAtWork(t, agents, crew)
				})
				inBubble(b, func(t *testing.T) {
					t.Helper()
					schemeAtWork(t, agents, scheme)
				})
				compare(b, agents, crew, scheme)
			}
		})
	}
}

// BenchmarkReactionBehindGate measures the same with a gate, which tells of what happens, as the times between: from the
// end of a build to the claim, and from the end of the program to the grant.
func BenchmarkReactionBehindGate(b *testing.B) {
	for _, agents := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) {
			for b.Loop() {
				w := newStopwatch()
				inBubble(b, func(t *testing.T) {
					t.Helper()
					crewCarrying(t, agents, compile(t), w, func(r *rig) {
						timing := quick
						timing.Retire = 20 * time.Millisecond // it tells of the end before the executor is free
						r.jenkins.SetTiming(timing)
						r.jenkins.InstallGate(jenkinstest.GateOptions{})
					})
				})
				if len(w.overheads) < agents {
					b.Fatalf("too few cleanups: %d", len(w.overheads))
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(median(w.claims).Seconds(), "claim-s")
				b.ReportMetric(median(w.reactions).Seconds(), "reaction-s")
				b.ReportMetric(median(w.grants).Seconds(), "grant-s")
				b.ReportMetric(median(w.overheads).Seconds(), "overhead-s")
				b.ReportMetric(w.perPoll, "requests/poll")
				b.ReportMetric(w.waits, "waits/poll")
				b.ReportMetric(w.perCleanup, "requests/cleanup")
				b.Logf("requests per cleanup: %s", w.requests())
				if overhead := median(w.overheads); overhead >= maxOverhead {
					b.Errorf("the overhead is %s, want less than %s", overhead, maxOverhead)
				}
			}
		})
	}
}

// maxOverhead is the goal behind a gate for the time from the end of a build to the label clean, without the recipe's own time.
const maxOverhead = 300 * time.Millisecond

// BenchmarkRestartBehindGate measures in virtual time how long it takes until half and all of the agents are clean again after
// a restart of their controller, which empties the gate's ledger: of agents that were clean and have not been used, the
// verification alone runs. A tenth of the agents are verified at once, each for five seconds.
func BenchmarkRestartBehindGate(b *testing.B) {
	const agents = 1000
	for b.Loop() {
		var half, all time.Duration
		inBubble(b, func(t *testing.T) {
			t.Helper()
			half, all = cleanAgain(t, agents)
		})
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(half.Seconds(), "half-s")
		b.ReportMetric(all.Seconds(), "all-s")
	}
}

// cleanAgain returns when half and all agents were clean again, counted from when the controller answered again.
func cleanAgain(t *testing.T, agents int) (half, all time.Duration) {
	t.Helper()
	r := newRig(t, quick, benchAgents(agents), func(s *reconcile.Settings) {
		s.Poll, s.MaxCleanups = time.Second, agents/10
	}, func(o *jenkinstest.Options) {
		o.Boot = func(j *jenkinstest.Jenkins) { j.InstallGate(jenkinstest.GateOptions{}) }
	})
	defer r.close()
	r.shop.takes = func(jenkinstest.Step) time.Duration { return 5 * time.Second }
	r.jenkins.Inject(wire)
	r.start()
	for r.audit.granted() < agents {
		time.Sleep(time.Second)
	}
	must(t, r.jenkins.Restart(t.Context(), jenkinstest.RestartCrash))
	began := time.Now()
	for r.audit.granted() < 2*agents {
		time.Sleep(100 * time.Millisecond)
		if half == 0 && r.audit.granted() >= agents+agents/2 {
			half = time.Since(began)
		}
		if time.Since(began) > time.Hour {
			t.Fatalf("%d of %d agents are clean again after an hour", r.audit.granted()-agents, agents)
		}
	}
	return half, time.Since(began)
}

// inBubble runs f in virtual time, which needs a test.
func inBubble(b *testing.B, f func(*testing.T)) {
	b.Helper()
	ok := testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: b.Name(), F: func(t *testing.T) {
			t.Helper()
			synctest.Test(t, f)
		},
	}})
	if !ok {
		b.Fatal("the simulation failed")
	}
}

func compare(b *testing.B, agents int, crew, scheme *stopwatch) {
	b.Helper()
	if len(crew.reactions) < agents || len(scheme.reactions) < agents {
		b.Fatalf("too few cleanups: %d and %d", len(crew.reactions), len(scheme.reactions))
	}
	b.ReportMetric(0, "ns/op")
	report := func(name string, ours, theirs []time.Duration) {
		b.ReportMetric(median(ours).Seconds(), name+"-s")
		b.ReportMetric(median(theirs).Seconds(), "scheme-"+name+"-s")
		ratio := median(theirs).Seconds() / median(ours).Seconds()
		b.ReportMetric(ratio, name+"-ratio")
		if ratio < leastRatio {
			b.Errorf("%s: the scheme takes %.1f times as long, want at least %d times", name, ratio, leastRatio)
		}
	}
	report("reaction", crew.reactions, scheme.reactions)
	report("overhead", crew.overheads, scheme.overheads)
	b.ReportMetric(median(crew.beside).Seconds(), "beside-poll-s")
	b.ReportMetric(crew.perPoll, "requests/poll")
	b.ReportMetric(crew.pollBytes, "B/agent/poll")
	b.ReportMetric(crew.perCleanup, "requests/cleanup")
	b.ReportMetric(crew.cleanupBytes, "B/cleanup")
	b.Logf("requests per cleanup: %s", crew.requests())
	if beside := median(crew.beside); beside >= mostBesidePoll {
		b.Errorf("beside the poll a cleanup starts after %s, want less than %s", beside, mostBesidePoll)
	}
	if crew.pollBytes >= maxPollBytes {
		b.Errorf("%.1f bytes per agent and poll, want less than %d", crew.pollBytes, maxPollBytes)
	}
	if crew.perCleanup > maxRequests {
		b.Errorf("%.2f requests per cleanup, want at most %d", crew.perCleanup, maxRequests)
	}
}

// requests are those of a cleanup, by operation, with the bytes of both directions.
func (w *stopwatch) requests() string {
	var ops []string
	for _, op := range slices.Sorted(maps.Keys(w.perOp)) {
		ops = append(ops, fmt.Sprintf("%s %.2f (%.0f B)", op, w.perOp[op], w.opBytes[op]))
	}
	return strings.Join(ops, ", ")
}

// leastRatio is the goal for how many times longer the scheme takes, and mostBesidePoll for what a reaction takes once a poll
// has seen the end of a build.
const (
	leastRatio     = 20
	mostBesidePoll = time.Second
)

// maxPollBytes is the goal for each agent's share of a poll: the bodies of all its requests and answers, not compressed.
const maxPollBytes = 400

// maxRequests is the goal for one cleanup, with everything that is not a poll counted in.
const maxRequests = 20

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// stopwatch takes the times of each cleanup from the ground truth.
type stopwatch struct {
	mu        sync.Mutex
	running   bool // after the warm-up
	free      map[string]time.Time
	began     map[string]time.Time
	proved    map[string]time.Time
	polled    time.Time
	reactions []time.Duration // from the end of a build to the start of its cleanup
	claims    []time.Duration // from the end of a build to the label dirty
	grants    []time.Duration // from the end of a cleanup's program to the label clean
	overheads []time.Duration // from the end of a build to the label clean, without the recipe's own time
	beside    []time.Duration // from the poll that saw the end to the start

	kept int64 // bytes of files on the controller, of the slot that has most

	perPoll, pollBytes, perCleanup, cleanupBytes float64
	waits                                        float64            // for events of the gate, per poll
	perOp, opBytes                               map[string]float64 // of a cleanup
}

func newStopwatch() *stopwatch {
	return &stopwatch{free: map[string]time.Time{}, began: map[string]time.Time{}, proved: map[string]time.Time{}, perOp: map[string]float64{}, opBytes: map[string]float64{}}
}

// poll notes when the newest poll was sent.
func (w *stopwatch) poll(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polled = at
}

func (w *stopwatch) entry(e jenkinstest.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cleanup := strings.HasPrefix(e.Job, "pitcrew-") || strings.HasPrefix(e.Job, "scheme-")
	switch {
	case !w.running:
	case e.Kind == jenkinstest.EntryBuildEnd && !cleanup:
		w.free[e.Agent] = e.At
	case e.Kind == jenkinstest.EntryBuildStart && cleanup:
		if since, ok := w.free[e.Agent]; ok {
			w.reactions = append(w.reactions, e.At.Sub(since))
			if w.polled.After(since) {
				w.beside = append(w.beside, e.At.Sub(w.polled))
			}
			delete(w.free, e.Agent)
			w.began[e.Agent] = since
		}
	case e.Kind == jenkinstest.EntryBuildEnd:
		w.proved[e.Agent] = e.At
	case e.Kind == jenkinstest.EntryLabels:
		w.labels(e)
	}
}

func (w *stopwatch) labels(e jenkinstest.Entry) {
	before, after := hygiene.DefaultNames.Read(labelexpr.Tokens(e.Before)), hygiene.DefaultNames.Read(labelexpr.Tokens(e.Labels))
	given := func(l hygiene.Labels) bool { return after.Has(l) && !before.Has(l) }
	if since, ok := w.free[e.Agent]; ok && given(hygiene.LabelDirty) {
		w.claims = append(w.claims, e.At.Sub(since))
	}
	if since, ok := w.began[e.Agent]; ok && given(hygiene.LabelClean) {
		w.overheads = append(w.overheads, e.At.Sub(since)-recipeTime)
		w.grants = append(w.grants, e.At.Sub(w.proved[e.Agent]))
		delete(w.began, e.Agent)
	}
}

// used is how long builds take and how often each agent is used.
const (
	buildTime  = 3 * time.Minute
	usedEvery  = 10 * time.Minute
	benchTime  = 20 * time.Minute
	warmUpTime = 10 * time.Minute
)

func benchAgents(n int) []jenkinstest.AgentSpec {
	specs := make([]jenkinstest.AgentSpec, n)
	for i := range specs {
		specs[i] = jenkinstest.AgentSpec{Name: fmt.Sprintf("agent-%04d", i), Labels: "cleanable el9 x86_64"}
	}
	return specs
}

func benchTakes(s jenkinstest.Step) time.Duration {
	if ours(s.Job) || strings.HasPrefix(s.Job, "scheme-") {
		return recipeTime
	}
	return buildTime + time.Duration(chance(60_000, s.Job, s.Number))*time.Millisecond
}

// traffic uses each agent every so often.
func traffic(t *testing.T, j *jenkinstest.Jenkins, agents int, lasts time.Duration, from int) {
	t.Helper()
	end := time.Now().Add(lasts)
	for serial := from; time.Now().Before(end); serial++ {
		_, err := j.Schedule("app", map[string]string{"SERIAL": fmt.Sprint(serial)})
		must(t, err)
		time.Sleep(usedEvery/time.Duration(agents) + time.Duration(chance(997, serial))*time.Microsecond)
	}
}

func app(t *testing.T, j *jenkinstest.Jenkins) {
	t.Helper()
	must(t, j.CreateFreeStyle(jenkinstest.JobSpec{
		Name: "app", Label: "clean&&el9", Script: "make", Concurrent: true,
		Params: []jenkinstest.ParamSpec{{Name: "SERIAL"}}, KeepBuilds: 200,
	}))
}

// crewAtWork measures pitcrew, with the real compiled program in its jobs.
func crewAtWork(t *testing.T, agents int, w *stopwatch) {
	t.Helper()
	crewCarrying(t, agents, compile(t), w)
}

// crewCarrying measures pitcrew with a program of its own, on a controller that was prepared.
func crewCarrying(t *testing.T, agents int, program *recipe.Program, w *stopwatch, prepare ...func(*rig)) {
	t.Helper()
	r := newRig(t, quick, benchAgents(agents), func(s *reconcile.Settings) {
		s.Poll, s.MaxCleanups = time.Second, max(4, agents/10)
	})
	defer r.close()
	r.shop.takes, r.shop.programs = benchTakes, []*recipe.Program{program}
	r.jenkins.Inject(wire)
	app(t, r.jenkins)
	r.watch, r.audit.polled = w, w.poll
	for _, p := range prepare {
		p(r)
	}
	r.start()
	for r.audit.granted() < agents {
		time.Sleep(10 * time.Second)
	}
	traffic(t, r.jenkins, agents, warmUpTime, 0)
	before, cleanups := r.audit.usage()
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	traffic(t, r.jenkins, agents, benchTime, 1<<20)
	after, done := r.audit.usage()
	w.account(before, after, float64(done-cleanups), agents)
	for slot := range max(4, agents/10) {
		w.kept = max(w.kept, r.jenkins.KeptFiles(fmt.Sprintf("pitcrew-slot-%02d", slot+1)))
	}
}

// account splits the requests into those of polls and those of cleanups.
func (w *stopwatch) account(before, after map[string]tally, cleanups float64, agents int) {
	polls := float64(after["read fleet"].n - before["read fleet"].n)
	for op, a := range after {
		n, bytes := float64(a.n-before[op].n), float64(a.in+a.out-before[op].in-before[op].out)
		switch op {
		case "await events of gate": // whatever happens, and where nothing does, every so often
			w.waits += n / polls
			continue
		case "read fleet", "read offline reasons", "read queue", "read gate":
			w.perPoll += n / polls
			w.pollBytes += bytes / polls / float64(agents)
			continue
		}
		w.perOp[op], w.opBytes[op] = n/cleanups, bytes/cleanups
		w.perCleanup += n / cleanups
		w.cleanupBytes += bytes / cleanups
	}
}
