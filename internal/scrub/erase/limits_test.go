// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// full gives the size that a test is to run at: what it promises, or less.
func full(promised, usual, short int) int {
	switch {
	case testing.Short():
		return short
	case os.Getenv("PITCREW_LONG") == "1":
		return promised
	}
	return usual
}

// chain makes a chain of directories, deeper than any path could name, with a file and a directory beside each.
func (s *site) chain(levels int, beside bool) {
	s.Helper()
	fd, err := unix.Open(s.tree, directory, 0)
	s.must(err)
	for range levels {
		s.must(unix.Mkdirat(fd, "d", 0o755))
		if beside {
			s.must(unix.Mkdirat(fd, "beside", 0o755))
			s.must(unix.Symlinkat("..", fd, "up"))
		}
		next, err := unix.Openat(fd, "d", directory, 0)
		s.must(err)
		s.must(unix.Close(fd))
		fd = next
	}
	s.must(unix.Close(fd))
}

func TestDeepTreesNeedFewDescriptors(t *testing.T) {
	t.Parallel()
	for _, w := range []world{worlds[1], worlds[2]} {
		t.Run(w.name, func(t *testing.T) {
			if !in(t, w) {
				return
			}
			for _, beside := range []bool{false, true} {
				for _, workers := range []int{1, 3} {
					t.Run(fmt.Sprintf("beside %v, by %d", beside, workers), func(t *testing.T) { deep(t, beside, workers) })
				}
			}
		})
	}
}

func deep(t *testing.T, beside bool, workers int) {
	t.Helper()
	s := newSite(t)
	s.mount("tmpfs", s.tree, "tmpfs", 0)
	levels := full(100_000, 20_000, 3_000)
	s.chain(levels, beside)
	s.guard()
	began := time.Now()
	r, err := s.open().Empty(t.Context(), Policy{}, Options{Workers: workers})
	s.must(err)
	t.Logf("%d levels in %v", levels, time.Since(began))
	want := Stats{Dirs: int64(levels)}
	if beside {
		want.Dirs, want.Files = 2*want.Dirs, want.Dirs
	}
	if diff := cmp.Diff(Report{Stats: want}, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, paths(t, s.tree)); diff != "" {
		t.Errorf("left in the tree (-want +got):\n%s", diff)
	}
}

func TestFlatDirectories(t *testing.T) {
	t.Parallel()
	if !in(t, worlds[0]) {
		return
	}
	s := newSite(t)
	s.mount("tmpfs", s.tree, "tmpfs", 0)
	count := full(1_000_000, 50_000, 5_000)
	s.make("tree/files/", "tree/dirs/")
	for i := range count {
		s.must(unix.Mknod(fmt.Sprintf("%s/files/%d", s.tree, i), unix.S_IFREG|0o600, 0))
		if i%4 == 0 {
			s.must(unix.Mkdir(fmt.Sprintf("%s/dirs/%d", s.tree, i), 0o755))
		}
	}
	r, err := s.open().Empty(t.Context(), Policy{}, Options{})
	s.must(err)
	if diff := cmp.Diff(Report{Stats: Stats{Files: int64(count), Dirs: int64(count)/4 + 2}}, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{}, paths(t, s.tree)); diff != "" {
		t.Errorf("left in the tree (-want +got):\n%s", diff)
	}
}

// TestDescriptorsComeBack looks at what is open before and after removals, those that were cut short included.
func TestDescriptorsComeBack(t *testing.T) {
	t.Parallel()
	if !in(t, worlds[1]) {
		return
	}
	s := newSite(t)
	tree := s.open()
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		s.must(err)
		return len(all)
	}
	before := open()
	for i := range 50 {
		s.make(fmt.Sprintf("tree/%d/", i))
		s.forest(rand.New(rand.NewPCG(1, uint64(i))), fmt.Sprintf("tree/%d", i), 100)
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		_, _ = tree.Empty(ctx, Policy{}, Options{Workers: 1, pause: func(point, string) {
			if seen++; seen == i {
				cancel()
			}
		}})
		_, _ = tree.Look(ctx, Policy{Measure: true})
		cancel()
		if _, err := tree.Look(ctx, Policy{}); !errors.Is(err, context.Canceled) {
			t.Errorf("a look whose context ended says %v", err)
		}
	}
	if after := open(); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// forest makes a random tree of about that many things in a directory that may hold things already.
func (s *site) forest(r *rand.Rand, root string, size int) {
	s.Helper()
	dirs := []string{root}
	for i := range size {
		at := dirs[r.IntN(len(dirs))]
		name := fmt.Sprintf("%s/%d", at, i)
		switch r.IntN(6) {
		case 0, 1:
			s.must(os.MkdirAll(s.base+"/"+name, 0o755))
			dirs = append(dirs, name)
		case 2:
			_ = os.Symlink([]string{"/", "..", s.out, "nowhere"}[r.IntN(4)], s.base+"/"+name)
		case 3:
			_ = os.Link(s.out+"/file", s.base+"/"+name)
		default:
			s.must(os.WriteFile(s.base+"/"+name+"f", nil, 0o644))
		}
	}
}

// TestKilledAndRunAgain kills a removal at random moments until one of them comes to its end.
func TestKilledAndRunAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.guard()
	r := rand.New(rand.NewPCG(7, 7))
	kills := 0
	for range full(50, 3, 1) {
		s.forest(r, "tree", 3_000)
		for finished := false; !finished; {
			cmd := actor(t, "erase", s.tree)
			var out bytes.Buffer
			cmd.Stdout = &out
			s.must(cmd.Start())
			// More time each time: a slow machine may not even have begun when a fast one is done.
			timer := time.AfterFunc(time.Duration(r.IntN(20_000+30_000*kills))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			finished = cmd.Wait() == nil
			timer.Stop()
			if !finished {
				kills++
			} else if strings.Contains(out.String(), "stays") {
				t.Errorf("the last run says %s", out.String())
			}
		}
		if diff := cmp.Diff([]string{}, paths(t, s.tree)); diff != "" {
			t.Fatalf("left in the tree (-want +got):\n%s", diff)
		}
	}
	if t.Logf("%d kills", kills); kills == 0 {
		t.Error("no run was killed")
	}
}
