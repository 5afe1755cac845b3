// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// setup is a configuration of the agents, what is built on them, and what disturbs it.
type setup struct {
	name      string
	executors int
	normal    bool // the agents take jobs without a label
	self      bool // jobs that name an agent
	unlabeled bool // jobs without a label
	byBuild   bool // the cleaning is a build on the agent
	trouble   trouble
	share     float64 // of the builds of the size; 0 for all

	restart testbed.Signal // the controller's process, while the queue is full
	atBoot  bool           // the gate is in init.groovy.d
	open    bool           // contamination is reported and no failure
}

var setups = []setup{
	{name: "1 executor", executors: 1},
	{name: "2 executors", executors: 2},
	{name: "2 executors, NORMAL, self-label and unlabelled jobs", executors: 2, normal: true, self: true, unlabeled: true},
	{
		name: "the same, hostile edits, re-registrations", executors: 2, normal: true, self: true, unlabeled: true,
		trouble: several(meddle, reinstall),
	},
	{name: "2 executors, agents killed", executors: 2, trouble: shoot},
	{name: "1 executor, cleaned by a build", executors: 1, byBuild: true, share: 0.5},
	{name: "SIGTERM, gate in init.groovy.d", executors: 1, self: true, share: 0.5, restart: testbed.Term, atBoot: true},
	{
		name: "SIGKILL, 2 executors, NORMAL, gate in init.groovy.d", executors: 2, normal: true, self: true, unlabeled: true,
		share: 0.5, restart: testbed.Kill, atBoot: true,
	},
	{
		name: "SIGKILL, gate by the console only", executors: 2, normal: true, self: true, unlabeled: true,
		share: 0.5, restart: testbed.Kill, open: true,
	},
}

// row is what one set-up came to.
type row struct {
	setup     string
	submitted int
	tally
	took  time.Duration
	asked int64  // questions of the queue to the gate, 0 if not known
	notes string // what disturbed it, and what was refused
}

// share is how many builds a set-up has.
func (s *suite) share(u setup) int {
	if u.share == 0 {
		return s.size.builds
	}
	return int(float64(s.size.builds) * u.share)
}

// try runs a set-up behind the gate.
func (s *suite) try(t *testing.T, u setup) {
	t.Helper()
	if u.restart != "" && !s.CanRestart() {
		s.unrun = append(s.unrun, fmt.Sprintf("%s: %v", u.name, testbed.ErrLasting))
		t.Skip(testbed.ErrLasting)
	}
	ctx, cancel := context.WithTimeout(t.Context(), s.size.limit)
	defer cancel()
	must(t, s.remove(ctx)) // with its ledger
	must(t, s.install(ctx, u.atBoot))
	must(t, s.copies(ctx))
	s.configure(ctx, t, labels.Cleanable, u.executors, u.normal)
	g := ground(t.TempDir())
	cleaner := s.newCleaner(t, g, s.cleaning(u))
	jobs := s.jobs(ctx, t, u, g, cleaner)
	working, stop := context.WithCancel(ctx)
	troubled, calm := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer func() { calm(); stop(); beside.Wait() }()
	words := ""
	beside.Go(func() { cleaner.run(working) })
	if u.trouble != nil {
		must(t, s.awaitClaims(ctx))
	}
	disturbed := make(chan struct{})
	go func() {
		defer close(disturbed)
		if u.trouble != nil {
			words = u.trouble(troubled, t, s)
		}
	}()

	began := time.Now()
	n := s.share(u)
	submitted, err := s.submit(ctx, jobs, 0, n)
	must(t, err)
	if u.restart != "" {
		words = s.restart(ctx, t, u)
		more, err := s.submit(ctx, jobs, n, n) // while agents come back
		if err != nil {
			words += fmt.Sprintf(", %d not queued", n-more)
		}
		submitted += more
	}
	err = s.drain(ctx)
	took := time.Since(began)
	calm()
	<-disturbed
	if err != nil {
		t.Error(err)
	}
	stop()
	beside.Wait()
	s.report(t, u, row{setup: u.name, submitted: submitted, took: took, notes: words}, g, cleaner)
}

// awaitClaims waits until each agent was claimed once: until then one whose label somebody takes away is none of the gate's.
func (s *suite) awaitClaims(ctx context.Context) error {
	client := gate.NewClient(s.client, labels)
	for {
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(s.names(), func(name string) bool { return status.Agents[name].Attempt == 0 }) {
			return nil
		}
		if pause(ctx, 20*time.Millisecond); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// report counts, and says what is wrong with it.
func (s *suite) report(t *testing.T, u setup, r row, g ground, c *cleaner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if status, err := gate.NewClient(s.newClient(t), labels).Status(ctx); err != nil {
		t.Errorf("the gate does not answer at the end: %v", err)
	} else {
		if u.trouble == nil {
			r.asked = status.Asked // since it was registered
		}
		if u.atBoot && u.restart != "" && !status.SinceBoot() {
			t.Errorf("the gate that is there after the restart was registered by the %s", status.Hook)
		}
		if status.Failed > 0 || status.Fault != "" { // the count begins anew with each registration
			t.Errorf("the gate failed, %d times since it was registered, at last: %s", status.Failed, status.Fault)
		}
	}
	var err error
	r.tally, err = g.count(s.names())
	must(t, err)
	for _, what := range slices.Sorted(maps.Keys(c.refused)) {
		r.notes += fmt.Sprintf("; %s ×%d", what, c.refused[what])
	}
	if c.spoiled > 0 {
		r.notes += fmt.Sprintf("; the gate says %d contaminated", c.spoiled)
	}
	r.notes = strings.TrimPrefix(r.notes, "; ")
	s.rows = append(s.rows, r)
	t.Logf("%d of %d builds contaminated; %d submitted, %d grants, %s", r.contaminated, r.builds, r.submitted, c.grants, r.notes)
	if r.contaminated > 0 && !u.open {
		t.Errorf("%d of %d builds contaminated, the first: %s", r.contaminated, r.builds, r.examples[0])
	} else if r.contaminated > 0 {
		t.Logf("not a failure, for the gate was not there at the start: %s", r.examples[0])
	}
	// A set-up in which nothing happens proves nothing. Killed agents and controllers lose builds.
	least := r.submitted
	if u.restart != "" || u.trouble != nil {
		least /= 3
	}
	if u.unlabeled {
		least = least / 3 // others may take those without a label
		if r.perJob[s.jobName(t, "free")] == 0 {
			t.Errorf("no job without a label came to the agents: give the built-in node no executors")
		}
	}
	if r.builds < least {
		t.Errorf("%d builds on the agents of %d submitted: too few to show anything", r.builds, r.submitted)
	}
}

// restart ends the controller's process when some of the builds have run. It says what was seen.
func (s *suite) restart(ctx context.Context, t *testing.T, u setup) string {
	t.Helper()
	pause(ctx, 3*s.cleaning(u)+200*time.Millisecond)
	if _, err := s.script(ctx, saveScript); err != nil {
		t.Error(err)
	}
	began := time.Now()
	must(t, s.Restart(ctx, u.restart))
	words := fmt.Sprintf("SIG%s, up again after %.1f s", u.restart, time.Since(began).Seconds())
	s.client = s.newClient(t) // one that does not hold the silence against it
	if u.atBoot {
		return words
	}
	ready := time.Now()
	for err := s.install(ctx, false); err != nil; err = s.install(ctx, false) {
		if ctx.Err() != nil {
			t.Fatalf("register the gate after the restart: %v", err)
		}
		pause(ctx, 100*time.Millisecond)
		s.client = s.newClient(t)
	}
	return words + fmt.Sprintf(", gate registered %.1f s later", time.Since(ready).Seconds())
}

// cleaning is how long a cleanup takes.
func (s *suite) cleaning(u setup) time.Duration {
	if u.executors > 1 {
		return s.size.cleaning * 3 / 10
	}
	return s.size.cleaning
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// jobName is a name that no other set-up has.
func (s *suite) jobName(t *testing.T, kind string) string {
	t.Helper()
	return s.Prefix + "-" + notInNames.ReplaceAllString(path.Base(t.Name()), "-") + "-" + kind
}

// jobs makes the jobs of a set-up, those of its cleaner included, and returns what is to be built.
func (s *suite) jobs(ctx context.Context, t *testing.T, u setup, g ground, c *cleaner) []string {
	t.Helper()
	var names []string
	add := func(kind, label string) {
		name := s.jobName(t, kind)
		s.Job(ctx, t, name, job{name, label, "N", g.buildScript(s.size.longest)}.document())
		names = append(names, name)
	}
	add("clean", labels.Clean)
	if u.self {
		add("self", s.fleet[0].Name)
	}
	if u.unlabeled {
		add("free", "")
	}
	if u.byBuild {
		for i, a := range s.fleet {
			name := s.jobName(t, fmt.Sprintf("slot%d", i))
			s.Job(ctx, t, name, job{name, a.Name, "PITCREW_ATTEMPT", g.cleanScript(c.takes.Seconds())}.document())
			c.jobs[a.Name] = name
		}
	}
	return names
}

// table is all set-ups, as in the note of the first measurement.
func (s *suite) table() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "set-up\tbuilds\tcontaminated\tbuilds/min\tcleanings\tquestions\tnotes")
	sum, bad := 0, 0
	for _, r := range s.rows {
		asked := "-"
		if r.asked > 0 {
			asked = fmt.Sprint(r.asked)
		}
		fmt.Fprintf(w, "%s\t%d\t%d (%.0f %%)\t%.0f\t%d\t%s\t%s\n", r.setup, r.builds, r.contaminated, 100*float64(r.contaminated)/float64(max(r.builds, 1)),
			float64(r.builds)/r.took.Minutes(), r.cleanings, asked, r.notes)
		sum, bad = sum+r.builds, bad+r.contaminated
	}
	w.Flush()
	fmt.Fprintf(&text, "%d builds, %d contaminated", sum, bad)
	for _, what := range s.unrun {
		fmt.Fprintf(&text, "\nnot run: %s", what)
	}
	return text.String()
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
