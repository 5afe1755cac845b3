// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// together makes changes wait behind one another, so that they are written as a group, and returns
// what became of each. It runs in a bubble. Changes of timeless agents are made at no time.
func together(s *store.Store, changes map[hygiene.AgentID]step) map[hygiene.AgentID]any {
	var mu sync.Mutex
	var work sync.WaitGroup
	leave, became := make(chan struct{}), map[hygiene.AgentID]any{}
	do := func(id hygiene.AgentID, f step) {
		work.Go(func() {
			var out any
			defer func() {
				if p := recover(); p != nil {
					out = p
				}
				mu.Lock()
				defer mu.Unlock()
				became[id] = out
			}()
			now := t0
			if id == timeless {
				now = time.Time{}
			}
			if err := s.Change(context.Background(), id, now, f); err != nil {
				out = err
			}
		})
	}
	do(a1, func(*store.Change) ([]hygiene.Event, error) {
		<-leave
		return nil, store.ErrUnchanged
	})
	synctest.Wait()
	for id, f := range changes {
		do(id, f)
	}
	synctest.Wait()
	close(leave)
	work.Wait()
	return became
}

var timeless = hygiene.AgentID{Controller: "ci", Name: "timeless"}

func numbered(n int) hygiene.AgentID {
	return hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%d", n)}
}

// counts adds one to an agent's failures, with an event.
func counts(c *store.Change) ([]hygiene.Event, error) {
	c.Agent.Failures++
	return []hygiene.Event{{Type: hygiene.EventFailed}}, nil
}

func TestChangesThatWaitTogetherAreCommittedTogether(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/pitcrew.db"
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		defer s.Close()
		var mu sync.Mutex
		run, seen := 0, 0
		changes := map[hygiene.AgentID]step{}
		for n := range 20 {
			changes[numbered(n)] = func(c *store.Change) ([]hygiene.Event, error) {
				agents, err := s.Agents(t.Context(), "")
				mu.Lock()
				defer mu.Unlock()
				run, seen = run+1, max(seen, len(agents))
				events, _ := counts(c)
				return events, err
			}
		}
		for id, what := range together(s, changes) {
			if what != nil {
				t.Errorf("%s: %v", id, what)
			}
		}
		if run != len(changes) || seen != 0 {
			t.Errorf("%d changes ran, and up to %d were committed before the last of them", run, seen)
		}
		for n := range 20 {
			once(t, s, numbered(n))
		}
	})
}

// TestMoreChangesThanAGroupTakesAreAllMade: whoever gets the turn may be the last of those that wait.
func TestMoreChangesThanAGroupTakesAreAllMade(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/pitcrew.db"
	synctest.Test(t, func(t *testing.T) {
		s := open(t, path)
		defer s.Close()
		changes := map[hygiene.AgentID]step{}
		for n := range 150 {
			changes[numbered(n)] = counts
		}
		for id, what := range together(s, changes) {
			if what != nil {
				t.Errorf("%s: %v", id, what)
			}
		}
		for n := range 150 {
			once(t, s, numbered(n))
		}
	})
}

// once checks that an agent was counted once, with its event.
func once(t *testing.T, s *store.Store, id hygiene.AgentID) {
	t.Helper()
	a, _, err := s.Agent(t.Context(), id)
	events, listed := s.Events(t.Context(), store.EventFilter{Agent: id})
	if err != nil || listed != nil || a.Failures != 1 || a.Version != 1 || len(events) != 1 {
		t.Errorf("%s: %d changes, version %d and %d events, %v, %v; want one of each", id, a.Failures, a.Version, len(events), err, listed)
	}
}

// TestAChangeThatFailsHarmsNoneOfItsGroup has changes fail in every way beside others.
func TestAChangeThatFailsHarmsNoneOfItsGroup(t *testing.T) {
	t.Parallel()
	refusal := errors.New("changed my mind")
	for name, bad := range map[string]step{
		"refused":                 func(*store.Change) ([]hygiene.Event, error) { return nil, refusal },
		"unchanged":               func(*store.Change) ([]hygiene.Event, error) { return nil, store.ErrUnchanged },
		"against a rule":          func(c *store.Change) ([]hygiene.Event, error) { c.Agent.Attempt += 2; return nil, nil },
		"in the middle of writes": counts, // the event has no time: found after the agent was written
		"panic":                   func(*store.Change) ([]hygiene.Event, error) { panic(refusal) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir() + "/pitcrew.db"
			synctest.Test(t, func(t *testing.T) {
				s := open(t, path)
				defer s.Close()
				odd := a2
				if name == "in the middle of writes" {
					odd = timeless
				}
				changes := map[hygiene.AgentID]step{odd: bad}
				for n := range 9 {
					changes[numbered(n)] = counts
				}
				for id, what := range together(s, changes) {
					if wants := id == odd && name != "unchanged"; wants != (what != nil) {
						t.Errorf("%s: %v", id, what)
					}
				}
				for n := range 9 {
					once(t, s, numbered(n))
				}
				if _, _, err := s.Agent(t.Context(), odd); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("the one that failed: %v, want that it is not there", err)
				}
			})
		})
	}
}
