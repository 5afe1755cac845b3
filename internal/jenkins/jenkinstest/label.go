// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"maps"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// sweepPeriod is how often Jenkins resets all labels (jenkins.model.Jenkins
// constructor).
const sweepPeriod = 5 * time.Minute

// label is an atom or expression with the set of nodes the scheduler believes in.
// The set is computed at its first use after a reset and kept until the next.
type label struct {
	name  string // canonical text
	expr  labelexpr.Expr
	atom  bool
	nodes map[string]bool // names of the nodes that matched
	fresh bool            // nodes may be used; false after a reset
	sweep int64           // number of the sweep before which nodes was computed
	seen  uint64          // end of the fleet's change log at that time
}

// labels is the cache of all labels in use.
type labels struct {
	j       *Jenkins
	atoms   map[string]*label
	exprs   map[string]*label
	parsed  map[string]*label // by the text as written in jobs
	started time.Time
}

func newLabels(j *Jenkins) labels {
	return labels{j: j, atoms: map[string]*label{}, exprs: map[string]*label{}, parsed: map[string]*label{}, started: time.Now()}
}

// lookup returns the label for a text, creating it on the fly. A text that is no
// expression falls back to a plain atom.
func (l *labels) lookup(text string) *label {
	if known := l.parsed[text]; known != nil && l.current(known) {
		return known
	}
	e := labelexpr.ParseLenient(text)
	name := compact(e.String())
	found := &label{name: name, expr: e}
	if atoms := e.Atoms(); len(atoms) == 1 && labelexpr.Atom(atoms[0]).Equal(e) {
		name, found.name, found.atom = atoms[0], atoms[0], true
	}
	table := l.table(found)
	if known := table[name]; known != nil {
		found = known
	} else {
		table[name] = found
	}
	l.parsed[text] = found
	return found
}

// compact drops the blanks around operators, as Jenkins names expressions
// (hudson.model.labels.LabelExpression).
func compact(expr string) string {
	out := make([]byte, 0, len(expr))
	quoted := false
	for i := 0; i < len(expr); i++ {
		switch c := expr[i]; {
		case c == '\\' && quoted && i+1 < len(expr):
			out = append(out, c, expr[i+1])
			i++
		case c == ' ' && !quoted:
		default:
			quoted = quoted != (c == '"')
			out = append(out, c)
		}
	}
	return string(out)
}

func (l *labels) table(b *label) map[string]*label {
	if b.atom {
		return l.atoms
	}
	return l.exprs
}

func (l *labels) current(b *label) bool { return l.table(b)[b.name] == b }

// set is the cached set of nodes, computed if need be (hudson.model.Label#getNodes).
func (l *labels) set(b *label) map[string]bool {
	sweep := int64(time.Since(l.started) / sweepPeriod)
	if !b.fresh || b.sweep != sweep {
		l.compute(b)
		b.fresh, b.sweep, b.seen = true, sweep, l.j.fleet.changes.end()
	}
	return b.nodes
}

// compute brings the set up to date with the nodes as they are now. It looks only at
// those that changed since the last time, unless labels are dynamic.
func (l *labels) compute(b *label) {
	changed, known := l.j.fleet.changes.since(b.seen)
	if b.nodes == nil || !known || l.j.hooks.dynamicLabels() {
		b.nodes = map[string]bool{}
		for name := range l.j.fleet.nodes {
			l.classify(b, name)
		}
		return
	}
	for _, name := range changed {
		l.classify(b, name)
	}
}

func (l *labels) classify(b *label, name string) {
	if n := l.j.fleet.nodes[name]; n != nil && b.expr.Matches(func(a string) bool { return l.j.carries(n, a) }) {
		b.nodes[name] = true
	} else {
		delete(b.nodes, name)
	}
}

// contains is what the scheduler asks: the cache, not the node.
func (l *labels) contains(b *label, n *node) bool { return l.set(b)[n.name] }

// trim resets what an edit of these nodes may have changed: everything before
// 2.321, otherwise labels which are an atom of, or an expression satisfied by, the
// union of the nodes' labels. Expressions with a negation may thus stay stale.
func (l *labels) trim(nodes ...*node) {
	if !l.j.version.since(321) {
		l.reset()
		return
	}
	union := map[string]bool{}
	for _, n := range nodes {
		for _, a := range l.j.labelsOf(n) {
			union[a] = true
		}
	}
	for a := range union {
		l.resetAtom(a)
	}
	if !l.j.version.since(333) { // JENKINS-67635: only atoms were reset
		return
	}
	for _, e := range l.exprs {
		if e.expr.Matches(func(a string) bool { return union[a] }) {
			e.fresh = false
		}
	}
}

// resetAtom forgets the atom's set. An atom that no node claims any more leaves the
// table, without reset: whoever still holds it sees the old nodes.
func (l *labels) resetAtom(name string) {
	b := l.atoms[name]
	switch {
	case b == nil:
	case len(l.j.fleet.holders[name]) == 0 && !l.j.hooks.dynamicLabels():
		delete(l.atoms, name)
	default:
		b.fresh = false
	}
}

// reset forgets all sets, as the periodic sweep does.
func (l *labels) reset() {
	for _, b := range l.atoms {
		b.fresh = false
	}
	for _, b := range l.exprs {
		b.fresh = false
	}
}

// nextSweep is when the sweep after now happens.
func (l *labels) nextSweep(now time.Time) time.Time {
	return l.started.Add(now.Sub(l.started).Truncate(sweepPeriod) + sweepPeriod)
}

// sortedSet lists the cached names in order.
func (l *labels) sortedSet(b *label) []string { return slices.Sorted(maps.Keys(l.set(b))) }
