// SPDX-License-Identifier: Apache-2.0

package mountinfo

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// Tree is a table of mounts in which each knows its place.
type Tree struct {
	all   []Mount
	at    map[int]Mount
	below map[int][]Mount // by the parent's ID
}

// NewTree orders a table.
func NewTree(all []Mount) Tree {
	t := Tree{all: all, at: make(map[int]Mount, len(all)), below: map[int][]Mount{}}
	for _, m := range all {
		t.at[m.ID] = m
		if m.Parent != m.ID {
			t.below[m.Parent] = append(t.below[m.Parent], m)
		}
	}
	return t
}

// All returns the table in the order of the kernel.
func (t Tree) All() []Mount { return t.all }

// Mount returns the mount with a number.
func (t Tree) Mount(id int) (m Mount, ok bool) {
	m, ok = t.at[id]
	return m, ok
}

// Children returns what is mounted on m itself.
func (t Tree) Children(m Mount) []Mount { return t.below[m.ID] }

// Chain returns m and what it is mounted on, upwards. It ends even if the table is inconsistent.
func (t Tree) Chain(m Mount) []Mount {
	chain := []Mount{m}
	for len(chain) <= len(t.all) {
		up, ok := t.at[m.Parent]
		if !ok || up.ID == m.ID {
			break
		}
		chain = append(chain, up)
		m = up
	}
	return chain
}

// Bearer returns the mount that holds the directory that m is mounted on: of a stack of mounts on one point, what the
// lowest is mounted on.
func (t Tree) Bearer(m Mount) (bearer Mount, ok bool) {
	for _, up := range t.Chain(m)[1:] {
		if up.Point != m.Point {
			return up, true
		}
	}
	return Mount{}, false
}

// Down returns all mounts in an order in which they can be unmounted: what is mounted on another before that, and what
// hides another before that.
func (t Tree) Down() []Mount {
	order := make([]Mount, 0, len(t.all))
	seen := make(map[int]bool, len(t.all))
	var visit func(m Mount)
	visit = func(m Mount) {
		if seen[m.ID] {
			return
		}
		seen[m.ID] = true
		siblings := slices.Clone(t.below[m.ID])
		slices.SortFunc(siblings, func(a, b Mount) int { // a shorter point can only hide a longer one, not the reverse
			return cmp.Or(cmp.Compare(len(a.Point), len(b.Point)), cmp.Compare(b.ID, a.ID))
		})
		for _, s := range siblings {
			visit(s)
		}
		order = append(order, m)
	}
	for _, m := range t.all {
		chain := t.Chain(m)
		visit(chain[len(chain)-1])
	}
	for _, m := range t.all {
		visit(m) // what is left stands in a circle
	}
	return order
}

// Hiders returns the mounts that hide m: no path leads to it while they are there. They are mounted on the same mount
// as m or as one that bears it, over a directory on the way.
func (t Tree) Hiders(m Mount) []Mount {
	var hiders []Mount
	for _, up := range t.Chain(m) {
		for _, s := range t.below[up.Parent] {
			later := s.Point != up.Point || s.ID > up.ID
			if s.ID != up.ID && spec.Within(s.Point, up.Point) && later {
				hiders = append(hiders, s)
			}
		}
	}
	return hiders
}

// Twins returns the mounts that the kernel unmounts together with m: unmounting is told to the peers and slaves of the
// mount that m is mounted on, whatever m itself shares, and what they have at the same directory goes too.
func (t Tree) Twins(m Mount) []Mount {
	parent, ok := t.at[m.Parent]
	if !ok || parent.Shared == 0 {
		return nil
	}
	inside := t.inside(parent, m.Point)
	var twins []Mount
	for _, p := range t.told(parent.Shared) {
		if p.ID == parent.ID || p.Device != parent.Device || !spec.Within(p.Root, inside) {
			continue
		}
		point := join(p.Point, strings.TrimPrefix(inside, p.Root))
		for _, c := range t.below[p.ID] {
			if c.Point == point && c.ID != m.ID {
				twins = append(twins, c)
			}
		}
	}
	return twins
}

// inside returns where a path below the point of m is inside of its file system.
func (t Tree) inside(m Mount, p string) string {
	return join(m.Root, strings.TrimPrefix(p, m.Point))
}

// join leaves the paths as they are: the "//" in the mark of a deleted root has a meaning.
func join(root, rest string) string {
	if rest = strings.Trim(rest, "/"); rest == "" {
		return root
	}
	return strings.TrimSuffix(root, "/") + "/" + rest
}

// told returns the members of a peer group, and of all groups that it tells.
func (t Tree) told(group int) []Mount {
	var all []Mount
	groups := []int{group}
	for i := 0; i < len(groups); i++ {
		for _, m := range t.all {
			if m.Shared != groups[i] && m.Master != groups[i] {
				continue
			}
			if !slices.ContainsFunc(all, func(a Mount) bool { return a.ID == m.ID }) {
				all = append(all, m)
			}
			if m.Shared != 0 && !slices.Contains(groups, m.Shared) {
				groups = append(groups, m.Shared)
			}
		}
	}
	return all
}

// At returns the mount that shows at a path, which is absolute and clean.
func (t Tree) At(p string) (m Mount, ok bool) {
	for _, candidate := range t.all {
		if !spec.Within(candidate.Point, p) || ok && len(candidate.Point) < len(m.Point) || len(t.Hiders(candidate)) > 0 {
			continue
		}
		if ok && candidate.Point == m.Point && !slices.ContainsFunc(t.Chain(candidate), func(up Mount) bool { return up.ID == m.ID }) {
			continue // of a stack the upper one shows
		}
		m, ok = candidate, true
	}
	return m, ok
}

// Shows returns what shows at a path, which is absolute and clean: the number of a file system, and a directory or file
// of it.
func (t Tree) Shows(p string) (device, root string, ok bool) {
	m, ok := t.At(p)
	return m.Device, t.inside(m, p), ok
}

// Binds returns the mounts that show a directory out of the tree at p somewhere else than below p.
func (t Tree) Binds(p string) []Mount {
	bearer, ok := t.At(p)
	if !ok {
		return nil
	}
	inside := t.inside(bearer, p)
	return slices.DeleteFunc(slices.Clone(t.all), func(m Mount) bool {
		return m.Device != bearer.Device || !spec.Within(inside, m.Root) || spec.Within(p, m.Point) || m.ID == bearer.ID
	})
}

// Elsewhere returns a path at which something of what shows at p can be found too and for which owned does not hold; "" if
// there is none.
func (t Tree) Elsewhere(p string, owned func(path string) bool) string {
	bearer, ok := t.At(p)
	if !ok {
		return ""
	}
	inside := t.inside(bearer, p)
	for _, m := range t.all {
		if m.ID == bearer.ID || m.Device != bearer.Device {
			continue
		}
		at := m.Point
		switch {
		case spec.Within(m.Root, inside):
			at = join(m.Point, strings.TrimPrefix(inside, m.Root))
		case !spec.Within(inside, m.Root):
			continue
		}
		if !owned(at) {
			return at
		}
	}
	return ""
}
