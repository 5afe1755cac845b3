// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// stem begins the names of all that is made here.
const stem = "pcgate"

// leftover is what a run made that was killed.
var leftover = regexp.MustCompile(`^` + stem + `-[0-9a-f]{6}-`)

// owner is who the suite is to the gate.
var owner = gate.Owner{ID: stem}

// suite is one run: a controller of which the gate is ours, with agents.
type suite struct {
	*testbed.Controller
	size   size
	client *jenkins.Client // for what is not judged by how it meets failures
	fleet  []*testbed.Agent
	rows   []row
	unrun  []string // set-ups, and why
}

// size is how much is done.
type size struct {
	agents, builds int
	longest        int // build, in milliseconds
	cleaning       time.Duration
	polls          []time.Duration // of labels alone
	killEvery      time.Duration
	editEvery      time.Duration
	installEvery   time.Duration
	limit          time.Duration // for one set-up
	pairs, trivial int           // runs with and without the gate, and builds of each
	events         int           // whose latency is taken
}

var (
	short = size{
		agents: 2, builds: 12, longest: 150, cleaning: 40 * time.Millisecond, polls: []time.Duration{time.Second},
		killEvery: 5 * time.Second, editEvery: 60 * time.Millisecond, installEvery: 100 * time.Millisecond, limit: 2 * time.Minute,
		pairs: 1, trivial: 8, events: 30,
	}
	whole = size{
		agents: 6, builds: 300, longest: 999, cleaning: time.Second, polls: []time.Duration{5 * time.Second, time.Second, 200 * time.Millisecond},
		killEvery: 2 * time.Second, editEvery: 30 * time.Millisecond, installEvery: 700 * time.Millisecond, limit: 10 * time.Minute,
		pairs: 7, trivial: 300, events: 600,
	}
	// fewer is for less time: the same set-ups.
	fewer = size{
		agents: 6, builds: 80, longest: 999, cleaning: time.Second, polls: []time.Duration{time.Second},
		killEvery: 2 * time.Second, editEvery: 30 * time.Millisecond, installEvery: 700 * time.Millisecond, limit: 5 * time.Minute,
		pairs: 3, trivial: 100, events: 200,
	}
)

// patience is what each size may take on a controller that is named. What go test ends in the middle leaves the gate behind.
const (
	wholePatience = 90 * time.Minute
	fewerPatience = 40 * time.Minute
)

// fitting is the size that is over before go test ends it, or an error if none is.
func fitting(deadline time.Time, limited bool, now time.Time) (size, error) {
	switch left := deadline.Sub(now); {
	case !limited || left >= wholePatience:
		return whole, nil
	case left >= fewerPatience:
		return fewer, nil
	default:
		return size{}, fmt.Errorf("go test would end this suite in the middle, after %s, and leave the gate and agents behind: give it -timeout 2h", left.Round(time.Second))
	}
}

// long reports whether everything is done, whatever time it takes.
func (s *suite) long() bool { return s.Real || os.Getenv("PITCREW_LONG") != "" }

// open returns a suite whose controller is taken into use, and given back at the end of the test.
func open(ctx context.Context, t *testing.T) *suite {
	t.Helper()
	var played console
	c, err := testbed.Open(ctx, stem, played.options)
	if errors.Is(err, testbed.ErrNoJDK) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{Controller: c, size: short}
	t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(ctx)); err != nil {
			t.Errorf("left on the controller: %v", err)
		}
	})
	if s.long() {
		s.size = whole
	}
	if deadline, limited := t.Deadline(); s.Real {
		s.size, err = fitting(deadline, limited, time.Now())
		must(t, err)
	}
	s.client = s.newClient(t)
	s.takeOver(ctx, t)
	return s
}

// dial is a variable because contextcheck follows functions down to where a breaker logs, and wants a context for that.
var dial = jenkins.New

// newClient returns a client that does not hold back.
func (s *suite) newClient(tb testing.TB) *jenkins.Client {
	tb.Helper()
	c, err := dial(jenkins.Options{
		Name: "live", URL: s.URL + "/", User: s.User, Token: func(context.Context) (string, error) { return s.Token, nil },
		RequestsPerSecond: -1, Advertised: []string{labels.Clean},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// occupied says why the controller is somebody else's, nil if it is not.
func (s *suite) occupied(ctx context.Context) error {
	files, err := s.script(ctx, filesScript)
	if err != nil {
		return fmt.Errorf("the suite needs the script console, and with it Overall/Administer: %w", err)
	}
	for _, line := range files {
		if strings.HasPrefix(line, "file foreign ") {
			return fmt.Errorf("there is a gate in init.groovy.d that is not of this suite: %s", line)
		}
	}
	status, err := gate.NewClient(s.client, labels).Status(ctx)
	switch {
	case err != nil && !errors.Is(err, gate.ErrAbsent):
		return fmt.Errorf("the controller may have a gate that is not of this suite: %w", err)
	case err == nil && status.Version != version:
		return fmt.Errorf("the controller has the gate of pitcrew %s", status.Version)
	}
	fleet, err := s.client.Fleet(ctx)
	if err != nil {
		return err
	}
	for _, a := range fleet.Agents {
		if slices.Contains(a.Labels, labels.Cleanable) && !leftover.MatchString(a.Name) {
			return fmt.Errorf("agent %s is labelled %s: this controller is in use", a.Name, labels.Cleanable)
		}
	}
	return nil
}

// takeOver refuses a controller that is somebody else's, and clears away what an earlier run has left.
func (s *suite) takeOver(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, s.occupied(ctx))
	// From here on it is ours.
	t.Cleanup(func() { s.giveBack(context.WithoutCancel(ctx), t) })
	must(t, s.remove(ctx))
	if err := s.clear(ctx, leftover.MatchString); err != nil {
		t.Fatalf("remove what an earlier run has left: %v", err)
	}
}

// giveBack takes the gate out. Whether Jenkins answers or not, its file must not stay.
func (s *suite) giveBack(ctx context.Context, t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := s.remove(ctx)
	for err != nil && ctx.Err() == nil { // a restart may be under way, or the client think so
		pause(ctx, time.Second)
		s.client = s.newClient(t)
		err = s.remove(ctx)
	}
	if err != nil {
		t.Errorf("the gate could not be taken out: %v", err)
	}
	if s.Home == "" {
		return
	}
	file := filepath.Join(s.Home, "init.groovy.d", gate.FileName)
	switch looked := os.Remove(file); {
	case looked == nil:
		t.Errorf("the gate's file was still there: %s", file)
	case err == nil && os.IsPermission(looked):
		t.Logf("the console says that the gate's file is gone, and we may not look: %v", looked)
	case !os.IsNotExist(looked):
		t.Errorf("the gate's file may still be there: %v", looked)
	}
}

// clear removes queue items, jobs and nodes by their names, several at a time: there may be thousands.
func (s *suite) clear(ctx context.Context, named func(string) bool) error {
	var root struct{ Jobs []struct{ Name string } }
	var fleet struct {
		Computer []struct{ DisplayName string }
	}
	if err := errors.Join(s.read(ctx, "/api/json?tree=jobs[name]", &root), s.read(ctx, "/computer/api/json?tree=computer[displayName]", &fleet)); err != nil {
		return err
	}
	var paths []string
	for _, j := range root.Jobs {
		if named(j.Name) {
			paths = append(paths, testbed.JobPath(j.Name)+"/doDelete")
		}
	}
	for _, n := range fleet.Computer {
		if named(n.DisplayName) {
			paths = append(paths, testbed.NodePath(n.DisplayName)+"/doDelete")
		}
	}
	return together(len(paths), func(i int) error {
		a, err := s.Send(ctx, testbed.Request{Method: http.MethodPost, Path: paths[i]})
		if err == nil && a.Status >= 400 && a.Status != http.StatusNotFound {
			err = fmt.Errorf("POST %s: status %d: %s", paths[i], a.Status, a.Excerpt())
		}
		return err
	})
}

// together calls f for 0 to n-1, some at a time.
func together(n int, f func(int) error) error {
	const most = 8
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	free := make(chan struct{}, most)
	for i := range n {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			if err := f(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	all.Wait()
	return failed
}

// pause waits unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// names are those of the agents.
func (s *suite) names() []string {
	all := make([]string, len(s.fleet))
	for i, a := range s.fleet {
		all[i] = a.Name
	}
	return all
}

var (
	executorsElement = regexp.MustCompile(`<numExecutors>[0-9]+</numExecutors>`)
	modeElement      = regexp.MustCompile(`<mode>[A-Z]+</mode>`)
)

// configure gives every agent its labels, mode and executors, and waits until it has a connection.
func (s *suite) configure(ctx context.Context, t *testing.T, labels string, executors int, normal bool) {
	t.Helper()
	mode := "EXCLUSIVE"
	if normal {
		mode = "NORMAL"
	}
	for _, a := range s.fleet {
		document := s.Get(ctx, t, a.Path+"/config.xml")
		document = executorsElement.ReplaceAllString(document, fmt.Sprintf("<numExecutors>%d</numExecutors>", executors))
		document = modeElement.ReplaceAllString(testbed.WithLabels(document, labels), "<mode>"+mode+"</mode>")
		s.PostXML(ctx, t, a.Path+"/config.xml", document)
		if got := s.Get(ctx, t, a.Path+"/config.xml"); testbed.LabelString(got) != labels || !strings.Contains(got, mode) {
			t.Fatalf("agent %s was given labels %q and mode %s, and has %s", a.Name, labels, mode, got)
		}
		a.WaitOnline(ctx, t)
	}
}
