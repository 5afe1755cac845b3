// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// who may run a case: some states only root can make, and some things only an ordinary user is refused.
type who int

const (
	anybody who = iota
	onlyRoot
)

// rule is one promise: a state to begin with, and what of it may be left. Nothing outside may ever change.
type rule struct {
	name     string
	who      who
	make     []string      // what is in the tree, see site.make
	prepare  func(s *site) // more of it
	remove   string        // one name; otherwise all of the tree
	opts     Options       //
	left     []string      // paths in the tree afterwards
	problems []string      // kind and path
	stats    func(*Stats)  // what Stats must hold, where that matters
	check    func(s *site, r Report)
}

var rules = []rule{
	{name: "an empty tree is left as it is"},
	{
		name: "files and directories go", make: []string{"a=1", "d/", "d/b=2", "d/e/", "d/e/c=3"},
		stats: func(s *Stats) { *s = Stats{Files: 3, Dirs: 2} },
	},
	{
		name: "one entry goes and its neighbours stay", make: []string{"a/", "a/b=1", "ab/", "ab/c=1", "a.=1"}, remove: "a",
		left: []string{"a.", "ab/", "ab/c"}, stats: func(s *Stats) { *s = Stats{Files: 1, Dirs: 1} },
	},
	{name: "an entry that is not there is success", make: []string{"a=1"}, remove: "b", left: []string{"a"}},
	{name: "a file as the entry goes", make: []string{"a=1", "b=1"}, remove: "a", left: []string{"b"}},
	{name: "links go and what they point to stays", make: []string{
		"to-dir->../out", "to-file->../out/file", "d/", "d/up->../../out/sub",
		"d/nowhere->nothing", "d/self->self", "d/root->/",
	}, stats: func(s *Stats) { *s = Stats{Files: 6, Dirs: 1} }},
	{name: "a link as the entry goes alone", make: []string{"l->../out"}, remove: "l"},
	{name: "of a hard link only the name goes", make: []string{"d/"}, prepare: func(s *site) { s.make("tree/d/h==out/file", "tree/h==out/sub/file") }},
	{name: "pipes and sockets go unopened", prepare: func(s *site) {
		s.must(unix.Mkfifo(s.tree+"/pipe", 0o600))
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		s.must(err)
		dir, err := unix.Open(s.tree, place, 0) // the tree's own path is too long for a socket
		s.must(err)
		s.must(unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/s", dir)}))
		s.must(unix.Close(dir))
		s.must(unix.Close(fd))
	}, stats: func(s *Stats) { *s = Stats{Files: 2} }},
	{name: "names of any bytes go", make: []string{
		"new\nline=1", "\xff\xfe=1", " =1", "*=1", "-rf/", "-rf/a=1", "back\\slash/",
		strings.Repeat("x", 255) + "/", strings.Repeat("x", 255) + "/" + strings.Repeat("\xc3", 255) + "=1", "...=1", "..a/",
	}},
	{name: "directories without rights go", make: []string{"r/", "r/a=1", "n/", "n/d/", "n/d/a=1", "w/", "w/a=1"}, prepare: func(s *site) {
		s.must(os.Chmod(s.tree+"/n/d", 0))
		s.must(os.Chmod(s.tree+"/n", 0))
		s.must(os.Chmod(s.tree+"/r", 0o555))
		s.must(os.Chmod(s.tree+"/w", 0o333))
	}, stats: func(s *Stats) { *s = Stats{Files: 3, Dirs: 4} }},
	{name: "the mode of a file that has other names is not changed", make: []string{"r/"}, prepare: func(s *site) {
		s.must(os.Chmod(s.out+"/file", 0o400))
		s.make("tree/r/h==out/file")
		s.must(os.Chmod(s.tree+"/r", 0o555))
	}},
	{name: "bytes are counted when asked for", make: []string{"d/"}, opts: Options{Bytes: true}, prepare: func(s *site) {
		s.must(os.WriteFile(s.tree+"/d/a", make([]byte, 64<<10), 0o600))
		s.make("tree/d/h==out/file")
	}, stats: func(s *Stats) { *s = Stats{Files: 2, Dirs: 1, Bytes: 64 << 10} }},

	{
		name: "immutable and append-only things go", who: onlyRoot, make: []string{"i/", "i/a=1", "a/", "a/b=1", "f=1", "g=1", "d/", "d/i=1"},
		prepare: func(s *site) {
			s.chattr("+i", "tree/i", "tree/f", "tree/d/i")
			s.chattr("+a", "tree/a", "tree/g", "tree/a/b")
		}, stats: func(s *Stats) { *s = Stats{Files: 5, Dirs: 3} },
	},
	{name: "an immutable entry goes", who: onlyRoot, make: []string{"i/", "i/d/"}, remove: "i", prepare: func(s *site) {
		s.chattr("+i", "tree/i/d", "tree/i")
	}},
	{name: "an immutable file with a name outside stays", who: onlyRoot, make: []string{"d/", "d/b=1"}, prepare: func(s *site) {
		s.make("tree/d/h==out/file")
		s.chattr("+i", "out/file")
	}, left: []string{"d/", "d/h"}, problems: []string{"linked tree/d/h"}, check: (*site).stillImmutable},
	{
		name: "an immutable file with a name outside goes when that is permitted, and is immutable afterwards", who: onlyRoot, opts: Options{Linked: true},
		make: []string{"d/"}, prepare: func(s *site) {
			s.make("tree/d/h==out/file")
			s.chattr("+i", "out/file")
		}, check: (*site).stillImmutable,
	},

	{name: "a file system mounted below stays", who: onlyRoot, make: []string{"d/", "d/a=1", "d/m/", "z=1"}, prepare: func(s *site) {
		s.mount("tmpfs", s.tree+"/d/m", "tmpfs", 0)
		s.make("tree/d/m/f=1")
	}, left: []string{"d/", "d/m/", "d/m/f"}, problems: []string{"mount tree/d/m"}},
	{name: "a bind mount of the same file system stays", who: onlyRoot, make: []string{"d/", "d/a=1", "d/m/"}, prepare: func(s *site) {
		s.mount(s.out, s.tree+"/d/m", "", unix.MS_BIND)
	}, left: []string{"d/", "d/m/", "d/m/empty/", "d/m/file", "d/m/sub/", "d/m/sub/file"}, problems: []string{"mount tree/d/m"}},
	{name: "a bind mount as the entry stays", who: onlyRoot, make: []string{"m/"}, remove: "m", prepare: func(s *site) {
		s.mount(s.out, s.tree+"/m", "", unix.MS_BIND)
	}, left: []string{"m/", "m/empty/", "m/file", "m/sub/", "m/sub/file"}, problems: []string{"mount tree/m"}},
	{name: "a file mounted on a file stays", who: onlyRoot, make: []string{"f=1", "g=1"}, prepare: func(s *site) {
		s.mount(s.out+"/file", s.tree+"/f", "", unix.MS_BIND)
	}, left: []string{"f"}, problems: []string{"mount tree/f"}},
	{name: "the mode of a mounted directory is not changed", who: onlyRoot, make: []string{"m/"}, prepare: func(s *site) {
		s.must(os.Chmod(s.out+"/empty", 0))
		s.mount(s.out+"/empty", s.tree+"/m", "", unix.MS_BIND)
	}, left: []string{"m/"}, problems: []string{"mount tree/m"}},
	{name: "a read-only file system is reported", who: onlyRoot, make: []string{"a=1", "d/"}, prepare: func(s *site) {
		s.mount(s.tree, s.tree, "", unix.MS_BIND)
		s.mount("", s.tree, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY)
	}, left: []string{"a", "d/"}, problems: []string{"failed tree/a", "failed tree/d"}, check: func(s *site, r Report) {
		for _, p := range r.Problems {
			if !errors.Is(p, unix.EROFS) || !strings.Contains(p.Error(), "the file system is read-only") {
				s.Errorf("got %v, want it to say that the file system is read-only", p)
			}
		}
	}},
}

func (s *site) chattr(flag string, names ...string) {
	s.Helper()
	for _, name := range names {
		out, err := exec.Command("chattr", flag, s.base+"/"+name).CombinedOutput()
		if err != nil {
			s.Fatalf("chattr %s %s: %v: %s", flag, name, err, out)
		}
	}
}

func (s *site) stillImmutable(Report) {
	s.Helper()
	out, err := exec.Command("lsattr", s.out+"/file").CombinedOutput()
	if err != nil || !strings.Contains(strings.Fields(string(out))[0], "i") {
		s.Errorf("lsattr of the file outside says %q (%v), want it immutable still", out, err)
	}
	s.chattr("-i", "out/file")
}

// mount mounts until the test ends; what it shows then is looked at by guards before.
func (s *site) mount(from, to, kind string, flags uintptr) {
	s.Helper()
	if err := unix.Mount(from, to, kind, flags, ""); err != nil {
		s.Fatalf("mount %s on %s: %v", from, to, err)
	}
	s.Cleanup(func() { _ = unix.Unmount(to, 0) })
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			if !in(t, w) {
				return
			}
			for _, r := range rules {
				if r.who == onlyRoot && w.uid != 0 {
					continue
				}
				for _, workers := range []int{1, 3} {
					t.Run(r.name, func(t *testing.T) { r.try(t, workers) })
				}
			}
		})
	}
}

func (r rule) try(t *testing.T, workers int) {
	t.Helper()
	s := newSite(t)
	for _, thing := range r.make {
		s.make("tree/" + thing)
	}
	if r.prepare != nil {
		r.prepare(s)
	}
	s.guard()
	r.opts.Workers = workers
	tree := s.open()
	act := func(ctx context.Context) (Report, error) {
		if r.remove != "" {
			return tree.Remove(ctx, r.remove, r.opts)
		}
		return tree.Empty(ctx, Policy{}, r.opts)
	}
	report, err := act(t.Context())
	s.must(err)
	if diff := cmp.Diff(r.left, paths(t, s.tree), nothing); diff != "" {
		t.Errorf("left in the tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(r.problems, s.complaints(report), nothing); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", diff, report.Problems)
	}
	if report.Kept != int64(len(report.Problems)) {
		t.Errorf("kept %d, want one for each of %d problems", report.Kept, len(report.Problems))
	}
	if r.stats != nil {
		want := report.Stats
		r.stats(&want)
		if diff := cmp.Diff(want, report.Stats); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	}
	again, err := act(t.Context())
	s.must(err)
	if again.Files != 0 || again.Dirs != 0 || len(again.Problems) != len(r.problems) {
		t.Errorf("a second time: %+v, want nothing done and the same problems", again)
	}
	if r.check != nil {
		r.check(s, report)
	}
}

// nothing makes no difference between an empty list and none.
var nothing = cmp.Transformer("nothing", func(s []string) []string { return append([]string{}, s...) })
