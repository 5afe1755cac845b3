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

func open(tb testing.TB, path string) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), store.Options{Path: path, Owner: tb.Name(), Now: t0})
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func setup(tb testing.TB) *store.Store {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "pitcrew.db"))
}

// change applies f and fails the test when it is refused.
func change(tb testing.TB, s *store.Store, id hygiene.AgentID, now time.Time, f step) {
	tb.Helper()
	if err := s.Change(tb.Context(), id, now, f); err != nil {
		tb.Fatalf("change %s: %v", id, err)
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
