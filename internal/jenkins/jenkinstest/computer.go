// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"slices"
	"time"
)

// computer is the run-time face of a node. It may outlive the node.
type computer struct {
	id        uint64 // identity: a node that is deleted and made again has another computer
	name      string // of its node; "" for the built-in node
	hash      uint64 // of the name
	cfg       *node  // as of the last setNode: launcher and executor count
	executors []*executor
	oneOff    []*executor

	link      AgentLink // nil: no channel
	channel   uint64    // identity of the connection
	launching bool
	lostCause *offlineCause // connection cause
	tempCause *offlineCause // temporary mark before 2.482
	rejecting bool          // not accepting tasks
	idleSince time.Time
	monitors  map[string]int64 // node monitor name -> free bytes
	omit      bool             // its export fails: silently left out of listings
}

// executor is a slot. It runs at most one work unit in its life: afterwards a new
// object takes its number.
type executor struct {
	id      uint64
	life    uint64 // incarnation of the controller that made it
	number  int    // -1 for a one-off executor
	owner   *computer
	unit    *item
	exec    executable
	started time.Time
	cancel  context.CancelFunc
}

// executable is what occupies an executor: a build or a node block of a Pipeline.
type executable interface {
	executableClass() string
	exportExecutable(o *object)
	executablePath() string
	executableJob() *job
	executableNumber() int
}

func (e *executor) idle() bool { return e.unit == nil && e.exec == nil }

func (c *computer) builtIn() bool { return c.name == "" }

// idle is hudson.model.Computer#isIdle.
func (c *computer) idle() bool {
	return len(c.oneOff) == 0 && !slices.ContainsFunc(c.executors, func(e *executor) bool { return !e.idle() })
}

// parked returns an executor that has never had work, or nil.
func (c *computer) parked() *executor {
	for _, e := range c.executors {
		if e.idle() {
			return e
		}
	}
	return nil
}

// temporaryCause is the mark that a person or monitor set.
func (j *Jenkins) temporaryCause(c *computer) *offlineCause {
	if !j.version.since(482) {
		return c.tempCause
	}
	if n := j.nodeOf(c); n != nil {
		return n.cause
	}
	return nil
}

// offlineCauseOf: the temporary cause wins over the connection's.
func (j *Jenkins) offlineCauseOf(c *computer) *offlineCause {
	if t := j.temporaryCause(c); t != nil {
		return t
	}
	if c.link == nil {
		return c.lostCause
	}
	return nil
}

func (j *Jenkins) offline(c *computer) bool { return c.link == nil || j.temporaryCause(c) != nil }

// nodeOf is Computer.getNode: looked up by name each time, nil if it is gone.
func (j *Jenkins) nodeOf(c *computer) *node { return j.fleet.nodes[c.name] }

// setNode re-points the computer to a replaced node (hudson.model.Computer#setNode).
func (j *Jenkins) setNode(c *computer, n *node) {
	c.cfg = n
	j.resize(c, n.executors)
	j.checkRetention(c)
}

// resize adjusts the executors: more are added, fewer replace all idle ones.
func (j *Jenkins) resize(c *computer, want int) {
	if len(c.executors) > want {
		c.executors = slices.DeleteFunc(c.executors, (*executor).idle)
	}
	used := make(map[int]bool, want)
	for _, e := range c.executors {
		used[e.number] = true
	}
	for number := 0; len(c.executors) < want; number++ {
		if !used[number] {
			c.executors = append(c.executors, j.newExecutor(c, number))
		}
	}
}

func (j *Jenkins) newExecutor(c *computer, number int) *executor {
	j.fleet.lastExecutor++
	return &executor{id: j.fleet.lastExecutor, life: j.life.number, number: number, owner: c}
}

// retire removes a used executor; a new object takes its number at the list's end.
func (j *Jenkins) retire(e *executor) {
	c := e.owner
	if e.cancel != nil {
		e.cancel()
	}
	if e.number < 0 {
		c.oneOff = slices.DeleteFunc(c.oneOff, func(x *executor) bool { return x == e })
	} else {
		c.executors = slices.DeleteFunc(c.executors, func(x *executor) bool { return x == e })
		if n := j.nodeOf(c); n != nil {
			j.resize(c, n.executors)
		}
	}
	if c.idle() {
		c.idleSince = time.Now()
		j.checkRetention(c)
		j.dropOrphan(c)
	}
}

// dropOrphan removes an idle computer whose node is gone.
func (j *Jenkins) dropOrphan(c *computer) {
	if c.builtIn() || j.nodeOf(c) != nil || !c.idle() {
		return
	}
	j.fleet.removeComputer(c)
}
