// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"fmt"
	"net/http"
	"path/filepath"
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
		for _, served := range []bool{false, true} {
			t.Run(fmt.Sprintf("request %d, served %t", n+1, served), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, siteSpec{})
				doomed := s.killAtRequest(n+1, served)
				c := s.startChild()
				doomed <- c
				<-c.ended
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
			<-c.ended
			s.recovers()
		})
	}
}

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
}

// open opens the daemon's store, when no daemon runs.
func (s *site) open() *store.Store {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), store.Options{Path: filepath.Join(s.dir, "data", "pitcrew.db"), Owner: "test"})
	must(s.t, err)
	s.t.Cleanup(func() { must(s.t, db.Close()) })
	return db
}

// events are all events that the store holds, oldest first.
func (s *site) events() []hygiene.Event {
	s.t.Helper()
	events, err := s.open().Events(s.t.Context(), store.EventFilter{Limit: 10000})
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
