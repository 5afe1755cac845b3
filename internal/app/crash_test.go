// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestCrashAtEveryRequest kills the daemon, really, at each request of a whole cleanup but those of
// the polls: once so that the request is lost with it, and once so that it is served and nobody
// hears the answer. A new daemon must bring the agent to the same end.
func TestCrashAtEveryRequest(t *testing.T) {
	t.Parallel()
	total := len(requestsOfACleanup(t))
	for n := range total {
		if !long() && n%3 != 0 { // in the long run all
			continue
		}
		for _, served := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, served %t", n+1, served), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, siteSpec{})
				doomed := s.killAtRequest(n+1, served)
				c := s.startChild()
				doomed <- c
				c.dies()
				s.recovers()
			})
		}
	}
}

// TestCrashAtEveryEvent kills the daemon as soon as the n-th event is committed, for each event of
// a whole cleanup.
func TestCrashAtEveryEvent(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	c := s.startChild()
	c.committed(hygiene.EventGranted)
	c.end()
	for n := range s.events() {
		t.Run(fmt.Sprintf("event %d", n+1), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteSpec{})
			c := s.startChild(fmt.Sprintf("%s=%d", childDeath, n+1))
			c.dies()
			s.recovers()
		})
	}
}

// TestCrashTwice kills the daemon at a request of a cleanup, and the one that takes over at one of its
// own.
func TestCrashTwice(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("left to the longer run")
	}
	first, second := []int{8, 14, 17}, []int{3}
	if long() {
		first, second = nil, []int{1, 2, 3, 4, 5, 6, 7, 8}
		for n := range requestsOfACleanup(t) {
			first = append(first, n+1)
		}
	}
	for _, n := range first {
		for _, m := range second {
			t.Run(fmt.Sprintf("requests %d and %d", n, m), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, siteSpec{})
				for _, at := range []int{n, m} {
					doomed := s.killAtRequest(at, true)
					c := s.startChild()
					doomed <- c
					s.diesOrGrants(c)
				}
				s.recovers()
			})
		}
	}
}

// diesOrGrants waits for the daemon's death, which does not come if it has fewer requests to make.
func (s *site) diesOrGrants(c *child) {
	s.t.Helper()
	c.news.await(s.t, "death or clean", func() bool { return c.gone() || strings.Contains(c.said(), string(hygiene.EventGranted)) })
	c.kill()
}

// TestCrashAgainAndAgain kills one daemon after the other at requests of any kind, while builds use
// the agent.
func TestCrashAgainAndAgain(t *testing.T) {
	t.Parallel()
	rounds, random := 10, rand.New(rand.NewPCG(1, 2))
	if long() {
		rounds = 200
	}
	if testing.Short() {
		rounds = 3
	}
	s := newSite(t, siteSpec{})
	s.edit("poll: 100ms", "poll: 100ms\n  buildFeedEvery: 1s") // builds run unseen while no daemon lives
	must(t, s.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean", Script: "touch ../left-over"}))
	for round := range rounds {
		if round%3 == 2 {
			_, err := s.jenkins.Schedule("app", nil)
			must(t, err)
		}
		dead := make(chan *child, 1)
		remove := s.jenkins.Inject(jenkinstest.Fault{
			Count: 1, Skip: random.IntN(60), Refuse: random.IntN(2) == 0,
			Before: func(*http.Request) { (<-dead).kill() },
		})
		c := s.startChild()
		dead <- c
		c.dies()
		remove()
	}
	c := s.startChild()
	c.serves()
	s.await("the end of all builds, and a clean agent", func() bool {
		return s.jenkins.QueueLength() == 0 && s.jenkins.Labels("linux-7") == "cleanable el7 clean" && s.lastBuild() != "app"
	})
	c.end()
	s.legal()
	s.ranOnce()
}

// lastBuild is the job whose build started or ended last.
func (s *site) lastBuild() string {
	job := ""
	for _, e := range s.jenkins.Journal() {
		if e.Job != "" {
			job = e.Job
		}
	}
	return job
}

var reports = regexp.MustCompile(`PITCREW-REPORT-BEGIN (\d+) `)

// ranOnce holds that no attempt's program ran twice.
func (s *site) ranOnce() {
	s.t.Helper()
	ran := map[string]int{}
	for _, b := range s.cleanups() {
		for _, report := range reports.FindAllStringSubmatch(b.Console, -1) {
			ran[report[1]]++
		}
	}
	for attempt, n := range ran {
		if n > 1 {
			s.t.Errorf("the program of attempt %s ran %d times", attempt, n)
		}
	}
}

// long reports whether this is the long run of the crash matrix.
func long() bool { return os.Getenv("PITCREW_LONG") != "" }

// requestsOfACleanup lists the requests, polls left out, from the first look at a new agent to its
// clean.
func requestsOfACleanup(t *testing.T) []string {
	t.Helper()
	s := newSite(t, siteSpec{})
	var mu sync.Mutex
	var lines []string
	s.jenkins.Inject(jenkinstest.Fault{Match: func(r *http.Request) bool {
		if !isPoll(r) {
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, r.Method+" "+r.URL.Path)
		}
		return false
	}})
	c := s.startChild()
	c.committed(hygiene.EventGranted)
	c.end()
	mu.Lock()
	defer mu.Unlock()
	return lines
}

func isPoll(r *http.Request) bool {
	return r.URL.Path == "/computer/api/json" || r.URL.Path == "/queue/api/json"
}

// killAtRequest kills the daemon that it is sent when its n-th request arrives. The request is
// served after the death, or never.
func (s *site) killAtRequest(n int, served bool) chan<- *child {
	doomed := make(chan *child, 1)
	var mu sync.Mutex
	seen := 0
	s.jenkins.Inject(jenkinstest.Fault{
		Count: 1, Refuse: !served,
		Match: func(r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if !isPoll(r) {
				seen++
			}
			return seen == n && !isPoll(r)
		},
		Before: func(*http.Request) { (<-doomed).kill() },
	})
	return doomed
}

// recovers starts the daemon anew and holds what must be true at the end: the agent is clean, was
// cleaned once, and no event is lost.
func (s *site) recovers() {
	s.t.Helper()
	c := s.startChild()
	c.committed(hygiene.EventGranted)
	c.end()
	if got := s.jenkins.Labels("linux-7"); got != "cleanable el7 clean" {
		s.t.Errorf("labels are %q", got)
	}
	for _, b := range s.cleanups()[1:] {
		s.t.Errorf("a second program was run, as build %d", b.Number)
	}
	s.legal()
	s.ranOnce()
}

// database is the file of the daemon's store.
func (s *site) database() string { return filepath.Join(s.dir, "data", "pitcrew.db") }

// open opens the daemon's store, when no daemon runs. The caller closes it.
func (s *site) open() *store.Store {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), store.Options{Path: s.database(), Owner: "test"})
	must(s.t, err)
	return db
}

// events are all events that the store holds, oldest first.
func (s *site) events() []hygiene.Event {
	s.t.Helper()
	db := s.open()
	defer db.Close()
	events, err := db.Events(s.t.Context(), store.EventFilter{Limit: 10000})
	must(s.t, err)
	return events
}

// legal holds that no event is missing: they are numbered without gaps, and each change of an
// agent's state begins where the one before ended and is in the table.
func (s *site) legal() {
	s.t.Helper()
	states := map[hygiene.AgentID]hygiene.State{}
	for i, e := range s.events() {
		if e.ID != int64(i+1) {
			s.t.Fatalf("event %d is followed by %d", i, e.ID)
		}
		if e.Agent.Name == "" {
			continue
		}
		was, known := states[e.Agent]
		if !known {
			was = hygiene.Unmanaged
		}
		if before := max(e.Before, ""); before != was && (before != "" || was != hygiene.Unmanaged) {
			s.t.Errorf("event %d: %s was %s, and the event says %s", e.ID, e.Agent, was, e.Before)
		}
		if e.After != was && !hygiene.CanGo(was, e.After) {
			s.t.Errorf("event %d: no way from %s to %s", e.ID, was, e.After)
		}
		states[e.Agent] = e.After
	}
}
