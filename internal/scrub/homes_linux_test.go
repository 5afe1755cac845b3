// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// town makes homes: of ghost, who is gone, and of others who are not, or may not be.
const town = `
mount -t tmpfs none /home; cd /home; echo 'passwd: files' >/etc/nsswitch.conf
echo 'ci:x:4001:4001::/home/ci:/bin/sh' >>/etc/passwd; echo 'ci:200000:65536' >/etc/subuid
home() { mkdir -p $1/.cache; echo x >$1/.cache/file; chown -R $2 $1; }
home ghost 4999; home ci 4999; home renamed 4001; home mounted 4998; home contained 200005; home runs 4997; home kept 4996; home spared 4995; home roots 0
mount -t tmpfs none mounted/.cache
echo x >file; chown 4999 file; mkdir -p /opt/there; touch /opt/there/x; chown -R 4999 /opt/there; ln -s /opt/there link; chown -h 4999 link`

func usersOf(goal spec.Users) spec.Spec {
	return spec.Spec{Version: spec.Version, Name: "users", Goal: spec.Goal{Users: &goal}}
}

// homesAt has a step done in this process at some time: when a file was last used cannot be set back.
func homesAt(t *testing.T, goal spec.Users, here scrub.Here, mode scrub.Mode, after time.Duration) spec.Result {
	t.Helper()
	s := usersOf(goal)
	r, _ := scrub.Reach(t.Context(), s.Kind(), scrub.NewHomesAt(s, here, time.Now().Add(after)), mode)
	return r
}

func TestHomesOfNobodyGo(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, town)
	start(t, leftover{uid: 4997})
	here := scrub.Here{Spared: []string{"/home/spared/workspace"}}
	goal := spec.Users{Older: 30 * 24 * 60 * 60, Keep: []string{"kept"}}
	later := 31 * 24 * time.Hour
	list := func() string { return shell(t, "find /home /opt/there | sort") }
	before := list()
	want(t, homesAt(t, goal, here, scrub.Do, 29*24*time.Hour), spec.Unmet, "/home/mounted: not all of it can be seen")
	want(t, homesAt(t, goal, here, scrub.Plan, later), spec.Planned, "/home/contained: its owner 200005 is given to containers of ci")
	want(t, homesAt(t, goal, here, scrub.Judge, later), spec.Unmet, "/home/ghost: it is there")
	if got := list(); got != before {
		t.Fatalf("changed:\n%s", got)
	}
	r := homesAt(t, goal, here, scrub.Do, later)
	want(t, r, spec.Unmet, "still runs as its owner 4997")
	if r.Removed != 1 || len(r.Problems) != 3 {
		t.Errorf("%d gone, problems %+v; want the ghost's gone, and three that stay", r.Removed, r.Problems)
	}
	if got, wanted := list(), shell(t, "printf '%s\n' '"+before+"' | grep -v '^/home/ghost'"); got != wanted {
		t.Errorf("left:\n%s\nwant:\n%s", got, wanted)
	}
	shell(t, "umount /home/mounted/.cache; rm -rf /home/mounted /home/contained /home/runs")
	want(t, homesAt(t, goal, here, scrub.Do, later), spec.Unchanged, "")
}

// TestAHomeThatHoldsWhatOthersHaveStays: homes may lie in each other's, and a person may keep things in the home of one who left.
func TestAHomeThatHoldsWhatOthersHaveStays(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, `rm -rf /home/*; cd /home; echo 'passwd: files' >/etc/nsswitch.conf; echo 'joe:x:4001:4001::/home/projects/joe:/bin/sh' >>/etc/passwd
mkdir -p projects/joe lent/deep theirs/deep; chown -R 4999 *; chown 4001 projects/joe; touch lent/deep/thesis; chown 4001 lent/deep/thesis
for of in 0 1 65534 4998; do touch theirs/deep/$of; chown $of theirs/deep/$of; done`)
	goal := spec.Users{Older: 30 * 24 * 60 * 60}
	r := homesAt(t, goal, scrub.Here{}, scrub.Do, 31*24*time.Hour)
	want(t, r, spec.Unmet, "/home/lent: /home/lent/deep/thesis belongs to user 4001, who is not gone")
	if len(r.Problems) != 2 || r.Removed != 1 {
		t.Errorf("%d gone, problems %+v; want that of one gone, and two that stay", r.Removed, r.Problems)
	}
	if got := shell(t, "find /home -mindepth 1 | sort"); got != "/home/lent\n/home/lent/deep\n/home/lent/deep/thesis\n/home/projects\n/home/projects/joe" {
		t.Errorf("left:\n%s", got)
	}
}

func TestNoHomeGoesWhenTheNameServiceCannotBeReliedOn(t *testing.T) {
	if !ownRoot(t) {
		return
	}
	shell(t, town+"; umount mounted/.cache; rm -r mounted contained runs kept spared")
	dir := open(t)
	fake := scrub.Here{Tools: []string{dir}}
	list := func() string { return shell(t, "find /home /opt/there | sort") }
	before := list()
	later := 31 * 24 * time.Hour
	goal := spec.Users{Older: 30 * 24 * 60 * 60, Known: []string{"alice"}}
	refused := func(g spec.Users, here scrub.Here, state spec.State, text string) {
		t.Helper()
		for _, mode := range []scrub.Mode{scrub.Plan, scrub.Do} {
			want(t, homesAt(t, g, here, mode, later), state, text)
		}
		if got := list(); got != before {
			t.Fatalf("%s, and yet it changed to:\n%s", text, got)
		}
	}
	refused(goal, fake, spec.Skipped, "getent")
	script(t, dir, "getent", "echo 'getent: cannot reach' >&2; exit 1")
	refused(goal, fake, spec.Unmet, "cannot reach")
	script(t, dir, "getent", "exit 2")
	refused(goal, fake, spec.Unmet, "does not even know user 0")
	script(t, dir, "getent", `case "$*" in *" 0") exit 0 ;; *4999) exit 3 ;; *) exit 2 ;; esac`)
	refused(goal, fake, spec.Unmet, "cannot tell whether there is a user 4999")

	shell(t, "echo 'passwd: files [SUCCESS=return] sss [!UNAVAIL=return] # comment' >/etc/nsswitch.conf")
	refused(spec.Users{Older: goal.Older}, scrub.Here{}, spec.Unmet, "name users whom only it knows in \"known\"")
	refused(goal, scrub.Here{}, spec.Unmet, "users may be in sss, and that it answers is not proved: there is no sssctl here")
	// The directory answers for alice, from memory or not: only sssctl knows.
	script(t, dir, "getent", `case "$*" in "passwd -- 0"|"-s sss passwd alice") exit 0 ;; *) exit 2 ;; esac`)
	script(t, dir, "sssctl", `case "$1" in domain-list) echo example.org ;; *) echo "Online status: Offline" ;; esac`)
	refused(goal, fake, spec.Unmet, "sss says of example.org: Online status: Offline")
	script(t, dir, "sssctl", `case "$1" in domain-list) echo example.org ;; *) echo "Online status: Online" ;; esac`)
	refused(spec.Users{Older: goal.Older, Known: []string{"bob"}}, fake, spec.Unmet, "it does not know bob")
	shell(t, "mkdir -p /run/nscd; touch /run/nscd/socket")
	refused(goal, fake, spec.Unmet, "nscd answers from its memory")
	shell(t, "rm /run/nscd/socket; echo 'passwd: compat' >/etc/nsswitch.conf; echo '+::::::' >>/etc/passwd")
	refused(goal, fake, spec.Unmet, "users may be in nis")
	shell(t, "sed -i '/^+/d' /etc/passwd; echo 'passwd: files sss' >/etc/nsswitch.conf; rm -rf /home/ci /home/renamed /home/kept")
	want(t, homesAt(t, goal, fake, scrub.Do, later), spec.Changed, "")
	if got := shell(t, "ls /home"); got != "file\nlink\nroots" && got != "file\nlink" {
		t.Errorf("left:\n%s", got)
	}
}
