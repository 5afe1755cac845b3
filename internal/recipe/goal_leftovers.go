// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (d *decoder) journal(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Journal{}
	g.Journal = goal
	d.options(path, n, []field{
		{"older", func(path string, n ast.Node) { goal.Older = d.seconds(path, n) }},
		{"size", func(path string, n ast.Node) { goal.Size = d.bytes(path, n) }},
	})
	if goal.Older == 0 && goal.Size == 0 {
		d.fail(n, path, "neither older nor size is there: any journal would do")
	}
}

func (d *decoder) logs(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Logs{}
	g.Logs = goal
	d.options(path, n, []field{
		{"paths", d.texts(&goal.Paths, func(p string) string {
			if why := absolute(p); why != "" || spec.Within("/var/log", p) || d.recipe.Owned.Holds(p) {
				return why
			}
			return "want /var/log, a directory in it, or an owned one: elsewhere such names need not be logs"
		})},
		{"older", func(path string, n ast.Node) { goal.Older = d.seconds(path, n) }},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"logins", func(path string, n ast.Node) { goal.Logins = d.bytes(path, n) }},
	})
	if goal.Older == 0 {
		d.fail(n, path, "the field \"older\" is missing: how old has a rotated log to be?")
	}
}

func (d *decoder) userHomes(g *spec.Goal, path string, n ast.Node) {
	goal := &spec.Users{}
	g.Users = goal
	d.options(path, n, []field{
		{"homes", d.texts(&goal.Homes, func(p string) string {
			why := absolute(p)
			if top := []string{"/", "/etc", "/usr", "/var", "/var/lib", "/tmp", "/var/tmp", "/opt", "/srv", "/root", "/dev", "/proc", "/sys", "/run"}; why == "" && slices.Contains(top, p) {
				why = "others than homes are in it on every machine"
			}
			return why
		})},
		{"older", func(path string, n ast.Node) { goal.Older = d.seconds(path, n) }},
		{"keep", d.texts(&goal.Keep, pattern)},
		{"known", d.texts(&goal.Known, func(name string) string {
			if name == "" || strings.ContainsAny(name[:1], "-0123456789") {
				return "want the name of a user"
			}
			return ""
		})},
	})
	if goal.Older == 0 {
		d.fail(n, path, "the field \"older\" is missing: for how long has a home to be unused?")
	}
}

func (d *decoder) cron(g *spec.Goal, path string, n ast.Node) {
	g.Cron = &spec.Cron{}
	d.options(path, n, nil)
}
