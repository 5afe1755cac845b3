// SPDX-License-Identifier: Apache-2.0

package gatemodel

import "slices"

// Reasons why something may not start.
const (
	causeUnclean   = "pitcrew: the agent is not clean"
	causeDrifted   = "pitcrew: the agent changed since it was cleaned"
	causeUnclaimed = "pitcrew: the agent is not claimed for this cleanup"
	causeBroken    = "pitcrew: the gate failed, so the agent counts as not clean"
	causeFlyweight = "pitcrew: would start on an agent that is not clean, where nothing could stop it"
)

// CanTake is the gate's veto when the queue offers a node to an item: the reason, or "" if it may start there.
func (g *Gate) CanTake(n Node, it Item) string {
	cause := g.verdict(n, it)
	if g.asked++; cause != "" {
		g.vetoed++
	}
	return cause
}

func (g *Gate) verdict(n Node, it Item) string {
	var e *entry
	ours, ok := g.try(func() bool {
		if n.BuiltIn() {
			return false
		}
		e = g.entry(n.Name())
		return e != nil || labelled(n, g.Cleanable)
	})
	switch {
	case !ok && e != nil:
		return causeBroken
	case !ours: // if what failed was an agent that is not known to be managed, it is none of the gate's
		return ""
	}
	cause := causeBroken
	g.try(func() bool {
		cause = g.judge(n, e, it)
		return true
	})
	return cause
}

// try runs what Jenkins may break; ok is false if it did.
func (g *Gate) try(f func() bool) (result, ok bool) {
	defer func() {
		if recover() != nil {
			g.failed++
			result, ok = false, false
		}
	}()
	return f(), true
}

// judge is the verdict on a managed node.
func (g *Gate) judge(n Node, e *entry, it Item) string {
	switch {
	case it.Job != "" && g.ledger.jobs[it.Job]:
		if !e.claimedFor(it) {
			return causeUnclaimed
		}
		return ""
	case it.Continued:
		return ""
	default:
		return g.refuses(n, e)
	}
}

// claimedFor reports whether the item is the cleanup that the agent is claimed for, of that very attempt.
func (e *entry) claimedFor(it Item) bool {
	return e.is(Claimed) && it.Job != "" && it.Job == e.job && it.Attempt != nil && *it.Attempt == number(*e.attempt)
}

// refuses says why a real build may not take a managed node, "" if it may.
func (g *Gate) refuses(n Node, e *entry) string {
	switch {
	case !e.is(Clean):
		return causeUnclean
	case g.drift(n, e) != "":
		return causeDrifted
	default:
		return ""
	}
}

// drift is what has changed on the agent since it was granted, "" if nothing has.
func (g *Gate) drift(n Node, e *entry) string {
	c := n.Computer()
	switch {
	case c == nil || c.ID() != e.computer:
		return "computer"
	case n.Class() != e.class:
		return "class"
	case c.Channel() == 0 || c.Channel() != e.channel:
		return "connection"
	case c.OneOffs() > 0:
		return "busy"
	}
	executors := c.Executors()
	if len(executors) != len(e.granted) {
		return "executors"
	}
	for _, x := range executors {
		if !slices.Contains(e.granted, x.ID) {
			return "executors"
		}
		if !x.Idle {
			return "busy"
		}
	}
	if !labelled(n, g.Clean) {
		return "label"
	}
	return ""
}

// CanRun is the gate's veto before any node is known. It concerns flyweights, for which nobody asks about nodes: one that
// Jenkins would put onto an agent that is not clean may not run at all for now.
func (g *Gate) CanRun(it Item) string {
	if !it.Flyweight {
		return ""
	}
	if it.Label == nil {
		if there, _ := g.try(func() bool { return g.jenkins.BuiltInTakes(it) }); there {
			return ""
		}
	}
	if !g.ledger.strict {
		cause := ""
		if _, known := g.try(func() bool {
			if n := g.jenkins.Home(it); n != nil && g.verdict(n, it) != "" {
				cause = causeFlyweight
			}
			return true
		}); known {
			return cause
		}
	}
	for _, n := range g.jenkins.Nodes() {
		if g.exposed(n, it) {
			return causeFlyweight
		}
	}
	return ""
}

// exposed reports whether a flyweight could land on the node although that is managed and not clean.
func (g *Gate) exposed(n Node, it Item) bool {
	e := g.entry(n.Name())
	if e == nil {
		if ours, _ := g.try(func() bool { return labelled(n, g.Cleanable) }); !ours {
			return false
		}
	}
	harmless, _ := g.try(func() bool {
		if it.Label == nil && n.Exclusive() && !g.jenkins.Spills() || it.Label != nil && !it.Label.Matches(n) && !it.Label.Contains(n) {
			return true
		}
		c := n.Computer()
		return c == nil || !c.Online() || g.refuses(n, e) == ""
	})
	return !harmless
}
