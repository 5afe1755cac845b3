// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) network(g *spec.Goal, path string, n ast.Node) {
	g.Network = &spec.Network{}
	d.options(path, n, nil)
}
