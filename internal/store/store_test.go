// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// step is the function that a change applies.
type step = func(*store.Change) ([]hygiene.Event, error)

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path, Owner: t.Name(), Now: t0})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func setup(t testing.TB) *store.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "pitcrew.db"))
}

// change applies f and fails the test when it is refused.
func change(t testing.TB, s *store.Store, id hygiene.AgentID, now time.Time, f step) {
	t.Helper()
	if err := s.Change(t.Context(), id, now, f); err != nil {
		t.Fatalf("change %s: %v", id, err)
	}
}

// to moves an agent along one edge, with its event.
func to(state hygiene.State, now time.Time) step {
	return func(c *store.Change) (_ []hygiene.Event, err error) {
		before := c.Agent.State
		c.Agent.Pool = policy.Pool
		if c.Agent, err = c.Agent.To(state, "test", now); err != nil {
			return nil, err
		}
		return []hygiene.Event{{Type: hygiene.EventAdopted, Before: before, After: state}}, nil
	}
}

func claim(nonce string, now time.Time) step {
	return func(c *store.Change) ([]hygiene.Event, error) {
		a, attempt, err := hygiene.Claim(c.Agent, policy, "session", nonce, now)
		c.Agent, c.Attempt = a, &attempt
		return []hygiene.Event{{Type: hygiene.EventClaimed, Attempt: a.Attempt, Before: hygiene.Due, After: hygiene.Claimed}}, err
	}
}
