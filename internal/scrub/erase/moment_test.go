// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// moment is a change made by somebody else at a certain point of a removal.
type moment struct {
	name     string
	make     []string // beside 100 files in tree/d/e
	at       point
	in       string // the directory that the point has to do with
	change   func(s *site)
	left     []string // paths in the tree afterwards
	problems []string
	aside    func(t *testing.T, moved []string) // what was moved out
}

var moments = []moment{
	{
		name: "a directory that was moved out before anything was removed is left whole",
		at:   pointEntered, in: "tree/d/e", change: moveOut("tree/d/e"),
		problems: []string{"moved tree/d/e"}, aside: wants(100, 100),
	},
	{
		name: "a directory whose parent was moved out is left whole",
		at:   pointEntered, in: "tree/d/e", change: moveOut("tree/d"),
		problems: []string{"moved tree/d"}, aside: wants(101, 101),
	},
	{
		name: "of a directory that is moved out in the middle one more batch goes at most",
		at:   pointChecked, in: "tree/d/e", change: moveOut("tree/d/e"),
		problems: []string{"moved tree/d/e"}, aside: wants(100-batch, 99),
	},
	{
		name: "a directory that is moved out when it is empty stays where it is",
		at:   pointEmptied, in: "tree/d/e", change: moveOut("tree/d/e"), aside: wants(0, 0),
	},
	{
		name: "a directory that is moved within the tree goes all the same", make: []string{"tree/other/", "tree/z/"},
		at: pointChecked, in: "tree/d/e", change: func(s *site) { s.must(os.Rename(s.tree+"/d/e", s.tree+"/other/e")) },
	},
	{
		name: "a directory that is moved to another depth goes all the same", make: []string{"tree/z/"},
		at: pointChecked, in: "tree/d/e", change: func(s *site) { s.must(os.Rename(s.tree+"/d/e", s.tree+"/e")) },
	},
	{
		name: "a link in the place of a directory goes, and where it leads nothing does",
		at:   pointEntered, in: "tree/d/e", change: func(s *site) {
			s.must(os.Rename(s.tree+"/d/e", s.base+"/aside"))
			s.make("tree/d/e->../../out")
		}, problems: []string{"moved tree/d/e"}, aside: wants(100, 100),
	},
	{
		name: "a directory that became a link before it was opened is not entered", make: []string{"tree/d/f=1"},
		at: pointChecked, in: "tree/d", change: func(s *site) {
			s.must(os.Rename(s.tree+"/d/e", s.base+"/aside"))
			s.make("tree/d/e->../../out")
		}, aside: wants(100, 100),
	},
	{
		name: "a link in the place of an emptied directory goes",
		at:   pointEmptied, in: "tree/d/e", change: func(s *site) {
			s.must(os.Rename(s.tree+"/d/e", s.base+"/aside"))
			s.make("tree/d/e->../../out")
		}, aside: wants(0, 0),
	},
	{
		name: "what is put into an emptied directory goes",
		at:   pointEmptied, in: "tree/d/e", change: func(s *site) { s.make("tree/d/e/new/", "tree/d/e/new/a=1", "tree/d/e/b=1") },
	},
	{
		name: "a directory removed by somebody else is success",
		at:   pointChecked, in: "tree/d/e", change: func(s *site) { s.must(os.RemoveAll(s.tree + "/d")) },
	},
	{
		name: "what is mounted over a directory that is being read stays",
		at:   pointEntered, in: "tree/d/e", change: func(s *site) { s.mount(s.out, s.tree+"/d/e", "", unix.MS_BIND) },
		left: []string{"d/", "d/e/", "d/e/empty/", "d/e/file", "d/e/sub/", "d/e/sub/file"}, problems: []string{"mount tree/d/e"},
	},
	{
		name: "what is mounted in a directory that is being read stays", make: []string{"tree/d/e/m/"},
		at: pointEntered, in: "tree/d/e", change: func(s *site) { s.mount(s.out, s.tree+"/d/e/m", "", unix.MS_BIND) },
		left: []string{"d/", "d/e/", "d/e/m/", "d/e/m/empty/", "d/e/m/file", "d/e/m/sub/", "d/e/m/sub/file"}, problems: []string{"mount tree/d/e/m"},
	},
	{
		name: "what is mounted over the parent of a directory that is being read stays",
		at:   pointEntered, in: "tree/d/e", change: func(s *site) { s.mount(s.out, s.tree+"/d", "", unix.MS_BIND) },
		left: []string{"d/", "d/empty/", "d/file", "d/sub/", "d/sub/file"}, problems: []string{"mount tree/d"},
	},
}

func moveOut(name string) func(s *site) {
	return func(s *site) { s.must(os.Rename(s.base+"/"+name, s.base+"/aside")) }
}

func wants(least, most int) func(t *testing.T, moved []string) {
	return func(t *testing.T, moved []string) {
		t.Helper()
		if len(moved) < least || len(moved) > most {
			t.Errorf("%d things are left of what was moved out, want %d to %d", len(moved), least, most)
		}
	}
}

func TestTheWorldChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, w := range worlds {
		if w.uid != 0 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			if in(t, w) {
				for _, m := range moments {
					t.Run(m.name, m.try)
				}
			}
		})
	}
}

// isEmpty says whether a directory is. The end of one may have been guessed too early: a signal makes the system return fewer names.
func (s *site) isEmpty(dir string) bool {
	entries, err := os.ReadDir(s.base + "/" + dir)
	s.must(err)
	return len(entries) == 0
}

func (m moment) try(t *testing.T) {
	s := newSite(t)
	s.make("tree/d/", "tree/d/e/")
	for i := range 100 {
		s.make(fmt.Sprintf("tree/d/e/f%d=1", i))
	}
	s.make(m.make...)
	s.guard()
	done := false
	report, err := s.open().Empty(t.Context(), Policy{}, Options{Workers: 1, pause: func(where point, path string) {
		if where == m.at && path == s.base+"/"+m.in && !done && (m.at != pointEmptied || s.isEmpty(m.in)) {
			done = true
			m.change(s)
		}
	}})
	s.must(err)
	if !done {
		t.Fatalf("the point of the change was not reached: %+v, left %q", report, paths(t, s.tree))
	}
	if diff := cmp.Diff(m.left, paths(t, s.tree), nothing); diff != "" {
		t.Errorf("left in the tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m.problems, s.complaints(report), nothing); diff != "" {
		t.Errorf("problems (-want +got):\n%s\n%v", diff, report.Problems)
	}
	if m.aside != nil {
		m.aside(t, paths(t, s.base+"/aside"))
	}
	for _, p := range report.Problems {
		if p.Kind == Moved && !strings.Contains(p.Error(), s.base+"/aside") {
			t.Errorf("%v: want it to say where it is now", p)
		}
	}
}

// TestARefilledDirectoryIsGivenUp has a directory filled again each time that it is empty, while a process sits in it.
func TestARefilledDirectoryIsGivenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.make("tree/d/", "tree/d/a=1", "tree/e/", "tree/e/a=1")
	s.guard()
	sitter := actor(t, "sit", s.tree+"/d")
	stdin, err := sitter.StdinPipe()
	s.must(err)
	stdout, err := sitter.StdoutPipe()
	s.must(err)
	s.must(sitter.Start())
	defer sitter.Wait()
	defer stdin.Close()
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the process that sits in the directory: %v", err)
	}
	fills := 0
	r, err := s.open().Empty(t.Context(), Policy{}, Options{pause: func(where point, path string) {
		if where == pointEmptied && path == s.tree+"/d" {
			fills++
			s.make("tree/d/new=1")
		}
	}})
	s.must(err)
	if diff := cmp.Diff([]string{"refilled tree/d"}, s.complaints(r)); diff != "" {
		t.Fatalf("problems (-want +got):\n%s", diff)
	}
	if fills <= 1 || fills > 2*maxRounds {
		t.Errorf("it was emptied %d times, want at most %d", fills, maxRounds)
	}
	if by := r.Problems[0].By; len(by) != 1 || by[0].PID != sitter.Process.Pid || by[0].Name == "" {
		t.Errorf("named %+v, want the process %d that sits there", by, sitter.Process.Pid)
	}
	if diff := cmp.Diff([]string{"d/", "d/new"}, paths(t, s.tree)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestADirectoryFilledWhileItIsReadIsGivenUp uses a file system that shows new names to those who read on, so that reading has no end.
func TestADirectoryFilledWhileItIsReadIsGivenUp(t *testing.T) {
	t.Parallel()
	if !in(t, worlds[0]) {
		return
	}
	s := newSite(t)
	s.mount("tmpfs", s.tree, "tmpfs", 0)
	s.make("tree/d/")
	for i := range 2 * batch {
		s.make(fmt.Sprintf("tree/d/%d=", i))
	}
	s.guard()
	made := 0
	r, err := s.open().Empty(t.Context(), Policy{}, Options{Workers: 1, pause: func(where point, path string) {
		if where == pointChecked && path == s.tree+"/d" {
			for range batch + 1 {
				made++
				s.make(fmt.Sprintf("tree/d/new%d=", made))
			}
		}
	}})
	s.must(err)
	if diff := cmp.Diff([]string{"refilled tree/d"}, s.complaints(r)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if most := (maxRounds + 2) * 30 * suspicion; made > most {
		t.Errorf("%d names were made before it gave up, want at most %d", made, most)
	}
}

func playSit(args []string) error {
	if err := os.Chdir(args[0]); err != nil {
		return err
	}
	fmt.Print("x")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// TestSignalsCutNothingShort has signals come all the time: the system ends the reading of a directory early for one, as if
// there were no more names.
func TestSignalsCutNothingShort(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			_ = unix.Kill(os.Getpid(), unix.SIGURG) // the runtime's own: it is expected at any time
		}
	}()
	for range full(2000, 500, 100) {
		s := newSite(t)
		s.make("tree/d/", "tree/d/a=1", "tree/d/b=1", "tree/c=1")
		report, err := s.open().Empty(t.Context(), Policy{}, Options{Workers: 1})
		s.must(err)
		if left := paths(t, s.tree); len(left) > 0 {
			t.Fatalf("%q left, and %+v says nothing of it", left, report)
		}
	}
	cancel()
	<-ended
}
