// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) containers(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Containers{}
	g.Containers = goal
	var cacheAt ast.Node
	d.options(path, n, []field{
		{"all", func(path string, n ast.Node) { goal.All, _ = d.boolean(path, n) }},
		{"sockets", d.texts(&goal.Sockets, absolute)},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"images", func(path string, n ast.Node) {
			goal.Images = &spec.Images{}
			d.images(goal.Images, path, n)
		}},
		{"buildCache", func(path string, n ast.Node) {
			goal.BuildCache, cacheAt = &spec.BuildCache{}, n
			d.options(path, n, []field{
				{"older", func(path string, n ast.Node) { goal.BuildCache.Older = d.seconds(path, n) }},
				{"size", func(path string, n ast.Node) { goal.BuildCache.Size = d.bytes(path, n) }},
			})
		}},
	})
	if cacheAt != nil && !goal.All {
		d.fail(cacheAt, path+".buildCache", "a build cache bears no names and no labels; it goes only with \"all: true\", where the engine belongs to CI as a whole")
	}
}

func (d *decoder) images(to *spec.Images, path string, n ast.Node) {
	d.options(path, n, []field{
		{"keep", d.texts(&to.Keep, func(text string) string {
			if _, err := spec.ParseReference(text); err != nil {
				return err.Error()
			}
			return ""
		})},
		{"older", func(path string, n ast.Node) { to.Older = d.seconds(path, n) }},
		{"size", func(path string, n ast.Node) { to.Size = d.bytes(path, n) }},
	})
}
