// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func orders(seed uint64, fleet []agentPlan, n int) []order {
	next, out := trace(seed, fleet), make([]order, n)
	for i := range out {
		out[i] = next()
	}
	return out
}

func TestTheSameSeedGivesTheSameOrders(t *testing.T) {
	t.Parallel()
	fleet := plannedFleet(10)
	a, b, other := orders(7, fleet, 200), orders(7, fleet, 200), orders(8, fleet, 200)
	if diff := cmp.Diff(a, b, cmp.AllowUnexported(order{})); diff != "" {
		t.Errorf("two traces of seed 7 differ:\n%s", diff)
	}
	if slices.Equal(a, other) {
		t.Error("seeds 7 and 8 give the same trace")
	}
}

func TestOrdersAskForWhatTheFleetHas(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 10, 200} {
		fleet := plannedFleet(n)
		has := map[string]bool{}
		for _, a := range fleet {
			has[a.label] = true
		}
		asked := map[string]bool{}
		list := orders(1, fleet, 500)
		for i, o := range list {
			asked[o.label] = true
			if i > 0 && o.at <= list[i-1].at || o.work <= 0 || !slices.Contains(messes, o.mess) || !slices.Contains(projects, o.project) {
				t.Errorf("%d agents, order %d: %+v after %+v", n, i, o, list[max(0, i-1)])
			}
		}
		if diff := cmp.Diff(has, asked); diff != "" {
			t.Errorf("%d agents: kinds that there are (-), that are asked for (+):\n%s", n, diff)
		}
		// Half of the fleet: n agents do n builds in two turns.
		if got, want := list[len(list)-1].at/500, 2*meanTurn/time.Duration(n); got < want*8/10 || got > want*12/10 {
			t.Errorf("%d agents: an order every %s, want about %s", n, got, want)
		}
	}
}

func TestPlannedFleet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		agents          int
		el7, el8, s390x int
		sick, flaky     int
	}{
		{agents: 1, el8: 1},
		{agents: 2, el7: 1, el8: 1},
		{agents: 3, el7: 1, el8: 1, s390x: 1},
		{agents: 4, el7: 2, el8: 1, s390x: 1, sick: 1, flaky: 1},
		{agents: 10, el7: 5, el8: 3, s390x: 2, sick: 1, flaky: 2},
		{agents: 200, el7: 100, el8: 60, s390x: 40, sick: 1, flaky: 40},
	}
	for _, tt := range tests {
		got := tt
		got.el7, got.el8, got.s390x, got.sick, got.flaky = 0, 0, 0, 0, 0
		names := map[string]bool{}
		for _, a := range plannedFleet(tt.agents) {
			names[a.name] = true
			switch a.label {
			case "el7":
				got.el7++
			case "el8":
				got.el8++
			case "s390x":
				got.s390x++
			}
			if a.sick {
				got.sick++
			}
			if a.flaky {
				got.flaky++
			}
		}
		if got != tt || len(names) != tt.agents {
			t.Errorf("%d agents: got %+v with %d names, want %+v", tt.agents, got, len(names), tt)
		}
	}
}

func TestUsersComeToAFleetInService(t *testing.T) {
	t.Parallel()
	for lasts, want := range map[time.Duration]time.Duration{0: 20 * time.Second, 10 * time.Second: 5 * time.Second, time.Hour: 20 * time.Second} {
		if got := (&show{Options: Options{For: lasts}}).patience(); got != want {
			t.Errorf("a demo of %s keeps users out for up to %s, want %s", lasts, got, want)
		}
	}
	fleet := plannedFleet(10)
	healthy := 0
	for _, a := range fleet {
		if !a.sick && !a.flaky {
			healthy++
		}
	}
	if got := (&show{Options: Options{Agents: 10}, fleet: fleet}).healthy(); got != healthy {
		t.Errorf("of ten agents %d are waited for, want %d", got, healthy)
	}
}
