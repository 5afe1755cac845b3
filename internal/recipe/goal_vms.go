// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) vms(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.VMs{}
	g.VMs = goal
	d.options(path, n, []field{
		{"uri", func(path string, n ast.Node) { goal.URI, _ = d.text(path, n) }},
		{"all", func(path string, n ast.Node) { goal.All, _ = d.boolean(path, n) }},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"volumes", func(path string, n ast.Node) { goal.Volumes, _ = d.boolean(path, n) }},
	})
}
