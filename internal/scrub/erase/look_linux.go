// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Look gives the entries directly in the tree that the policy selects, by name. It changes nothing.
func (t *Tree) Look(ctx context.Context, policy Policy) ([]Entry, error) {
	entries, err := t.list(ctx, policy)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", quote(t.path), err)
	}
	if policy.deep() {
		if err := t.measure(ctx, entries, policy); err != nil {
			return nil, fmt.Errorf("look below %s: %w", quote(t.path), err)
		}
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return !policy.selects(e) })
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// list gives the entries without a look below them.
func (t *Tree) list(ctx context.Context, policy Policy) ([]Entry, error) {
	fd, err := retry(func() (int, error) { return unix.Openat(t.fd, ".", directory, 0) })
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var entries []Entry
	var n names
	for ctx.Err() == nil {
		if err := n.read(fd); err != nil || n.end {
			return entries, err
		}
		for _, e := range n.list {
			name := n.name(e)
			if policy.Keep != nil && policy.Keep(name) {
				continue
			}
			var st unix.Stat_t
			err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
			if errors.Is(err, unix.ENOENT) || err == nil && policy.Owners != nil && !slices.Contains(policy.Owners, st.Uid) {
				continue
			}
			if err != nil {
				return nil, err
			}
			one := entryOf(name, &st)
			one.InUse = policy.answers(name, &st)
			entries = append(entries, one)
		}
	}
	return nil, context.Cause(ctx)
}

func entryOf(name string, st *unix.Stat_t) Entry {
	e := Entry{
		Name: name, Mode: modeOf(st.Mode), Owner: st.Uid, id: identOf(st),
		Modified: time.Unix(st.Mtim.Unix()), Changed: time.Unix(st.Ctim.Unix()),
	}
	e.count(st)
	return e
}

// skew is how far ahead the clock of a server of files may be. A time that is later was set by hand, which cannot be done to that of the
// inode's change: who dates a file to the year 2099 must not keep it until then.
const skew = 24 * time.Hour

// count adds an inode to what is known of an entry.
func (e *Entry) count(st *unix.Stat_t) {
	e.Size += st.Blocks * 512
	e.Inodes++
	at, latest := time.Unix(st.Ctim.Unix()), time.Now().Add(skew)
	times := []unix.Timespec{st.Mtim}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		times = append(times, st.Atim) // a directory's says when somebody looked into it, such as we
	}
	for _, other := range times {
		if u := time.Unix(other.Unix()); u.After(at) && u.Before(latest) {
			at = u
		}
	}
	e.used(at)
}

// answers says whether an inode is a socket that is in use.
func (p Policy) answers(name string, st *unix.Stat_t) bool {
	return p.InUse != nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK && p.InUse(name, st.Ino)
}

// measure visits all that is below the entries.
func (t *Tree) measure(ctx context.Context, entries []Entry, policy Policy) error {
	e := t.erasure(Options{})
	e.measuring, e.policy = true, policy
	root, err := e.root()
	if err != nil {
		return err
	}
	defer unix.Close(root.fd)
	root.pending = 1 // it is never done itself
	for i := range entries {
		if top := &entries[i]; top.Mode.IsDir() {
			d := new(dir)
			d.below(root, top.Name)
			d.want, d.top = top.id, top
			e.give(0, d)
		}
	}
	e.run(ctx)
	if e.left > 0 {
		return context.Cause(ctx)
	}
	return nil
}

// weighAll counts the names that are no directories; those are counted when they are opened.
func (w *worker) weighAll(d *dir, fd int) bool {
	for _, e := range w.names.list {
		if e.kind == unix.DT_DIR || !w.policy.weighs() && e.kind != unix.DT_SOCK && e.kind != unix.DT_UNKNOWN {
			continue
		}
		if w.stopped() {
			return false
		}
		var st unix.Stat_t
		err := unix.Fstatat(fd, w.names.name(e), &st, unix.AT_SYMLINK_NOFOLLOW)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			w.unseen(d.top)
		case st.Mode&unix.S_IFMT == unix.S_IFDIR:
			sub := new(dir)
			sub.below(d, w.names.name(e))
			w.give(w.number, sub)
		default:
			w.weigh(d.top, &st)
			if w.policy.answers(w.names.name(e), &st) {
				w.answered(d.top)
			}
		}
	}
	return true
}

// shut says whether nobody without privileges can get at what is in a directory of ours: nothing in it has been used since it was shut, which
// its own times tell.
func shut(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o111 == 0 && os.Geteuid() != 0 && st.Uid == uint32(os.Geteuid()) //nolint:gosec // user numbers have 32 bits
}

// weighShut counts a directory that could not be opened for being shut.
func (w *worker) weighShut(d *dir, err error) bool {
	if !errors.Is(err, unix.EACCES) {
		return false
	}
	parent, err := w.reach(d.parent)
	if err != nil {
		return false
	}
	defer w.giveBack(d.parent)
	var st unix.Stat_t
	if unix.Fstatat(parent, d.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || !shut(&st) {
		return false
	}
	w.weigh(d.top, &st)
	return true
}

func (e *erasure) weigh(top *Entry, st *unix.Stat_t) {
	if top.id == identOf(st) || !e.policy.weighs() {
		return // counted when it was listed, or nobody asked
	}
	e.notes.Lock()
	defer e.notes.Unlock()
	top.count(st)
}

func (e *erasure) answered(top *Entry) {
	e.notes.Lock()
	defer e.notes.Unlock()
	top.InUse = true
}

func (e *erasure) unseen(top *Entry) {
	e.notes.Lock()
	defer e.notes.Unlock()
	top.Unseen = true
}

func (e *erasure) replaced(top *Entry) {
	e.notes.Lock()
	defer e.notes.Unlock()
	top.replaced = true
}
