// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestALighterCleanupThanWasAskedForIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	attempt := func(number int64, depth hygiene.Depth, outcome hygiene.Outcome) api.Attempt {
		return api.Attempt{Number: number, Depth: string(depth), Outcome: string(outcome)}
	}
	running := attempt(3, hygiene.Standard, hygiene.Failed) // it was in progress when another was asked for
	tests := []struct {
		name  string
		asked hygiene.Depth
		after []api.Attempt
		want  int64 // 0: it is waited on
	}{
		{"any depth, and it fails", "", []api.Attempt{running}, 3},
		{"the same depth, and it fails", hygiene.Standard, []api.Attempt{running}, 3},
		{"a deeper one", hygiene.Deep, []api.Attempt{running}, 0},
		{"a deeper one, which follows", hygiene.Deep, []api.Attempt{attempt(4, hygiene.Deep, hygiene.Cleaned), running}, 4},
		{"one of an earlier version", hygiene.Deep, []api.Attempt{attempt(3, "", hygiene.Cleaned)}, 0},
		{"an earlier one", "", []api.Attempt{attempt(2, hygiene.Deep, hygiene.Cleaned)}, 0},
	}
	for _, tt := range tests {
		w := waiting{before: api.Agent{Attempt: 3, Hygiene: string(hygiene.IsCleaning)}, depth: tt.asked}
		got, done := w.ended(api.AgentDetail{Attempts: tt.after})
		if got.Number != tt.want || done != (tt.want != 0) {
			t.Errorf("%s: it ended with attempt %d, %t; want %d", tt.name, got.Number, done, tt.want)
		}
	}
}

// Agent has it that the agent is cleaned when the daemon has lasted.
func (d *restarting) Agent(context.Context, string, string) (api.AgentDetail, error) {
	a := api.AgentDetail{Agent: api.Agent{Hygiene: string(hygiene.IsCleaning)}}
	if time.Since(d.began) >= d.lasts {
		a.Attempts = []api.Attempt{{Number: 4, Outcome: string(hygiene.Cleaned)}}
	}
	return a, d.away()
}

func TestWhoWaitsForACleanupWaitsForTheDaemonAsWell(t *testing.T) {
	t.Parallel()
	throughARestart(t, func(t *testing.T, c *cli, d *restarting) (well bool, err error) {
		t.Helper()
		w := waiting{cli: c, d: d, before: api.Agent{Controller: "ci", Name: "el9-7", Attempt: 3}, progress: &progress{}}
		return w.wait(t.Context())
	})
}
