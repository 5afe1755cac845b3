// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) kvm(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.KVM{}
	g.KVM = goal
	d.options(path, n, []field{
		{"nested", func(path string, n ast.Node) { goal.Nested, _ = d.boolean(path, n) }},
	})
}
