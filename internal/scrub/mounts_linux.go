// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// mounts unmounts what is mounted below the owned paths.
//
// It looks at the kernel's table only, never at a mount point: what is mounted there may hang. It never unmounts lazily,
// since a mount that is only out of sight keeps its disk busy and its files open.
type mounts struct {
	goal  spec.Mounts
	owned spec.Ownership
	here  Here
	proc  procfs.Root
	tree  mountinfo.Tree
	known map[string]mountinfo.Mount // what the last look found, by the identity of its deviation
	calls map[int]*unmounting        // what the kernel has not answered yet, by the number of the mount
	parts map[int]mountinfo.Mount    // what is to be parted from its peers before a mount goes, by the number of that
	notes []string
}

func newMounts(s spec.Spec, here Here) Step {
	return &mounts{
		goal: *s.Mounts, owned: s.Owned, here: here, proc: procfs.Machine,
		known: map[string]mountinfo.Mount{}, calls: map[int]*unmounting{}, parts: map[int]mountinfo.Mount{},
	}
}

// Notes returns remarks on what the last look saw and leaves alone.
func (m *mounts) Notes() []string { return m.notes }

// Look finds the mounts that go, in an order in which they can.
func (m *mounts) Look(context.Context) ([]Deviation, error) {
	owned, err := spelled(m.owned)
	if err != nil {
		return nil, err
	}
	if m.tree, err = mountTree(m.proc, os.Getpid()); err != nil {
		return nil, err
	}
	l := leaving{tree: m.tree, owned: owned, goal: m.goal, spared: m.here.Spared, stays: map[int]string{}}
	l.decide()
	m.notes = l.notes()
	clear(m.known)
	clear(m.parts)
	found, names := m.unanswered(), names(m.tree)
	for _, mount := range m.tree.Down() {
		why, ours := l.stays[mount.ID]
		if !ours {
			continue
		}
		d := Deviation{Stays: why, Residue: spec.Residue{
			Kind: "mount", ID: names[mount.ID], What: mount.Type + " of " + shown(mount.Source),
		}}
		if user, ok := mount.Option("user_id"); ok {
			d.Owner = user
		}
		m.known[d.ID] = mount
		if top, needed := l.parting(mount); needed {
			m.parts[mount.ID] = top
		}
		found = append(found, d)
	}
	return found, nil
}

// mountTree reads the table that a process sees.
func mountTree(proc procfs.Root, pid int) (mountinfo.Tree, error) {
	text, err := proc.Mounts(pid)
	if err != nil {
		return mountinfo.Tree{}, err
	}
	all, err := mountinfo.Parse(text)
	return mountinfo.NewTree(all), err
}

// names returns the point of each mount, and which it is of several there, counted from below so that the others keep
// their names when the uppermost is gone.
func names(tree mountinfo.Tree) map[int]string {
	names, levels := map[int]string{}, map[string]int{}
	for _, m := range slices.Backward(tree.Down()) {
		levels[m.Point]++
		names[m.ID] = shown(m.Point)
		if level := levels[m.Point]; level > 1 {
			names[m.ID] = fmt.Sprintf("%s (%d deep)", shown(m.Point), level)
		}
	}
	return names
}
