// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// owns reads what on the machine belongs to continuous integration.
func (d *decoder) owns(path string, n ast.Node) {
	o := &d.recipe.Owned
	d.mapping(path, n, []field{
		{"paths", d.owned(&o.Paths)},
		{"users", d.owned(&o.Users)},
		{"systemUsers", d.owned(&o.SystemUsers)},
		{"names", d.owned(&o.Names)},
		{"labels", d.owned(&o.Labels)},
		{"cgroups", d.owned(&o.Cgroups)},
	})
}

// owned reads one list of the ownership into to, which is part of the recipe's. Each entry is judged in the company of
// those before it, so that a problem is shown where it stands.
func (d *decoder) owned(to *[]string) func(path string, n ast.Node) {
	return func(path string, n ast.Node) {
		d.list(path, n, func(path string, n ast.Node) {
			text, ok := d.text(path, n)
			if !ok {
				return
			}
			// Parts that are used together may each name what they need.
			key := path[:strings.IndexByte(path, '[')] + " " + text
			if first, again := d.ownedIn[key]; again && first != d.file {
				return
			}
			d.ownedIn[key] = d.file
			before := len(d.recipe.Owned.Check())
			*to = append(*to, text)
			problems := d.recipe.Owned.Check()
			for _, problem := range problems[min(before, len(problems)):] {
				d.fail(n, path, "%s", problem)
			}
			if len(problems) > before {
				*to = slices.Delete(*to, len(*to)-1, len(*to))
				d.misowned = true
			}
		})
	}
}

// platforms reads for which platforms the program carries scrub.
func (d *decoder) platforms(path string, n ast.Node) {
	d.recipe.Platforms = nil
	d.list(path, n, func(path string, n ast.Node) {
		text, ok := d.text(path, n)
		switch {
		case !ok:
		case !slices.Contains(carried.Platforms(), text):
			d.fail(n, path, "scrub does not exist for %q%s", text, didYouMean(text, carried.Platforms()))
		case slices.Contains(d.recipe.Platforms, text):
			d.fail(n, path, "%s is there twice", text)
		default:
			d.recipe.Platforms = append(d.recipe.Platforms, text)
		}
	})
	if s, ok := n.(*ast.SequenceNode); ok && len(s.Values) == 0 {
		d.fail(n, path, "the list is empty; leave it out for linux/amd64")
	}
}

// ownsSomething notes steps whose goal has nothing to be about. It may be that what was refused was to be that.
func (d *decoder) ownsSomething(s *stepSource) {
	if d.misowned {
		return
	}
	o := d.recipe.Owned
	users := len(o.Users) + len(o.SystemUsers)
	switch g := s.Goal; {
	case g.Processes != nil && !g.Processes.Cookies && users+len(o.Paths)+len(o.Cgroups) == 0:
		d.fail(s.node, s.path, "the recipe owns no users, paths or cgroups, and cookies is off: no process could ever be meant")
	case g.Containers != nil && !g.Containers.All && len(o.Labels)+len(o.Names) == 0:
		d.fail(s.node, s.path, "the recipe owns no labels or names: name them in \"owns\", or say \"all: true\" if the engine belongs to CI as a whole")
	case g.Network != nil && len(o.Names) == 0:
		d.fail(s.node, s.path, "the recipe owns no names: say in \"owns\" what links, namespaces and chains of CI are called")
	case (g.Mounts != nil || g.Loops != nil) && len(o.Paths) == 0:
		d.fail(s.node, s.path, "the recipe owns no paths: name them in \"owns\"")
	case g.VMs != nil && !g.VMs.All && len(o.Names) == 0:
		d.fail(s.node, s.path, "the recipe owns no names: name machines and networks in \"owns\", or say all: true where they are all of CI")
	case g.IPC != nil && users == 0:
		d.fail(s.node, s.path, "the recipe owns no users: name them in \"owns\"")
	case g.Cron != nil && users == 0:
		d.fail(s.node, s.path, "the recipe owns no users: whose crontabs are meant?")
	case g.Files != nil && len(o.Paths)+len(g.Files.Shared) == 0:
		d.fail(s.node, s.path, "the recipe owns no paths and the step names no shared directory: nothing could ever be meant")
	}
}

// kindOrder is the place of a step in its phase: goals of the clean phase in the order of their kinds, and the user's own
// steps before the kind they name, or else before the room on disks is judged.
func (s Step) kindOrder() int {
	kinds := spec.Kinds()
	if s.Phase != Clean {
		return 0
	}
	if kind := s.Kind(); kind != "" {
		return 2*slices.Index(kinds, kind) + 1
	}
	before := s.Before
	if before == "" {
		before = spec.KindDisk
	}
	return 2 * slices.Index(kinds, before)
}

// Kind is the kind of the step's goal, or "" for a script.
func (s Step) Kind() spec.Kind {
	if s.Goal == nil {
		return ""
	}
	return spec.Spec{Goal: *s.Goal}.Kind()
}
