// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"fmt"
)

// order is what the daemon asks for one agent.
type order struct {
	agent          string
	attempt        *int64
	job            string
	renew, offline bool
	owner, instead string
}

// apply does a verb to an agent; the answer is "ok", or why not.
func (g *Gate) apply(verb string, o order, who Caller) (result string) {
	defer func() {
		if r := recover(); r != nil {
			g.failed++
			result = fmt.Sprint("error ", r)
		}
	}()
	n, e := g.jenkins.Node(o.agent), g.entry(o.agent)
	switch {
	case n == nil && (verb != "withdraw" || e == nil):
		return "gone"
	case n == nil && !who.May(Configure):
		return "permission"
	case n != nil && n.BuiltIn():
		return "built-in"
	case n != nil && !who.MayOn(n, Configure):
		return "permission"
	}
	if other := g.owned(o); other != "" {
		return "owner " + other
	}
	var err error
	switch verb {
	case "claim":
		result, err = g.claim(n, e, o)
	case "grant":
		result, err = g.grant(n, e, o)
	case "revoke":
		result, err = g.put(Unknown, "revoked", n, e, o, []string{g.Clean, g.Dirty}, nil)
	case "hold":
		result, err = g.put(Held, "held", n, e, o, []string{g.Clean}, []string{g.Dirty})
	case "withdraw":
		result, err = g.withdraw(n, e, o)
	}
	if err != nil {
		g.failed++
		return "error " + err.Error()
	}
	return result
}

// owned says who else owns this gate, "" if whoever asks does: the first daemon that comes, until another is told to take
// its place.
func (g *Gate) owned(o order) string {
	l := g.ledger
	if l.owner != "" && l.owner != o.owner && l.owner != o.instead {
		return l.owner
	}
	l.owner = o.owner
	return ""
}

func (g *Gate) claim(n Node, e *entry, o order) (string, error) {
	again := e.is(Claimed) && *e.attempt == *o.attempt
	c := n.Computer()
	switch {
	case again && !o.renew && e.job != o.job:
		return "stale", nil
	case again && !o.renew:
		if err := g.write(n, []string{g.Clean}, []string{g.Dirty}); err != nil { // which may have failed the first time
			return "", err
		}
		return "ok", nil
	case !again && e.fenced(*o.attempt):
		return "stale", nil
	case e == nil && !labelled(n, g.Cleanable):
		return "unmanaged", nil
	case c == nil:
		return "offline", nil
	case !idle(c):
		return "busy", nil
	case c.Channel() == 0 && !o.offline:
		return "offline", nil
	case g.awaits(n):
		return "awaits", nil
	}
	if o.job != "" {
		g.ledger.jobs[o.job] = true
	}
	claimed := e.next(Claimed, g.jenkins.Now())
	claimed.attempt, claimed.owner, claimed.job = o.attempt, o.owner, o.job
	claimed.computer, claimed.channel = c.ID(), c.Channel()
	g.ledger.entries[o.agent] = claimed
	if err := g.write(n, []string{g.Clean}, []string{g.Dirty}); err != nil {
		return "", err
	}
	g.tell("claimed", o.agent, field{"attempt", *o.attempt})
	return "ok", nil
}

func idle(c Computer) bool {
	for _, x := range c.Executors() {
		if !x.Idle {
			return false
		}
	}
	return c.OneOffs() == 0
}

// awaits reports whether a build that ran before Jenkins was restarted is queued to come back to this agent.
func (g *Gate) awaits(n Node) bool {
	for _, it := range g.jenkins.Returning() {
		if it.Label != nil && it.Label.Matches(n) {
			return true
		}
	}
	return false
}

func (g *Gate) grant(n Node, e *entry, o order) (string, error) {
	switch {
	case e == nil || e.attempt == nil || *e.attempt != *o.attempt:
		return "stale", nil
	case e.is(Clean):
		if drift := g.drift(n, e); drift != "" {
			return drift, nil
		}
		return "ok", nil
	case !e.is(Claimed):
		return "stale", nil
	case !labelled(n, g.Cleanable):
		return "unmanaged", nil
	}
	c := n.Computer()
	switch {
	case c == nil || c.Channel() == 0:
		return "offline", nil
	case c.ID() != e.computer || c.Channel() != e.channel:
		return "connection", nil
	case !idle(c) || len(c.Executors()) != n.NumExecutors(): // one that has ended is about to be replaced
		return "busy", nil
	}
	granted := e.next(Clean, g.jenkins.Now())
	granted.computer, granted.channel, granted.class = c.ID(), c.Channel(), n.Class()
	for _, x := range c.Executors() {
		granted.granted = append(granted.granted, x.ID)
	}
	if err := g.write(n, []string{g.Dirty}, []string{g.Clean}); err != nil {
		return "", err
	}
	g.ledger.entries[o.agent] = granted
	g.tell("granted", o.agent, field{"attempt", *e.attempt})
	return "ok", nil
}

// put brings an agent into a state without proof.
func (g *Gate) put(state, what string, n Node, e *entry, o order, off, on []string) (string, error) {
	switch {
	case e == nil && !labelled(n, g.Cleanable):
		return "unmanaged", nil
	case o.attempt != nil && e != nil && e.attempt != nil && *o.attempt < *e.attempt:
		return "stale", nil
	}
	next := e.next(state, g.jenkins.Now())
	if o.attempt != nil {
		next.attempt = o.attempt
	}
	g.ledger.entries[o.agent] = next
	if err := g.write(n, off, on); err != nil {
		return "", err
	}
	g.tell(what, o.agent)
	return "ok", nil
}

// withdraw takes the ledger's entry and our labels away together.
func (g *Gate) withdraw(n Node, e *entry, o order) (string, error) {
	if n != nil {
		if e == nil && !labelled(n, g.Cleanable) {
			return "unmanaged", nil
		}
		if err := g.write(n, []string{g.Clean, g.Dirty}, nil); err != nil {
			return "", err
		}
	}
	delete(g.ledger.entries, o.agent)
	g.tell("withdrawn", o.agent)
	return "ok", nil
}
