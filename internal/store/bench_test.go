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

// BenchmarkCulprits measures the list of culprits over a million rows: 1,000 agents, 300 jobs, 8 kinds, 30 days.
func BenchmarkCulprits(b *testing.B) {
	path := filepath.Join(b.TempDir(), "pitcrew.db")
	s, err := store.Open(b.Context(), store.Options{Path: path, Now: t0})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	const rows, days = 1_000_000, 30
	execute(b, path, fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1)
		INSERT INTO residue (controller, agent, number, pool, at, kind, job, build, evidence, suspects, things, bytes, oldest, example)
		SELECT 'ci', printf('agent-%%04d', i * 7919 %% 1000), i / 1000, printf('pool-%%d', i %% 5), %d + i * %d, printf('kind-%%d', i * 31 %% 8),
			CASE WHEN i %% 10 = 0 THEN '' ELSE printf('folder/of/a/team/job-%%03d', i * 104729 %% 300) END, i, 'history', '', 1 + i %% 9, i, 1000,
			'/var/lib/jenkins/workspace/of/a/job/with/a/long/path' FROM n`,
		rows, t0.Add(-days*24*time.Hour).UnixMilli(), (days*24*time.Hour).Milliseconds()/rows))
	s = open(b, path)
	week := store.ResidueFilter{Since: t0.Add(-7 * 24 * time.Hour), Until: t0, Limit: 31}
	month, kind, agent := week, week, week
	month.Since = t0.Add(-days * 24 * time.Hour)
	kind.Kind = "kind-3"
	agent.Agent = hygiene.AgentID{Controller: "ci", Name: "agent-0007"}
	for name, f := range map[string]store.ResidueFilter{"a week": week, "a month": month, "a week of one kind": kind, "a week of one agent": agent} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if found, err := s.Culprits(b.Context(), store.CulpritFilter{ResidueFilter: f}); err != nil || len(found) == 0 {
					b.Fatalf("got %d culprits, %v", len(found), err)
				}
			}
		})
	}
}
