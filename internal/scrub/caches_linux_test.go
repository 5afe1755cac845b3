// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// fill makes directories below dir, each after the one before it, with a file of so many bytes in each.
func fill(t *testing.T, dir string, size int, names ...string) {
	t.Helper()
	for _, name := range names {
		plant(t, dir, name+"/deep/")
		if err := os.WriteFile(filepath.Join(dir, name, "deep", "blob"), bytes.Repeat([]byte{'x'}, size), 0o600); err != nil {
			t.Fatal(err)
		}
		later(t)
	}
}

// later waits until the file system's clock has moved on, so that what is made next is newer.
func later(t *testing.T) {
	t.Helper()
	at := filepath.Join(t.TempDir(), "clock")
	stamp := func() time.Time {
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(at)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for first := stamp(); !stamp().After(first); {
		if err := os.Remove(at); err != nil {
			t.Fatal(err)
		}
	}
}

// tops are the names directly in dir.
func tops(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestACacheKeepsTheNewestThatFit(t *testing.T) {
	t.Parallel()
	owned := t.TempDir()
	const mb = 1 << 20
	fill(t, owned, mb, "a-oldest", "kept-oldest", "b-old")
	fill(t, owned, 4*mb, "c-large")
	fill(t, owned, mb, "d-new", "e-newest")
	// Of the oldest a file deep below is used again, which makes it the newest.
	if err := os.WriteFile(filepath.Join(owned, "a-oldest", "deep", "used"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{Size: 4*mb + mb/2, Keep: []string{"kept-*"}}}}
	before := listing(t, owned)
	plan := reach(t, s, scrub.Here{}, scrub.Plan)
	var named []string
	for _, f := range plan.Found {
		named = append(named, filepath.Base(f.ID))
	}
	slices.Sort(named)
	if want := []string{"c-large"}; !slices.Equal(named, want) || !slices.Equal(before, listing(t, owned)) {
		t.Errorf("a plan finds %q and leaves %q; want %q and everything", named, listing(t, owned), want)
	}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || r.Removed != 1 || r.Bytes < 4*mb {
		t.Errorf("result %+v; want the large one gone", r)
	}
	s.Files.Size = 2*mb + mb/2
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || r.Removed != 2 {
		t.Errorf("result %+v; want two more gone", r)
	}
	if diff := cmp.Diff([]string{"a-oldest", "e-newest", "kept-oldest"}, tops(t, owned)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v; want nothing to do", r)
	}
	s.Files.Older = 24 * 60 * 60 // everything is young: the size alone decides
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("with an age as well: %+v; want nothing to do", r)
	}
	s.Files.Size = 1
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.Removed != 2 {
		t.Errorf("result %+v; want all but the kept one gone", r)
	}
	if got := tops(t, owned); !slices.Equal(got, []string{"kept-oldest"}) {
		t.Errorf("left %q; want what the recipe keeps", got)
	}
}

func TestASharedDirectoryIsShrunkByOwnThingsOnly(t *testing.T) {
	t.Parallel()
	shared := open(t)
	fill(t, shared, 1<<20, "foreign", "yum-1", "yum-2", "yum-3")
	s := spec.Spec{Goal: spec.Goal{Files: &spec.Files{Shared: []string{shared}, Names: []string{"yum-*"}, Size: 1<<20 + 1<<19}}}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || r.Removed != 2 {
		t.Errorf("result %+v; want two gone", r)
	}
	if got := tops(t, shared); !slices.Equal(got, []string{"foreign", "yum-3"}) {
		t.Errorf("left %q; want the foreign one and the newest", got)
	}
}

func TestWithoutPressureEverythingStays(t *testing.T) {
	t.Parallel()
	asRoot(t)
	owned := open(t)
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=16m", "none", owned).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", owned).Run() })
	fill(t, owned, 2<<20, "a", "b", "c", "d")
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{Pressure: 6 << 20}}}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	if r.State != spec.Unchanged || len(r.Notes) != 1 || !strings.HasSuffix(r.Notes[0], "MB are free, so everything stays") {
		t.Errorf("result %+v; want nothing to do while there is room", r)
	}
	if got := tops(t, owned); len(got) != 4 {
		t.Errorf("left %q; want all", got)
	}
	s.Files.Pressure, s.Files.Size = 12<<20, 3<<20
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || r.Removed != 3 {
		t.Errorf("result %+v; want it shrunk under pressure", r)
	}
	if got := tops(t, owned); !slices.Equal(got, []string{"d"}) {
		t.Errorf("left %q; want the newest", got)
	}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v; want nothing to do", r)
	}
}
