// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

var update = flag.Bool("update", false, "rewrite the generated part of docs/loans.md from the transition table")

const (
	tableBegins = "<!-- Generated from internal/loan, down to the next such mark; go test ./internal/loan -run LoanDocument -update -->\n"
	tableEnds   = "<!-- End of the generated part. -->\n"
)

// TestLoanDocument holds the table in docs/loans.md to the one of this package, so that it cannot lie.
// The rest of the page is written by people.
func TestLoanDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "loans.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), tableBegins)
	got, after, ends := strings.Cut(rest, tableEnds)
	if !begins || !ends {
		t.Fatalf("docs/loans.md lacks the marks of its generated part: want %q, and below it %q, each on a line of its own", tableBegins, tableEnds)
	}
	want := loanDocument()
	if *update {
		if err := os.WriteFile(path, []byte(before+tableBegins+want+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/loans.md differs from the table; run go test ./internal/loan -run LoanDocument -update\n%s", diff)
	}
}

func loanDocument() string {
	var b strings.Builder
	b.WriteString("\n```mermaid\nstateDiagram-v2\n    [*] --> waiting\n")
	for _, e := range loan.Edges {
		fmt.Fprintf(&b, "    %s --> %s\n", e.From, e.To)
	}
	for _, s := range loan.States {
		if s.Final() {
			fmt.Fprintf(&b, "    %s --> [*]\n", s)
		}
	}
	b.WriteString("```\n\n| from | to | when |\n|---|---|---|\n")
	for _, e := range loan.Edges {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", e.From, e.To, e.Why)
	}
	b.WriteString("\nWhat ended a loan is one of these causes:")
	for i, c := range loan.Causes {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " `%s`", c)
	}
	b.WriteString(".\n\n")
	return b.String()
}
