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
	named  map[string]place // where each step is named
	// ownedIn is the file in which something is first said to be owned.
	ownedIn map[string]string
	// misowned says that something cannot be owned that the recipe says is.
	misowned bool
	// top is the recipe's own file, chain are the files being read, from that one on; read are all that were begun.
	top         source
	chain, read []string
}

// place is where something stands in the files of a recipe.
type place struct {
	file string
	line int
}

var recipeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// placeForm is that of an absolute path, or one below an environment variable.
var placeForm = regexp.MustCompile(`^(\$[A-Za-z_][A-Za-z0-9_]*)?(/[!-~]*)?$`)

// whole reads the recipe.
func (d *decoder) whole(n ast.Node) {
	d.named = map[string]place{}
	d.ownedIn = map[string]string{}
	d.top, d.chain, d.read = d.source, []string{d.key}, []string{d.key}
	there, steps := d.part(n, d.own())
	for _, read := range steps {
		read()
	}
	d.tellPlaced()
	if _, isMapping := n.(ast.MapNode); isMapping {
		d.complete(n, there)
	}
	slices.SortStableFunc(d.recipe.Steps, func(a, b Step) int {
		return cmp.Or(slices.Index(Phases(), a.Phase)-slices.Index(Phases(), b.Phase), a.kindOrder()-b.kindOrder())
	})
}

// own are the fields that only the recipe itself has, not a file that it includes.
func (d *decoder) own() []field {
	r := d.recipe
	return []field{
		{"name", func(path string, n ast.Node) {
			if r.Name, _ = d.text(path, n); r.Name != "" && !recipeName.MatchString(r.Name) {
				d.fail(n, path, "%q is no name: want small letters, digits, '.', '_' and '-', at most 63", r.Name)
			}
		}},
		{"disjoint", func(path string, n ast.Node) { r.Disjoint, _ = d.boolean(path, n) }},
		{"places", d.places},
		{"rebootCommand", func(path string, n ast.Node) { r.RebootCommand = d.command(path, n) }},
		{"platforms", d.platforms},
		{"cache", func(path string, n ast.Node) { r.Cache, _ = d.boolean(path, n) }},
		{"raise", func(path string, n ast.Node) { r.Raise, _ = d.boolean(path, n) }},
	}
}

// complete notes what is missing from the recipe as a whole.
func (d *decoder) complete(n ast.Node, there map[string]bool) {
	if !there["name"] {
		d.fail(n, "$", "the field \"name\" is missing")
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
		case p == "" || !placeForm.MatchString(p) || strings.Contains(p, "/../"):
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
