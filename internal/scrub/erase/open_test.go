// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFollowsOnlyLinksThatRootAloneCanHaveMade(t *testing.T) {
	t.Parallel()
	if !in(t, worlds[0]) {
		return
	}
	for _, c := range []struct {
		name    string
		prepare func(s *site)
		path    string // below the base
		refused string // the reason, in part; otherwise it is the tree that is opened
	}{
		{"no link at all", func(*site) {}, "tree", ""},
		{"a path that is not clean", func(*site) {}, "x/..//tree/./", ""},
		{"root's link in root's directory", func(s *site) { s.make("l->tree") }, "l", ""},
		{"such a link on the way", func(s *site) { s.make("d/", "d/tree->../tree", "l->d") }, "l/tree", ""},
		{"an absolute one", func(s *site) { s.make("l->" + s.tree) }, "l", ""},
		{"a user's link", func(s *site) {
			s.make("l->tree")
			s.must(os.Lchown(s.base+"/l", nobody, nobody))
		}, "l", "user 65534 owns it"},
		{"root's link in a user's directory", func(s *site) {
			s.make("d/", "d/l->../tree")
			s.must(os.Chown(s.base+"/d", nobody, nobody))
		}, "d/l", "user 65534 owns its directory"},
		{"root's link in a directory that a group may write to", func(s *site) {
			s.make("d/", "d/l->../tree")
			s.must(os.Chmod(s.base+"/d", 0o775))
		}, "d/l", "others than root may write to its directory (mode 0775)"},
		{"root's link in a directory for everybody, sticky or not", func(s *site) {
			s.make("d/", "d/l->../tree")
			s.must(os.Chmod(s.base+"/d", 0o777|os.ModeSticky))
		}, "d/l", "others than root may write to its directory (mode 1777)"},
		{"links that go round", func(s *site) { s.make("l->m", "m->l") }, "l", "too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.prepare(s)
			tree, err := Open(s.base + "/" + c.path)
			link, refused := errors.AsType[*LinkError](err)
			switch {
			case err == nil:
				defer tree.Close()
				if c.refused != "" {
					t.Errorf("it was opened, want it refused: %s", c.refused)
				}
				if where, _ := whereIs(tree.fd); where != s.tree {
					t.Errorf("opened %s, want %s", where, s.tree)
				}
			case c.refused == "" || !refused:
				t.Errorf("got %v, want a refusal of a link: %q", err, c.refused)
			case !strings.Contains(link.Reason, c.refused) || !strings.HasPrefix(link.Path, s.base):
				t.Errorf("got %v, want the link below %s and %q", err, s.base, c.refused)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for path, want := range map[string]error{
		"/": ErrRoot, "/usr/..": ErrRoot, "//": ErrRoot, s.out + "/file": unix.ENOTDIR, s.out + "/nothing": unix.ENOENT,
		s.out + "/file/x": unix.ENOTDIR, "tree": nil, "": nil,
	} {
		tree, err := Open(path)
		if err == nil {
			_ = tree.Close()
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("open %q: got %v, want %v", path, err, want)
		}
	}
}

// TestMountsByTheirPaths tries the last resort of old kernels, which cannot be had by forbidding system calls.
func TestMountsByTheirPaths(t *testing.T) {
	t.Parallel()
	if !in(t, worlds[0]) {
		return
	}
	s := newSite(t)
	s.make("tree/d/", "tree/d/e/", "tree/d/a b\\ \n/", "tree/z/")
	s.mount(s.out, s.tree+"/d/a b\\ \n", "", unix.MS_BIND)
	s.guard()
	tree := s.open()
	tree.kernel.openat2, tree.kernel.mounts = false, mounts{way: byTable}
	r, err := tree.Empty(t.Context(), Policy{}, Options{})
	s.must(err)
	if got := s.complaints(r); len(got) != 1 || got[0] != "mount tree/d/a b\\ \n" {
		t.Errorf("got problems %q, want the mount", got)
	}
	if got := paths(t, s.tree); len(got) != 6 || filepath.Dir(got[0]) != "d" {
		t.Errorf("left %q, want the mount only", got)
	}
}

func FuzzUnescape(f *testing.F) {
	for _, seed := range []string{`/a\040b`, `\134`, `\`, `\0`, `\999`, `\377\000`, "plain"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, plain string) {
		// What the kernel escapes, it escapes so; unescape must undo it, and leave anything else alone.
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(plain)
		if got := unescape(escaped); got != plain {
			t.Errorf("unescape(%q) = %q, want %q", escaped, got, plain)
		}
		_ = unescape(plain)
	})
}
