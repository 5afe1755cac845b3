// SPDX-License-Identifier: Apache-2.0

package labelexpr_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// The cases marked with a method name say what that method of Jenkins' LabelExpressionTest says.
func TestParseReadsWhatJenkinsReads(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"parser1: a word", "foo", "foo"},
		{"parser1: digits and dots", "32bit.dot", "32bit.dot"},
		{"parser1: spaces do not matter", "foo||bar", "foo || bar"},
		{"parser1: and binds tighter than or", "foo||bar&&zot", "foo || bar && zot"},
		{"parser1: parentheses that change nothing", "foo||(bar&&zot)", "foo || bar && zot"},
		{"parser1: parentheses that do", "(foo||bar)&&zot", "(foo || bar) && zot"},
		{"parser1: a tab separates", "foo ->\tbar", "foo -> bar"},
		{"parser1: not binds tighter than iff", "!foo <-> bar", "!foo <-> bar"},
		{"parser2: chains of and", "aaa&&bbb&&ccc", "aaa && bbb && ccc"},
		{"dash: inside a word", "solaris-x86", "solaris-x86"},
		{"quote: a backslash and a quote in a label", `("abc\\\"def")`, `"abc\\\"def"`},
		{"chains of or", "a||b||c", "a || b || c"},
		{"chains of iff", "a<->b<->c", "a <-> b <-> c"},
		{"a right-nested chain keeps its parentheses", "a||(b||c)", "a || (b || c)"},
		{"implies may nest in parentheses", "a -> (b -> c)", "a -> (b -> c)"},
		{"each side of iff may have an implies", "a->b<->c->d", "a -> b <-> c -> d"},
		{"double negation in parentheses", "!(!x)", "!(!x)"},
		{"a dash before the arrow belongs to the label", "a-->b", "a- -> b"},
		{"a lone dash is a label", "-", "-"},
		{"dashes at the start", "--x", "--x"},
		{"punctuation is part of a label", "a:b/c@d#e%f,g=h;i?*+~[1]{2}$^`", "a:b/c@d#e%f,g=h;i?*+~[1]{2}$^`"},
		{"a backslash is ordinary outside of quotes", `C:\build`, `C:\build`},
		{"non-ASCII characters are part of a label", "größe&&日本", "größe && 日本"},
		{"quotes that are not needed go", `"foo" && "bar"`, "foo && bar"},
		{"escapes", `("\b\t\n\f\r\"\'\\")`, `"\b\t\n\f\r\"'\\"`},
		{"the empty label", `a || ""`, `a || ""`},
		{"a newline is part of a label, printed in quotes", "x||a\nb", `x || "a\nb"`},
		{"operators in quotes are text", `x && "a||b"`, `x && "a||b"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := labelexpr.Parse(tt.text)
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.text, err)
			}
			if got := e.String(); got != tt.want {
				t.Errorf("Parse(%q) prints %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestParseRefusesWhatJenkinsRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		offset     int
		says       string
	}{
		{"parserError: two words", "foo bar", 4, `operator missing before "bar"`},
		{"parserError: a word and parentheses", "foo (bar)", 4, `operator missing before "("`},
		{"nothing", "", 0, "a label is expected"},
		{"only blanks", " \t", 2, "a label is expected"},
		{"implies does not chain", "a -> b -> c", 7, "does not chain"},
		{"implies does not chain inside parentheses", "(a->b->c)", 5, "does not chain"},
		{"double negation", "!!x", 1, "use parentheses"},
		{"single ampersand", "a & b", 2, `write "&&"`},
		{"single bar", "a|b", 1, `write "||"`},
		{"half an arrow", "a <- b", 2, `write "<->"`},
		{"a stray greater-than", "a > b", 2, `unexpected '>'`},
		{"single quotes", "'a b'", 0, "double quotes"},
		{"open quote", `a && "b`, 5, "without an end"},
		{"open quote with a backslash at the end", `"b\`, 0, "without an end"},
		{"unknown escape", `"a\x"`, 2, "unknown escape"},
		{"line break in quotes", "\"a\nb\"", 2, "line break"},
		{"operand missing at the end", "a &&", 4, "a label is expected"},
		{"operand missing at the start", "|| a", 0, `"||" where a label is expected`},
		{"operand missing in the middle", "a && || b", 5, `"||" where a label is expected`},
		{"empty parentheses", "a && ()", 6, `")" where a label is expected`},
		{"parenthesis never closed", "a && (b || c", 5, "never closed"},
		{"parenthesis never opened", "a)", 1, `without "("`},
		{"negation after an operand", "a !b", 2, `operator missing before "!"`},
		{"too long", strings.Repeat("a", 1<<17), 1 << 16, "longer than"},
		{"too deep", strings.Repeat("(", 5000), 1000, "too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := labelexpr.Parse(tt.text)
			var syntax *labelexpr.SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse gives %s, error %v; want a SyntaxError", e, err)
			}
			if syntax.Offset != tt.offset || !strings.Contains(syntax.Error(), tt.says) {
				t.Errorf("error at %d: %v; want at %d: ...%s...", syntax.Offset, err, tt.offset, tt.says)
			}
			if !e.IsZero() {
				t.Errorf("an error comes with the expression %s", e)
			}
		})
	}
}

func TestParseLenientReadsWhatJenkinsLooksUp(t *testing.T) {
	t.Parallel()
	atom := labelexpr.Atom
	tests := []struct {
		name, text string
		want       labelexpr.Expr
	}{
		{"blank is no restriction", "  ", labelexpr.Expr{}},
		{"a no-break space is a label", "\u00a0", atom("\u00a0")},
		{"an expression", "a && b", labelexpr.And(atom("a"), atom("b"))},
		{"laxParsing", "lucene.zones.apache.org (Solaris 10)", atom("lucene.zones.apache.org (Solaris 10)")},
		{"dataCompatibilityWithHostNameWithWhitespace", "a:b c", atom("a:b c")},
		{"dataCompatibilityWithHostNameWithWhitespace, quoted", `"abc def"`, atom("abc def")},
		{"quote", `"abc\\\"def"`, atom(`abc\"def`)},
		{"quotes around a whole expression vanish", `"label1||label2"`, labelexpr.Or(atom("label1"), atom("label2"))},
		{"quotes at both ends vanish even if they do not belong together", `"a b" || "c d"`, atom(`a b" || "c d`)},
		{"double negation is a label", "!!x", atom("!!x")},
		{"single quotes vanish too", "'a'", atom("a")},
		{"one quote is a label", `"`, atom(`"`)},
		{"a backslash before the last quote", `"a\"`, atom("a")},
	}
	for _, tt := range tests {
		if got := labelexpr.ParseLenient(tt.text); !got.Equal(tt.want) {
			t.Errorf("%s: ParseLenient(%q) = %s, want %s", tt.name, tt.text, got, tt.want)
		}
	}
}

// composite of LabelExpressionTest: trees that were built, not parsed, print with parentheses in the right places.
func TestStringKeepsTheTree(t *testing.T) {
	t.Parallel()
	x := labelexpr.Atom("x")
	tests := []struct {
		expr labelexpr.Expr
		want string
	}{
		{labelexpr.Not(labelexpr.Not(x)), "!(!x)"},
		{labelexpr.And(labelexpr.Or(x, x), x), "(x || x) && x"},
		{labelexpr.Or(labelexpr.And(x, x), x), "x && x || x"},
		{labelexpr.Implies(labelexpr.Implies(x, x), x), "(x -> x) -> x"},
		{labelexpr.Or(labelexpr.Atom("a b"), labelexpr.Atom("c d")), `("a b" || "c d")`},
		{labelexpr.Atom("a b"), `"a b"`},
		{labelexpr.Atom("a||b"), `("a||b")`},
	}
	for _, tt := range tests {
		if got := tt.expr.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestPrintedExpressionsParseToTheSameTreeAndTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := exprs().Draw(t, "expr")
		again, err := labelexpr.Parse(e.String())
		if err != nil || !again.Equal(e) {
			t.Fatalf("%s parses to %s, error %v", e, again, err)
		}
		if lenient := labelexpr.ParseLenient(e.String()); !lenient.Equal(e) {
			t.Fatalf("%s is looked up as %s", e, lenient)
		}
		sameTruth(t, e, again)
	})
}

// sameTruth compares the truth tables of two expressions over at most 2^8 label sets.
func sameTruth(t interface{ Fatalf(string, ...any) }, a, b labelexpr.Expr) {
	atoms := a.Atoms()
	for set := range 1 << min(len(atoms), 8) {
		has := func(label string) bool {
			for i, atom := range atoms {
				if atom == label {
					return set>>i&1 == 1
				}
			}
			return false
		}
		if a.Matches(has) != b.Matches(has) {
			t.Fatalf("%s and %s differ on set %b of %q", a, b, set, atoms)
		}
	}
}

func FuzzParsePrintParse(f *testing.F) {
	for _, seed := range []string{
		"a", "a&&b||!c", "(a->b)<->c", `"two words"||"x\\\"y"`, "a-->b", "!!x", "foo bar", `"a"||"b"`, "'q'", "a\n->\tb", "\xff&&é",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lenient := labelexpr.ParseLenient(text)
		if again := labelexpr.ParseLenient(lenient.String()); !again.Equal(lenient) {
			t.Fatalf("looking up %q: %s, then %s", text, lenient, again)
		}
		e, err := labelexpr.Parse(text)
		if err != nil {
			var syntax *labelexpr.SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) {
				t.Fatalf("Parse(%q): error %#v", text, err)
			}
			return
		}
		again, err := labelexpr.Parse(e.String())
		if err != nil || !again.Equal(e) || again.String() != e.String() {
			t.Fatalf("%q prints as %q, which parses to %q, error %v", text, e, again, err)
		}
		sameTruth(t, e, again)
	})
}
