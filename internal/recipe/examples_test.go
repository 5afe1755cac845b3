// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with file name in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; if that is meant, run the test with -update (-want +got):\n%s", path, diff)
	}
}

func TestTheSameRecipeGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	p, again := awkward(t), awkward(t)
	if string(p.Text) != string(again.Text) || p.Digest != again.Digest || p.Revision != again.Revision {
		t.Error("two compilations differ")
	}
	golden(t, "awkward.sh", p.Text)
	s := slot(t)
	for name, render := range map[string]func(JobSpec) ([]byte, error){"slot.xml": RenderXML, "slot.yaml": RenderJJB, "slot.groovy": RenderJobDSL} {
		job, err := render(s)
		if err != nil {
			t.Fatal(err)
		}
		// The program has a golden file of its own; here its place is enough.
		head, _, _ := strings.Cut(string(job), "#!/bin/sh")
		golden(t, name, []byte(head))
	}
}

func TestAnyChangeOfARecipeIsAnotherRevision(t *testing.T) {
	t.Parallel()
	blob := File{Path: "b", Content: []byte("x\n")}
	text := recipeOf("- {name: a, run: ls, carry: [b]}\n")
	base := compiled(t, text, blob)
	executable := blob
	executable.Executable = true
	for name, p := range map[string]*Program{
		"script":     compiled(t, strings.Replace(text, "ls", "ls -l", 1), blob),
		"timeout":    compiled(t, strings.Replace(text, "ls", "ls, timeout: 3s", 1), blob),
		"file":       compiled(t, text, File{Path: "b", Content: []byte("y\n")}),
		"permission": compiled(t, text, executable),
		"place":      compiled(t, "places: [/tmp]\n"+text, blob),
	} {
		if p.Revision == base.Revision || p.Digest == base.Digest {
			t.Errorf("%s: the same revision", name)
		}
	}
}

func TestTheExamplesAreFreeOfProblemsAndRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"minimal.yaml", "wrapped/recipe.yaml"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, "dash")
			r, err := Load(filepath.Join("..", "..", "examples", "recipes", name))
			if err != nil {
				t.Fatal(err)
			}
			p, err := r.Compile()
			if err != nil {
				t.Fatal(err)
			}
			mine, old := filepath.Join(m.tmp, "ws", "cleanup"), filepath.Join(m.tmp, "ws", "old build")
			for _, dir := range []string{mine, old} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(old, "build.lock"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			report, res := m.report(t, p, "WORKSPACE="+mine)
			if report.Outcome != Cleaned && report.step(t, "room for a build").Outcome != StepFailed {
				t.Errorf("outcome %s\n%s", report.Outcome, res.out)
			}
			if _, err := os.Stat(old); err == nil {
				t.Errorf("the old workspace is still there\n%s", res.out)
			}
			if _, err := os.Stat(mine); err != nil {
				t.Errorf("its own workspace is gone: %v", err)
			}
		})
	}
}
