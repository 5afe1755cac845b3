// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder reads a recipe out of a document.
type decoder struct {
	document
	open   Opener
	recipe *Recipe
	named  map[string]int // line of each step name
}

var recipeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// place is an absolute path, or one below an environment variable.
var place = regexp.MustCompile(`^(\$[A-Za-z_][A-Za-z0-9_]*)?(/[!-~]*)?$`)

func (d *decoder) top(n ast.Node) {
	r := d.recipe
	d.named = map[string]int{}
	// Steps are read last, wherever they stand: they are judged by what the recipe owns.
	var later []func()
	steps := func(phase Phase) func(path string, n ast.Node) {
		return func(path string, n ast.Node) { later = append(later, func() { d.steps(phase, path, n) }) }
	}
	there := d.mapping("$", n, []field{
		{"version", d.version},
		{"name", func(path string, n ast.Node) {
			if r.Name, _ = d.text(path, n); r.Name != "" && !recipeName.MatchString(r.Name) {
				d.fail(n, path, "%q is no name: want small letters, digits, '.', '_' and '-', at most 63", r.Name)
			}
		}},
		{"description", func(path string, n ast.Node) { r.Description, _ = d.text(path, n) }},
		{"disjoint", func(path string, n ast.Node) { r.Disjoint, _ = d.boolean(path, n) }},
		{"places", d.places},
		{"rebootCommand", func(path string, n ast.Node) { r.RebootCommand = d.command(path, n) }},
		{"owns", d.owns},
		{"platforms", d.platforms},
		{"clean", steps(Clean)},
		{"setup", steps(Setup)},
		{"verify", steps(Verify)},
	})
	for _, read := range later {
		read()
	}
	d.tellPlaced()
	if _, isMapping := n.(ast.MapNode); isMapping {
		d.complete(n, there)
	}
	slices.SortStableFunc(r.Steps, func(a, b Step) int {
		return cmp.Or(slices.Index(Phases(), a.Phase)-slices.Index(Phases(), b.Phase), a.kindOrder()-b.kindOrder())
	})
}

// complete notes what is missing from the recipe as a whole.
func (d *decoder) complete(n ast.Node, there map[string]bool) {
	for _, name := range []string{"version", "name"} {
		if !there[name] {
			d.fail(n, "$", "the field %q is missing", name)
		}
	}
	if !there["clean"] && !there["setup"] {
		d.fail(n, "$", "neither clean nor setup is there: the recipe does nothing")
	}
	if !there["verify"] {
		d.fail(n, "$", "the field \"verify\" is missing: an agent whose state nothing proves is never called clean")
	}
	if len(d.recipe.Steps) > maxSteps {
		d.fail(n, "$", "%d steps are too many; the limit is %d", len(d.recipe.Steps), maxSteps)
	}
}

func (d *decoder) version(path string, n ast.Node) {
	if _, ok := n.(*ast.IntegerNode); !ok || n.GetToken().Value != "1" {
		d.fail(n, path, "this program knows version 1 of the recipe language only, not %s", n.String())
	}
}

func (d *decoder) places(path string, n ast.Node) {
	d.recipe.Places = nil
	d.list(path, n, func(path string, n ast.Node) {
		p, ok := d.text(path, n)
		switch {
		case !ok:
		case p == "" || !place.MatchString(p) || strings.Contains(p, "/../"):
			d.fail(n, path, "%q is no place: want an absolute path, or one that begins with a variable as in $TMPDIR", p)
		case slices.Contains(d.recipe.Places, p):
			d.fail(n, path, "%s is there twice", p)
		default:
			d.recipe.Places = append(d.recipe.Places, p)
		}
	})
	if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
		d.fail(n, path, "without any place there is nowhere to unpack; leave the field out for the default")
	}
}

// command reads one shell command.
func (d *decoder) command(path string, n ast.Node) string {
	text, ok := d.text(path, n)
	if !ok {
		return ""
	}
	if strings.TrimSpace(text) == "" {
		d.fail(n, path, "the command is empty")
		return ""
	}
	d.checkShell(script{text: text, interpreter: []string{"sh"}, path: path, at: d.inline(n)})
	return text
}

func (d *decoder) steps(phase Phase, path string, n ast.Node) {
	before := len(d.problems)
	count := 0
	d.list(path, n, func(path string, n ast.Node) {
		count++
		d.step(path, n, phase)
	})
	if count == 0 && len(d.problems) == before {
		d.fail(n, path, "the %s phase has no step; leave it out", phase)
	}
}
