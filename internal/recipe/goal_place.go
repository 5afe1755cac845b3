// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

var (
	octal       = regexp.MustCompile(`^[0-7]{3,4}$`)
	accountName = regexp.MustCompile(`^([a-z_][a-z0-9_.-]{0,31}\$?|[0-9]{1,10})$`)
)

// untouchable are trees in which no file can be placed: they are the kernel's.
var untouchable = []string{"/proc", "/sys", "/dev"}

// place reads the list of files that have to be there. An empty list gives back all that the recipe has placed.
func (d *decoder) place(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Place{}
	g.Place = goal
	d.list(path, n, func(path string, n ast.Node) {
		f, ok := d.placedFile(path, n)
		switch {
		case !ok:
		case slices.ContainsFunc(goal.Files, func(o spec.Placed) bool { return o.Path == f.Path }):
			d.fail(n, path, "%s is there twice", f.Path)
		default:
			goal.Files = append(goal.Files, f)
		}
	})
}

func (d *decoder) placedFile(yaml string, n ast.Node) (f spec.Placed, ok bool) {
	f.State = spec.PlaceFile
	var states []string
	state := func(name string, to spec.Placing) field {
		return field{name, func(path string, n ast.Node) {
			if yes, _ := d.boolean(path, n); yes {
				f.State = to
				states = append(states, name)
			}
		}}
	}
	there := d.mapping(yaml, n, []field{
		{"path", func(path string, n ast.Node) { f.Path = d.placePath(path, n) }},
		{"content", func(path string, n ast.Node) {
			states = append(states, "content")
			f.Content, _ = d.text(path, n)
		}},
		{"from", func(path string, n ast.Node) {
			states = append(states, "from")
			f.Content = d.contentFrom(path, n)
		}},
		state("directory", spec.PlaceDirectory),
		state("absent", spec.PlaceAbsent),
		state("restore", spec.PlaceRestored),
		{"template", func(path string, n ast.Node) { f.Template, _ = d.boolean(path, n) }},
		{"mode", func(path string, n ast.Node) { f.Mode = d.matching(path, n, octal, "an octal mode, for example 0644") }},
		{"owner", func(path string, n ast.Node) {
			f.Owner = d.matching(path, n, accountName, "the name or number of a user")
		}},
		{"group", func(path string, n ast.Node) {
			f.Group = d.matching(path, n, accountName, "the name or number of a group")
		}},
	})
	if !isMapping(n) {
		return f, false
	}
	d.finishPlaced(yaml, n, f, there, states)
	return f, f.Path != ""
}

// finishPlaced judges the fields of one file together.
func (d *decoder) finishPlaced(yaml string, n ast.Node, f spec.Placed, there map[string]bool, states []string) {
	switch {
	case !there["path"]:
		d.fail(n, yaml, "the field \"path\" is missing")
	case len(states) == 0:
		d.fail(n, yaml, "what is to be there? want one of content, from, directory, absent, restore")
	case len(states) > 1:
		d.fail(n, yaml, "%s exclude each other", strings.Join(states, " and "))
	}
	gone := f.State == spec.PlaceAbsent || f.State == spec.PlaceRestored
	if gone && (there["mode"] || there["owner"] || there["group"]) {
		d.fail(n, yaml, "mode, owner and group have no meaning beside %s", strings.Join(states, " and "))
	}
	if !f.Template {
		return
	}
	if f.State != spec.PlaceFile {
		d.fail(n, yaml, "only the content of a file is a template")
	}
	if _, err := spec.Fill(f.Content, func(string) (string, error) { return "", nil }); err != nil {
		d.fail(n, yaml, "%s", err)
	}
}

func (d *decoder) placePath(yaml string, n ast.Node) string {
	p, ok := d.text(yaml, n)
	if !ok {
		return ""
	}
	why := absolute(p)
	if why == "" && (p == "/" || path.Base(p) == ".." || strings.ContainsRune(p, 0)) {
		why = "want the path of a file"
	}
	for _, root := range untouchable {
		if spec.Within(root, p) {
			why = "all of " + root + " belongs to the kernel; values of /proc/sys are set by sysctl"
		}
	}
	if why != "" {
		d.fail(n, yaml, "%q: %s", p, why)
		return ""
	}
	return p
}

func (d *decoder) contentFrom(path string, n ast.Node) string {
	f, ok := d.carried(path, n)
	if ok && !utf8.Valid(f.Content) {
		d.fail(n, path, "%s is no text; carry it with a script instead", f.Path)
	}
	return string(f.Content)
}

// matching reads a word that the pattern matches.
func (d *decoder) matching(path string, n ast.Node, pattern *regexp.Regexp, want string) string {
	text, ok := d.scalar(path, n)
	if ok && !pattern.MatchString(text) {
		d.fail(n, path, "%q: want %s", text, want)
		return ""
	}
	return text
}

// tellPlaced tells each step that places files the name of the recipe and all files that it places: others that it placed
// before are given back.
func (d *decoder) tellPlaced() {
	var all []string
	for _, s := range d.recipe.Steps {
		if s.Goal == nil || s.Goal.Place == nil {
			continue
		}
		for _, f := range s.Goal.Place.Files {
			if !slices.Contains(all, f.Path) {
				all = append(all, f.Path)
			}
		}
	}
	for i, s := range d.recipe.Steps {
		if s.Goal == nil || s.Goal.Place == nil {
			continue
		}
		s.Goal.Place.Recipe, s.Goal.Place.All = d.recipe.Name, all
		if text, err := d.encoded(s); err == nil { // else it has been said
			d.recipe.Steps[i].Script = text
		}
	}
}
