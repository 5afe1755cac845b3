// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// scenario is a way that a cleanup can go, at each boundary of which the daemon is killed.
type scenario struct {
	name  string
	site  func(*testing.T) *site
	end   map[hygiene.EventType]int // so often these are committed when it is over
	holds func(*site)               // what must be true then, whatever happened on the way
}

// over reports whether the daemon has told of everything that ends the scenario.
func (sc *scenario) over(c *child) bool {
	for kind, n := range sc.end {
		if c.count(kind) < n {
			return false
		}
	}
	return true
}

var (
	granted     = map[hygiene.EventType]int{hygiene.EventGranted: 1}
	quarantined = map[hygiene.EventType]int{hygiene.EventQuarantined: 1, hygiene.EventMarked: 2}
	withdrawn   = map[hygiene.EventType]int{hygiene.EventWithdrawn: 1, hygiene.EventMarked: 2}
	restored    = map[hygiene.EventType]int{hygiene.EventEpoch: 1, hygiene.EventGranted: 2}
)

var scenarios = []scenario{
	{name: "a reconnect", site: newReconnectingSite, end: granted, holds: func(s *site) { s.ends("cleanable el7 clean", 2) }},
	{name: "a reboot", site: newRebootingSite, end: granted, holds: func(s *site) { s.ends("cleanable el7 clean", 2) }},
	{name: "over SSH", site: newLockedSSHSite, end: granted, holds: func(s *site) { s.ends("cleanable el7 clean", 0) }},
	{name: "a lifted mark", site: newLowSite, end: granted, holds: func(s *site) {
		s.ends("cleanable el7 clean", 1)
		s.lastMark(jenkinstest.EntryUnmarked)
	}},
	{name: "a failure with a lifted mark, into quarantine", site: newFailingSite, end: quarantined, holds: func(s *site) {
		s.ends("cleanable el7 dirty", 1)
		s.lastMark(jenkinstest.EntryMarked)
		if a := s.agent(); a.Failures != 1 || a.Quarantine == nil {
			s.t.Errorf("got %+v", a)
		}
	}},
	{name: "a withdrawal in mid-run, with a lifted mark", site: newWithdrawnSite, end: withdrawn, holds: func(s *site) {
		s.ends("el7", 1)
		s.lastMark(jenkinstest.EntryMarked)
		if a := s.agent(); a.State != hygiene.Unmanaged {
			s.t.Errorf("got %+v", a)
		}
	}},
	{name: "a restored backup", site: newRestoredSite, end: restored, holds: func(s *site) { s.ends("cleanable el7 clean", 2) }},
}

// TestCrashInScenarios kills the daemon at the requests, lost or served, and at the events of other
// cleanups than the plain one. A normal run takes a sample of them.
func TestCrashInScenarios(t *testing.T) {
	t.Parallel()
	for i := range scenarios {
		sc := &scenarios[i]
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			requests, events := sc.boundaries(t)
			t.Logf("%d requests, %d events", requests, events)
			for _, n := range sampled(requests, 3) {
				for _, served := range []bool{false, true} {
					if !long() && served != (n%2 == 0) {
						continue
					}
					t.Run(fmt.Sprintf("request %d, served %t", n, served), func(t *testing.T) {
						t.Parallel()
						sc.crash(t, func(s *site) *child {
							doomed := s.killAtRequest(n, served)
							c := s.startChild()
							doomed <- c
							return c
						})
					})
				}
			}
			for _, n := range sampled(events, 1) {
				t.Run(fmt.Sprintf("event %d", n), func(t *testing.T) {
					t.Parallel()
					sc.crash(t, func(s *site) *child { return s.startChild(fmt.Sprintf("%s=%d", childDeath, s.before+n)) })
				})
			}
		})
	}
}

// sampled returns the numbers up to total in a long run, else some of them.
func sampled(total, some int) []int {
	var out []int
	for n := 1; n <= total; n++ {
		if long() || n*(some+1)/(total+1) != (n-1)*(some+1)/(total+1) {
			out = append(out, n)
		}
	}
	return out
}

// boundaries runs the scenario without a crash, and counts its requests, polls left out, and events.
func (sc *scenario) boundaries(t *testing.T) (requests, events int) {
	t.Helper()
	s := sc.site(t)
	var made atomic.Int64
	remove := s.jenkins.Inject(jenkinstest.Fault{Match: func(r *http.Request) bool {
		if !isPoll(r) {
			made.Add(1)
		}
		return false
	}})
	c := s.startChild()
	c.news.await(t, sc.name, func() bool { return c.gone() || sc.over(c) })
	requests = int(made.Load())
	remove()
	c.end()
	sc.hold(s)
	return requests, len(s.events()) - s.before
}

// crash runs the scenario with a daemon that dies in it, if it gets that far, and with a new one.
func (sc *scenario) crash(t *testing.T, start func(*site) *child) {
	t.Helper()
	s := sc.site(t)
	c := start(s)
	c.news.await(t, "death, or the end", func() bool { return c.gone() || sc.over(c) })
	c.kill()
	c = s.startChild()
	c.news.await(t, sc.name, func() bool { return c.gone() || sc.over(c) })
	c.end()
	sc.hold(s)
}

func (sc *scenario) hold(s *site) {
	s.t.Helper()
	sc.holds(s)
	s.legal()
}

// ends holds the labels and the number of programs that ran as builds, and that nothing is owed.
func (s *site) ends(labels string, programs int) {
	s.t.Helper()
	if got := s.jenkins.Labels("linux-7"); got != labels {
		s.t.Errorf("labels are %q, want %q", got, labels)
	}
	if got := len(s.cleanups()); got != programs {
		s.t.Errorf("%d programs ran, want %d", got, programs)
	}
	if a := s.agent(); a.Mark != "" {
		s.t.Errorf("the mark %q is owed", a.Mark)
	}
}

// agent reads the agent's row, when no daemon runs.
func (s *site) agent() hygiene.Agent {
	s.t.Helper()
	db := s.open()
	defer db.Close()
	a, _, err := db.Agent(s.t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"})
	must(s.t, err)
	return a
}

// lastMark holds what was done to the agent's offline mark last, and that it was done by us.
func (s *site) lastMark(want jenkinstest.EntryKind) {
	s.t.Helper()
	var last jenkinstest.Entry
	for _, e := range s.jenkins.Journal() {
		if e.Kind == jenkinstest.EntryMarked || e.Kind == jenkinstest.EntryUnmarked {
			last = e
		}
	}
	if last.Kind != want || last.Who != "pitcrew" {
		s.t.Errorf("its offline mark was last %s by %s", last.Kind, last.Who)
	}
}

// newMarkedSite has an agent that a disk monitor took offline.
func newMarkedSite(t *testing.T, spec siteSpec) *site {
	t.Helper()
	s := newSite(t, spec)
	s.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
	return s
}

func newLowSite(t *testing.T) *site {
	t.Helper()
	return newMarkedSite(t, siteSpec{})
}

func newFailingSite(t *testing.T) *site {
	t.Helper()
	return newMarkedSite(t, siteSpec{
		recipe: strings.Replace(siteRecipe, `test ! -e "$WORKSPACE/../left-over"`, "exit 1", 1),
		config: func(text string) string { return text + "  quarantine: {after: 1}\n" },
	})
}

// newWithdrawnSite loses the label cleanable when its first cleanup has begun.
func newWithdrawnSite(t *testing.T) *site {
	t.Helper()
	s := newMarkedSite(t, siteSpec{recipe: strings.Replace(siteRecipe, "rm -rf", "sleep 20; rm -rf", 1)})
	s.meanwhile(func(stop <-chan struct{}) {
		if s.watch(stop, func() bool { return len(s.cleanups()) > 0 }) {
			s.jenkins.SaveLabels("linux-7", "el7 dirty", "ann")
		}
	})
	return s
}

// newRestoredSite has a store that was restored from a backup after a first cleanup.
func newRestoredSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, siteSpec{})
	c := s.startChild()
	c.committed(hygiene.EventGranted)
	c.end()
	s.before = len(s.events())
	db := s.open()
	must(t, db.Backup(t.Context(), s.path("saved.db")))
	must(t, db.Close())
	for _, suffix := range []string{"-wal", "-shm"} {
		must(t, os.RemoveAll(s.database()+suffix))
	}
	must(t, os.Rename(s.path("saved.db"), s.database()))
	return s
}

// newLockedSSHSite is cleaned over SSH, by a recipe that fails when it runs twice at a time.
func newLockedSSHSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, siteSpec{recipe: strings.NewReplacer(
		`rm -rf "$WORKSPACE/../left-over"`, `exec 9>LEFT.lock; flock -n 9; sleep 0.3`, "$WORKSPACE/../left-over", "LEFT").Replace(siteRecipe)})
	s.fixRecipe()
	s.sshPool(s.startSSHD(), "  delivery: ssh\n")
	return s
}

func newReconnectingSite(t *testing.T) *site {
	t.Helper()
	return newMachineSite(t, recipe.Reconnect)
}

func newRebootingSite(t *testing.T) *site {
	t.Helper()
	return newMachineSite(t, recipe.Reboot)
}

// newMachineSite has an agent whose whole cleanups ask for a new session, and which gets one. Its
// programs are told, not run: what they say of boots and processes must be bent.
func newMachineSite(t *testing.T, asks recipe.Outcome) *site {
	t.Helper()
	var s *site
	s = newSite(t, siteSpec{
		agents:  []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Lonely: true}},
		execute: func(_ context.Context, step jenkinstest.Step) jenkinstest.StepResult { return s.tell(step, asks) },
	})
	s.meanwhile(func(stop <-chan struct{}) {
		machine := s.jenkins.Agent("linux-7")
		for rebooted := false; ; {
			if asks == recipe.Reboot && !rebooted {
				rebooted = s.watch(stop, func() bool { return len(s.cleanups()) == 1 && s.cleanups()[0].Complete })
				machine.Kill()
			}
			if !s.watch(stop, func() bool { return !machine.Online() }) || !s.seen(stop, 6) {
				return
			}
			s.sessions.Add(1)
			if err := machine.Connect(); err != nil {
				return // the controller has ended
			}
		}
	})
	return s
}

// tell writes the report of a program that does nothing.
func (s *site) tell(step jenkinstest.Step, asks recipe.Outcome) jenkinstest.StepResult {
	r, err := recipe.Load(s.path("recipe.yaml"))
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	program, err := r.Compile()
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	attempt, err := strconv.ParseInt(step.Env["PITCREW_ATTEMPT"], 10, 64)
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	session := int(s.sessions.Load())
	report := recipe.Report{
		Version: recipe.Version, Attempt: attempt, Agent: step.Agent, Controller: step.Env["PITCREW_CONTROLLER"],
		Recipe: program.Recipe, Revision: program.Revision, Phases: step.Env["PITCREW_PHASES"], Outcome: recipe.Cleaned, Verified: true,
		Depth:        recipe.Depth(step.Env["PITCREW_DEPTH"]),
		Machine:      recipe.Machine{ID: "machine", BootID: "boot"},
		AgentProcess: recipe.AgentProcess{PID: 100 + session, Start: "then"},
	}
	if asks == recipe.Reboot {
		report.Machine.BootID += strconv.Itoa(session)
	}
	if report.Phases == "all" {
		report.Outcome, report.Verified = asks, false
	}
	for _, st := range program.Steps {
		if report.Phases == "all" || st.Phase == recipe.Verify {
			report.Steps = append(report.Steps, recipe.StepReport{Name: st.Name, Phase: st.Phase, Outcome: recipe.StepOK, Tries: 1})
		}
	}
	text, err := report.Format(step.Env["PITCREW_NONCE"])
	if err != nil {
		return jenkinstest.StepResult{Err: err}
	}
	fmt.Fprintf(step.Out, "%s", text)
	return jenkinstest.StepResult{}
}

// meanwhile runs f beside the test, and tells it to stop at the end.
func (s *site) meanwhile(f func(stop <-chan struct{})) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		f(stop)
	}()
	s.t.Cleanup(func() {
		close(stop)
		<-ended
	})
}

// watch waits until ok, as the journal goes on, and reports whether that came before stop.
func (s *site) watch(stop <-chan struct{}, ok func() bool) bool {
	for {
		news := s.entries.next()
		if ok() {
			return true
		}
		select {
		case <-news:
		case <-stop:
			return false
		}
	}
}

// seen waits until a daemon has polled n times from now on.
func (s *site) seen(stop <-chan struct{}, n int) bool {
	polled := make(chan struct{}, n)
	defer s.jenkins.Inject(jenkinstest.Fault{Match: func(r *http.Request) bool {
		if r.URL.Path == "/computer/api/json" {
			select {
			case polled <- struct{}{}:
			default:
			}
		}
		return false
	}})()
	for range n {
		select {
		case <-polled:
		case <-stop:
			return false
		case <-time.After(waitLimit):
			return false
		}
	}
	return true
}
