// SPDX-License-Identifier: Apache-2.0

package labelexpr

import "slices"

// Names are the three labels that tell the state of a managed agent. The struct converts from and to those of packages
// that know the defaults.
type Names struct {
	Cleanable, Dirty, Clean string
}

// unclean returns the label sets, as far as ours go, that a managed agent shows while it is not clean.
func (n Names) unclean() [][]string {
	return [][]string{{n.Cleanable}, {n.Cleanable, n.Dirty}}
}

// Unprotected reports whether a job that asks for e could be sent to a managed agent that is not clean. agent are the
// labels that this agent carries whatever its state, its own name (the self label) included; labels from names in it
// are ignored. If so, showing are the agent's labels in such a moment, sorted.
func Unprotected(e Expr, agent []string, names Names) (showing []string, unprotected bool) {
	fixed := slices.DeleteFunc(slices.Clone(agent), names.ours)
	for _, ours := range names.unclean() {
		labels := slices.Concat(fixed, ours)
		if e.Matches(Has(labels...)) {
			slices.Sort(labels)
			return slices.Compact(labels), true
		}
	}
	return nil, false
}

func (n Names) ours(label string) bool {
	return label == n.Cleanable || label == n.Dirty || label == n.Clean
}

// Suggest returns the expression to use instead of e: it accepts those agents that are clean and that e would accept
// while they are, mentions of our own labels reduced to the one that counts. "linux && !dirty" becomes
// "linux && clean". ok is false if e never accepts a clean agent, as "dirty" does not.
func Suggest(e Expr, names Names) (better Expr, ok bool) {
	reduced, value := reduce(e, func(label string) truth {
		switch label {
		case names.Cleanable, names.Clean:
			return always
		case names.Dirty:
			return never
		}
		return depends
	})
	if value == never {
		return Expr{}, false
	}
	return And(reduced, Atom(names.Clean)), true
}

// truth is what is known of an expression before the rest of the labels is.
type truth uint8

const (
	depends truth = iota
	always
	never
)

func (t truth) not() truth {
	switch t {
	case always:
		return never
	case never:
		return always
	case depends:
	}
	return depends
}

// reduce replaces the labels that known decides and simplifies. If the result depends on further labels, rest is the
// expression over those; otherwise rest is the zero Expr.
func reduce(e Expr, known func(label string) truth) (rest Expr, value truth) {
	switch e.op {
	case opNone:
		return Expr{}, always
	case opAtom:
		if v := known(e.name); v != depends {
			return Expr{}, v
		}
		return e, depends
	case opNot:
		operand, v := reduce(*e.left, known)
		return Not(operand), v.not()
	case opAnd, opOr, opImplies, opIff:
		left, l := reduce(*e.left, known)
		right, r := reduce(*e.right, known)
		return reduceBinary(e.op, left, l, right, r)
	}
	return e, depends
}

func reduceBinary(o op, left Expr, l truth, right Expr, r truth) (Expr, truth) {
	switch {
	case l == depends && r == depends:
		return binary(o, left, right), depends
	case o == opAnd:
		return reduceAnd(left, l, right, r)
	case o == opOr:
		return reduceOr(left, l, right, r)
	case o == opImplies:
		return reduceOr(Not(left), l.not(), right, r)
	default: // opIff
		return reduceIff(left, l, right, r)
	}
}

// In the following functions at most one side depends on further labels.

func reduceAnd(left Expr, l truth, right Expr, r truth) (Expr, truth) {
	switch {
	case l == never || r == never:
		return Expr{}, never
	case l == always:
		return right, r
	default:
		return left, l
	}
}

func reduceOr(left Expr, l truth, right Expr, r truth) (Expr, truth) {
	switch {
	case l == always || r == always:
		return Expr{}, always
	case l == never:
		return right, r
	default:
		return left, l
	}
}

func reduceIff(left Expr, l truth, right Expr, r truth) (Expr, truth) {
	switch {
	case l == always:
		return right, r
	case l == never:
		return Not(right), r.not()
	case r == always:
		return left, l
	default:
		return Not(left), l.not()
	}
}
