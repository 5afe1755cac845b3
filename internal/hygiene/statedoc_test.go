// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

var update = flag.Bool("update", false, "rewrite docs/state.md from the transition table")

// TestStateDocument holds docs/state.md to the tables of this package, so that it cannot lie.
func TestStateDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "state.md")
	want := stateDocument()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/state.md differs from the tables; run go test ./internal/hygiene -run StateDocument -update\n%s", diff)
	}
}

func stateDocument() string {
	var b strings.Builder
	b.WriteString("<!-- Generated from internal/hygiene; go test ./internal/hygiene -run StateDocument -update -->\n\n")
	b.WriteString("# The states of an agent\n\n```mermaid\nstateDiagram-v2\n    [*] --> unmanaged\n")
	for _, e := range hygiene.Edges {
		fmt.Fprintf(&b, "    %s --> %s\n", e.From, e.To)
	}
	b.WriteString("```\n\n| from | to | when |\n|---|---|---|\n")
	for _, e := range hygiene.Edges {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", e.From, e.To, e.Why)
	}
	b.WriteString("\nQuarantined, held, backing off, busy and offline are no states: they are derived from stored\nfacts and from what the last poll saw, whenever somebody asks.\n")
	b.WriteString("\n## What is done about each set of labels\n\nFor an idle, online agent. *unknown* is an agent that the store does not have or that was withdrawn.\n\n| labels |")
	for _, s := range hygiene.States {
		fmt.Fprintf(&b, " %s |", heading(s))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(hygiene.States)) + "\n")
	for l := range hygiene.Labels(8) {
		fmt.Fprintf(&b, "| `%s` |", l)
		for _, s := range hygiene.States {
			fmt.Fprintf(&b, " %s |", cell(s, l))
		}
		b.WriteString("\n")
	}
	return b.String()
}

func heading(s hygiene.State) string {
	if s == hygiene.Unmanaged {
		return "unknown"
	}
	return string(s)
}

func cell(s hygiene.State, l hygiene.Labels) string {
	now := epoch.Add(time.Hour)
	act := hygiene.Next(agentIn(s), idle(l, now), hygiene.Policy{}, now)
	out := string(act.Kind)
	if act.Write {
		out += fmt.Sprintf(", write `%s`", act.Labels)
	}
	return out
}
