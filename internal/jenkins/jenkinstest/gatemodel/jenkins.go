// SPDX-License-Identifier: Apache-2.0

package gatemodel

import "time"

// Jenkins is what the gate asks of Jenkins as a whole. Any method of these interfaces may panic, as a getter of Jenkins may
// throw: a veto then says that the gate is broken, a verb fails, a listener is swallowed by whoever called it.
type Jenkins interface {
	Node(name string) Node // nil if there is none; the built-in node has no name
	Nodes() []Node         // all but the built-in one, by name
	// BuiltInTakes reports whether the built-in node is online, accepts tasks, and would take that flyweight without a label.
	BuiltInTakes(it Item) bool
	// Spills reports whether flyweights without a label may go to EXCLUSIVE nodes: the built-in one has no executors, or is
	// EXCLUSIVE itself.
	Spills() bool
	// Home is the node that Jenkins would put the flyweight on now, if not on the built-in one for want of a label; nil if none takes it.
	Home(it Item) Node
	Returning() []Item   // items of the queue that are continued, whether or not whoever asks may see them
	Update(n Node) error // writes the file of a node that was edited in place, and corrects all label caches
	ForgetLabel(label string)
	Now() time.Time
}

// Node is the configuration of an agent.
type Node interface {
	Name() string
	BuiltIn() bool
	Class() string // changes with the type of the agent
	Exclusive() bool
	NumExecutors() int
	LabelString() string
	SetLabelString(text string) // in place: nothing is saved, no cache is emptied
	Save() error                // the file alone
	Computer() Computer         // nil if it has none
}

// Computer is the run-time face of a node. It may outlive it.
type Computer interface {
	ID() uint64 // differs after the node was deleted and made again
	Name() string
	Node() Node // nil if it is gone
	Online() bool
	Channel() uint64 // identity of the connection, 0 if there is none
	Executors() []Executor
	OneOffs() int // executors of flyweights
}

// Executor is a slot of a computer. Its number is never used again once it has worked.
type Executor struct {
	ID   uint64
	Idle bool
}

// Item is an entry of the queue.
type Item struct {
	ID        int64
	Task      string // full display name of the task
	Job       string // full name, if the task is a job and not part of one
	Flyweight bool
	Continued bool    // began before Jenkins was restarted, and comes back
	Attempt   *string // its parameter PITCREW_ATTEMPT
	Label     Label   // nil if it has none assigned
}

// Label is a label expression.
type Label interface {
	Matches(n Node) bool  // by the node's own labels, without any cache
	Contains(n Node) bool // by what is cached, which is what the queue goes by
}

// Caller is who made a request.
type Caller interface {
	May(p Permission) bool           // everywhere
	MayOn(n Node, p Permission) bool // on one agent
}

// Permission is what a request needs, named as in the matrix of Jenkins' security page.
type Permission string

// The permissions that the gate knows.
const (
	Read         Permission = "Overall/Read"
	Configure    Permission = "Agent/Configure"
	ExtendedRead Permission = "Agent/ExtendedRead"
	ReadJob      Permission = "Job/Read"
)
