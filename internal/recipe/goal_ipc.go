// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) ipc(g *spec.Goal, path string, n ast.Node) {
	g.IPC = &spec.IPC{}
	d.options(path, n, nil)
}
