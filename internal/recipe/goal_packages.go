// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) packages(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Packages{}
	g.Packages = goal
	d.options(path, n, []field{
		{"older", func(path string, n ast.Node) { goal.Older = d.seconds(path, n) }},
		{"size", func(path string, n ast.Node) {
			if text, _ := d.scalar(path, n); text == "0" { // all of it goes
				goal.Size = new(int64)
				return
			}
			goal.Size = new(d.bytes(path, n))
		}},
		{"mend", func(path string, n ast.Node) { goal.Mend, _ = d.boolean(path, n) }},
		{"present", d.texts(&goal.Present, spec.PackageName)},
	})
}

// finishPackages judges what a goal about packages asks for in its phase.
func (d *decoder) finishPackages(s *stepSource) {
	g := s.Goal.Packages
	if g == nil {
		return
	}
	at := s.path + "." + string(spec.KindPackages)
	cleans := g.Older > 0 || g.Size != nil || g.Mend
	switch {
	case len(g.Present) > 0 && cleans:
		d.fail(s.node, at, "\"present\" excludes older, size and mend: a step does one thing")
	case len(g.Present) > 0 && s.Phase == Clean:
		d.fail(s.node, at, "packages are installed in the setup phase; \"present\" is not for the clean phase")
	case len(g.Present) == 0 && s.Phase == Setup:
		d.fail(s.node, at, "the field \"present\" is missing: which packages are to be there?")
	case len(g.Present) == 0 && !cleans:
		d.fail(s.node, at, "none of older, size, mend and present is there: nothing could ever be wrong")
	}
}
