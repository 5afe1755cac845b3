// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestAPoolRollsOutOnlyIfItSaysSo(t *testing.T) {
	t.Parallel()
	c := mustParse(t, small)
	if _, ok := c.RolloutPolicy(&c.Pools[0]); ok {
		t.Error("a pool without the section rolls out")
	}
	c = mustParse(t, strings.Replace(small, "recipe: el", "recipe: el\n  rollout: {named: [a, main/b]}", 1))
	got, ok := c.RolloutPolicy(&c.Pools[0])
	want := rollout.Policy{
		Plan:        rollout.Plan{Named: []rollout.AgentID{"main/a", "main/b"}, Canaries: 1, Shares: []int{10, 50, 100}},
		MinCleanups: 3, Soak: time.Hour, Patience: 72 * time.Hour, Baseline: 72 * time.Hour,
		MaxFailureRate: 0.1, MaxRise: 0.05, MaxBuildFailureRise: 0.1, OnFailure: rollout.RollBackOnFailure,
		BlameAgents: 2, Stale: rollout.StaleLazy, StaleAfter: 24 * time.Hour,
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	if n := c.Pools[0].RolloutFloor(10); n != 2 {
		t.Errorf("floor of 10 agents is %d, want the capacity floor of a fifth", n)
	}
}

// A pool of one agent lends it, and has it verified for its age, unless a number says that it must stay: a fifth of one agent,
// rounded up, is that agent.
func TestTheCapacityFloorLeavesOneAgentOfAPercentage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		floor       string
		total, want int
	}{
		{"20%", 0, 0}, {"20%", 1, 0}, {"20%", 2, 1}, {"20%", 11, 3}, {"99%", 3, 2}, {"100%", 3, 3}, {"0", 1, 0}, {"1", 1, 1}, {"3", 2, 2},
	} {
		c := mustParse(t, strings.Replace(small, "recipe: el", "recipe: el\n  capacityFloor: "+tt.floor, 1))
		if got := c.Pools[0].CapacityFloor.Besides(tt.total); got != tt.want {
			t.Errorf("of %d agents with a floor of %s %d stay, want %d", tt.total, tt.floor, got, tt.want)
		}
	}
}

func TestARolloutTakesWhatItsSectionSays(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(small, "recipe: el",
		"recipe: el\n  rollout: {rehearsalRequired: true, canaries: 2, shares: [5%, 100], maxFailureRate: 2.5%, onFailure: pause, stale: once, floor: 50%}", 1))
	got, _ := c.RolloutPolicy(&c.Pools[0])
	if !got.RehearsalRequired || got.Plan.Canaries != 2 || !cmp.Equal(got.Plan.Shares, []int{5, 100}) || got.MaxFailureRate != 0.025 ||
		got.OnFailure != rollout.PauseOnFailure || got.Stale != rollout.StaleOnce {
		t.Errorf("got %+v", got)
	}
	if n := c.Pools[0].RolloutFloor(5); n != 3 {
		t.Errorf("half of 5 agents is %d, want 3", n)
	}
}

func TestOneJobForAllCleanupsCannotRollOut(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "user: pitcrew", "user: pitcrew\n  jobs: {mode: parameterised, name: x}", 1)
	with := strings.Replace(text, "recipe: el", "recipe: el\n  rollout: {canaries: 1}", 1)
	want := "p.yaml:15:12: pools[0].rollout: controller main has one job for all cleanups, which carries one revision: a rollout needs jobs.mode slots there, or delivery ssh"
	if diff := cmp.Diff([]string{want}, problems(t, with)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := config.Parse("p.yaml", []byte(text)); err != nil {
		t.Errorf("without a rollout: %v", err)
	}
}
