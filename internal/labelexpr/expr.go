// SPDX-License-Identifier: Apache-2.0

package labelexpr

import "slices"

// op is the operator of a node, in rising order of binding strength.
type op uint8

const (
	opNone op = iota // the zero Expr
	opIff
	opImplies
	opOr
	opAnd
	opNot
	opAtom
)

// Expr is a label expression. The zero Expr stands for "no expression", as in a job that may run anywhere: it matches
// every label set, prints as the empty string and is the neutral element of [And].
type Expr struct {
	op          op
	name        string // of an atom
	left, right *Expr  // operands; a negation has only left
}

// Atom returns the expression that asks for one label, whatever characters its name has.
func Atom(label string) Expr { return Expr{op: opAtom, name: label} }

// And returns the expression that asks for both a and b.
func And(a, b Expr) Expr { return binary(opAnd, a, b) }

// Or returns the expression that asks for a or b. If one of them is the zero Expr, so is the result.
func Or(a, b Expr) Expr {
	if a.IsZero() || b.IsZero() {
		return Expr{}
	}
	return binary(opOr, a, b)
}

// Implies returns the expression that asks for b of those agents that satisfy a, and accepts all others.
func Implies(a, b Expr) Expr {
	if b.IsZero() {
		return b
	}
	return binary(opImplies, a, b)
}

// Iff returns the expression that asks for both of a and b or for none of them.
func Iff(a, b Expr) Expr { return binary(opIff, a, b) }

// Not returns the negation of e, which must not be the zero Expr: Jenkins has no expression that matches nothing.
// For the zero Expr it returns the zero Expr.
func Not(e Expr) Expr {
	if e.IsZero() {
		return e
	}
	return Expr{op: opNot, left: &e}
}

func binary(o op, a, b Expr) Expr {
	switch {
	case a.IsZero():
		return b
	case b.IsZero():
		return a
	}
	return Expr{op: o, left: &a, right: &b}
}

// IsZero reports whether e is "no expression".
func (e Expr) IsZero() bool { return e.op == opNone }

// Equal reports whether e and o have the same tree. Parentheses leave no trace in a tree beyond its shape.
func (e Expr) Equal(o Expr) bool {
	return e.op == o.op && e.name == o.name && sameOperand(e.left, o.left) && sameOperand(e.right, o.right)
}

func sameOperand(a, b *Expr) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

// Matches reports whether an agent accepts e, where has tells which labels it carries. Labels are case-sensitive.
func (e Expr) Matches(has func(label string) bool) bool {
	switch e.op {
	case opAtom:
		return has(e.name)
	case opNot:
		return !e.left.Matches(has)
	case opAnd:
		return e.left.Matches(has) && e.right.Matches(has)
	case opOr:
		return e.left.Matches(has) || e.right.Matches(has)
	case opImplies:
		return !e.left.Matches(has) || e.right.Matches(has)
	case opIff:
		return e.left.Matches(has) == e.right.Matches(has)
	case opNone:
	}
	return true
}

// Has returns the argument of [Expr.Matches] for an agent that carries exactly these labels.
func Has(labels ...string) func(label string) bool {
	return func(label string) bool { return slices.Contains(labels, label) }
}

// Atoms returns the labels that e mentions, each once, in order of first mention.
func (e Expr) Atoms() []string {
	var names []string
	e.walk(false, func(name string, _ bool) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	})
	return names
}

// Negated returns the labels of which e asks the absence: those that stand under an odd number of negations at least
// once, where the left side of "->" counts as a negation and both sides of "<->" count as negated and not.
//
// Jenkins resets the cached agents of an expression only when the union of the touched agents' labels, old and new,
// satisfies it (jenkins.model.Jenkins#trimLabels). Without negated labels the union always does; with them an edit can
// be missed, and the scheduler goes on using the old agents for minutes.
func (e Expr) Negated() []string {
	var names []string
	e.walk(false, func(name string, negated bool) {
		if negated && !slices.Contains(names, name) {
			names = append(names, name)
		}
	})
	return names
}

// walk calls visit for every mention of a label, in order, with whether it stands negated. Under "<->" each mention is
// visited in both senses.
func (e Expr) walk(negated bool, visit func(name string, negated bool)) {
	switch e.op {
	case opAtom:
		visit(e.name, negated)
	case opNot:
		e.left.walk(!negated, visit)
	case opAnd, opOr:
		e.left.walk(negated, visit)
		e.right.walk(negated, visit)
	case opImplies:
		e.left.walk(!negated, visit)
		e.right.walk(negated, visit)
	case opIff:
		for _, sense := range []bool{negated, !negated} {
			e.left.walk(sense, visit)
			e.right.walk(sense, visit)
		}
	case opNone:
	}
}
