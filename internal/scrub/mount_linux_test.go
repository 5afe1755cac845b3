// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// tableLess is the kernel's table of mounts without the lines of some points.
func tableLess(t *testing.T, points ...string) []string {
	t.Helper()
	var left []string
	for line := range strings.Lines(lines(t, "/proc/self/mountinfo")) {
		if !slices.Contains(points, strings.Split(line, " ")[4]) {
			left = append(left, line)
		}
	}
	return left
}

// wanting is a goal whose paths begin with O/ or X/.
func (p plot) wanting(wanted ...spec.WantedMount) spec.Goal {
	goal := spec.Goal{Mount: &spec.Mount{}}
	for _, w := range wanted {
		w.Target = p.path(w.Target)
		if strings.HasPrefix(w.Source, "O/") || strings.HasPrefix(w.Source, "X/") {
			w.Source = p.path(w.Source)
		}
		goal.Mount.Wanted = append(goal.Mount.Wanted, w)
	}
	return goal
}

func TestMountsAreMadeAsWanted(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	bind := func(options ...string) spec.WantedMount {
		return spec.WantedMount{Source: "X/d", Target: "O/a", Options: append([]string{"bind"}, options...)}
	}
	memory := func(options ...string) spec.WantedMount {
		return spec.WantedMount{Target: "O/a", Type: "tmpfs", Options: options}
	}
	replacing := func(w spec.WantedMount) spec.WantedMount { w.Replace = true; return w }
	for name, c := range map[string]struct {
		build  string
		wanted spec.WantedMount
		state  spec.State
		says   string // part of a problem
		proof  string // a script that fails if it is not as wanted
	}{
		"memory": {
			build: "mkdir $O/a", wanted: memory("size=8m", "mode=0711", "nosuid", "noexec"),
			proof: `findmnt -n -o FSTYPE,OPTIONS $O/a | grep -q '^tmpfs .*nosuid.*noexec.*size=8192k'; test "$(stat -c %a $O/a)" = 711`,
		},
		"memory as it is":                    {build: "mkdir $O/a; mount -t tmpfs -o size=8192k,mode=711,nosuid t $O/a", wanted: memory("size=8m", "mode=0711", "nosuid"), state: spec.Unchanged},
		"another size and a flag":            {build: "mkdir $O/a; mount -t tmpfs -o size=4m,nodev t $O/a; touch $O/a/f", wanted: memory("size=8m", "nosuid"), proof: "findmnt -n -o OPTIONS $O/a | grep -q '^rw,nosuid,nodev,.*size=8192k'; test -f $O/a/f"},
		"a mode that only a new mount takes": {build: "mkdir $O/a; mount -t tmpfs -o mode=700 t $O/a", wanted: memory("mode=0755"), state: spec.Unmet, says: "mode is 700, not 0755, and only a new mount takes it; say"},
		"a mode of what may go":              {build: "mkdir $O/a; mount -t tmpfs -o mode=700,size=4m t $O/a", wanted: replacing(memory("mode=0755", "size=8m")), proof: `test "$(stat -c %a $O/a)" = 755; findmnt -n -o OPTIONS $O/a | grep -q size=8192k`},
		"a flag less":                        {build: "mkdir $O/a; mount -t tmpfs -o noexec t $O/a", wanted: memory("exec"), proof: "! findmnt -n -o OPTIONS $O/a | grep noexec"},
		"a directory":                        {build: "mkdir $O/a $X/d; touch $X/d/f", wanted: bind(), proof: "test -f $O/a/f"},
		"a directory to be read": {
			build: "mkdir $O/a; mkdir $X/d; mount -t tmpfs -o nodev t $X/d; touch $X/d/f", wanted: bind("ro", "nosuid"),
			proof: "findmnt -n -o OPTIONS $O/a | grep -q '^ro,nosuid,nodev'; test -f $O/a/f; : >$X/d/g; ! touch $O/a/g 2>/dev/null",
		},
		"a directory that was to be read": {build: "mkdir $O/a $X/d; mount --bind $X/d $O/a; mount -o remount,bind,ro $O/a", wanted: bind(), proof: ": >$O/a/g"},
		"a directory as it is":            {build: "mkdir $O/a $X/d; mount --bind $X/d $O/a", wanted: bind("rw"), state: spec.Unchanged},
		"a tree":                          {build: "mkdir -p $O/a $X/d/e; mount -t tmpfs t $X/d/e; touch $X/d/e/f", wanted: bind("rbind"), proof: "test -f $O/a/e/f"},
		"a file":                          {build: "touch $O/a; echo text >$X/d", wanted: bind(), proof: "grep -q text $O/a"},
		"a disk": {
			build:  "mkdir $O/a; truncate -s 8M $X/img; mkfs.ext4 -q $X/img; ln -s $(losetup -f --show $X/img) $X/disk",
			wanted: spec.WantedMount{Source: "X/disk", Target: "O/a", Type: "ext4", Options: []string{"noatime"}}, proof: "test -d $O/a/lost+found",
		},
		"a disk as it is, by another name": {
			build:  "mkdir $O/a; truncate -s 8M $X/img; mkfs.ext4 -q $X/img; dev=$(losetup -f --show $X/img); ln -s $dev $X/disk; mount $dev $O/a",
			wanted: spec.WantedMount{Source: "X/disk", Target: "O/a", Type: "ext4"}, state: spec.Unchanged,
		},
		"a disk that is read-only itself": {
			build:  "mkdir $O/a; truncate -s 8M $X/img; mkfs.ext4 -q $X/img; dev=$(losetup -f --show $X/img); ln -s $dev $X/disk; mount -o ro $dev $O/a",
			wanted: spec.WantedMount{Source: "X/disk", Target: "O/a", Type: "ext4"}, state: spec.Unmet, says: "its file system is read-only",
		},
		"another disk": {
			build:  "mkdir $O/a; for n in 1 2; do truncate -s 8M $X/$n; mkfs.ext4 -q $X/$n; done; mount $(losetup -f --show $X/1) $O/a; ln -s $(losetup -f --show $X/2) $X/disk",
			wanted: spec.WantedMount{Source: "X/disk", Target: "O/a", Type: "ext4"}, state: spec.Unmet, says: "there is ext4 of /dev/loop",
		},
		"something else":                   {build: "mkdir $O/a $X/d; mount -t tmpfs theirs $O/a; touch $O/a/f", wanted: bind(), state: spec.Unmet, says: "there is tmpfs of theirs, not what is at ", proof: "test -f $O/a/f"},
		"another directory":                {build: "mkdir $O/a $X/d $X/e; mount --bind $X/e $O/a", wanted: bind(), state: spec.Unmet, says: "/other/e, not what is at "},
		"a part where the whole has to be": {build: "mkdir $O/a $X/t; mount -t tmpfs t $X/t; mkdir $X/t/part; mount --bind $X/t/part $O/a", wanted: memory(), state: spec.Unmet, says: "its /part, not tmpfs"},
		"something else that may go":       {build: "mkdir $O/a $X/d; touch $X/d/f; mount -t tmpfs t $O/a; mount -t tmpfs t $O/a", wanted: replacing(bind()), proof: "test -f $O/a/f; test $(findmnt -n $O/a | wc -l) = 1"},
		"something else with more in it":   {build: "mkdir $O/a $X/d; mount -t tmpfs t $O/a; mkdir $O/a/b; mount -t tmpfs t $O/a/b", wanted: replacing(bind()), state: spec.Unmet, says: "is in its place, and ", proof: "mountpoint -q $O/a/b"},
		"something else in use":            {build: "mkdir $O/a $X/d; mount -t tmpfs t $O/a; cd $O/a; sleep 1000 >/dev/null 2>&1 & cd /", wanted: replacing(bind()), state: spec.Unmet, says: "cannot go: ", proof: "test $(findmnt -n -o FSTYPE $O/a) = tmpfs"},
		"no target":                        {build: "mkdir $X/d", wanted: bind(), state: spec.Unmet, says: "is not there: let a step before this one make it"},
		"no source":                        {build: "mkdir $O/a", wanted: bind(), state: spec.Unmet, says: "the source "},
		"a target through a link of a user": {
			build: "mkdir $X/d $X/e; ln -s $X/e $O/a; chown -h games $O/a $O", wanted: bind(), state: spec.Unmet, says: "leads through a link that is not root's", proof: "! mountpoint -q $X/e",
		},
		"a target through a link of root": {build: "mkdir $X/d $X/e; touch $X/d/f; ln -s $X/e $O/a", wanted: bind(), proof: "test -f $X/e/f"},
		"a type that nobody knows":        {build: "mkdir $O/a", wanted: spec.WantedMount{Source: "s", Target: "O/a", Type: "nosuchfs"}, state: spec.Unmet, says: "this kernel knows no file system nosuchfs"},
		"a server without its program":    {build: "mkdir $O/a", wanted: spec.WantedMount{Source: "s:/x", Target: "O/a", Type: "cifs"}, state: spec.Unmet, says: "mounted by a program mount.cifs"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			p.run(t, c.build)
			// What is asked for may show at the link's end too.
			others := func() []string { return tableLess(t, p.path("O/a"), p.path("O/a/e"), p.path("X/e")) }
			before, all := others(), mounted(t)
			goal := p.wanting(c.wanted)
			for _, mode := range []scrub.Mode{scrub.Plan, scrub.Judge} {
				if r := goalReached(t, goal, scrub.Here{}, mode); mode == scrub.Judge && (r.State == spec.Unchanged) != (c.state == spec.Unchanged) {
					t.Errorf("judged: %+v", r)
				}
			}
			if diff := cmp.Diff(all, mounted(t)); diff != "" {
				t.Errorf("looking changed something:\n%s", diff)
			}
			if want := max(c.state, spec.Changed); c.state == spec.Unmet {
				if r := goalReached(t, goal, scrub.Here{}, scrub.Do); r.State != spec.Unmet || !strings.Contains(said(r), c.says) {
					t.Errorf("%s: %s; want %q", r.State, said(r), c.says)
				}
			} else {
				reached(t, goal, scrub.Here{}, want)
			}
			if c.proof != "" {
				p.run(t, c.proof)
			}
			if diff := cmp.Diff(before, others()); diff != "" {
				t.Errorf("other mounts changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestOneMountMayStandInAnother(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a; mkdir -p $X/d/sub; mkdir $X/e; touch $X/e/f")
	goal := p.wanting(spec.WantedMount{Source: "X/d", Target: "O/a", Options: []string{"bind"}}, spec.WantedMount{Source: "X/e", Target: "O/a/sub", Options: []string{"bind"}})
	if r := reached(t, goal, scrub.Here{}, spec.Changed); len(r.Differs) != 2 {
		t.Errorf("%+v", r)
	}
	p.run(t, "test -f $O/a/sub/f; ! test -e $X/d/sub/f")
}

// TestServersAreMountedByTheirProgram has a type of file systems that comes with a program of its own, and a mount that
// notes how it was called.
func TestServersAreMountedByTheirProgram(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	script(t, p.other, "mount.tmpfs", "exit 1")
	script(t, p.other, "mount", `echo "$*" >>`+p.other+`/calls; exec /bin/mount "$@"`)
	p.run(t, "mkdir $O/a $O/b; chown games $O/b; mkdir $O/b/c")
	here := scrub.Here{Tools: []string{p.other}}
	served := spec.WantedMount{Source: "server:/export/", Target: "O/a", Type: "tmpfs", Options: []string{"ro", "size=4m"}}
	reached(t, p.wanting(served), here, spec.Changed)
	if got, want := lines(t, p.other+"/calls"), "-t tmpfs -o ro,size=4m -- server:/export/ "+p.path("O/a")+"\n"; got != want {
		t.Errorf("mount was called %q; want %q", got, want)
	}
	served.Target = "O/b/c"
	r := goalReached(t, p.wanting(served), here, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "can change where") || times(t, p.path("O/b/c")) > 0 {
		t.Errorf("a target in a user's directory: %s: %s", r.State, said(r))
	}
}

func TestMountingNeedsRights(t *testing.T) {
	if !asNobody(t) {
		return
	}
	dir := t.TempDir()
	before := mounted(t)
	goal := spec.Goal{Mount: &spec.Mount{Wanted: []spec.WantedMount{{Target: dir, Type: "tmpfs"}}}}
	r := goalReached(t, goal, scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "this needs root") {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(before, mounted(t)); diff != "" {
		t.Error(diff)
	}
}

// TestMountsOfServersAreRecognised reads tables of machines that have what is not here.
func TestMountsOfServersAreRecognised(t *testing.T) {
	t.Parallel()
	const top = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
	nfs := spec.WantedMount{Source: "files:/export/ci", Target: "/srv/ci", Type: "nfs", Options: []string{"vers=4", "hard", "rsize=1048576", "proto=tcp"}}
	for line, want := range map[string]string{
		"2 1 0:50 / /srv/ci rw,relatime - nfs4 files:/export/ci rw,vers=4.2,rsize=1048576,hard,proto=tcp":     "",
		"2 1 0:50 /sub /srv/ci rw,relatime - nfs4 files:/export/ci/ rw,vers=4.1,rsize=1048576,hard,proto=tcp": "",
		"2 1 0:50 / /srv/ci rw - nfs files:/export/ci rw,vers=3,rsize=1048576,hard,proto=tcp":                 "vers is 3, not 4",
		"2 1 0:50 / /srv/ci ro - nfs4 files:/export/ci rw,vers=4.2,proto=udp":                                 "it is read-only; proto is udp, not tcp",
		"2 1 0:50 / /srv/ci rw - nfs4 files:/export/cix rw":                                                   "there is nfs4 of files:/export/cix, not nfs of files:/export/ci",
		"2 1 0:50 / /srv/ci rw - cifs files:/export/ci rw":                                                    "there is cifs of files:/export/ci, not nfs of files:/export/ci",
		"2 1 0:50 / /srv rw - nfs4 files:/export/ci rw":                                                       "nothing is mounted there",
		"2 1 0:50 / /srv/cix rw - nfs4 files:/export/ci rw":                                                   "nothing is mounted there",
		"2 1 0:50 / /srv/ci rw - nfs4 files:/export/ci rw,vers=4.2\n3 1 0:51 / /srv rw - tmpfs t rw":          "nothing is mounted there",
	} {
		if got := scrub.JudgeMount(top+line+"\n", nfs); got != want {
			t.Errorf("%s: %q; want %q", line, got, want)
		}
	}
}
