// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"time"
)

// Protocol is the version of requests and answers.
const Protocol = 1

// States of an agent. Only one that was claimed once has an entry in the ledger; to all others applies unknown.
const (
	Unknown = "unknown"
	Claimed = "claimed"
	Clean   = "clean"
	Used    = "used"
	Held    = "held"
)

// entry is what is known of an agent. It is never changed, only replaced.
type entry struct {
	state    string
	attempt  *int64
	owner    string
	since    time.Time
	job      string   // Claimed: the cleanup's
	computer uint64   // Claimed, Clean
	channel  uint64   // Claimed, Clean
	granted  []uint64 // Clean: the executors
	class    string   // Clean: of the node
	item     int64    // Used: the one that used it
	build    string   // Used: its address below the root of Jenkins, "" while there is none
	why      string   // Unknown: what was lost
}

// is reports whether the entry, which may be missing, is of that state.
func (e *entry) is(state string) bool { return e.stateOf() == state }

func (e *entry) stateOf() string {
	if e == nil {
		return Unknown
	}
	return e.state
}

// next is an entry of that state which goes on with the attempt and the owner of e.
func (e *entry) next(state string, now time.Time) *entry {
	n := &entry{state: state, since: now}
	if e != nil {
		n.attempt, n.owner = e.attempt, e.owner
	}
	return n
}

// fenced reports whether an attempt has been given that is at least as new.
func (e *entry) fenced(attempt int64) bool {
	return e != nil && e.attempt != nil && attempt <= *e.attempt
}

// Ledger is what is known of all agents, from one start of Jenkins to the next.
type Ledger struct {
	session string
	owner   string // of the daemon that may ask for changes, "" before the first one did
	entries map[string]*entry
	jobs    map[string]bool // that an agent was claimed for, once at least
	strict  bool            // Jenkins put a flyweight elsewhere than was believed
	box     box
}

// NewLedger is the ledger of a Jenkins that has just started. The session tells it from all others.
func NewLedger(session string) *Ledger {
	return &Ledger{session: session, entries: map[string]*entry{}, jobs: map[string]bool{}, box: box{news: make(chan struct{})}}
}

// Config is what is written into a copy of the gate.
type Config struct {
	Cleanable, Dirty, Clean string // labels
	Version                 string
	Hook                    string // what registered it: "init script" or "console"
	// Protocol is the one that answers speak of, 0 for the present one. Requests must bear it.
	Protocol int
}

// Gate is one copy of the rules.
type Gate struct {
	Config

	ledger  *Ledger
	jenkins Jenkins

	asked, vetoed, failed int64
}

// New is a copy of the gate that goes on with a ledger.
func New(c Config, l *Ledger, j Jenkins) *Gate {
	if c.Protocol == 0 {
		c.Protocol = Protocol
	}
	return &Gate{Config: c, ledger: l, jenkins: j}
}

// Registered is what the script says when it has registered this copy.
func (g *Gate) Registered(another bool) string {
	as := "as the first copy"
	if another {
		as = "in the place of another copy"
	}
	return "pitcrew gate " + g.Version + ": registered by the " + g.Hook + ", " + as
}

func (g *Gate) entry(name string) *entry { return g.ledger.entries[name] }

// managed reports whether builds on the node are the gate's business. Once claimed it stays so until it is withdrawn.
func (g *Gate) managed(n Node) bool {
	return !n.BuiltIn() && (g.entry(n.Name()) != nil || labelled(n, g.Cleanable))
}
