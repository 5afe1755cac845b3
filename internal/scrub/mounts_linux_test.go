// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// do has a step done by this very process, or where that is tried by scrub for another platform.
func do(t *testing.T, s spec.Spec, mode scrub.Mode) spec.Result {
	t.Helper()
	if r, ok := emulated(t, 0, s, scrub.Here{}, mode); ok {
		return r
	}
	step, err := scrub.New(s, scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := scrub.Reach(t.Context(), s.Kind(), step, mode)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mountsOf(p plot, goal spec.Mounts) spec.Spec {
	return spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Mounts: &goal}}
}

// said is all that a result says went wrong, and remarks.
func said(r spec.Result) string {
	var all []string
	for _, p := range r.Problems {
		all = append(all, p.ID+": "+p.Why)
	}
	return strings.Join(append(all, r.Notes...), "\n")
}

func TestMountsGoOnlyBelowOwnedPaths(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for name, c := range map[string]struct {
		build string
		goal  func(plot) spec.Mounts
		gone  []string // points at which nothing is to be mounted in the end
		stay  []string // guards: points at which as much is to be mounted as before
		says  string   // part of a problem or a remark
		state spec.State
	}{
		"nothing there": {build: "mkdir $O/a", state: spec.Unchanged, gone: []string{"O/a"}},
		"a mount, those in it and those over it": {
			build: "mkdir $O/a; mount -t tmpfs t $O/a; mkdir $O/a/b; mount -t tmpfs t $O/a/b; mount -t tmpfs t $O/a/b; mkdir $O/a/b/c; mount -t tmpfs t $O/a/b/c; mount -t tmpfs t $O/a/b/c",
			gone:  []string{"O/a", "O/a/b", "O/a/b/c"},
		},
		"mounts that later ones hide": {
			build: "mkdir -p $O/a/b $O/a/c; mount -t tmpfs t $O/a/b; mkdir $O/a/b/x; mount -t tmpfs t $O/a/b/x; mount -t tmpfs t $O/a; mkdir $O/a/b; mount -t tmpfs t $O/a/b",
			gone:  []string{"O/a", "O/a/b", "O/a/b/x"},
		},
		"a directory from elsewhere, which stays": {
			build: "mkdir $X/data $O/a; mount -t tmpfs t $X/data; touch $X/data/f; mount --bind $X/data $O/a; mount -o remount,bind,ro $O/a",
			gone:  []string{"O/a"}, stay: []string{"X/data"},
		},
		"a tree from elsewhere, which stays": {
			build: "mkdir -p $X/t $O/a; mount -t tmpfs t $X/t; mkdir $X/t/u; mount -t tmpfs t $X/t/u; mount --rbind $X/t $O/a",
			gone:  []string{"O/a", "O/a/u"}, stay: []string{"X/t", "X/t/u"},
		},
		"one file over another":       {build: "touch $O/f $X/g; mount --bind $X/g $O/f", gone: []string{"O/f"}},
		"a namespace":                 {build: "touch $O/ns; mount --bind /proc/self/ns/net $O/ns", gone: []string{"O/ns"}},
		"a directory that is deleted": {build: "mkdir $X/d $O/a; mount --bind $X/d $O/a; rmdir $X/d", gone: []string{"O/a"}},
		"an overlay":                  {build: "mkdir $X/l $O/a; mount -t tmpfs t $O/a; mkdir $O/a/u $O/a/w $O/a/m; mount -t overlay o -o lowerdir=$X/l,upperdir=$O/a/u,workdir=$O/a/w $O/a/m", gone: []string{"O/a", "O/a/m"}},
		"names of any bytes":          {build: `for n in 'a b' "$(printf 'a\nb')" "$(printf 'a\tb')" 'a\040b' 'a\' "$(printf '\377\376')" '#' -v 'a (deleted)' 'a//b' '"'; do mkdir -p "$O/$n"; mount -t tmpfs t "$O/$n"; done`, gone: []string{"O/a b", "O/a\nb", "O/a\tb", `O/a\040b`, `O/a\`, "O/\xff\xfe", "O/#", "O/-v", "O/a (deleted)", "O/a/b", `O/"`}},
		"sources that are no word":    {build: `mkdir $O/a $O/b; mount -t tmpfs "$(printf 'a b\n- c')" $O/a; mount -t tmpfs "" $O/b`, gone: []string{"O/a", "O/b"}},
		"not those of the same beginning": {
			build: "mkdir ${O}-data $O/a; mount -t tmpfs t ${O}-data; mount -t tmpfs t $O/a", gone: []string{"O/a"}, stay: []string{"O-data"},
		},
		"not the owned path itself, but what is in it": {
			build: "mount -t tmpfs t $O; mkdir $O/a; mount -t tmpfs t $O/a", gone: []string{"O/a"}, stay: []string{"O"},
		},
		"the owned path too where that is wanted": {
			build: "mount -t tmpfs t $O; mkdir $O/a; mount -t tmpfs t $O/a; mount -t tmpfs t ${O}", gone: []string{"O", "O/a"},
			goal: func(plot) spec.Mounts { return spec.Mounts{Roots: true} },
		},
		"not what the mount at the owned path hides": {
			build: "mkdir $O/a; mount -t tmpfs t $O/a; mount -t tmpfs t $O; mkdir $O/a", stay: []string{"O", "O/a"}, says: "hidden", state: spec.Unchanged,
		},
		"not what is kept, nor what that stands on": {
			build: "mkdir -p $O/k $O/x; mount -t tmpfs t $O/k; mkdir -p $O/k/c $O/k/d; mount -t tmpfs t $O/k/c; mount -t tmpfs t $O/k/d; mount -t tmpfs t $O/x",
			goal:  func(p plot) spec.Mounts { return spec.Mounts{Keep: []string{p.path("O/k/c"), p.path("O/none")}} },
			gone:  []string{"O/k/d", "O/x"}, stay: []string{"O/k", "O/k/c"},
		},
		"not what is of ours elsewhere, which is told": {
			build: "mkdir $O/d $X/a; mount --bind $O/d $X/a", stay: []string{"X/a"}, says: "which is in ", state: spec.Unchanged,
		},
		"not the peers of what goes": {
			build: "mkdir $O/a $X/peer; mount -t tmpfs t $O/a; mount --make-shared $O/a; mount --bind $O/a $X/peer; mkdir $O/a/b; mount -t tmpfs t $X/peer/b",
			gone:  []string{"O/a", "O/a/b"}, stay: []string{"X/peer", "X/peer/b"},
		},
		"a shared tree from elsewhere, which stays, with mounts over others": {
			build: "mkdir -p $X/t $O/a; mount -t tmpfs t $X/t; mount --make-shared $X/t; mkdir $X/t/u; for i in 1 2 3; do mount -t tmpfs t $X/t/u; mount --make-shared $X/t/u; done; mkdir $X/t/u/v; mount -t tmpfs t $X/t/u/v; mount --rbind $X/t $O/a",
			gone:  []string{"O/a", "O/a/u", "O/a/u/v"}, stay: []string{"X/t", "X/t/u", "X/t/u/v"},
		},
		"the peers of an owned path that stays are not parted from it": {
			build: "mount -t tmpfs t $O; mount --make-shared $O; mkdir $X/peer; mount --bind $O $X/peer; mkdir $O/b; mount -t tmpfs t $O/b; mkdir $O/b/c; mount -t tmpfs t $O/b/c",
			stay:  []string{"O", "O/b", "X/peer", "X/peer/b"}, gone: []string{"O/b/c"}, state: spec.Unmet, says: "would unmount",
		},
		"what shows twice in owned directories": {
			build: "mkdir $O/a $O/p; mount -t tmpfs t $O/a; mount --make-shared $O/a; mount --bind $O/a $O/p; mkdir $O/a/b; mount -t tmpfs t $O/p/b",
			gone:  []string{"O/a", "O/p", "O/a/b", "O/p/b"},
		},
		"a path that a link of root's leads to": {
			build: "mkdir $O/a; mount -t tmpfs t $O/a; ln -s .. $X/link; ln -s ci ${O}-real", gone: []string{"O/a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			p.run(t, c.build)
			before := map[string]int{}
			for _, point := range c.stay {
				before[point] = times(t, p.path(point))
			}
			var goal spec.Mounts
			if c.goal != nil {
				goal = c.goal(p)
			}
			all := len(mounted(t))
			do(t, mountsOf(p, goal), scrub.Plan)
			if len(mounted(t)) != all {
				t.Error("a plan unmounted something")
			}
			r := do(t, mountsOf(p, goal), scrub.Do)
			if want := max(c.state, spec.Changed); c.state == "" && r.State != want || c.state != "" && r.State != c.state {
				t.Errorf("state %s (%s); want %s", r.State, said(r), want)
			}
			if !strings.Contains(said(r), c.says) {
				t.Errorf("says %q; want %q in it", said(r), c.says)
			}
			for _, point := range c.gone {
				if n := times(t, p.path(point)); n > 0 && r.State != spec.Unmet {
					t.Errorf("at %q still are %d mounts", point, n)
				}
			}
			for point, n := range before {
				if now := times(t, p.path(point)); now != n || n == 0 {
					t.Errorf("guard: at %q were %d mounts, and are %d", point, n, now)
				}
			}
			if again := do(t, mountsOf(p, goal), scrub.Do); r.State == spec.Changed && again.State != spec.Unchanged {
				t.Errorf("a second run at once: %+v; want nothing to do", again)
			}
		})
	}
}

func TestMountsThatTheCleanupWorksInStay(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/ws $O/a; mount -t tmpfs t $O/ws; mount -t tmpfs t $O/a; mkdir -p $O/ws/in/job $O/ws/x; mount -t tmpfs t $O/ws/in; mkdir $O/ws/in/job; mount -t tmpfs t $O/ws/x")
	r := reach(t, mountsOf(p, spec.Mounts{}), scrub.Here{Spared: []string{p.path("O/ws/in/job")}}, scrub.Do)
	if r.State != spec.Changed || !strings.Contains(said(r), "works in") {
		t.Errorf("%s: %s", r.State, said(r))
	}
	for point, want := range map[string]int{"O/ws": 1, "O/ws/in": 1, "O/ws/x": 0, "O/a": 0} {
		if got := times(t, p.path(point)); got != want {
			t.Errorf("at %s are %d mounts; want %d", point, got, want)
		}
	}
}

func TestOwnedPathsMayLeadThroughLinksOfRoot(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a $X/open; chmod 0777 $X/open; ln -s ../../ci $X/open/link; chown -h games $X/open/link; mount -t tmpfs t $O/a; ln -s .. $X/up")
	for path, want := range map[string]spec.State{
		"X/open/link": spec.Unchanged, // anybody can have put it there
		"X/up/ci":     spec.Planned,
	} {
		s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.path(path)}}, Goal: spec.Goal{Mounts: &spec.Mounts{}}}
		if r := do(t, s, scrub.Plan); r.State != want {
			t.Errorf("owned %s: %s; want %s", path, r.State, want)
		}
	}
	if err := os.Symlink("/usr", filepath.Join(p.other, "usr")); err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.path("X/usr/lib")}}, Goal: spec.Goal{Mounts: &spec.Mounts{}}}
	step, err := scrub.New(s, scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := scrub.Reach(t.Context(), s.Kind(), step, scrub.Do); err == nil || !strings.Contains(r.Reason, "leads elsewhere") {
		t.Errorf("a link to what belongs to the system: %+v, %v; want it refused", r, err)
	}
}
