// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// races is how many swaps have to succeed during removals, in each of the four ways that they are tried.
func races() int64 {
	if testing.Short() {
		return 1_000
	}
	return 25_000
}

const pairs = 16

// TestSwapsLeadNowhere has directories exchanged with links to something outside that has the same names in it, as fast as can be, while
// the tree is removed; and directories taken out of the tree and put back, next to things of the same names as in the tree.
func TestSwapsLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, w := range []world{worlds[0], worlds[2]} {
		t.Run(w.name, func(t *testing.T) {
			if !in(t, w) {
				return
			}
			for _, workers := range []int{1, 3} {
				t.Run(fmt.Sprintf("by %d", workers), func(t *testing.T) { race(t, workers) })
			}
		})
	}
}

func race(t *testing.T, workers int) {
	t.Helper()
	s := newSite(t)
	s.mount("tmpfs", s.base, "tmpfs", 0) // all the time for races, none for a disk
	s.make("tree/", "out/", "out/stash/", "out/file=precious", "out/sub/", "out/sub/file=precious", "out/empty/")
	for i := range 64 {
		s.make(fmt.Sprintf("out/%d=precious", i), fmt.Sprintf("out/stash/%d=precious", i))
	}
	s.guard()
	tree := s.open()
	var swaps, outs int64
	for rounds := 0; swaps < races() || outs == 0; rounds++ {
		for i := range pairs {
			s.make(fmt.Sprintf("tree/a%d/", i), fmt.Sprintf("tree/a%d/sub/", i), fmt.Sprintf("tree/a%d/empty/", i), fmt.Sprintf("tree/a%d/file=", i),
				fmt.Sprintf("tree/a%d/sub/file=", i), fmt.Sprintf("tree/b%d->../out", i), fmt.Sprintf("tree/a%d/l->../../out", i))
			for j := range 64 {
				s.make(fmt.Sprintf("tree/a%d/%d=", i, j))
			}
		}
		n, m := meanwhile(s, func() {
			if _, err := tree.Empty(t.Context(), Policy{}, Options{Workers: workers}); err != nil {
				t.Error(err)
			}
		})
		swaps, outs = swaps+n, outs+m
		for i := range pairs {
			s.must(os.RemoveAll(s.out + fmt.Sprintf("/stash/moved%d", i)))
		}
		// The adversaries have stopped: whatever they put back last goes now.
		if r, err := tree.Empty(t.Context(), Policy{}, Options{Workers: workers}); err != nil || len(r.Problems) > 0 {
			t.Fatalf("without adversaries: %v %v", err, r.Problems)
		}
		if diff := cmp.Diff([]string{}, paths(t, s.tree)); diff != "" {
			t.Fatalf("left in the tree (-want +got):\n%s", diff)
		}
		if rounds > 20_000 {
			t.Fatalf("only %d swaps and %d moves in %d rounds", swaps, outs, rounds)
		}
	}
	t.Logf("%d swaps, %d moves out of the tree and back", swaps, outs)
}

// meanwhile runs f beside the adversaries, and counts what they managed to do.
func meanwhile(s *site, f func()) (swaps, outs int64) {
	var stop atomic.Bool
	var group sync.WaitGroup
	group.Go(func() {
		for i := 0; !stop.Load(); i = (i + 1) % pairs {
			a, b := fmt.Sprintf("%s/a%d", s.tree, i), fmt.Sprintf("%s/b%d", s.tree, i)
			for range 4 {
				if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
					swaps++
				}
			}
		}
	})
	var from [pairs]int // the directories themselves, whatever is in their places by then
	for i := range from {
		var err error
		from[i], err = unix.Open(fmt.Sprintf("%s/a%d", s.tree, i), place, 0)
		s.must(err)
		defer unix.Close(from[i])
	}
	group.Go(func() {
		for i := 0; !stop.Load(); i = (i + 1) % pairs {
			moved := fmt.Sprintf("%s/stash/moved%d", s.out, i)
			if unix.Renameat(from[i], "sub", unix.AT_FDCWD, moved) == nil {
				outs++
				_ = unix.Renameat(unix.AT_FDCWD, moved, from[i], "sub")
			}
		}
	})
	f()
	stop.Store(true)
	group.Wait()
	return swaps, outs
}
