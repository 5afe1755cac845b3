// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"time"
)

// Errors of replacing a node, with the meaning they have for the API.
var (
	errGone     = errors.New("node is gone")
	errTypes    = errors.New("node types do not match")
	errBadName  = errors.New("bad node name")
	errConflict = errors.New("name is taken")
)

// createNode adds a node; one of the same name is overwritten (jenkins.model.Nodes#addNode).
func (j *Jenkins) createNode(n *node, who string) {
	c := j.putNode(n)
	j.noteLabels(n.name, "", n.labelString, who)
	if c != nil {
		j.noteAgent(EntryCreated, c, who)
		j.autoLaunch(c)
	}
}

// deleteNode is Computer.doDoDelete.
func (j *Jenkins) deleteNode(c *computer, who string) {
	j.noteAgent(EntryDeleted, c, who)
	if n := j.nodeOf(c); n != nil {
		j.dropNode(n)
	}
}

// replaceNode is jenkins.model.Nodes#replaceNode between its two race windows: the
// caller fetched previous earlier. It reports whether the new object was put into
// place; if another replacement came first the change is silently dropped.
//
// Since 2.449 the swap and the reset of the caches of removed labels are separate lock
// sections with a disk write in between: Timing.Swap widens that window.
func (j *Jenkins) replaceNode(ctx context.Context, previous, n *node, who string) bool {
	j.mu.Lock()
	if j.fleet.nodes[previous.name] != previous {
		j.mu.Unlock()
		return false
	}
	if n.name != previous.name {
		j.fleet.remove(previous.name)
	}
	j.fleet.store(n)
	j.noteLabels(n.name, previous.labelString, n.labelString, who)
	j.noteMark(previous, n, who)
	j.labels.trim(n)
	j.scheduleMaintenance()
	if j.version.since(449) && j.timing().Swap > 0 {
		j.mu.Unlock()
		pause(ctx, j.timing().Swap)
		j.mu.Lock()
	}
	defer j.mu.Unlock()
	if n.name != previous.name {
		j.renameComputer(previous, n)
	}
	if j.fleet.nodes[n.name] == n {
		j.updateComputer(n)
	}
	j.labels.trim(previous, n)
	j.scheduleMaintenance()
	return true
}

// renameComputer kills the computer of the old name: channel and builds die.
func (j *Jenkins) renameComputer(previous, n *node) {
	if c := j.fleet.computers[previous.name]; c != nil {
		j.killComputer(c, "node was renamed to "+n.name)
	}
	if a := j.machines[previous.name]; a != nil {
		a.dead = true
	}
}

func (j *Jenkins) noteMark(previous, n *node, who string) {
	if (previous.cause == nil) == (n.cause == nil) {
		return
	}
	if c := j.fleet.computers[n.name]; c != nil {
		kind := EntryMarked
		if n.cause == nil {
			kind = EntryUnmarked
		}
		j.noteAgent(kind, c, who)
	}
}

// editLabels changes the label string of the node object in place. With update it also
// updates the node, which resets label caches: before 2.507 only those of the labels
// the node has now (JENKINS-68155). Without it no cache is reset at all.
func (j *Jenkins) editLabels(name, labelString string, update bool) {
	n := j.fleet.nodes[name]
	if n == nil {
		return
	}
	old := &node{name: n.name, labels: n.labels}
	before := n.labelString
	j.fleet.relabel(n, labelString)
	j.noteLabels(name, before, n.labelString, "script")
	if !update {
		return
	}
	if j.version.since(507) || !j.version.since(321) {
		j.labels.trim(old, n)
	} else {
		j.labels.trim(n)
	}
	j.scheduleMaintenance()
}

// SetLabelsInPlace edits a node's label string as a script does. Without update no label
// cache is reset, as after Node.setLabelString or Node.save alone.
func (j *Jenkins) SetLabelsInPlace(agent, labelString string, update bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.editLabels(agent, labelString, update)
}

// SaveLabels sets the label string as a person does who saves the agent's
// configuration page: the node object is replaced.
func (j *Jenkins) SaveLabels(agent, labelString, who string) {
	j.mu.Lock()
	previous := j.fleet.nodes[agent]
	j.mu.Unlock()
	if previous == nil {
		return
	}
	n, err := nodeFromDoc(previous.doc.clone())
	if err != nil {
		return
	}
	n.cause = previous.cause
	n.setLabels(labelString)
	j.replaceNode(j.ctx, previous, n, who)
}

// Labels is the label string of the node itself, "" if there is no such node.
func (j *Jenkins) Labels(agent string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := j.fleet.nodes[agent]; n != nil {
		return n.labelString
	}
	return ""
}

// setTemporaryCause marks a computer offline, or with nil online again.
func (j *Jenkins) setTemporaryCause(c *computer, cause *offlineCause, who string) {
	if (j.temporaryCause(c) == nil) != (cause == nil) {
		kind := EntryMarked
		if cause == nil {
			kind = EntryUnmarked
		}
		defer func() { j.noteAgent(kind, c, who) }()
	}
	if !j.version.since(482) {
		c.tempCause = cause
	} else if n := j.nodeOf(c); n != nil {
		n.cause, n.rendered = cause, nil
	}
	j.scheduleMaintenance()
}

// ReportDisk sets what the disk and temporary space monitors show for the agent.
func (a *Agent) ReportDisk(freeBytes int64) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.monitors = map[string]int64{monitorDisk: freeBytes, monitorTemp: freeBytes}
	}
}

// MonitorOffline marks the agent temporarily offline as the disk space monitor does.
func (a *Agent) MonitorOffline(freeBytes int64) {
	a.mark(&offlineCause{
		class: causeDiskSpace, at: time.Now(), message: "Disk space is too low.",
		fields: map[string]int64{"size": freeBytes, "threshold": 1 << 30, "totalSize": 1 << 38, "warningThreshold": 1 << 31},
	}, "monitor")
}

// MonitorOnline lifts the mark again, whoever set it.
func (a *Agent) MonitorOnline() { a.mark(nil, "monitor") }

// MarkOffline marks the agent temporarily offline as a person does.
func (a *Agent) MarkOffline(user, message string) { a.mark(userCause(user, message), user) }

func (a *Agent) mark(cause *offlineCause, who string) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		a.j.setTemporaryCause(c, cause, who)
	}
}

// RefuseTasks makes the computer accept or refuse tasks; the flag dies with the computer
// object.
func (a *Agent) RefuseTasks(refuse bool) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.rejecting = refuse
		a.j.scheduleMaintenance()
	}
}

// Omit makes the export of the computer fail, so that listings silently leave it out.
func (a *Agent) Omit(omit bool) {
	a.j.mu.Lock()
	defer a.j.mu.Unlock()
	if c := a.j.fleet.computers[a.name]; c != nil {
		c.omit = omit
	}
}
