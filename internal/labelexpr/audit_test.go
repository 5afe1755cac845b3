// SPDX-License-Identifier: Apache-2.0

package labelexpr_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

var usualNames = labelexpr.Names{Cleanable: "cleanable", Dirty: "dirty", Clean: "clean"}

func TestUnprotected(t *testing.T) {
	t.Parallel()
	agent := []string{"el7", "rack-3", "cleanable", "clean", "el7-0042"}
	tests := []struct {
		name, expr string
		want       []string // nil: protected
	}{
		{"asks for clean", "clean && el7", nil},
		{"clean in one branch only", "clean || el7", []string{"cleanable", "el7", "el7-0042", "rack-3"}},
		{"never meant for this agent", "windows", nil},
		{"no label at all", "", []string{"cleanable", "el7", "el7-0042", "rack-3"}},
		{"tied to the agent by name", "el7-0042", []string{"cleanable", "el7", "el7-0042", "rack-3"}},
		{"negation instead of clean", "el7 && !dirty", []string{"cleanable", "el7", "el7-0042", "rack-3"}},
		{"asks for dirt", "dirty", []string{"cleanable", "dirty", "el7", "el7-0042", "rack-3"}},
		{"clean by implication", "el7 -> clean", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, unprotected := labelexpr.Unprotected(labelexpr.ParseLenient(tt.expr), agent, usualNames)
			if diff := cmp.Diff(tt.want, got); diff != "" || unprotected != (tt.want != nil) {
				t.Errorf("%v, labels (-want +got):\n%s", unprotected, diff)
			}
		})
	}
}

func TestUnprotectedUsesTheConfiguredNames(t *testing.T) {
	t.Parallel()
	names := labelexpr.Names{Cleanable: "svc", Dirty: "used", Clean: "fresh"}
	if _, unprotected := labelexpr.Unprotected(labelexpr.Atom("clean"), []string{"clean", "svc"}, names); !unprotected {
		t.Error("a job that asks for somebody else's label clean counts as protected")
	}
	if _, unprotected := labelexpr.Unprotected(labelexpr.Atom("fresh"), []string{"fresh", "svc"}, names); unprotected {
		t.Error("a job that asks for our clean label counts as unprotected")
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	tests := []struct{ expr, want string }{
		{"", "clean"},
		{"linux", "linux && clean"},
		{"linux && !dirty", "linux && clean"},
		{"!dirty", "clean"},
		{"el7 || el8", "(el7 || el8) && clean"},
		{"clean && el7", "el7 && clean"},
		{"clean || el7", "clean"},
		{"cleanable && linux", "linux && clean"},
		{"dirty -> linux", "clean"},
		{"linux -> dirty", "!linux && clean"},
		{"clean <-> linux", "linux && clean"},
		{"linux <-> dirty", "!linux && clean"},
		{"a -> b", "(a -> b) && clean"},
		{"dirty", ""},
		{"linux && !clean", ""},
	}
	for _, tt := range tests {
		got, ok := labelexpr.Suggest(labelexpr.ParseLenient(tt.expr), usualNames)
		if got.String() != tt.want || ok != (tt.want != "") {
			t.Errorf("Suggest(%q) = %q, %v; want %q", tt.expr, got, ok, tt.want)
		}
	}
}

func TestSuggestionsAcceptTheSameCleanAgentsAndNoOthers(t *testing.T) {
	t.Parallel()
	names := labelexpr.Names{Cleanable: "c-", Dirty: "-d", Clean: "a"}
	rapid.Check(t, func(t *rapid.T) {
		e := exprs().Draw(t, "expr")
		better, ok := labelexpr.Suggest(e, names)
		others := rapid.SliceOf(rapid.SampledFrom(slices.Concat(someLabels[1:2], someLabels[4:]))).Draw(t, "labels")
		clean := labelexpr.Has(append(others, names.Cleanable, names.Clean)...)
		if accepts := ok && better.Matches(clean); accepts != e.Matches(clean) {
			t.Fatalf("%s: suggestion %q accepts the clean agent %q: %v", e, better, others, accepts)
		}
		if _, unprotected := labelexpr.Unprotected(better, others, names); ok && unprotected {
			t.Fatalf("%s: suggestion %s is unprotected", e, better)
		}
	})
}
