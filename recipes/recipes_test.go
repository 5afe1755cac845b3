// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/recipes"
)

// names are those of all recipes.
func names(t *testing.T) []string {
	t.Helper()
	files, err := fs.Glob(recipes.Files, "*.yaml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%q, %v", files, err)
	}
	for i, file := range files {
		files[i] = strings.TrimSuffix(file, ".yaml")
	}
	return files
}

func TestEveryRecipeIsRightAndToldOf(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/library.md")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, name := range names(t) {
		used[name+".yaml"] = true
		text, err := recipes.Files.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Parse(name+".yaml", text, func(path string) (recipe.File, error) {
			content, err := recipes.Files.ReadFile(path)
			used[path] = true
			return recipe.File{Path: path, Content: content}, err
		})
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		p, err := r.Compile()
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Notes) > 0 || r.Name != name || r.Description == "" {
			t.Errorf("%s is called %q (%q) and has notes %q", name, r.Name, r.Description, p.Notes)
		}
		if !strings.Contains(string(page), "\n## "+name+"\n") {
			t.Errorf("docs/library.md has no chapter on %s", name)
		}
	}
	err = fs.WalkDir(recipes.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !used[path] {
			t.Errorf("no recipe uses %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTheUserCanBeRenamed does what docs/library.md says.
func TestTheUserCanBeRenamed(t *testing.T) {
	t.Parallel()
	rename := strings.NewReplacer("/home/jenkins", "/srv/ci", "jenkins", "builder", "/home/ci", "/srv/agents")
	for _, name := range names(t) {
		read := func(path string) (recipe.File, error) {
			text, err := recipes.Files.ReadFile(path)
			if strings.Contains(path, "/") && strings.Contains(string(text), "jenkins") {
				t.Errorf("%s is no recipe, and names the user", path)
			}
			return recipe.File{Path: path, Content: []byte(rename.Replace(string(text)))}, err
		}
		f, err := read(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		r, err := recipe.Parse(name+".yaml", f.Content, read)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if got := r.Owned.Paths[0]; !strings.HasPrefix(got, "/srv/") && !strings.HasPrefix(got, "/var/lib/") {
			t.Errorf("%s owns %s", name, got)
		}
	}
}

// runs are the steps of a recipe that a machine with these facts would run, by phase.
func runs(t *testing.T, name string, f recipe.Facts) map[recipe.Phase][]string {
	t.Helper()
	r, err := recipe.Load(name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Complete(); err != nil {
		t.Fatal(err)
	}
	all := map[recipe.Phase][]string{}
	for _, step := range r.Plan(f, recipe.Standard) {
		word := step.Name
		if step.Fails {
			word += ": fails"
		}
		if step.Runs || step.Fails {
			all[step.Phase] = append(all[step.Phase], word)
		}
	}
	return all
}

// TestWhereStepsRun: an agent of el7 runs every step, one that is a container leaves out what is its host's, and what would
// change a machine of other people fails there.
func TestWhereStepsRun(t *testing.T) {
	t.Parallel()
	el7 := recipe.Facts{OS: []string{"linux=3.10", "rhel", "fedora", "centos=7.9"}, Arch: "x86_64", Sudo: true, Tools: []string{"docker", "firewall-cmd", "iptables", "systemctl", "modprobe", "getenforce", "setenforce", "psql", "dropdb", "runuser"}}
	everything := runs(t, "ovirt-el7", el7)
	r, err := recipe.Load("ovirt-el7.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range r.Steps {
		if !slices.Contains(everything[step.Phase], step.Name) {
			t.Errorf("on an agent of el7 %q does not run", step.Name)
		}
	}
	contained := el7
	contained.Container = true
	want := []string{"repositories", "packages", "accounts", "directories and ssh", "known hosts"}
	if diff := cmp.Diff(want, runs(t, "ovirt-el7", contained)[recipe.Setup]); diff != "" {
		t.Errorf("setup in a container (-want +got):\n%s", diff)
	}
	lent := el7
	lent.Labels = []string{"shared"}
	for _, step := range []string{"repositories", "packages", "accounts", "services", "values of the kernel", "switch", "selinux"} {
		if got := runs(t, "ovirt-el7", lent)[recipe.Setup]; !slices.Contains(got, step+": fails") {
			t.Errorf("on a machine of other people %q does not fail", step)
		}
	}
}
