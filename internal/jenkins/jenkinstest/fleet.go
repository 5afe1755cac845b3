// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"slices"
	"strings"
	"time"
)

// fleet holds nodes and computers. Names are compared case-sensitively.
type fleet struct {
	nodes        map[string]*node           // written by store and remove only
	holders      map[string]map[string]bool // label -> names of the nodes that carry it
	demand       map[string]bool            // nodes with the demand strategy
	changes      changeLog
	computers    map[string]*computer
	sorted       []*computer // by name; the built-in node's is empty and sorts first
	lastComputer uint64
	lastExecutor uint64
	lastChannel  uint64
}

func newFleet() fleet {
	return fleet{nodes: map[string]*node{}, holders: map[string]map[string]bool{}, demand: map[string]bool{}, computers: map[string]*computer{}}
}

// changeLog lists the names of nodes whose labels may have changed, so that a label
// is recomputed from the nodes edited since and not from all of them.
type changeLog struct {
	base  uint64 // number of entries already forgotten
	names []string
}

const changeLogLimit = 1 << 14

func (c *changeLog) add(name string) {
	if len(c.names) == changeLogLimit {
		c.base += changeLogLimit / 2
		c.names = slices.Clone(c.names[changeLogLimit/2:])
	}
	c.names = append(c.names, name)
}

func (c *changeLog) end() uint64 { return c.base + uint64(len(c.names)) }

// since returns what changed after the given end, and false if that is forgotten.
func (c *changeLog) since(end uint64) ([]string, bool) {
	if end < c.base {
		return nil, false
	}
	return c.names[end-c.base:], true
}

// store puts the node under its name and returns the one it replaces.
func (f *fleet) store(n *node) (old *node) {
	old = f.remove(n.name)
	f.nodes[n.name] = n
	if n.retention == classDemand {
		f.demand[n.name] = true
	}
	f.hold(n)
	return old
}

func (f *fleet) remove(name string) *node {
	old := f.nodes[name]
	if old == nil {
		return nil
	}
	delete(f.nodes, name)
	delete(f.demand, name)
	f.release(old)
	return old
}

// relabel edits the labels of a node in place.
func (f *fleet) relabel(n *node, labelString string) {
	if f.nodes[n.name] != n {
		n.setLabels(labelString)
		return
	}
	f.release(n)
	n.setLabels(labelString)
	f.hold(n)
}

func (f *fleet) hold(n *node) {
	for _, l := range append([]string{n.selfLabel()}, n.labels...) {
		if f.holders[l] == nil {
			f.holders[l] = map[string]bool{}
		}
		f.holders[l][n.name] = true
	}
	f.changes.add(n.name)
}

func (f *fleet) release(n *node) {
	for _, l := range append([]string{n.selfLabel()}, n.labels...) {
		if delete(f.holders[l], n.name); len(f.holders[l]) == 0 {
			delete(f.holders, l)
		}
	}
	f.changes.add(n.name)
}

func byName(c *computer, name string) int { return strings.Compare(c.name, name) }

func (f *fleet) addComputer(c *computer) {
	f.computers[c.name] = c
	i, _ := slices.BinarySearchFunc(f.sorted, c.name, byName)
	f.sorted = slices.Insert(f.sorted, i, c)
}

func (f *fleet) removeComputer(c *computer) {
	if f.computers[c.name] != c {
		return
	}
	delete(f.computers, c.name)
	if i, found := slices.BinarySearchFunc(f.sorted, c.name, byName); found {
		f.sorted = slices.Delete(f.sorted, i, i+1)
	}
}

// lookup finds the computer of a URL name.
func (f *fleet) lookup(urlName string) *computer {
	if urlName == builtInURLName || urlName == builtInOldName {
		return f.computers[""]
	}
	if urlName == "" {
		return nil
	}
	return f.computers[urlName]
}

// putNode puts a node under its own name, with a computer if it has executors, and
// resets the label caches concerned (jenkins.model.Nodes#addNode).
func (j *Jenkins) putNode(n *node) *computer {
	old := j.fleet.store(n)
	c := j.updateComputer(n)
	if old != nil {
		j.labels.trim(old, n)
		j.onUpdated(old, n)
	} else {
		j.labels.trim(n)
	}
	j.scheduleMaintenance()
	return c
}

// updateComputer makes, re-points or removes the computer of a node: a node
// without executors has none (hudson.model.AbstractCIBase#updateComputer).
func (j *Jenkins) updateComputer(n *node) *computer {
	c := j.fleet.computers[n.name]
	switch {
	case c == nil && (n.executors > 0 || n.builtIn()):
		j.fleet.lastComputer++
		c = &computer{id: j.fleet.lastComputer, name: n.name, hash: hashName(n.name), idleSince: time.Now()}
		j.fleet.addComputer(c)
		j.setNode(c, n)
	case c != nil:
		j.setNode(c, n)
		if len(c.executors) == 0 && !n.builtIn() {
			j.killComputer(c, "no executors")
		}
	default: // no executors, no computer
	}
	return c
}

// dropNode removes a node: its agent is disconnected, its builds break.
func (j *Jenkins) dropNode(n *node) {
	if j.fleet.nodes[n.name] != n {
		return
	}
	j.fleet.remove(n.name)
	if c := j.fleet.computers[n.name]; c != nil {
		j.killComputer(c, "node is being removed")
	}
	j.labels.trim(n)
	j.onDeleted(n)
	j.scheduleMaintenance()
}

// killComputer closes the channel; the computer stays listed until its executors
// have finished (hudson.slaves.SlaveComputer#kill).
func (j *Jenkins) killComputer(c *computer, reason string) {
	c.lostCause = &offlineCause{class: causeSimple, at: time.Now(), message: reason}
	if c.link != nil {
		j.unlink(c, c.lostCause)
	}
	if c.idle() {
		j.fleet.removeComputer(c)
	}
}
