// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// together is how many groups run side by side: mostly they wait, but many of them
// start a Java process on the tester's machine.
const together = 6

// groupPatience bounds a group, whose agents may be slow to start beside those of others.
const groupPatience = 10 * time.Minute

// Target is the controller under test.
type Target struct {
	URL   string // root URL
	User  string // must be allowed to administer agents and jobs
	Token string // API token of User
	// Password of User; behaviours of crumbs and sessions are skipped without it.
	Password string
	// Prefix begins the name of every object that is created; "" makes one up.
	Prefix string
	// Java runs the controller's agent.jar; "" means java from PATH.
	Java string
	// Disposable says that nobody else uses the controller: it may be restarted.
	Disposable bool
	// Lasting says that the controller goes on after the run: nothing may be left on it
	// that cannot be removed by HTTP.
	Lasting bool
}

// group is a list of behaviours that run in order on one fixture.
type group struct {
	name string
	// labels of the agent to start for this group; nil means it needs none.
	agent      *agentSpec
	behaviours []behaviour
	disposable bool // only for controllers that may be restarted; runs alone, last
}

// behaviour is one statement about Jenkins.
type behaviour struct {
	name  string
	check func(*probe)
}

// difference is one place where a controller does not do what is stated.
type difference struct{ behaviour, what, want, got string }

// suite is the state of one run.
type suite struct {
	target Target
	wire   *wire
	jar    string // the controller's agent.jar

	mu          sync.Mutex
	serial      int // makes names unique
	ran         int
	skipped     []string
	differences []difference
}

// Run checks every behaviour against target. Each is a subtest of t; at the end a
// table of all differences is logged.
func Run(t *testing.T, target Target) {
	t.Helper()
	root, err := url.Parse(strings.TrimSuffix(target.URL, "/"))
	if err != nil {
		t.Fatalf("parse the controller's URL: %v", err)
	}
	if target.Prefix == "" {
		target.Prefix = fmt.Sprintf("pcconf-%06x", rand.N(1<<24)) //nolint:gosec // a name, no secret
	}
	if target.Java == "" {
		target.Java = "java"
	}
	s := &suite{target: target, wire: newWire(root.String(), target.User, target.Token)}
	t.Cleanup(func() { s.sweep(t) })
	s.fetchAgentJar(t)
	began := time.Now()
	s.runTogether(t, groups())
	for _, g := range groups() {
		switch {
		case g.disposable && target.Disposable:
			s.runGroup(t, g)
		case g.disposable:
			for _, b := range g.behaviours {
				s.skip(b.name, "it restarts the controller or stops its queue, and others may use it")
			}
		}
	}
	s.report(t, time.Since(began))
}

// groups are all groups, those that wait longest first.
func groups() []group {
	return slices.Concat(
		agentGroups(), shellGroups(), buildGroups(), fileGroups(), workingGroups(), clientGroups(), statusGroups(), nodeGroups(), labelGroups(),
		offlineGroups(), queueGroups(), jobGroups(), restartGroups(),
	)
}

// runTogether runs the groups that disturb nobody, some at a time.
func (s *suite) runTogether(t *testing.T, all []group) {
	t.Helper()
	free := make(chan struct{}, together)
	var running sync.WaitGroup
	for _, g := range all {
		if g.disposable {
			continue
		}
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			s.runGroup(t, g)
		})
	}
	running.Wait()
}

func (s *suite) runGroup(t *testing.T, g group) {
	t.Helper()
	t.Run(g.name, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), groupPatience)
		defer cancel()
		var agent *agent
		if g.agent != nil {
			p := &probe{T: t, ctx: ctx, suite: s, behaviour: g.name}
			agent = p.startAgent(*g.agent)
			agent.waitOnline(p)
		}
		for _, b := range g.behaviours {
			t.Run(b.name, func(t *testing.T) { s.runBehaviour(ctx, t, b, agent) })
		}
	})
}

func (s *suite) runBehaviour(ctx context.Context, t *testing.T, b behaviour, agent *agent) {
	t.Helper()
	p := &probe{T: t, ctx: ctx, suite: s, behaviour: b.name, agent: agent}
	t.Cleanup(s.count)
	b.check(p)
}

func (s *suite) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ran++
}

func (s *suite) skip(behaviour, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skipped = append(s.skipped, behaviour+": "+reason)
}

// forced are facts about Jenkins that no client can bring about at will. jenkinstest has
// a switch for each, and tests of its own that use it.
var forced = []string{
	"a document that is posted while another one lands is answered 200 and dropped",
	"a name is 404 for an instant while its node is replaced",
	"the scheduler goes on seeing a removed label until the POST that removed it ends",
	"an element whose export fails is missing from a list that is 200",
	"an agent is busy for a moment before its build exists, and after it has ended",
	"an item that left the queue is 404 after five minutes",
	"a node monitor marks an agent offline",
	"a controller that is starting answers 503",
}

func (s *suite) differ(d difference) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.differences = append(s.differences, d)
}

// report logs what was checked and, as a table, everything that differs.
func (s *suite) report(t *testing.T, took time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var table strings.Builder
	fmt.Fprintf(&table, "%d behaviours in %s, %d differences, %d skipped\n",
		s.ran, took.Round(time.Millisecond), len(s.differences), len(s.skipped))
	for _, entry := range s.skipped {
		fmt.Fprintf(&table, "skipped: %s\n", entry)
	}
	for _, fact := range forced {
		fmt.Fprintf(&table, "not checked, cannot be forced from outside: %s\n", fact)
	}
	for _, d := range s.differences {
		fmt.Fprintf(&table, "DIFFERS: %s\n  %s\n    Jenkins: %s\n    here:    %s\n", d.behaviour, d.what, d.want, d.got)
	}
	t.Log(table.String())
}
