// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// on is an idle, online agent of machine m.
func on(controller hygiene.ControllerID, name, m string, state hygiene.State, with ...func(*view)) view {
	v := view{
		agent:    hygiene.Agent{ID: hygiene.AgentID{Controller: controller, Name: name}, Machine: m, State: state},
		sighting: hygiene.Sighting{Present: true, Idle: true},
	}
	for _, f := range with {
		f(&v)
	}
	return v
}

func TestAgentsOfOneMachineMeet(t *testing.T) {
	t.Parallel()
	real := func(v *view) { v.sighting.Real, v.sighting.Idle = true, false }
	labelled := func(v *view) { v.sighting.Labels = hygiene.ShowClean }
	full := func(v *view) {
		v.sighting.Offline, v.sighting.OfflineBy, v.policy.Monitor = true, hygiene.ByMonitor, hygiene.MonitorLift
	}
	unfit := func(v *view) { v.sighting.Unfit = "two executors" }
	booted := func(id string, after time.Duration) func(*view) {
		return func(v *view) {
			v.agent.Boots = hygiene.Boots{{ID: id, From: noon.Add(after), To: noon.Add(after + time.Hour)}}
		}
	}
	tests := []struct {
		name  string
		other view
		want  hygiene.Neighbours
	}{
		{"another machine is nobody's neighbour", on("ci", "b", "m2", hygiene.Clean), hygiene.Neighbours{}},
		{"a build", on("ci", "b", "m1", hygiene.Due, real), hygiene.Neighbours{Real: "b", Names: []string{"b"}}},
		{"a cleanup", on("ci", "b", "m1", hygiene.Running), hygiene.Neighbours{Cleaning: "b", Names: []string{"b"}}},
		{"a clean agent", on("ci", "b", "m1", hygiene.Clean), hygiene.Neighbours{Clean: []string{"b"}, Names: []string{"b"}}},
		{"one that waits its turn", on("ci", "b", "m1", hygiene.Due), hygiene.Neighbours{Waiting: "b", Names: []string{"b"}}},
		{"one whose disk mark is lifted for that", on("ci", "b", "m1", hygiene.Due, full), hygiene.Neighbours{Waiting: "b", Names: []string{"b"}}},
		{"one that can never be cleaned does not wait", on("ci", "b", "m1", hygiene.Due, unfit), hygiene.Neighbours{Names: []string{"b"}}},
		{"one that still wears clean", on("ci", "b", "m1", hygiene.Due, labelled), hygiene.Neighbours{Leaving: "b", Names: []string{"b"}}},
		{"a clone is nobody's neighbour", on("ci", "b", "m1", hygiene.Due, real, booted("2", 0)), hygiene.Neighbours{}},
		{"a machine that was rebooted since", on("ci", "b", "m1", hygiene.Due, real, booted("2", 5*time.Hour)), hygiene.Neighbours{Real: "b", Names: []string{"b"}}},
		{"an agent of another controller", on("lab", "b", "m1", hygiene.Running), hygiene.Neighbours{Cleaning: "lab/b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := NewMachines()
			views := []view{on("ci", "a", "m1", hygiene.Due, booted("1", 0))}
			if tt.other.agent.ID.Controller == "ci" {
				views = append(views, tt.other)
			} else {
				m.meet(tt.other.agent.ID.Controller, []view{tt.other}, noon)
			}
			m.meet("ci", views, noon)
			if diff := cmp.Diff(tt.want, views[0].sighting.Neighbour); diff != "" {
				t.Errorf("neighbours (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAgentsLeaveTheirMachine moves agents, and takes them away: what was shown of them before is
// shown to nobody.
func TestAgentsLeaveTheirMachine(t *testing.T) {
	t.Parallel()
	m := NewMachines()
	neighbours := func(others ...view) hygiene.Neighbours {
		views := append([]view{on("ci", "a", "m1", hygiene.Due)}, others...)
		m.meet("ci", views, noon)
		return views[0].sighting.Neighbour
	}
	m.meet("lab", []view{on("lab", "c", "m1", hygiene.Clean)}, noon)
	steps := []struct {
		name   string
		others []view
		want   hygiene.Neighbours
	}{
		{"beside it", []view{on("ci", "b", "m1", hygiene.Running)}, hygiene.Neighbours{Cleaning: "b", Clean: []string{"lab/c"}, Names: []string{"b"}}},
		{"again", []view{on("ci", "b", "m1", hygiene.Running)}, hygiene.Neighbours{Cleaning: "b", Clean: []string{"lab/c"}, Names: []string{"b"}}},
		{"moved away", []view{on("ci", "b", "m2", hygiene.Running)}, hygiene.Neighbours{Clean: []string{"lab/c"}}},
		{"back", []view{on("ci", "b", "m1", hygiene.Due)}, hygiene.Neighbours{Waiting: "b", Clean: []string{"lab/c"}, Names: []string{"b"}}},
		{"not ours any more", []view{on("ci", "b", "m1", hygiene.Unmanaged)}, hygiene.Neighbours{Clean: []string{"lab/c"}}},
		{"back again", []view{on("ci", "b", "m1", hygiene.Due)}, hygiene.Neighbours{Waiting: "b", Clean: []string{"lab/c"}, Names: []string{"b"}}},
		{"gone", nil, hygiene.Neighbours{Clean: []string{"lab/c"}}},
	}
	for _, tt := range steps {
		if diff := cmp.Diff(tt.want, neighbours(tt.others...)); diff != "" {
			t.Errorf("%s: neighbours (-want +got):\n%s", tt.name, diff)
		}
	}
	m.meet("lab", nil, noon)
	if diff := cmp.Diff(hygiene.Neighbours{}, neighbours()); diff != "" {
		t.Errorf("alone: neighbours (-want +got):\n%s", diff)
	}
	if len(m.faces) != 1 || len(m.on) != 1 {
		t.Errorf("%d agents on %d machines are remembered, want one", len(m.faces), len(m.on))
	}
}

// keys is an engine that only remembers what it is to work.
type keys struct {
	engine.Engine
	asked []string
}

func (k *keys) Register(string, engine.Handler, engine.HandlerOptions) {}
func (k *keys) Enqueue(_, key string)                                  { k.asked = append(k.asked, key) }

func TestADisplacedNeighbourIsWorkedByTheCrewOfItsController(t *testing.T) {
	t.Parallel()
	db := emptyStore(t)
	for neighbour, want := range map[string][]string{"b": {"ci/b"}, "lab/b": nil} {
		k := &keys{}
		c := New(Deps{Store: db, Engine: k, Log: slog.New(slog.DiscardHandler)}, Settings{ID: "ci"})
		v := on("ci", "a", "m1", hygiene.Due, func(v *view) { v.action.Displace = []string{neighbour} })
		if err := c.displace(t.Context(), v.agent.ID, v.action.Displace, noon); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, k.asked); diff != "" {
			t.Errorf("keys after displacing %s (-want +got):\n%s", neighbour, diff)
		}
	}
}

func TestNothingIsRememberedOfAgentsThatAreGone(t *testing.T) {
	t.Parallel()
	c := New(Deps{Engine: &keys{}, Log: slog.New(slog.DiscardHandler)}, Settings{ID: "ci"})
	for _, name := range []string{"here", "gone"} {
		c.asked[name], c.launched[name], c.stale[name] = noon, launches{times: 1, last: noon}, noon
		c.retries[name], c.missing[name], c.witnessed[name] = retry{failures: 1}, 1, "u"
	}
	gone := on("ci", "gone", "", hygiene.Unmanaged)
	gone.sighting = hygiene.Sighting{}
	c.forgetOthers([]view{on("ci", "here", "", hygiene.Due), gone})
	for what, n := range map[string]int{
		"asked": len(c.asked), "launched": len(c.launched), "stale": len(c.stale),
		"retries": len(c.retries), "missing": len(c.missing), "witnessed": len(c.witnessed),
	} {
		if n != 1 {
			t.Errorf("%s: %d agents are remembered, want the one that is there", what, n)
		}
	}
}
