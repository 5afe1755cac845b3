// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/erase"
)

// pressed returns those of paths whose file system has less room than the goal wants: all if it wants none. What cannot be
// asked is left to the look at it, which says why.
func (f *files) pressed(paths []string) []string {
	if f.goal.Pressure == 0 {
		return paths
	}
	var short []string
	for _, p := range paths {
		free, err := f.room(p)
		if err == nil && free.bytes >= f.goal.Pressure {
			f.notes = append(f.notes, fmt.Sprintf("%s: %d MB are free, so everything stays", p, free.bytes/1e6))
			continue
		}
		short = append(short, p)
	}
	return short
}

// selected returns what is to go of a directory, by name: what any of the policies selects, and of what they leave for its
// age, that which does not fit into the goal's size. left is told of what would be selected but for what it holds, see erase.Policy.
func (f *files) selected(ctx context.Context, tree *erase.Tree, policies []erase.Policy, left func(erase.Entry)) ([]erase.Entry, error) {
	var all []erase.Entry
	seen := map[string]bool{}
	for _, policy := range policies {
		policy.Left = left
		if f.goal.Size > 0 {
			policy.Before, policy.Measure = time.Time{}, true
		}
		entries, err := tree.Look(ctx, policy)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !seen[e.Name] {
				seen[e.Name] = true
				all = append(all, e)
			}
		}
	}
	if f.goal.Size > 0 {
		all = f.surplus(all, policies, left)
	}
	return all, nil
}

// surplus returns those of the entries that are too old or do not fit into the goal's size when the newest go in first. What
// could not be seen whole stays, since neither its age nor its size is known; left is told of it.
func (f *files) surplus(all []erase.Entry, policies []erase.Policy, left func(erase.Entry)) []erase.Entry {
	slices.SortFunc(all, func(a, b erase.Entry) int {
		return cmp.Or(b.Newest.Compare(a.Newest), strings.Compare(a.Name, b.Name))
	})
	room := f.goal.Size
	goes := slices.DeleteFunc(all, func(e erase.Entry) bool {
		young := policies[0].Before.IsZero() || !e.Newest.Before(policies[0].Before)
		if e.Unseen {
			left(e)
		}
		stays := e.Unseen || young && e.Size <= room
		if stays {
			room -= e.Size
		}
		return stays
	})
	slices.SortFunc(goes, func(a, b erase.Entry) int { return strings.Compare(a.Name, b.Name) })
	return goes
}

// shrink removes those of mine that still are to go. What is used from now on is newer than all of them, and stays.
func (f *files) shrink(ctx context.Context, tree *erase.Tree, policies []erase.Policy, mine map[string]int) (erase.Report, error) {
	entries, err := f.selected(ctx, tree, policies, func(erase.Entry) {})
	if err != nil {
		return erase.Report{}, err
	}
	goes := map[string]bool{}
	var last time.Time
	for _, e := range entries {
		if _, is := mine[e.Name]; !is {
			continue
		}
		goes[e.Name] = true
		if e.Newest.After(last) {
			last = e.Newest
		}
	}
	if len(goes) == 0 {
		return erase.Report{}, nil
	}
	return tree.Empty(ctx, erase.Policy{Keep: func(name string) bool { return !goes[name] }, Before: last.Add(1)}, erase.Options{})
}
