// SPDX-License-Identifier: Apache-2.0

package labelexpr_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

func TestTokensCutsALabelString(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", nil},
		{"only blanks", " \t\r\n ", nil},
		{"parseLabel of LabelExpressionTest", "one two three", []string{"one", "two", "three"}},
		{"all four blanks separate, runs of them count once", "a\tb\rc\n  d ", []string{"a", "b", "c", "d"}},
		{"duplicates collapse, the first place counts", "b a b a", []string{"b", "a"}},
		{"double quotes", `"two words" x`, []string{"two words", "x"}},
		{"single quotes", `'two words' x`, []string{"two words", "x"}},
		{"quotes in mid-label", `a"b c"d`, []string{"ab cd"}},
		{"the other quote is text", `"it's"`, []string{"it's"}},
		{"escaped quote", `a\"b`, []string{`a"b`}},
		{"escaped blank", `a\ b`, []string{"a b"}},
		{"other escapes stay", `C:\build`, []string{`C:\build`}},
		{"escaped backslash", `a\\b`, []string{`a\b`}},
		{"a backslash at the start of a label is text", `\"a b" c`, []string{`\a b`, "c"}},
		{"a backslash at the very end vanishes", `a\`, []string{"a"}},
		{"an open quote ends with the text", `a "b c`, []string{"a", "b c"}},
		{"the empty label", `a "" b`, []string{"a", "", "b"}},
		{"a lone quote at the end is nothing", `a "`, []string{"a"}},
		{"operators are text", "a&&b !c", []string{"a&&b", "!c"}},
		{"form feed does not separate", "a\fb", []string{"a\fb"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, labelexpr.Tokens(tt.text)); diff != "" {
			t.Errorf("%s: Tokens(%q) (-want +got):\n%s", tt.name, tt.text, diff)
		}
	}
}

func TestJoinQuotesOnlyWhereNeeded(t *testing.T) {
	t.Parallel()
	got := labelexpr.Join([]string{"cleanable", "el7", "two words", `C:\x`, `say "hi"`, "", "a&&b"})
	want := `cleanable el7 "two words" "C:\\x" "say \"hi\"" "" a&&b`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTokensReadsWhatJoinWrites(t *testing.T) {
	t.Parallel()
	label := rapid.StringOf(rapid.RuneFrom([]rune("ab \t\r\n\\\"'&é")))
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfDistinct(label, rapid.ID[string]).Draw(t, "labels")
		got := labelexpr.Tokens(labelexpr.Join(want))
		if len(want) == 0 && got == nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("through %q (-want +got):\n%s", labelexpr.Join(want), diff)
		}
	})
}
