// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"context"
	"errors"
	"path/filepath"
	"time"
)

// Options say how to remove. The zero value is what to use unless there is a reason.
type Options struct {
	Workers int  // directories that are worked on at a time; 0 is eight, whatever the number of processors
	Bytes   bool // count the bytes that become free: one more look at each file
	// Linked permits the immutable and append-only flags to be taken off a file that has other names, for as long as removing one
	// takes. The other names may lie outside the tree, which is why such a file is otherwise left and reported.
	Linked bool

	pause func(where point, path string) // for tests: called at points where the world may change
}

// point is a moment in a removal at which a test may change the world.
type point int

const (
	pointEntered point = iota + 1 // a directory was opened, nothing in it was touched yet
	pointChecked                  // a directory was seen to be in the tree; the next names go now
	pointEmptied                  // all of a directory was removed, itself not yet
)

// maxProblems is how many problems are described in a report; more are only counted.
const maxProblems = 200

// Stats count what was done. They are right also when the work was cut short.
type Stats struct {
	Files int64 // names removed that were no directories
	Dirs  int64 // directories removed
	Bytes int64 // bytes on disk that became free with them, if asked for
	Kept  int64 // names that stay, each with a problem, or with one that stands for many
}

func (s *Stats) add(o Stats) {
	s.Files += o.Files
	s.Dirs += o.Dirs
	s.Bytes += o.Bytes
	s.Kept += o.Kept
}

// Report is what a removal did and what it could not do. Without problems, all that was asked for is gone.
type Report struct {
	Stats
	Problems []Problem // the first of them, at most 200; Stats.Kept counts all
}

// Remove removes the entry of that name directly in the tree, and all below it. That there is none is success. The error is the
// context's, or that of a tree which cannot be used at all; what stays for other reasons is in the report.
func (t *Tree) Remove(ctx context.Context, name string, opts Options) (Report, error) {
	if !plainName(name) {
		return Report{}, &NameError{Name: name}
	}
	return t.remove(ctx, []pick{{name: name}}, opts)
}

// Empty removes the entries that the policy selects, and all below them. An entry that was replaced after the policy had looked at it
// stays, with a problem of kind Changed.
func (t *Tree) Empty(ctx context.Context, policy Policy, opts Options) (Report, error) {
	if policy.all() {
		return t.remove(ctx, nil, opts)
	}
	entries, err := t.Look(ctx, policy)
	if err != nil || len(entries) == 0 {
		return Report{}, err
	}
	picks := make([]pick, len(entries))
	for i, e := range entries {
		picks[i] = pick{name: e.Name, id: e.id}
	}
	return t.remove(ctx, picks, opts)
}

// pick is a name in the tree that is to go; with an identity, only if it still has that.
type pick struct {
	name string
	id   ident
}

// ident tells inodes apart for as long as they live.
type ident struct{ dev, ino uint64 }

func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && filepath.IsLocal(name) && filepath.Base(name) == name
}

// NameError says that a name is not that of an entry directly in the tree.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return "remove " + quote(e.Name) + ": not the name of an entry directly in the tree"
}

// LinkError says that a symbolic link stands on the way to a tree, and that somebody else than root has, or could have, made it.
type LinkError struct {
	Path   string // the link
	Reason string
}

func (e *LinkError) Error() string {
	return "symbolic link " + quote(e.Path) + " is not followed: " + e.Reason
}

// ErrRoot refuses the root of the file system as a tree.
var ErrRoot = errors.New("the root of the file system is nobody's to empty")

// Policy selects entries directly in a tree. The zero value selects all.
type Policy struct {
	// Keep says of a name whether it stays; it is asked before the entry is looked at. nil keeps none.
	Keep func(name string) bool
	// Owners selects the entries of these users; nil selects everybody's.
	Owners []uint32
	// Before selects entries that were last used before it: they and everything below, see Entry.Newest. Zero selects any age.
	Before time.Time
	// InUse says of a socket whether somebody answers there, by its name in its directory and its number: an entry that is one of those,
	// or holds one at any depth, is not selected. nil takes every socket for a file that nobody misses.
	InUse func(name string, inode uint64) bool
	// Left is told of each entry that is not selected only because it is such a socket or holds one, or because not all of it could be seen,
	// so that its age is not known: see Entry. nil has nobody told.
	Left func(Entry)
	// Measure has Look fill in Size, Inodes, Newest and Oldest from everything below an entry, which means to visit all of it.
	Measure bool
}

func (p Policy) all() bool {
	return p.Keep == nil && p.Owners == nil && p.Before.IsZero() && p.InUse == nil
}

// deep says whether it takes a look below the entries.
func (p Policy) deep() bool { return p.weighs() || p.InUse != nil }

// weighs says whether everything below the entries counts towards what is known of them.
func (p Policy) weighs() bool { return p.Measure || !p.Before.IsZero() }

// selects decides about an entry of which all is known that will be.
func (p Policy) selects(e Entry) bool {
	if e.replaced || !p.Before.IsZero() && !e.Newest.Before(p.Before) {
		return false
	}
	stays := e.InUse || !p.Before.IsZero() && e.Unseen
	if stays && p.Left != nil {
		p.Left(e)
	}
	return !stays
}
