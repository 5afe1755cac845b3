// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// toldOfAgents is all that a store says of agents.
type toldOfAgents struct {
	Agents, One []hygiene.Agent
	Newest      []*hygiene.Attempt
	Proofs      [][]hygiene.Attempt
	Feeds       [][2]time.Time
	Controllers []store.Controller
	Unproven    map[string]int
}

func agentsOf(t *testing.T, s *store.Store) (out toldOfAgents) {
	t.Helper()
	var err error
	if out.Agents, err = s.Agents(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	for _, a := range out.Agents {
		one, newest, err := s.Agent(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		out.One, out.Newest = append(out.One, one), append(out.Newest, newest)
		for _, most := range []int{2, 5, 4} {
			proofs, err := s.Proofs(t.Context(), a.ID, most)
			if err != nil {
				t.Fatal(err)
			}
			out.Proofs = append(out.Proofs, proofs)
		}
		asked, last, err := s.FeedState(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		out.Feeds = append(out.Feeds, [2]time.Time{asked, last})
	}
	for _, id := range []hygiene.ControllerID{"c0", "c1", "none"} {
		c, err := s.Controller(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		out.Controllers = append(out.Controllers, c)
	}
	if out.Unproven, err = s.Unproven(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAgentsAreReadAsTheyStandInTheFile makes changes of every kind, refused ones among them, and
// compares what the store says with what it says once it was opened anew.
func TestAgentsAreReadAsTheyStandInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	random := rand.New(rand.NewPCG(1, 2))
	now := t0
	refused, stored := 0, 0
	for range 4 {
		s, err := store.Open(t.Context(), store.Options{Path: path, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if random.IntN(2) == 0 {
			agentsOf(t, s) // or the first change is the first to ask
		}
		for range 300 {
			now = now.Add(time.Duration(random.IntN(1e9)))
			id := hygiene.AgentID{Controller: hygiene.ControllerID("c" + strconv.Itoa(random.IntN(3))), Name: strconv.Itoa(random.IntN(12))}
			if err := s.Change(t.Context(), id, now, anything(random, now)); err != nil {
				refused++
			} else {
				stored++
			}
			beside(t, s, random, id, now)
		}
		before := agentsOf(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		again := open(t, path)
		if diff := cmp.Diff(agentsOf(t, again), before); diff != "" {
			t.Errorf("what the store said (-the file +the store):\n%s", diff)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 20 || stored < 100 {
		t.Errorf("%d changes were refused and %d stored: the test tests too little", refused, stored)
	}
}

// beside sometimes does something that is stored beside agents, or asks for all.
func beside(t *testing.T, s *store.Store, random *rand.Rand, id hygiene.AgentID, now time.Time) {
	t.Helper()
	var err error
	switch random.IntN(100) {
	case 0:
		err = s.NewEpoch(t.Context(), "test", now)
	case 1, 2, 3, 4, 5:
		_, err = s.RecordBuilds(t.Context(), id, now, []store.Build{{Agent: id, URL: "u", Job: "j", Number: 1, At: now}})
	case 6, 7:
		err = s.SaveController(t.Context(), store.Controller{ID: id.Controller, Ahead: time.Duration(random.IntN(9)) * time.Second})
	case 8:
		_, err = s.Purge(t.Context(), now, store.Retention{Attempts: 30 * time.Second})
	case 9, 10, 11, 12:
		agentsOf(t, s)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// anything does the next thing to an agent, or something that the store refuses: by its rules, or in
// the middle of its writes.
func anything(random *rand.Rand, now time.Time) step {
	return func(c *store.Change) ([]hygiene.Event, error) {
		move := to(hygiene.Due, now)
		steps := cleanup()
		switch c.Agent.State {
		case hygiene.Due:
			move = steps[0](now)
		case hygiene.Claimed:
			move = steps[1](now)
		case hygiene.Running:
			move = steps[2](now)
		case hygiene.Granting:
			move = steps[3](now)
		case hygiene.Clean:
			move = steps[4](now)
		case hygiene.Unmanaged, hygiene.Reconnecting:
		}
		c.Agent.Quarantine, c.Agent.Hold = nil, nil
		switch random.IntN(10) {
		case 0:
			c.Agent.Quarantine = &hygiene.Quarantine{Reason: "q", Since: now, NextLook: now.Add(time.Minute), By: "pitcrew"}
		case 1:
			c.Agent.Hold = &hygiene.Hold{Reason: "h", By: "ann", Since: now}
		}
		events, err := move(c)
		switch random.IntN(12) {
		case 0:
			return events, errors.New("changed my mind")
		case 1:
			c.Agent.Attempt += 2
		case 2:
			return append(events, hygiene.Event{Type: hygiene.EventMarked, Data: map[string]string{}}), store.ErrUnchanged
		}
		return events, err
	}
}

func TestAChangeThatFailsInTheMiddleOfItsWritesChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	before := agentsOf(t, s)
	for _, id := range []hygiene.AgentID{a1, a2} {
		err := s.Change(t.Context(), id, time.Time{}, func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.Failures = 7 // and the event has no time: found after the agent was written
			return []hygiene.Event{{Type: hygiene.EventFailed}}, nil
		})
		if err == nil {
			t.Fatal("stored")
		}
	}
	if diff := cmp.Diff(before, agentsOf(t, s)); diff != "" {
		t.Errorf("after the refusal (-want +got):\n%s", diff)
	}
	change(t, s, a1, t0, claim("nonce", t0)) // from the version that is in the file
}

func TestWhatIsReadIsTheReadersOwn(t *testing.T) {
	t.Parallel()
	s := setup(t)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.Hold = &hygiene.Hold{Reason: "h", By: "ann", Since: t0}
		c.Agent.Quarantine = &hygiene.Quarantine{Reason: "q", By: "ann", Since: t0}
		c.Agent.Used = &hygiene.Use{URL: "u", At: t0}
		return claim("nonce", t0)(c)
	})
	before := agentsOf(t, s)
	spoil := func(a hygiene.Agent, newest *hygiene.Attempt) {
		a.Hold.By, a.Quarantine.By, a.Used.URL = "eve", "eve", "eve"
		if newest != nil {
			newest.Outcome = hygiene.Cleaned
		}
	}
	a, newest, err := s.Agent(t.Context(), a1)
	if err != nil {
		t.Fatal(err)
	}
	spoil(a, newest)
	agents, _ := s.Agents(t.Context(), "ci")
	spoil(agents[0], nil)
	_ = s.Change(t.Context(), a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		spoil(c.Agent, c.Attempt)
		return nil, store.ErrUnchanged
	})
	unproven, _ := s.Unproven(t.Context())
	unproven[""]++
	if diff := cmp.Diff(before, agentsOf(t, s)); diff != "" {
		t.Errorf("after readers changed what they got (-want +got):\n%s", diff)
	}
}

// TestNobodySeesAnEventBeforeItsAgent reads beside a writer: whoever knows of a change by its event
// finds the agent changed.
func TestNobodySeesAnEventBeforeItsAgent(t *testing.T) {
	t.Parallel()
	const rounds = 300
	s := setup(t)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	var work sync.WaitGroup
	work.Go(func() {
		for n := range rounds {
			change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
				c.Agent.Failures = n
				return []hygiene.Event{{Type: hygiene.EventFailed, Reason: strconv.Itoa(n)}}, nil
			})
		}
	})
	for range 3 {
		work.Go(func() {
			for seen := 0; seen < rounds-1; {
				events, err := s.Events(t.Context(), store.EventFilter{Newest: true, Limit: 1})
				if err != nil || t.Failed() {
					t.Error(err)
					return
				}
				a, _, err := s.Agent(t.Context(), a1)
				if err != nil {
					t.Error(err)
					return
				}
				if seen, _ = strconv.Atoi(events[0].Reason); a.Failures < seen {
					t.Errorf("event %d is told, and the agent is at %d", seen, a.Failures)
					return
				}
			}
		})
	}
	work.Wait()
}
