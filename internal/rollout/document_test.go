// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

var update = flag.Bool("update", false, "rewrite what is generated in docs/rollout.md from the transition table")

const (
	generated    = "<!-- The diagram and the table are generated from internal/rollout; go test ./internal/rollout -run RolloutDocument -update -->\n"
	endGenerated = "<!-- end of what is generated -->\n"
)

// TestRolloutDocument holds docs/rollout.md to the transition table, so that it cannot lie.
func TestRolloutDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "rollout.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(text), generated)
	got, after, ends := strings.Cut(rest, endGenerated)
	if !begins || !ends {
		t.Fatal("docs/rollout.md does not say which part of it is generated")
	}
	want := stageTable()
	if *update {
		if err := os.WriteFile(path, []byte(before+generated+want+endGenerated+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/rollout.md differs from the table; run go test ./internal/rollout -run RolloutDocument -update\n%s", diff)
	}
}

func stageTable() string {
	var b strings.Builder
	b.WriteString("\n```mermaid\nstateDiagram-v2\n")
	for _, e := range rollout.Edges {
		fmt.Fprintf(&b, "    %s --> %s\n", strings.ReplaceAll(heading(e.From, "[*]"), " ", "_"), strings.ReplaceAll(heading(e.To, "[*]"), " ", "_"))
	}
	b.WriteString("```\n\n| from | to | by | when |\n|---|---|---|---|\n")
	for _, e := range rollout.Edges {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", heading(e.From, "no rollout"), heading(e.To, ""), e.Who, e.Why)
	}
	b.WriteString("\n")
	return b.String()
}

func heading(s rollout.Stage, pinned string) string {
	if s == rollout.Pinned {
		return pinned
	}
	return string(s)
}

// TestTheDocumentNamesEveryKey: a field of the policy without a line is one that nobody finds.
func TestTheDocumentNamesEveryKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rollout.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := func(of reflect.Type) {
		for field := range of.Fields() {
			key := strings.ToLower(field.Name[:1]) + field.Name[1:]
			if field.Type != reflect.TypeFor[rollout.Plan]() && !strings.Contains(string(text), "| `"+key+"` |") {
				t.Errorf("docs/rollout.md says nothing of %s", key)
			}
		}
	}
	named(reflect.TypeFor[rollout.Policy]())
	named(reflect.TypeFor[rollout.Plan]())
}
