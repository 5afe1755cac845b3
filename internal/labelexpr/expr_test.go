// SPDX-License-Identifier: Apache-2.0

package labelexpr_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

func mustParse(tb testing.TB, text string) labelexpr.Expr {
	tb.Helper()
	e, err := labelexpr.Parse(text)
	if err != nil {
		tb.Fatalf("Parse(%q): %v", text, err)
	}
	return e
}

func TestMatchesFollowsTheOperators(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expr   string
		labels []string
		want   bool
	}{
		{"a", []string{"a"}, true},
		{"a", []string{"A"}, false},
		{"a", nil, false},
		{"!a", nil, true},
		{"a && b", []string{"a"}, false},
		{"a && b", []string{"b", "a"}, true},
		{"a || b", []string{"b"}, true},
		{"a || b", []string{"c"}, false},
		{"a -> b", nil, true},
		{"a -> b", []string{"a"}, false},
		{"a -> b", []string{"a", "b"}, true},
		{"a <-> b", nil, true},
		{"a <-> b", []string{"b"}, false},
		{"a <-> b", []string{"a", "b"}, true},
		{"a || b && c", []string{"a"}, true},
		{"(a || b) && c", []string{"a"}, false},
		{"!a && b", []string{"b"}, true},
		{"!(a && b)", []string{"b"}, true},
		{`"two words" && b`, []string{"two words", "b"}, true},
		// Iff is left-associative, and associative as well: an odd number of absent labels of three is false.
		{"a <-> b <-> c", []string{"c"}, true},
		{"a <-> b <-> c", []string{"a", "b"}, false},
		// Weaker than all others: (a || b) <-> (c -> d).
		{"a || b <-> c -> d", []string{"c"}, true},
	}
	for _, tt := range tests {
		if got := mustParse(t, tt.expr).Matches(labelexpr.Has(tt.labels...)); got != tt.want {
			t.Errorf("%q on %q = %v, want %v", tt.expr, tt.labels, got, tt.want)
		}
	}
}

func TestTheZeroExprIsNoRestriction(t *testing.T) {
	t.Parallel()
	var none labelexpr.Expr
	a := labelexpr.Atom("a")
	switch {
	case !none.IsZero(), !none.Matches(labelexpr.Has()), none.String() != "", none.Atoms() != nil:
		t.Error("the zero Expr restricts something")
	case !labelexpr.And(none, a).Equal(a), !labelexpr.And(a, none).Equal(a):
		t.Error("And with the zero Expr is not the other operand")
	case !labelexpr.Or(none, a).IsZero(), !labelexpr.Not(none).IsZero():
		t.Error("Or and Not of the zero Expr restrict something")
	}
}

func TestAtomsAndNegated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expr           string
		atoms, negated []string
	}{
		{"clean", []string{"clean"}, nil},
		{"linux && !dirty", []string{"linux", "dirty"}, []string{"dirty"}},
		{"!(!a)", []string{"a"}, nil},
		{"!(a && !b) || a", []string{"a", "b"}, []string{"a"}},
		{"a -> b", []string{"a", "b"}, []string{"a"}},
		{"a <-> b", []string{"a", "b"}, []string{"a", "b"}},
		{"(a -> b) -> c", []string{"a", "b", "c"}, []string{"b"}},
		{"b || a && b", []string{"b", "a"}, nil},
	}
	for _, tt := range tests {
		e := mustParse(t, tt.expr)
		if diff := cmp.Diff(tt.atoms, e.Atoms()); diff != "" {
			t.Errorf("atoms of %q (-want +got):\n%s", tt.expr, diff)
		}
		if diff := cmp.Diff(tt.negated, e.Negated()); diff != "" {
			t.Errorf("negated in %q (-want +got):\n%s", tt.expr, diff)
		}
	}
}

// An expression without negated labels never changes from true to false when an agent gains labels; this is what makes
// such expressions safe with Jenkins' label cache.
func TestExpressionsWithoutNegatedLabelsAreMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := exprs().Draw(t, "expr")
		fewer := rapid.SliceOf(rapid.SampledFrom(someLabels)).Draw(t, "labels")
		added := rapid.SampledFrom(someLabels).Draw(t, "added")
		negated := labelexpr.Has(e.Negated()...)
		if negated(added) {
			t.Skip("negated")
		}
		more := append(slices.Clip(fewer), added)
		if e.Matches(labelexpr.Has(fewer...)) && !e.Matches(labelexpr.Has(more...)) {
			t.Fatalf("%s holds for %q, not for %q, but %q is not negated in it", e, fewer, more, added)
		}
	})
}

var someLabels = []string{"a", "b", "c-", "-d", "two words", `q"uo\te`, "x||y", "", "é", "tab\t", "nl\n", "b\bs"}

// exprs generates expressions of all shapes over someLabels.
func exprs() *rapid.Generator[labelexpr.Expr] {
	return rapid.Custom(func(t *rapid.T) labelexpr.Expr { return drawExpr(t, 4) })
}

func drawExpr(t *rapid.T, depth int) labelexpr.Expr {
	kinds := []string{"atom"}
	if depth > 0 {
		kinds = []string{"atom", "not", "and", "or", "implies", "iff"}
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	switch kind {
	case "atom":
		return labelexpr.Atom(rapid.SampledFrom(someLabels).Draw(t, "label"))
	case "not":
		return labelexpr.Not(drawExpr(t, depth-1))
	}
	left, right := drawExpr(t, depth-1), drawExpr(t, depth-1)
	switch kind {
	case "and":
		return labelexpr.And(left, right)
	case "or":
		return labelexpr.Or(left, right)
	case "implies":
		return labelexpr.Implies(left, right)
	default:
		return labelexpr.Iff(left, right)
	}
}
