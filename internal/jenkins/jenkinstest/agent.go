// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// AgentSpec describes an agent to add.
type AgentSpec struct {
	Name        string
	Description string
	Labels      string // label string, without the self label
	Executors   int    // 0 means 1
	Normal      bool   // mode NORMAL instead of EXCLUSIVE
	RemoteFS    string // "" means a directory below Options.Dir, or /home/jenkins/<name>
	// Launched agents are started by the controller (SSH, for instance) instead of
	// connecting by themselves.
	Launched bool
	// Demand gives the agent the demand retention strategy, with delays in minutes.
	Demand                 bool
	DemandDelay, IdleDelay int
	// Offline leaves the agent unconnected for now.
	Offline bool
	// Lonely agents have nobody who restarts their process: after a loss they stay
	// away until Connect.
	Lonely bool
}

// Agent is a handle on the machine of a simulated or local agent: it connects, loses its
// connection or dies, whatever the controller knows.
type Agent struct {
	j      *Jenkins
	name   string
	lonely bool
	dead   bool // process is not running; guarded by the queue lock
}

// AddAgent adds a node as the API would and, unless told otherwise, brings it online.
func (j *Jenkins) AddAgent(spec AgentSpec) (*Agent, error) {
	n, err := nodeFromDoc(j.nodeDoc(spec))
	if err != nil {
		return nil, fmt.Errorf("add agent %q: %w", spec.Name, err)
	}
	if problem := checkGoodName(spec.Name); problem != "" {
		return nil, fmt.Errorf("add agent %q: %s", spec.Name, problem)
	}
	comes := !spec.Offline && !spec.Launched && !spec.Demand // by itself
	a := &Agent{j: j, name: spec.Name, lonely: spec.Lonely, dead: spec.Offline || comes}
	j.mu.Lock()
	if j.fleet.nodes[spec.Name] != nil {
		j.mu.Unlock()
		return nil, fmt.Errorf("add agent %q: already exists", spec.Name)
	}
	j.machines[spec.Name] = a
	j.createNode(n, "test")
	j.mu.Unlock()
	if !comes {
		return a, nil
	}
	return a, a.Connect()
}

func (j *Jenkins) nodeDoc(spec AgentSpec) *element {
	d := &element{name: aliasDumbSlave}
	mode := modeExclusive
	if spec.Normal {
		mode = modeNormal
	}
	remoteFS := spec.RemoteFS
	switch {
	case remoteFS != "":
	case j.opts.Dir != "":
		remoteFS = filepath.Join(j.opts.Dir, "agents", spec.Name, "root")
	default:
		remoteFS = "/home/jenkins/" + spec.Name
	}
	d.setValue("name", spec.Name)
	d.setValue("description", spec.Description)
	d.setValue("remoteFS", remoteFS)
	d.setValue("numExecutors", strconv.Itoa(max(1, spec.Executors)))
	d.setValue("mode", mode)
	d.children = append(d.children, retentionDoc(spec), launcherDoc(spec.Launched))
	d.setValue("label", spec.Labels)
	d.children = append(d.children, &element{name: "nodeProperties"})
	return d
}

func retentionDoc(spec AgentSpec) *element {
	if !spec.Demand {
		return classElement("retentionStrategy", classAlways)
	}
	e := classElement("retentionStrategy", classDemand)
	e.setValue("inDemandDelay", strconv.Itoa(spec.DemandDelay))
	e.setValue("idleDelay", strconv.Itoa(spec.IdleDelay))
	return e
}

func launcherDoc(launched bool) *element {
	if launched {
		e := classElement("launcher", "hudson.plugins.sshslaves.SSHLauncher")
		e.setValue("host", "localhost")
		e.setValue("port", "22")
		return e
	}
	e := classElement("launcher", classInbound)
	settings := &element{name: "workDirSettings"}
	settings.setValue("disabled", "false")
	settings.setValue("internalDir", "remoting")
	settings.setValue("failIfWorkDirIsMissing", "false")
	e.children = append(e.children, settings)
	e.setValue("webSocket", "true")
	return e
}

func classElement(name, class string) *element {
	return &element{name: name, attrs: xmlAttrs("class", class)}
}

// Agent returns a handle for the agent of that name; nil if there is no such node. An
// agent that was made through the API gets a machine by it.
func (j *Jenkins) Agent(name string) *Agent {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a := j.machines[name]; a != nil {
		return a
	}
	if j.fleet.nodes[name] == nil || name == "" {
		return nil
	}
	a := &Agent{j: j, name: name, dead: true}
	j.machines[name] = a
	return a
}

// Name is the agent's name.
func (a *Agent) Name() string { return a.name }

// Connect starts the agent's process and connects it.
func (a *Agent) Connect() error {
	j := a.j
	j.mu.Lock()
	a.dead = false
	c := j.fleet.computers[a.name]
	if c != nil && j.nodeOf(c) != nil && !j.nodeOf(c).inbound() {
		defer j.mu.Unlock()
		if c.link != nil {
			return fmt.Errorf("connect %q: %w", a.name, ErrAlreadyOnline)
		}
		j.online(c, j.newLink(a.name))
		return nil
	}
	link := j.newLink(a.name)
	j.mu.Unlock()
	if err := j.Connect(a.name, j.secretOf(a.name), link); err != nil {
		link.Close("refused")
		return err
	}
	return nil
}

// Disconnect breaks the connection while the process lives on; unless the agent is
// lonely it will be back after Timing.Reconnect.
func (a *Agent) Disconnect() { a.lose(false) }

// Kill ends the agent's process, and with it the connection. Children of the process
// survive it.
func (a *Agent) Kill() { a.lose(true) }

func (a *Agent) lose(dead bool) {
	j := a.j
	j.mu.Lock()
	defer j.mu.Unlock()
	a.dead = a.dead || dead
	c := j.fleet.computers[a.name]
	if c == nil || c.link == nil {
		return
	}
	c.link.Close("lost")
	if j.timing().Notice == 0 {
		j.unlink(c, terminated())
	}
	j.invite(c)
}

// comeBack reconnects after a loss, as an inbound agent process does by itself.
func (a *Agent) comeBack() {
	pause(a.j.ctx, a.j.timing().Notice+a.j.timing().Reconnect)
	a.j.mu.Lock()
	dead := a.dead
	a.j.mu.Unlock()
	if dead || a.j.ctx.Err() != nil {
		return
	}
	if err := a.Connect(); err != nil && !errors.Is(err, ErrAlreadyOnline) {
		a.j.log.Info("agent did not return", "agent", a.name, "err", err)
	}
}

// Online reports whether the controller has a connection to the agent.
func (a *Agent) Online() bool {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	c := a.j.fleet.computers[a.name]
	return c != nil && c.link != nil
}
