// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
)

// Reasons not to add a node.
var (
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
		j.invite(c)
	}
}

// invite lets an inbound agent process that lives and knows the name connect.
func (j *Jenkins) invite(c *computer) {
	if a := j.machines[c.name]; a != nil && !a.dead && !a.lonely && c.cfg.inbound() {
		j.spawn(a.comeBack)
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
// caller fetched previous earlier. If another replacement came first the change is
// silently dropped.
//
// Since 2.449 the swap and the reset of the caches of removed labels are separate lock
// sections with a disk write in between: Timing.Swap widens that window.
func (j *Jenkins) replaceNode(ctx context.Context, previous, n *node, who string) {
	j.mu.Lock()
	if j.fleet.nodes[previous.name] != previous {
		j.mu.Unlock()
		return
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
	j.onUpdated(previous, n)
	j.scheduleMaintenance()
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

// noteMark notes a mark that came or went with a document: one that was read before the mark of
// today brings the older one back, and is noted under who set that.
func (j *Jenkins) noteMark(previous, n *node, who string) {
	c := j.fleet.computers[n.name]
	if c == nil || n.cause.equal(previous.cause) {
		return
	}
	kind := EntryMarked
	switch {
	case n.cause == nil:
		kind = EntryUnmarked
	case n.cause.class == causeUser:
		who = n.cause.user
	case n.cause.class == causeDiskSpace:
		who = monitorUser
	}
	j.noteAgent(kind, c, who)
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
	if update {
		j.saveInPlace(old, n)
	}
}

// saveInPlace is Nodes.updateNode of a node object that was edited in place.
func (j *Jenkins) saveInPlace(old, n *node) {
	if j.version.since(507) || !j.version.since(321) {
		j.labels.trim(old, n)
	} else {
		j.labels.trim(n)
	}
	j.onUpdated(n, n)
	j.scheduleMaintenance()
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
	if cause != nil || j.temporaryCause(c) != nil {
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
