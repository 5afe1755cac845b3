// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Machines tells the agents of one machine, or of one failure domain, about each other, over all crews
// that share it: the same machine may serve two controllers.
type Machines struct {
	mu    sync.Mutex
	faces map[hygiene.AgentID]*face                // guarded by mu
	on    map[string][]hygiene.AgentID             // by machine id, which clones share; guarded by mu
	of    map[hygiene.ControllerID]map[string]bool // names of the agents that each crew showed last; guarded by mu
	await map[hygiene.ControllerID]bool            // serviced, and nothing is known of their agents yet; guarded by mu
	held  map[hygiene.ControllerID]map[string]int  // cleanups under way, by failure domain; guarded by mu
}

// face is what an agent's neighbours must know of it.
type face struct {
	machine string
	boots   hygiene.Boots
	real    bool
	state   hygiene.State
	labels  hygiene.Labels
	waiting bool
	unseen  bool // known from the store alone: its controller has not been looked at yet
}

// NewMachines returns one that knows nobody yet.
func NewMachines() *Machines {
	return &Machines{
		faces: map[hygiene.AgentID]*face{}, on: map[string][]hygiene.AgentID{}, of: map[hygiene.ControllerID]map[string]bool{},
		await: map[hygiene.ControllerID]bool{}, held: map[hygiene.ControllerID]map[string]int{},
	}
}

// Serve says which controllers the daemon services, before their crews run and after those of others
// have ended. Agents of others are forgotten. Those of a controller whose crew has not had its first
// look are not: a build of before the daemon's start may still run there, and agents that share a
// machine with them wait.
func (m *Machines) Serve(controllers ...hygiene.ControllerID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for controller, names := range m.of {
		if !slices.Contains(controllers, controller) {
			for name := range names {
				m.leave(hygiene.AgentID{Controller: controller, Name: name})
			}
			delete(m.of, controller)
			delete(m.held, controller)
		}
	}
	clear(m.await)
	for _, controller := range controllers {
		if m.of[controller] == nil {
			m.await[controller] = true
		}
	}
}

// awaited lists the controllers of whose agents nothing is known yet.
func (m *Machines) awaited() []hygiene.ControllerID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.await))
}

// recall shows the stored agents of a controller until its crew shows them.
func (m *Machines) recall(controller hygiene.ControllerID, stored []hygiene.Agent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.await[controller] {
		return // its crew was faster
	}
	delete(m.await, controller)
	m.of[controller] = map[string]bool{}
	for _, a := range stored {
		if a.Machine != "" && a.Managed() {
			m.enter(a.ID, face{machine: a.Machine, boots: a.Boots, state: a.State, unseen: true})
			m.of[controller][a.ID.Name] = true
		}
	}
}

// hold notes how many cleanups of a controller are under way in each failure domain, and returns how
// many are over all controllers.
func (m *Machines) hold(controller hygiene.ControllerID, domains map[string]int) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[controller] = domains
	all := map[string]int{}
	for _, held := range m.held {
		for domain, n := range held {
			all[domain] += n
		}
	}
	return all
}

// claimed shows that a cleanup of an agent begins, to crews that decide before its own shows it again.
func (m *Machines) claimed(id hygiene.AgentID, domain string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if held := m.held[id.Controller]; held != nil && domain != "" {
		held[domain]++
	}
	if f := m.faces[id]; f != nil {
		f.state, f.waiting = hygiene.Claimed, false
	}
}

// meet shows the agents of one controller to all, and tells each of its neighbours. The agents of
// other controllers are as their crews last showed them. It takes no longer with more controllers.
func (m *Machines) meet(controller hygiene.ControllerID, views []view, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.of[controller]
	if names == nil {
		names = make(map[string]bool, len(views))
		m.of[controller] = names
	}
	shown := 0
	for i := range views {
		if v := &views[i]; v.agent.Machine != "" && v.agent.Managed() {
			m.enter(v.agent.ID, faceOf(v, now))
			names[v.agent.ID.Name] = true
			shown++
		}
	}
	if shown < len(names) {
		m.leaveAllBut(controller, views)
	}
	delete(m.await, controller)
	for i := range views {
		v := &views[i]
		if v.agent.Machine == "" {
			continue
		}
		for _, id := range m.on[v.agent.Machine] {
			if id != v.agent.ID && !m.faces[id].boots.Apart(v.agent.Boots) {
				m.faces[id].show(&v.sighting.Neighbour, id, controller)
			}
		}
	}
}

// leaveAllBut forgets the agents of a controller that its crew shows no more.
func (m *Machines) leaveAllBut(controller hygiene.ControllerID, views []view) {
	shown := make(map[string]bool, len(views))
	for i := range views {
		if a := &views[i].agent; a.Machine != "" && a.Managed() {
			shown[a.ID.Name] = true
		}
	}
	for name := range m.of[controller] {
		if !shown[name] {
			m.leave(hygiene.AgentID{Controller: controller, Name: name})
			delete(m.of[controller], name)
		}
	}
}

// enter shows an agent, in place of what was shown of it before.
func (m *Machines) enter(id hygiene.AgentID, f face) {
	if old := m.faces[id]; old != nil {
		if old.machine == f.machine {
			*old = f
			return
		}
		m.leave(id)
	}
	kept := f // so that only a new face needs memory
	m.on[f.machine] = append(m.on[f.machine], id)
	m.faces[id] = &kept
}

// leave forgets an agent.
func (m *Machines) leave(id hygiene.AgentID) {
	machine := ""
	if f := m.faces[id]; f != nil {
		machine = f.machine
	}
	delete(m.faces, id)
	if m.on[machine] = slices.DeleteFunc(m.on[machine], func(x hygiene.AgentID) bool { return x == id }); len(m.on[machine]) == 0 {
		delete(m.on, machine)
	}
}

func faceOf(v *view, now time.Time) face {
	a, s := v.agent, v.sighting
	lifts := s.OfflineBy == hygiene.ByMonitor && v.policy.Monitor == hygiene.MonitorLift
	return face{
		machine: a.Machine, boots: a.Boots, real: s.Real || a.Loan != nil, state: a.State, labels: s.Labels,
		waiting: a.State == hygiene.Due && a.Loan == nil && a.Quarantine == nil && !now.Before(a.NextLook) && a.Held(now) == nil &&
			s.Present && s.Idle && (!s.Offline || lifts) && s.Unfit == "" && !s.Awaited && v.policy.Paused == "" && !v.trial,
	}
}

// show adds what is to be known of agent id to a neighbour on controller.
func (f *face) show(n *hygiene.Neighbours, id hygiene.AgentID, controller hygiene.ControllerID) {
	name := id.Name
	if id.Controller != controller {
		name = id.String()
	} else {
		n.Names = append(n.Names, id.Name)
	}
	if f.real {
		n.Real = name
	}
	if f.unseen {
		n.Unseen = name
	}
	switch {
	case f.state == hygiene.Claimed || f.state == hygiene.Running || f.state == hygiene.Reconnecting:
		n.Cleaning = name
	case f.state == hygiene.Clean:
		n.Clean = append(n.Clean, name)
	case f.state == hygiene.Due && f.labels.Has(hygiene.LabelClean):
		if n.Leaving == "" || id.Controller != controller { // whom we cannot ask ourselves first
			n.Leaving = name
		}
	case f.waiting:
		n.Waiting = name
	}
}
