// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Machines tells the agents of one machine about each other, over all crews that share it: the same
// machine may serve two controllers.
type Machines struct {
	mu    sync.Mutex
	faces map[hygiene.AgentID]face // guarded by mu
}

// face is what an agent's neighbours must know of it.
type face struct {
	machine string
	real    bool
	state   hygiene.State
	labels  hygiene.Labels
	waiting bool
}

// NewMachines returns one that knows nobody yet.
func NewMachines() *Machines { return &Machines{faces: map[hygiene.AgentID]face{}} }

// meet shows the agents of one controller to all, and tells each of its neighbours. The agents of
// other controllers are as their crews last showed them.
func (m *Machines) meet(controller hygiene.ControllerID, views []view, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.faces {
		if id.Controller == controller {
			delete(m.faces, id)
		}
	}
	for i := range views {
		if v := &views[i]; v.agent.Machine != "" && v.agent.Managed() {
			m.faces[v.agent.ID] = faceOf(v, now)
		}
	}
	shared := map[string][]hygiene.AgentID{}
	for id, f := range m.faces {
		shared[f.machine] = append(shared[f.machine], id)
	}
	for i := range views {
		v := &views[i]
		if v.agent.Machine == "" {
			continue
		}
		for _, id := range shared[v.agent.Machine] {
			if id != v.agent.ID {
				m.faces[id].show(&v.sighting.Neighbour, id, controller)
			}
		}
	}
}

func faceOf(v *view, now time.Time) face {
	a, s := v.agent, v.sighting
	return face{
		machine: a.Machine, real: s.Real, state: a.State, labels: s.Labels,
		waiting: a.State == hygiene.Due && a.Quarantine == nil && !now.Before(a.NextLook) && a.Held(now) == nil &&
			s.Present && s.Idle && !s.Offline && s.Unfit == "" && !s.Awaited && v.policy.Paused == "" && !v.trial,
	}
}

// show adds what is to be known of agent id to a neighbour on controller.
func (f face) show(n *hygiene.Neighbours, id hygiene.AgentID, controller hygiene.ControllerID) {
	name := id.Name
	if id.Controller != controller {
		name = id.String()
	} else {
		n.Names = append(n.Names, id.Name)
	}
	if f.real {
		n.Real = name
	}
	switch {
	case f.state == hygiene.Claimed || f.state == hygiene.Running || f.state == hygiene.Reconnecting:
		n.Cleaning = name
	case f.state == hygiene.Clean:
		n.Clean = name
	case f.state == hygiene.Due && f.labels.Has(hygiene.LabelClean):
		n.Leaving = name
	case f.waiting:
		n.Waiting = name
	}
}
