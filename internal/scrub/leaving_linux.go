// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// leaving decides which mounts of one table go.
//
// Unmounting is told to the peers and slaves of the mount that holds the point. In other mount namespaces that takes
// away copies at the very same directory, which came there by the same way, and the kernel refuses it while one of them
// is in use. In our own namespace it would take away mounts at other points: where one of those is not to go, the mount
// stays, and a person has to own the other point or to unmount it.
type leaving struct {
	tree  mountinfo.Tree
	owned spec.Ownership
	goal  spec.Mounts
	// spared are paths that the cleanup or its agent works in.
	spared []string
	// stays holds the mounts that are ours: "" for those that go, or why it has to stay.
	stays map[int]string
	// inUse are those that would go, but that hold what is spared.
	inUse []mountinfo.Mount
	// hidden are those that would be ours, but that no owned path leads to.
	hidden []mountinfo.Mount
}

func (l *leaving) decide() {
	kept := l.kept()
	for _, m := range l.tree.All() {
		ours := l.owned.Below(m.Point) || l.goal.Roots && l.owned.Holds(m.Point)
		switch {
		case ours && kept[m.ID] == heldBySpared:
			l.inUse = append(l.inUse, m)
		case ours && kept[m.ID] == notHeld:
			l.stays[m.ID] = ""
		}
	}
	for changed := true; changed; {
		changed = false
		for _, m := range l.tree.All() {
			if why, ours := l.stays[m.ID]; ours && why == "" {
				changed = l.hides(m) || l.holds(m) || changed
			}
		}
	}
}

// held is on what account a mount stays.
type held int

const (
	notHeld held = iota
	heldBySpared
	heldByGoal
)

// kept are the mounts at points that are to be kept or that show what is spared, and those that they stand on.
func (l *leaving) kept() map[int]held {
	kept := map[int]held{}
	keep := func(m mountinfo.Mount, why held) {
		for _, up := range l.tree.Chain(m) {
			kept[up.ID] = max(kept[up.ID], why)
		}
	}
	for _, p := range l.spared {
		if m, ok := l.tree.At(spell(p)); ok {
			keep(m, heldBySpared)
		}
	}
	points := make([]string, len(l.goal.Keep))
	for i, p := range l.goal.Keep {
		points[i] = spell(p)
	}
	for _, m := range l.tree.All() {
		if slices.Contains(points, m.Point) {
			keep(m, heldByGoal)
		}
	}
	return kept
}

// hides takes m out if no path leads to it because of a mount that stays.
func (l *leaving) hides(m mountinfo.Mount) bool {
	for _, over := range l.tree.Hiders(m) {
		switch why, ours := l.stays[over.ID]; {
		case !ours: // below the owned path is what the other shows, and not m
			delete(l.stays, m.ID)
			l.hidden = append(l.hidden, m)
			return true
		case why != "":
			l.stays[m.ID] = shown(over.Point) + " hides it and has to stay: " + why
			return true
		}
	}
	return false
}

// holds notes why m has to stay if something that goes not holds it.
func (l *leaving) holds(m mountinfo.Mount) bool {
	for _, c := range l.tree.Children(m) {
		if why, ours := l.stays[c.ID]; !ours || why != "" {
			l.stays[m.ID] = shown(c.Point) + " is mounted in it and stays"
			return true
		}
	}
	if twin, stays := l.stayingTwin(m); stays && !l.goes(m.Parent) {
		l.stays[m.ID] = fmt.Sprintf("unmounting it would unmount %s too, which shares its directory and is not to go", shown(twin.Point))
		return true
	}
	return false
}

func (l *leaving) goes(id int) bool {
	why, ours := l.stays[id]
	return ours && why == ""
}

// stayingTwin returns a mount that would go together with m, and that is not to go.
func (l *leaving) stayingTwin(m mountinfo.Mount) (twin mountinfo.Mount, stays bool) {
	for _, twin := range l.tree.Twins(m) {
		if !l.goes(twin.ID) {
			return twin, true
		}
	}
	return mountinfo.Mount{}, false
}

// parting returns which mount has to be parted from its peers, with all that is mounted in it, before m is unmounted: the
// outermost of those that bear m and go. The one that holds the point of m may be hidden by m itself, so that no path leads to it.
func (l *leaving) parting(m mountinfo.Mount) (top mountinfo.Mount, needed bool) {
	if _, stays := l.stayingTwin(m); !stays {
		return mountinfo.Mount{}, false
	}
	for _, up := range l.tree.Chain(m)[1:] {
		if !l.goes(up.ID) {
			break
		}
		top, needed = up, true
	}
	return top, needed
}

// notes tells of mounts elsewhere that show owned directories, and of those that are hidden.
func (l *leaving) notes() []string {
	var notes []string
	for _, root := range l.owned.Paths {
		for _, m := range l.tree.Binds(root) {
			if !l.owned.Holds(m.Point) {
				notes = append(notes, fmt.Sprintf("%s shows %s, which is in %s; it is not owned and stays", shown(m.Point), shown(m.Root), root))
			}
		}
	}
	for _, m := range l.inUse {
		notes = append(notes, fmt.Sprintf("%s holds what the cleanup or its agent works in; it stays", shown(m.Point)))
	}
	for _, m := range l.hidden {
		notes = append(notes, fmt.Sprintf("%s is hidden by a mount that stays; it is left alone", shown(m.Point)))
	}
	return notes
}
