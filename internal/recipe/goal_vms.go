// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) vms(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.VMs{}
	g.VMs = goal
	d.options(path, n, []field{
		{"uri", func(path string, n ast.Node) {
			text, ok := d.text(path, n)
			if _, rest, is := strings.Cut(text, "://"); ok && (!is || !strings.HasPrefix(rest, "/")) {
				d.fail(n, path, "want a connection to this machine, as in qemu:///system: what another one has is not to be cleaned from here")
				return
			}
			goal.URI = text
		}},
		{"all", func(path string, n ast.Node) { goal.All, _ = d.boolean(path, n) }},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"volumes", func(path string, n ast.Node) { goal.Volumes, _ = d.boolean(path, n) }},
	})
}
