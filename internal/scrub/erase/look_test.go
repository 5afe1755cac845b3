// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLookSelects(t *testing.T) {
	t.Parallel()
	old := 48 * time.Hour
	for _, c := range []struct {
		name   string
		policy func(now time.Time) Policy
		want   string
	}{
		{"everything by the zero policy", func(time.Time) Policy { return Policy{} }, "deep file fresh link old"},
		{"all but what is kept", func(time.Time) Policy {
			return Policy{Keep: func(name string) bool { return strings.HasPrefix(name, "f") }}
		}, "deep link old"},
		{"what nobody else owns", func(time.Time) Policy { return Policy{Owners: []uint32{uint32(os.Geteuid())}} }, "deep file fresh link old"},
		{"nothing of users who have nothing", func(time.Time) Policy { return Policy{Owners: []uint32{4711}} }, ""},
		{"nothing by the age of contents that were set back", func(now time.Time) Policy { return Policy{Before: now.Add(-old / 2)} }, ""},
		{"all that was not used since", func(now time.Time) Policy { return Policy{Before: now.Add(old)} }, "deep file fresh link old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.make("tree/old=1", "tree/fresh=1", "tree/file=12", "tree/link->../out", "tree/deep/", "tree/deep/d/", "tree/deep/d/e=1")
			s.ago("tree/old", old)
			s.guard()
			before := state(t, s.tree)
			entries, err := s.open().Look(t.Context(), c.policy(time.Now()))
			s.must(err)
			var names []string
			for _, e := range entries {
				names = append(names, e.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("selected %q, want %q", got, c.want)
			}
			if diff := cmp.Diff(before, state(t, s.tree)); diff != "" {
				t.Errorf("looking changed the tree:\n%s", diff)
			}
		})
	}
}

func TestLookMeasuresWhatIsBelow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.make("tree/d/", "tree/d/link->../../out", "tree/d/e/", "tree/f=1")
	s.must(os.WriteFile(s.tree+"/d/e/big", make([]byte, 1<<20), 0o600))
	s.ago("tree/d/e/big", time.Hour)
	entries, err := s.open().Look(t.Context(), Policy{Measure: true})
	s.must(err)
	d := entries[slices.IndexFunc(entries, func(e Entry) bool { return e.Name == "d" })]
	if d.Inodes != 4 || d.Size < 1<<20 || d.Size > 1<<20+64<<10 || d.Unseen || !d.Mode.IsDir() {
		t.Errorf("got %d inodes, %d bytes, unseen %v, mode %s; want 4 inodes and a megabyte", d.Inodes, d.Size, d.Unseen, d.Mode)
	}
	if age := time.Since(d.Newest); age > time.Minute {
		t.Errorf("newest is %s old although the directory was just made", age)
	}
}

// Whoever leaves a file may have dated it to any year.
func TestNoTimeSetByHandKeepsAnythingForLonger(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.make("tree/d/", "tree/d/f=1", "tree/f=1", "tree/ahead=1")
	future := time.Now().AddDate(70, 0, 0)
	s.must(errors.Join(os.Chtimes(s.tree+"/d/f", future, future), os.Chtimes(s.tree+"/d", future, future), os.Chtimes(s.tree+"/f", future, future)))
	ahead := time.Now().Add(time.Hour) // of a server whose clock is ahead
	s.must(os.Chtimes(s.tree+"/ahead", ahead, time.Time{}))
	entries, err := s.open().Look(t.Context(), Policy{Before: time.Now().Add(time.Minute)})
	s.must(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); got != "d f" {
		t.Errorf("older than a minute from now is %q, want what was made just now, but for what was read later", got)
	}
}

func TestEmptyLeavesWhatWasReplacedSinceItWasSelected(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.make("tree/d/", "tree/d/a=1", "tree/f=1")
	tree := s.open()
	entries, err := tree.Look(t.Context(), Policy{Keep: func(string) bool { return false }})
	s.must(err)
	s.must(os.Rename(s.tree+"/d", s.base+"/elsewhere"))
	s.make("tree/d/", "tree/d/fresh=1")
	s.must(os.Rename(s.tree+"/f", s.base+"/elsewhere2"))
	s.make("tree/f=fresh")
	var picks []pick
	for _, e := range entries {
		picks = append(picks, pick{e.Name, e.id})
	}
	r, err := tree.remove(t.Context(), picks, Options{})
	s.must(err)
	if diff := cmp.Diff([]string{"changed tree/d", "changed tree/f"}, s.complaints(r)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"d/", "d/fresh", "f"}, paths(t, s.tree)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestRemoveRefusesWhatIsNoName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.guard()
	for _, name := range []string{"", ".", "..", "a/b", "../out", "/", s.out} {
		_, err := s.open().Remove(t.Context(), name, Options{})
		if _, ok := errors.AsType[*NameError](err); !ok {
			t.Errorf("remove %q: got %v, want a NameError", name, err)
		}
	}
}

func TestACancelledRemovalEndsSoonWithRightStats(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for d := range strings.FieldsSeq("a b c d e f g h") {
		s.make("tree/"+d+"/", "tree/"+d+"/1=1", "tree/"+d+"/2=1", "tree/"+d+"/3/")
	}
	all := len(paths(t, s.tree))
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	r, err := s.open().Empty(ctx, Policy{}, Options{Workers: 1, pause: func(where point, _ string) {
		if seen++; where == pointChecked && seen > 10 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
	left := len(paths(t, s.tree))
	if left == 0 || left == all || all-left != int(r.Files+r.Dirs) {
		t.Errorf("of %d things %d are left, and the stats say %+v", all, left, r.Stats)
	}
	r, err = s.open().Empty(t.Context(), Policy{}, Options{})
	if s.must(err); int(r.Files+r.Dirs) != left || len(paths(t, s.tree)) != 0 {
		t.Errorf("the second run removed %+v of %d and left %q", r.Stats, left, paths(t, s.tree))
	}
}
