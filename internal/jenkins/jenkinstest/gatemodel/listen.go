// SPDX-License-Identifier: Apache-2.0

package gatemodel

import "slices"

// Left is told that an item has left the queue for an executor of the computer, before its build exists.
func (g *Gate) Left(it Item, c Computer, executor uint64) {
	n, name := c.Node(), c.Name()
	if name == "" || n != nil && n.BuiltIn() {
		return
	}
	e := g.entry(name)
	if e == nil && (n == nil || !labelled(n, g.Cleanable)) {
		return
	}
	about := []field{{"item", it.ID}}
	if e.claimedFor(it) {
		g.tell("started", name, append(about, field{"attempt", *e.attempt})...)
		return
	}
	used := e.next(Used, g.jenkins.Now())
	used.item = it.ID
	switch {
	case it.Continued:
		// Where it began, it may; what was proved meanwhile, or is about to be, is not so any more.
		if e.is(Clean) || e.is(Claimed) {
			g.ledger.entries[name] = used
		}
		g.tell("returned", name, about...)
	case e.is(Used) && e.item == it.ID:
		return // another part of the same build
	default:
		what := "contaminated"
		oneOff := !slices.ContainsFunc(c.Executors(), func(x Executor) bool { return x.ID == executor })
		if e.is(Clean) && e.computer == c.ID() && took(c, executor, oneOff, e.granted) {
			what = "consumed"
		} else if oneOff && n != nil {
			g.astray(n, it)
		}
		g.ledger.entries[name] = used
		if used.attempt != nil {
			about = append(about, field{"attempt", *used.attempt})
		}
		g.tell(what, name, append(about, field{"was", e.stateOf()})...)
	}
	if n != nil && labelled(n, g.Clean) {
		g.consume(n)
	}
}

// took reports whether it is by this executor that the agent is used since it was granted: one that it had then, or one of a
// flyweight, which is alone.
func took(c Computer, executor uint64, oneOff bool, granted []uint64) bool {
	if !oneOff {
		return slices.Contains(granted, executor)
	}
	return c.OneOffs() == 1 && !slices.ContainsFunc(c.Executors(), func(x Executor) bool { return !x.Idle || !slices.Contains(granted, x.ID) })
}

// astray is told of a flyweight that begins where it may not. If Jenkins chose otherwise than was believed, all agents have to be
// clean from now on where one could land.
func (g *Gate) astray(n Node, it Item) {
	if right, _ := g.try(func() bool {
		home := g.jenkins.Home(it)
		return home != nil && home.Name() == n.Name()
	}); !right {
		g.ledger.strict = true
	}
}

// Begun is told that the build of an item exists by now, and its address below the root of Jenkins.
func (g *Gate) Begun(computer string, item int64, build string) {
	if e := g.entry(computer); e.is(Used) && e.item == item && build != "" {
		named := *e
		named.build = build
		g.ledger.entries[computer] = &named
	}
}

// Ended is told that the work of an executor of that computer is over.
func (g *Gate) Ended(computer string) {
	if g.entry(computer) != nil {
		g.tell("ended", computer)
	}
}

// Online and Offline are told of connections that came and went.
func (g *Gate) Online(computer string) { g.connection(computer, "online") }

// Offline is told that a connection is gone.
func (g *Gate) Offline(computer string) { g.connection(computer, "offline") }

func (g *Gate) connection(computer, what string) {
	if g.entry(computer) != nil {
		g.lost(computer, what)
		g.tell(what, computer)
	}
}

// NodeUpdated is told that a node was saved; before and after are the same if it was edited in place.
func (g *Gate) NodeUpdated(before, after Node, replaced bool) {
	old, name := before.Name(), after.Name()
	if old != name {
		g.renamed(old, name)
	}
	if !replaced || g.entry(old) == nil && !g.managed(after) {
		return
	}
	if before.Class() != after.Class() {
		g.lost(name, "class")
	}
	g.tell("changed", name)
}

// NodeDeleted is told that a node is gone. Its entry stays: should the name come back, with whatever labels, it is not clean.
func (g *Gate) NodeDeleted(name string) {
	g.lost(name, "deleted")
	if g.entry(name) != nil {
		g.tell("deleted", name)
	}
}

// renamed is told that a node has another name: it is the same machine, and ours until it is withdrawn. The old name stays ours, too.
func (g *Gate) renamed(old, name string) {
	g.lost(old, "renamed")
	if g.entry(old) != nil && g.entry(name) == nil {
		fresh := (*entry)(nil).next(Unknown, g.jenkins.Now()) // attempts are counted by name
		fresh.why = "renamed"
		g.ledger.entries[name] = fresh
	}
}

// lost is the end of a proof.
func (g *Gate) lost(name, why string) {
	if e := g.entry(name); e.is(Clean) {
		lost := e.next(Unknown, g.jenkins.Now())
		lost.why = why
		g.ledger.entries[name] = lost
	}
}
