// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// NewContainersIn is a step that knows which containers it and agents live in, and looks for engines at sockets unless
// the goal names some.
func NewContainersIn(s spec.Spec, ids, sockets []string, lost bool) Step {
	c := newContainers(s, Here{}).(*containers) //nolint:forcetypeassert // it makes nothing else
	c.usual = sockets
	c.self = func() dwelling { return dwelling{ids: ids, lost: lost} }
	return c
}

// Dwelling returns which containers a program lives in by a recorded machine, and whether it cannot tell.
func Dwelling(proc, root string) (ids []string, lost bool) {
	d := dwellingOf(procfs.Root(proc), root)
	return d.ids, d.lost
}
