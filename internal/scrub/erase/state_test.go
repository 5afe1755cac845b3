// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// site is where a test happens: a tree that is ours, and things outside that nothing may happen to.
type site struct {
	*testing.T
	base, tree, out string
}

func newSite(t *testing.T) *site {
	t.Helper()
	base := openTemp(t)
	s := &site{T: t, base: base, tree: base + "/tree", out: base + "/out"}
	s.make("tree/", "out/", "out/file=precious", "out/sub/", "out/sub/file=precious", "out/empty/")
	return s
}

// make makes, below the base: "dir/", "file=content", "link->target", "name==other" for a hard link.
func (s *site) make(things ...string) {
	s.Helper()
	for _, thing := range things {
		var err error
		if name, target, ok := strings.Cut(thing, "->"); ok {
			err = os.Symlink(target, s.base+"/"+name)
		} else if dir, ok := strings.CutSuffix(thing, "/"); ok {
			err = os.MkdirAll(filepath.Join(s.base, dir), 0o755)
		} else if name, other, ok := strings.Cut(thing, "=="); ok {
			err = os.Link(s.base+"/"+other, s.base+"/"+name)
		} else {
			name, content, _ := strings.Cut(thing, "=")
			err = os.WriteFile(s.base+"/"+name, []byte(content), 0o644)
		}
		s.must(err)
	}
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// open opens the tree until the test ends.
func (s *site) open() *Tree {
	s.Helper()
	t, err := Open(s.tree)
	s.must(err)
	s.Cleanup(func() { _ = t.Close() })
	return t
}

// state lists everything at and below a directory with type, mode, owner and content, sorted. It shares nothing with the engine.
func state(tb testing.TB, dir string) []string {
	tb.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				lines = append(lines, strings.TrimPrefix(path, dir)+" unreadable")
				return fs.SkipDir
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%q %s", strings.TrimPrefix(path, dir), info.Mode())
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
			line += fmt.Sprintf(" %q", text)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		tb.Fatalf("read the state of %s: %v", dir, err)
	}
	return lines
}

// paths lists the paths below a directory, sorted; directories end with a slash.
func paths(tb testing.TB, dir string) []string {
	tb.Helper()
	found := []string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if rel := strings.TrimPrefix(path, dir+"/"); path != dir {
			if d.IsDir() {
				rel += "/"
			}
			found = append(found, rel)
		}
		return nil
	})
	if err != nil {
		tb.Fatalf("list %s: %v", dir, err)
	}
	slices.Sort(found)
	return found
}

// guard says, at its end, whether something outside changed.
func (s *site) guard() {
	s.Helper()
	before := state(s, s.out)
	s.Cleanup(func() {
		if diff := cmp.Diff(before, state(s, s.out)); diff != "" {
			s.Errorf("something outside the tree changed (-before +after):\n%s", diff)
		}
	})
}

// complaints gives the problems in short: kind and path below the base.
func (s *site) complaints(r Report) []string {
	short := []string{}
	for _, p := range r.Problems {
		short = append(short, fmt.Sprintf("%s %s", kinds[p.Kind], strings.TrimPrefix(p.Path, s.base+"/")))
	}
	return short
}

var kinds = map[Kind]string{
	Failed: "failed", Denied: "denied", Mount: "mount", Linked: "linked", Refilled: "refilled", Moved: "moved",
	Changed: "changed", Busy: "busy",
}

// ago sets the times of a file back.
func (s *site) ago(path string, age time.Duration) {
	s.Helper()
	at := time.Now().Add(-age)
	s.must(os.Chtimes(s.base+"/"+path, at, at))
}
