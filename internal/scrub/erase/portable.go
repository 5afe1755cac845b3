// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package erase

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is an open directory that we own. On this system it is an os.Root: nothing outside is reached through links or renames, but mounts
// below are not recognised, flags are not taken off, one directory is worked on at a time, and how to remove is for the most part not
// looked at (Options.Workers, Options.Linked).
type Tree struct {
	path string
	root *os.Root
}

// Open opens the directory at the absolute path. No symbolic link may stand on the way.
func Open(path string) (*Tree, error) {
	path = filepath.Clean(path)
	if err := straight(path); err != nil {
		return nil, fmt.Errorf("open tree %s: %w", quote(path), err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", quote(path), err)
	}
	return &Tree{path: path, root: root}, nil
}

func straight(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("the path is not absolute")
	}
	if filepath.Dir(path) == path {
		return ErrRoot
	}
	for at := path; filepath.Dir(at) != at; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return &LinkError{at, "on this system none is"}
		}
	}
	return nil
}

// Close gives the descriptor back.
func (t *Tree) Close() error { return t.root.Close() }

// Look gives the entries directly in the tree that the policy selects, by name. Owners are not known on this system: a policy that asks
// for them selects nothing; nor is it looked for sockets in use.
func (t *Tree) Look(ctx context.Context, policy Policy) ([]Entry, error) {
	names, err := t.names(".")
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", quote(t.path), err)
	}
	var entries []Entry
	for _, name := range names {
		if policy.Owners != nil || policy.Keep != nil && policy.Keep(name) {
			continue
		}
		info, err := t.root.Lstat(name)
		if err != nil {
			continue
		}
		e := Entry{Name: name, Mode: info.Mode(), Modified: info.ModTime(), Changed: info.ModTime()}
		e.count(info)
		if policy.deep() && info.IsDir() {
			t.measure(ctx, &e, name)
		}
		if !policy.selects(e) {
			continue
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, context.Cause(ctx)
}

func (e *Entry) count(info fs.FileInfo) {
	e.Size += info.Size()
	e.Inodes++
	e.used(info.ModTime())
}

// measure counts everything below a directory.
func (t *Tree) measure(ctx context.Context, e *Entry, dir string) {
	names, err := t.names(dir)
	if err != nil || ctx.Err() != nil {
		e.Unseen = true
		return
	}
	for _, name := range names {
		name = filepath.Join(dir, name)
		info, err := t.root.Lstat(name)
		if err != nil {
			e.Unseen = e.Unseen || !errors.Is(err, fs.ErrNotExist)
			continue
		}
		e.count(info)
		if info.IsDir() {
			t.measure(ctx, e, name)
		}
	}
}

func (t *Tree) names(dir string) ([]string, error) {
	d, err := t.root.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// remove removes what was picked; nil stands for all.
func (t *Tree) remove(ctx context.Context, picks []pick, opts Options) (report Report, err error) {
	if picks == nil {
		names, err := t.names(".")
		if err != nil {
			return report, fmt.Errorf("read tree %s: %w", quote(t.path), err)
		}
		for _, name := range names {
			picks = append(picks, pick{name: name})
		}
	}
	for _, p := range picks {
		t.removeAll(ctx, p.name, opts, &report)
	}
	report.Problems = report.Problems[:min(len(report.Problems), maxProblems)]
	if err := context.Cause(ctx); err != nil {
		return report, fmt.Errorf("remove from %s: %w", quote(t.path), err)
	}
	return report, nil
}

// removeAll removes a name and all below it, and says whether it is gone.
func (t *Tree) removeAll(ctx context.Context, name string, opts Options, r *Report) (gone bool) {
	if ctx.Err() != nil {
		return false
	}
	info, err := t.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err == nil && info.IsDir() {
		names, readErr := t.names(name)
		gone, err = true, readErr
		for _, sub := range names {
			gone = t.removeAll(ctx, filepath.Join(name, sub), opts, r) && gone
		}
		if err == nil && !gone {
			return false
		}
	}
	if err == nil {
		err = t.root.Remove(name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		r.Kept++
		r.Problems = append(r.Problems, Problem{Path: filepath.Join(t.path, name), Kind: Failed, Err: err})
		return false
	case info.IsDir():
		r.Dirs++
	default:
		r.Files++
		if opts.Bytes {
			r.Bytes += info.Size()
		}
	}
	return true
}
