// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// BenchmarkChange measures whole cleanups on a file, as a daemon makes them: one change each for
// the claim, the hand-over, the proof, the grant and the next use, over 1,000 agents.
func BenchmarkChange(b *testing.B) {
	s := setup(b)
	now := t0
	ids := make([]hygiene.AgentID, 1000)
	for i := range ids {
		ids[i] = hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%04d", i)}
		change(b, s, ids[i], now, to(hygiene.Due, now))
	}
	steps := cleanup()
	b.ResetTimer()
	for i := range b.N {
		now = now.Add(time.Millisecond)
		round := i / len(steps)
		change(b, s, ids[round%len(ids)], now, steps[i%len(steps)](now))
	}
}

// cleanup is the life of an agent from due to due.
func cleanup() []func(time.Time) step {
	return []func(time.Time) step{
		func(now time.Time) step { return claim("nonce", now) },
		func(now time.Time) step {
			return func(c *store.Change) ([]hygiene.Event, error) {
				c.Attempt.Handed = now
				c.Attempt.Run = hygiene.Run{Job: "pitcrew/slot-1", QueueID: 7, Build: 3, URL: "https://ci.example.org/job/pitcrew/3/"}
				return to(hygiene.Running, now)(c)
			}
		},
		func(now time.Time) step {
			return func(c *store.Change) ([]hygiene.Event, error) {
				c.Attempt.Proved = now
				return to(hygiene.Granting, now)(c)
			}
		},
		func(now time.Time) step {
			return func(c *store.Change) ([]hygiene.Event, error) {
				a, attempt, err := hygiene.Grant(c.Agent, *c.Attempt, c.Epoch, now)
				c.Agent, c.Attempt = a, &attempt
				return []hygiene.Event{{Type: hygiene.EventGranted, Attempt: a.Attempt}}, err
			}
		},
		func(now time.Time) step {
			return func(c *store.Change) ([]hygiene.Event, error) {
				c.Agent.Used = &hygiene.Use{URL: "https://ci.example.org/job/build/17/", At: now}
				return to(hygiene.Due, now)(c)
			}
		},
	}
}

// BenchmarkAgents10000 measures reading a whole fleet.
func BenchmarkAgents10000(b *testing.B) {
	s := setup(b)
	for i := range 10_000 {
		id := hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%05d", i)}
		change(b, s, id, t0, to(hygiene.Due, t0))
	}
	for b.Loop() {
		agents, err := s.Agents(b.Context(), "ci")
		if err != nil || len(agents) != 10_000 {
			b.Fatalf("got %d agents, %v", len(agents), err)
		}
	}
}

// BenchmarkOpen measures a restart: the check of every page, the migrations, the statements.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pitcrew.db")
	for b.Loop() {
		s, err := store.Open(b.Context(), store.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
