// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"fmt"
	"io/fs"
	"net"
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

// plant makes files, and directories where a name ends with a slash, below dir.
func plant(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		at := filepath.Join(dir, name)
		parent := filepath.Dir(at)
		if strings.HasSuffix(name, "/") {
			parent = at
		}
		if err := os.MkdirAll(parent, 0o755); err != nil {
			t.Fatal(err)
		}
		if parent != at {
			if err := os.WriteFile(at, []byte("some text\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// listing is all that is below dir, by a walk that shares nothing with the engine.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestOwnedDirectoriesAreEmptiedAndStay(t *testing.T) {
	t.Parallel()
	owned, outside := t.TempDir(), t.TempDir()
	plant(t, outside, "keep/a", "b")
	plant(t, owned, "app/src/x", "app@tmp/y", "single", "cache/z", "own/build/now", "line\nend", "empty/")
	for name, target := range map[string]string{"link": filepath.Join(outside, "keep"), "app/out": outside, "gone": "/no/such/place"} {
		if err := os.Symlink(target, filepath.Join(owned, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned, filepath.Join(outside, "not-there")}}, Goal: spec.Goal{Files: &spec.Files{Keep: []string{"cach?"}}}}
	here := scrub.Here{Spared: []string{filepath.Join(owned, "own/build")}}
	before := listing(t, owned)
	if plan := reach(t, s, here, scrub.Plan); len(plan.Found) != 7 {
		t.Errorf("a plan finds %+v; want 7 entries", plan.Found)
	}
	if diff := cmp.Diff(before, listing(t, owned)); diff != "" {
		t.Errorf("a plan changed something:\n%s", diff)
	}
	r := reach(t, s, here, scrub.Do)
	if r.State != spec.Changed || r.Removed != 7 || r.Bytes == 0 {
		t.Errorf("result %+v; want 7 gone, with what they held", r)
	}
	if diff := cmp.Diff([]string{"cache", "cache/z", "own", "own/build", "own/build/now"}, listing(t, owned)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "keep", "keep/a"}, listing(t, outside)); diff != "" {
		t.Errorf("outside (-want +got):\n%s", diff)
	}
	if again := reach(t, s, here, scrub.Do); again.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v; want nothing to do", again)
	}
}

func TestOfSharedDirectoriesOnlyOwnThingsGo(t *testing.T) {
	t.Parallel()
	asRoot(t)
	shared := open(t)
	plant(t, shared, "foreign", "ours", "ours-dir/x", "yum-1", "systemd-private-abc/x", "hsperfdata_games/1", "kept")
	games := int(uidOf(t, "games"))
	for _, name := range []string{"ours", "ours-dir", "ours-dir/x", "systemd-private-abc", "hsperfdata_games", "kept"} {
		if err := os.Chown(filepath.Join(shared, name), games, -1); err != nil {
			t.Fatal(err)
		}
	}
	server, err := net.Listen("unix", filepath.Join(shared, "ours-socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := os.Chown(filepath.Join(shared, "ours-socket"), games, -1); err != nil {
		t.Fatal(err)
	}
	cache := open(t) // it is owned, and another step says what of it goes
	plant(t, cache, "kept")
	s := spec.Spec{
		Owned: spec.Ownership{SystemUsers: []string{"games"}, Paths: []string{cache}},
		Goal:  spec.Goal{Files: &spec.Files{Shared: []string{shared}, Names: []string{"yum-*"}, Keep: []string{"kept"}}},
	}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	want := []string{"foreign", "hsperfdata_games", "hsperfdata_games/1", "kept", "ours-socket", "systemd-private-abc", "systemd-private-abc/x"}
	if diff := cmp.Diff(want, listing(t, shared)); diff != "" || r.State != spec.Changed {
		t.Errorf("%s: left (-want +got):\n%s", r.State, diff)
	}
	if diff := cmp.Diff([]string{"kept"}, listing(t, cache)); diff != "" {
		t.Errorf("left of an owned path that the step does not name (-want +got):\n%s", diff)
	}
	if err := server.Close(); err != nil { // removes the socket
		t.Fatal(err)
	}
}

func TestYoungThingsStay(t *testing.T) {
	t.Parallel()
	owned := t.TempDir()
	plant(t, owned, "old/deep/x", "young/deep/x", "touched/deep/x")
	long := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"old/deep/x", "old/deep", "old", "touched/deep", "touched"} {
		if err := os.Chtimes(filepath.Join(owned, name), long, long); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody can set back when an inode was changed: what looks old by its times was planted just now.
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{Older: 24 * 60 * 60}}}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("result %+v; want all to stay", r)
	}
	s.Files.Older = 0
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.Removed != 3 {
		t.Errorf("result %+v; want all to go", r)
	}
}

// TestResidueOfFilesTellsWhoseItIs: whose, how large, for how long, and of which job where the name of a workspace tells.
func TestResidueOfFilesTellsWhoseItIs(t *testing.T) {
	t.Parallel()
	asRoot(t)
	home := t.TempDir()
	plant(t, home, "workspace/app/x", "workspace/app@2/x", "workspace/single", "cache/app/x")
	if err := os.Chown(filepath.Join(home, "workspace/app@2"), 4242, -1); err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{
		Owned: spec.Ownership{Paths: []string{filepath.Join(home, "workspace"), filepath.Join(home, "cache")}}, Goal: spec.Goal{Files: &spec.Files{}},
	}
	found, err := scrub.NewFilesAt(s, time.Now().Add(time.Hour)).Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range found {
		r := d.Residue
		if r.Culprit == nil {
			r.Culprit = &spec.Culprit{}
		}
		got = append(got, fmt.Sprintf("%s %s of %s by %q %s", r.Kind, strings.TrimPrefix(r.ID, home), r.Owner, r.Culprit.Job, r.Culprit.By))
		if age := r.Age.Duration(); age < time.Hour || age > 2*time.Hour || r.Bytes == 0 {
			t.Errorf("%s: %d bytes, for %s; want some, for an hour", r.ID, r.Bytes, age)
		}
	}
	slices.Sort(got)
	want := []string{
		`directory /cache/app of 0 by "" `, `directory /workspace/app of 0 by "app" workspace`,
		`directory /workspace/app@2 of 4242 by "app" workspace`, `file /workspace/single of 0 by "single" workspace`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

func TestWhatMayNotBeRemovedIsNamed(t *testing.T) {
	t.Parallel()
	asRoot(t)
	owned := open(t)
	plant(t, owned, "fixed/x", "loose/x")
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "none", filepath.Join(owned, "fixed")).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", filepath.Join(owned, "fixed")).Run() })
	plant(t, owned, "fixed/inside")
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{}}}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || r.Removed != 1 || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Why, "mounted there") {
		t.Errorf("result %+v; want one thing gone and the mount named", r)
	}
	if diff := cmp.Diff([]string{"fixed", "fixed/inside"}, listing(t, owned)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// TestMountsOfServersAreNotLookedAt: one whose server hangs would hang us, and that of another user is closed even to root.
func TestMountsOfServersAreNotLookedAt(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	games, news := uidOf(t, "games"), uidOf(t, "news")
	p.run(t, "mkdir $X/theirs $X/ours $X/yum-1 $X/left $X/yum-2 $O/hung $O/kept $O/left; chown games $X/left $X/ours; chown news $X/theirs")
	for name, uid := range map[string]uint32{"X/theirs": news, "X/ours": games, "X/yum-1": news, "O/hung": 0, "O/kept": 0} {
		connect(t, "server", p.path(name), "fuse", uid)
	}
	s := spec.Spec{
		Owned: spec.Ownership{SystemUsers: []string{"games"}, Paths: []string{p.owned}},
		Goal:  spec.Goal{Files: &spec.Files{Paths: []string{p.owned}, Shared: []string{p.other}, Names: []string{"yum-*"}, Keep: []string{"kept"}}},
	}
	step, err := scrub.New(s, scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := scrub.Reach(ctx, spec.KindFiles, step, scrub.Do)
	if err != nil {
		t.Error(err)
	}
	named := map[string]string{}
	for _, problem := range r.Problems {
		named[problem.ID] = problem.Why
	}
	const why = "fuse of server is mounted there: unmount it"
	if diff := cmp.Diff(map[string]string{p.path("O/hung"): why, p.path("X/ours"): why, p.path("X/yum-1"): why}, named); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	for dir, want := range map[string][]string{p.owned: {"hung", "kept"}, p.other: {"ours", "theirs", "yum-1"}} {
		if diff := cmp.Diff(want, tops(t, dir)); diff != "" {
			t.Errorf("left in %s (-want +got):\n%s", dir, diff)
		}
	}
}

// TestWhatCannotBeSeenWholeIsNamed: of that neither age nor size is known, so it is not proved that it may stay.
func TestWhatCannotBeSeenWholeIsNamed(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir -p $O/covered/m $O/closed/root; chmod 700 $O/closed/root; chown games $O $O/*; mount -t tmpfs t $O/covered/m")
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Files: &spec.Files{Size: 1 << 20}}}
	check := func(by string, r spec.Result, want ...string) {
		var named []string
		for _, problem := range r.Problems {
			if strings.Contains(problem.Why, "not all of it can be seen") {
				named = append(named, filepath.Base(problem.ID))
			}
		}
		if slices.Sort(named); r.State != spec.Unmet || !slices.Equal(named, want) {
			t.Errorf("%s: %s, named %q; want %q (%+v)", by, r.State, named, want, r.Problems)
		}
	}
	check("by size", reach(t, s, scrub.Here{}, scrub.Do), "covered")
	check("by size, as a user", reachAs(t, uidOf(t, "games"), s, scrub.Here{}, scrub.Do), "closed", "covered")
	s.Files = &spec.Files{Older: 60}
	for by, now := range map[string]time.Time{"young": time.Now(), "old": time.Now().Add(time.Hour)} {
		r, err := scrub.Reach(t.Context(), spec.KindFiles, scrub.NewFilesAt(s, now), scrub.Judge)
		if err != nil {
			t.Fatal(err)
		}
		if by == "young" {
			if r.State != spec.Unchanged {
				t.Errorf("what is in use by its age: %+v; want nothing to do", r)
			}
			continue
		}
		check("by age", r, "covered")
	}
}

// TestWhatIsShutIsJudgedByItself: nobody has used what is in a directory since its owner has shut it.
func TestWhatIsShutIsJudgedByItself(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p, games := newPlot(t), uidOf(t, "games")
	p.run(t, "mkdir -p $O/shut/in/deep $O/blind/in $O/top/in; chown -R games $O; chmod 0 $O/shut/in $O/top; chmod 600 $O/blind")
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Files: &spec.Files{Size: 1 << 20}}}
	if r := reachAs(t, games, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("%s: %+v; want all of it to fit", r.State, r.Problems)
	}
	s.Files.Size = 1
	if r := reachAs(t, games, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || len(tops(t, p.owned)) > 0 {
		t.Errorf("%s: %+v, left %q; want all to go", r.State, r.Problems, tops(t, p.owned))
	}
}
