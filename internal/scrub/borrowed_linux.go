// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// borrowed says why what shows at a path is not ours, although the path is: below an owned path something may be mounted
// that others have too. At an owned path itself a file system of its own is as the owner wants it: that is how agents with a
// disk of their own look. A part of another file system there may be what a build has bound: it is ours if the place that it
// shows is owned as well, or cannot be seen from here, as in a container. What is mounted at the path has to be open already, so that it stays while it is judged.
func borrowed(p string, o spec.Ownership) error {
	if !o.Holds(p) {
		return nil
	}
	owned, err := spelled(o)
	if err != nil {
		return err
	}
	named := p
	p = spell(p)
	root := slices.IndexFunc(owned.Paths, func(root string) bool { return spec.Within(root, p) })
	if root < 0 {
		return fmt.Errorf("%s leads to %s, which is not owned", shown(named), shown(p))
	}
	tree, err := mountTree(procfs.Machine, os.Getpid())
	if err != nil {
		return err
	}
	m, ok := tree.At(p)
	base, known := tree.At(owned.Paths[root])
	switch {
	case !ok:
		return nil
	case known && base.ID == m.ID:
		if m.Point != owned.Paths[root] || m.Root == "/" {
			return nil
		}
	case slices.Contains(remote, m.Type) || strings.HasPrefix(m.Type, "fuse"):
		return fmt.Errorf("%s is mounted at %s: others may use it too", describe(m), shown(m.Point))
	}
	if at := tree.Elsewhere(p, owned.Holds); at != "" {
		return fmt.Errorf("%s is mounted at %s, and what it shows here is also %s, which is not owned; own that too, or unmount it", describe(m), shown(m.Point), shown(at))
	}
	return nil
}

// servedIn returns what is mounted directly in a directory by way of a server, by its name there. The kernel's table tells, and no server
// is asked.
func servedIn(dir string) (map[string]servedMount, error) {
	tree, err := mountTree(procfs.Machine, os.Getpid())
	if err != nil {
		return nil, err
	}
	at := spell(path.Clean(dir))
	found := map[string]servedMount{}
	for _, m := range tree.All() {
		if path.Dir(m.Point) != at || !slices.Contains(remote, m.Type) && !strings.HasPrefix(m.Type, "fuse") {
			continue
		}
		one := servedMount{describe(m), -1}
		if user, ok := m.Option("user_id"); ok {
			if uid, err := strconv.Atoi(user); err == nil {
				one.user = uid
			}
		}
		found[path.Base(m.Point)] = one
	}
	return found, nil
}
