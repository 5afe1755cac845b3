// SPDX-License-Identifier: Apache-2.0

package gatemodel

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

// Answer is what the gate's address says. Without the permission that Denied names there is no body.
type Answer struct {
	Code   int
	Body   string
	Denied Permission
}

// ContentType is that of all answers with a body.
const ContentType = "application/json;charset=UTF-8"

var denied = Answer{Code: http.StatusForbidden, Denied: Read}

func wrong(protocol int, why string) Answer {
	return Answer{Code: http.StatusBadRequest, Body: fmt.Sprintf(`{"protocol":%d,"error":%s}`, protocol, quoted(why))}
}

// Status is what is known of all agents that the caller may see, and what holds now: a state clean with a drift lets nothing
// through. Root is the address of Jenkins, with a slash at its end.
func (g *Gate) Status(who Caller, root string) Answer {
	if !who.May(Read) {
		return denied
	}
	var out strings.Builder
	fmt.Fprintf(&out, `%s,"asked":%d,"vetoed":%d,"failed":%d,"agents":{`, g.head(), g.asked, g.vetoed, g.failed)
	first := out.Len()
	add := func(name string, n Node) {
		if out.Len() > first {
			out.WriteByte(',')
		}
		out.WriteString(g.agent(who, name, n, root))
	}
	seen := map[string]bool{}
	for _, n := range g.jenkins.Nodes() {
		seen[n.Name()] = true
		if ours, _ := g.try(func() bool { return g.managed(n) && readable(who, n) }); ours {
			add(n.Name(), n)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(g.ledger.entries)) { // whose nodes are gone
		if !seen[name] && who.May(Configure) {
			add(name, nil)
		}
	}
	return Answer{Code: http.StatusOK, Body: out.String() + "}}"}
}

func readable(who Caller, n Node) bool { return who.MayOn(n, ExtendedRead) || who.MayOn(n, Configure) }

func (g *Gate) head() string {
	owner := ""
	if g.ledger.owner != "" {
		owner = `,"owner":` + quoted(g.ledger.owner)
	}
	return fmt.Sprintf(`{"protocol":%d,"version":%s,"hook":%s,"session":%s,"seq":%d,"labels":[%s,%s,%s]%s`, g.Protocol, quoted(g.Version), quoted(g.Hook),
		quoted(g.ledger.session), g.ledger.box.sequence(), quoted(g.Cleanable), quoted(g.Dirty), quoted(g.Clean), owner)
}

func (g *Gate) agent(who Caller, name string, n Node, root string) string {
	e := g.entry(name)
	fields := []field{{"state", e.stateOf()}}
	if e != nil {
		if e.attempt != nil {
			fields = append(fields, field{"attempt", *e.attempt})
		}
		if e.is(Used) {
			fields = append(fields, field{"item", e.item})
		}
		if e.build != "" && who.May(ReadJob) {
			fields = append(fields, field{"build", root + e.build})
		}
		if e.why != "" {
			fields = append(fields, field{"why", e.why})
		}
		fields = append(fields, field{"since", e.since.UnixMilli()})
	}
	if n == nil {
		fields = append(fields, field{"drift", "gone"})
	} else if e.is(Clean) {
		drift := "fault"
		_, _ = g.try(func() bool { drift = g.drift(n, e); return true })
		if drift != "" {
			fields = append(fields, field{"drift", drift})
		}
	}
	return quoted(name) + ":" + object(fields)
}

// Events are those after a number, in that session; the answer waits up to so many milliseconds for the first one, until ctx
// ends. It must not be called with Jenkins' lock held: it takes it to answer.
func (g *Gate) Events(ctx context.Context, lock sync.Locker, who Caller, session, since, wait string) Answer {
	if !who.May(Read) {
		return denied
	}
	after, err := strconv.ParseInt(since, 10, 64)
	patience := int64(0)
	if err == nil && wait != "" {
		patience, err = strconv.ParseInt(wait, 10, 64)
	}
	if err != nil {
		return wrong(g.Protocol, "since and wait are whole numbers")
	}
	var events []event
	known := session == g.ledger.session
	if known {
		lock.Lock()
		sees := who.May(Configure) || slices.ContainsFunc(g.jenkins.Nodes(), func(n Node) bool { return readable(who, n) })
		lock.Unlock()
		if !sees { // who is told of nothing keeps nobody waiting
			patience = 0
		}
		longest := longestWait.Milliseconds()
		events, known = g.ledger.box.await(ctx, after, time.Duration(min(max(patience, 0), longest))*time.Millisecond)
	}
	lock.Lock()
	defer lock.Unlock()
	if !known {
		return Answer{Code: http.StatusOK, Body: g.head() + `,"gap":true,"events":[]}`}
	}
	var shown []string
	for _, e := range events {
		n := g.jenkins.Node(e.agent)
		if n == nil && who.May(Configure) || n != nil && readable(who, n) {
			shown = append(shown, object(e.fields))
		}
	}
	return Answer{Code: http.StatusOK, Body: g.head() + `,"events":[` + strings.Join(shown, ",") + "]}"}
}

// Do is a verb for each agent of the request, a JSON text.
func (g *Gate) Do(verb string, who Caller, request string) Answer {
	if !who.May(Read) {
		return denied
	}
	orders, fault := parse(verb, request, g.Protocol)
	if fault != "" {
		return wrong(g.Protocol, fault)
	}
	head := g.head()
	results := make([]string, 0, len(orders))
	for _, o := range orders {
		results = append(results, object([]field{{"agent", o.agent}, {"result", g.apply(verb, o, who)}}))
	}
	return Answer{Code: http.StatusOK, Body: head + `,"results":[` + strings.Join(results, ",") + "]}"}
}

func object(fields []field) string {
	parts := make([]string, 0, len(fields))
	for _, f := range fields {
		value := fmt.Sprint(f.value)
		if text, ok := f.value.(string); ok {
			value = quoted(text)
		}
		parts = append(parts, quoted(f.name)+":"+value)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// quoted is a text as JSON in ASCII.
func quoted(text string) string {
	out := []byte{'"'}
	for _, unit := range utf16.Encode([]rune(text)) {
		switch {
		case unit == '"' || unit == '\\':
			out = append(out, '\\', byte(unit))
		case unit < ' ' || unit > '~':
			out = fmt.Appendf(out, `\u%04x`, unit)
		default:
			out = append(out, byte(unit))
		}
	}
	return string(append(out, '"'))
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
