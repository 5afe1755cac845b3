// SPDX-License-Identifier: Apache-2.0

package pitcrew_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/pitcrew-ci/pitcrew/"
	header = "// SPDX-License-Identifier: Apache-2.0"
)

// layers orders our packages from the bottom up. A package, those in its directory included, imports only lower layers.
var layers = [][]string{
	{"internal/scrub/erase"},     // how files are removed: knows nothing of what for
	{"internal/scrub/carried"},   // the program that other machines run, as bytes
	{"internal/rehearsal/state"}, // how a machine's state is seen, and what differs: configurations name what does not matter
	{"recipes"},                  // the library that people start from, as files
	{"internal/hygiene", "internal/labelexpr", "internal/loan", "internal/rollout", "internal/scrub/spec"}, // domain: what is true and what to do, without any means of doing it
	{"internal/jenkins", "internal/sshexec", "internal/container", "internal/store", "internal/engine", "internal/config", "internal/recipe", "internal/scrub"},
	{"internal/rehearsal/mess", "internal/rehearsal/report"}, // what a rehearsal does to a machine, and says of it
	{"internal/loanjob"}, // a job and a program like those of recipe, whose shell and job documents it shares
	{"internal/api", "internal/web", "internal/notify", "internal/reconcile", "internal/rehearsal"},
	{"internal/app"},  // wiring: the only package that knows all others
	{"internal/demo"}, // the daemon beside a simulated controller
	{"cmd"},
	{"internal/endtoend"}, // tests of all of it, from outside
}

// pure packages import nothing but the standard library.
var pure = []string{"internal/hygiene", "internal/labelexpr", "internal/loan", "internal/rollout", "internal/scrub/spec"}

// impure are the parts of the standard library that pure packages do without. Each has its reason.
var impure = map[string]string{
	"crypto/rand":  "randomness is an argument: the same facts must give the same decision",
	"database/sql": "what is stored is the store's business",
	"io/fs":        "no I/O in the domain",
	"log":          "a decision is data with a reason; the engine logs it",
	"log/slog":     "a decision is data with a reason; the engine logs it",
	"math/rand":    "randomness is an argument: the same facts must give the same decision",
	"net":          "no I/O in the domain",
	"net/http":     "no I/O in the domain",
	"os":           "no I/O in the domain",
	"os/exec":      "no I/O in the domain",
	"sync":         "values have no locks; whoever shares them locks",
	"syscall":      "no I/O in the domain",
}

// edges are forbidden although the layers allow them: from, to, and why.
var edges = []struct{ from, to, reason string }{
	{"internal/jenkins/jenkinstest", "internal/jenkins", "a simulation built on our client would agree with its mistakes"},
	{"internal/jenkins/jenkinstest", "internal/jenkins/gate", "a simulation built on our client would agree with its mistakes"},
	{"internal/jenkins/jenkinstest/gatemodel", "internal/jenkins/gate", "a model that shares code with what it models would agree with its mistakes"},
	{"cmd/pitcrew", "internal/store", "the command line is a client of the API and nothing more"},
	{"cmd/pitcrew", "internal/reconcile", "the command line is a client of the API and nothing more"},
}

// simulation is the fake of Jenkins; users are the only packages that import it beside tests.
const simulation = "internal/jenkins/jenkinstest"

var users = []string{simulation, "internal/jenkins/testbed", "internal/demo"}

// clocks are what pure packages must not call: now is an argument.
var clocks = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

type file struct {
	path string // from the root, with slashes
	tree *ast.File
	text []byte
}

func (f file) dir() string { return path.Dir(f.path) }

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// imports lists the file's imports; our own come without the module path.
func (f file) imports(t *testing.T) (ours, others []string) {
	t.Helper()
	for _, spec := range f.tree.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatalf("%s: import %s: %v", f.path, spec.Path.Value, err)
		}
		if own, ok := strings.CutPrefix(name, module); ok {
			ours = append(ours, own)
		} else {
			others = append(others, name)
		}
	}
	return ours, others
}

// parse reads every Go file of the module, for whatever platform it is.
func parse(t *testing.T) []file {
	t.Helper()
	var files []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		files = append(files, file{path: filepath.ToSlash(name), tree: tree, text: text})
		return err
	})
	if err != nil {
		t.Fatalf("read the module's Go files: %v", err)
	}
	return files
}

// within says whether the package is room or lies below it.
func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func layer(pkg string) int {
	return slices.IndexFunc(layers, func(rooms []string) bool {
		return slices.ContainsFunc(rooms, func(room string) bool { return within(pkg, room) })
	})
}

// room is the directory of the first two levels that holds the package: what is in one room may import each other.
func room(pkg string) string {
	parts := strings.Split(pkg, "/")
	return path.Join(parts[:min(2, len(parts))]...)
}

func TestImportsPointDownOnly(t *testing.T) {
	t.Parallel()
	for _, f := range parse(t) {
		if f.isTest() {
			continue
		}
		from := f.dir()
		if layer(from) < 0 {
			t.Errorf("%s: package %s has no layer: give it one in arch_test.go", f.path, from)
		}
		ours, _ := f.imports(t)
		for _, to := range ours {
			if room(to) != room(from) && layer(to) >= layer(from) {
				t.Errorf("%s imports %s: imports point down only, see layers in arch_test.go", f.path, to)
			}
			if within(to, simulation) && !slices.ContainsFunc(users, func(user string) bool { return within(from, user) }) {
				t.Errorf("%s imports %s: production code that can reach a fake will reach it", f.path, to)
			}
			for _, edge := range edges {
				if from == edge.from && to == edge.to {
					t.Errorf("%s imports %s: %s", f.path, to, edge.reason)
				}
			}
		}
	}
}

func TestDomainIsPure(t *testing.T) {
	t.Parallel()
	for _, f := range parse(t) {
		if f.isTest() || !slices.ContainsFunc(pure, func(room string) bool { return within(f.dir(), room) }) {
			continue
		}
		_, others := f.imports(t)
		for _, name := range others {
			if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") {
				t.Errorf("%s imports %s: the domain uses the standard library only", f.path, name)
			}
			if reason, bad := impure[name]; bad {
				t.Errorf("%s imports %s: %s", f.path, name, reason)
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clocks, sel.Sel.Name) {
					t.Errorf("%s uses time.%s: take now as a parameter", f.path, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestScrubStaysSmall: it travels to every machine inside of every program.
func TestScrubStaysSmall(t *testing.T) {
	t.Parallel()
	for _, f := range parse(t) {
		if f.isTest() || !within(f.dir(), "internal/scrub") && !within(f.dir(), "cmd/scrub") {
			continue
		}
		ours, others := f.imports(t)
		for _, to := range ours {
			if !within(to, "internal/scrub") {
				t.Errorf("%s imports %s: scrub carries nothing of the daemon", f.path, to)
			}
		}
		for _, name := range others {
			if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") && !within(name, "golang.org/x/sys") {
				t.Errorf("%s imports %s: scrub uses the standard library and golang.org/x/sys", f.path, name)
			}
			if slices.Contains([]string{"net/http", "html/template", "text/template", "regexp"}, name) {
				t.Errorf("%s imports %s: it would double the program, or weigh more than any kind of step", f.path, name)
			}
		}
	}
}

func TestEachPackageHasExactlyOneDoc(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{} // package: the files with a package doc
	for _, f := range parse(t) {
		if f.isTest() {
			continue
		}
		where := docs[f.dir()]
		if f.tree.Doc != nil {
			where = append(where, f.path)
			if strings.Contains(f.tree.Doc.Text(), "SPDX") {
				t.Errorf("%s: the licence line has become the package doc: put an empty line after it", f.path)
			}
		}
		docs[f.dir()] = where
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if len(docs[dir]) != 1 {
			t.Errorf("package %s has %d package docs, want exactly one: %v", dir, len(docs[dir]), docs[dir])
		}
	}
}

func TestEachFileNamesItsLicence(t *testing.T) {
	t.Parallel()
	for _, f := range parse(t) {
		if !ast.IsGenerated(f.tree) && !strings.HasPrefix(string(f.text), header+"\n\n") {
			t.Errorf("%s: want the first lines %q and an empty one", f.path, header)
		}
	}
}

func TestPackageNamesSayWhatIsInside(t *testing.T) {
	t.Parallel()
	empty := []string{"common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"}
	for _, f := range parse(t) {
		base := strings.TrimSuffix(path.Base(f.path), ".go")
		if slices.Contains(empty, path.Base(f.dir())) || slices.Contains(empty, base) {
			t.Errorf("%s: a place for everything is the place of nothing: name it after its purpose", f.path)
		}
	}
}

func TestModuleReplacesNothing(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod:%d: %s: `go install` refuses modules with replacements", i+1, line)
		}
	}
}
