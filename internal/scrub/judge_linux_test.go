// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// TestPathsOfOtherMountsAreNotOurs: what a process in a container calls /srv/ci is not what we own.
func TestPathsOfOtherMountsAreNotOurs(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	// The shell waits for a line that never comes; its program or its directory is where the test wants it.
	const wait = "mkfifo $X/p; "
	for name, c := range map[string]struct {
		leave string
		ends  bool
	}{
		"runs our program with mounts of its own":        {wait + "cp -L $(command -v busybox) $O/sh; exec unshare -m $O/sh -c 'echo; read x <$X/p'", true},
		"runs another program of that name":              {wait + "cp -L $(command -v busybox) $O/sh; exec unshare -m sh -c 'mount -t tmpfs t $O; cp -L $(command -v busybox) $O/sh; exec $O/sh -c \"echo; read x <$X/p\"'", false},
		"stands in our directory with mounts of its own": {wait + "cd $O; exec unshare -m sh -c 'echo; read x <$X/p'", true},
		"stands in another directory of that name":       {wait + "exec unshare -m sh -c 'mount -t tmpfs t $O; cd $O; echo; read x <$X/p'", false},
		"reads our file with mounts of its own":          {wait + "exec 7>$O/f; exec unshare -m sh -c 'echo; read x <$X/p'", true},
		"reads another file of that name":                {wait + "exec unshare -m sh -c 'mount -t tmpfs t $O; exec 7>$O/f; echo; read x <$X/p'", false},
		"of our user with mounts of its own":             {wait + "chmod 666 $X/p; exec unshare -m setpriv --reuid=games --clear-groups --regid=games sh -c 'echo; read x <$X/p'", true},
		"of our user's number in a container that shows its processes": {
			wait + "chmod 666 $X/p; cp -L $(command -v busybox) $X/sh; exec unshare -m chroot --userspec=$(id -u games):$(id -g games) $X /sh -c 'echo; read x </p'", false,
		},
		"of our user in a changed root": {wait + "chmod 666 $X/p; cp -L $(command -v busybox) $X/sh; exec chroot --userspec=$(id -u games):$(id -g games) $X /sh -c 'echo; read x </p'", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			process := p.leave(t, c.leave)
			s := spec.Spec{
				Owned: spec.Ownership{Paths: []string{p.owned}, SystemUsers: []string{"games"}},
				Goal:  spec.Goal{Processes: &spec.Processes{Grace: 1}},
			}
			r := reach(t, s, scrub.Here{}, scrub.Do)
			if got := !lives(process); got != c.ends {
				t.Errorf("ended: %v; want %v (%+v)", got, c.ends, r)
			}
		})
	}
}

// TestOwnedPathsOfProcessesMayLeadThroughLinks: the kernel never tells the name that the recipe has.
func TestOwnedPathsOfProcessesMayLeadThroughLinks(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a; ln -s $O $X/link")
	process := p.leave(t, "cd $O/a; mkfifo p; echo; read x <p")
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{p.path("X/link/a")}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || lives(process) {
		t.Errorf("%+v; want the process ended", r)
	}
}

// TestWhatAnAgentStartsWhileWeLookIsGuarded: a list of processes is old once it is made.
func TestWhatAnAgentStartsWhileWeLookIsGuarded(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	for pid, s := range map[int]struct{ parent, start int }{
		1: {0, 1}, 10: {1, 100}, 11: {1, 100}, // the agent, and another, both listed
		20: {10, 500}, 21: {20, 500}, 22: {21, 600}, // its own, and theirs
		30: {11, 500}, 31: {30, 600}, // of the other
		40: {39, 500},                // an orphan by now
		50: {51, 500}, 51: {10, 900}, // the number of its parent has gone to one of the agent
		60: {1, 500},
	} {
		dir := filepath.Join(proc, strconv.Itoa(pid))
		text := fmt.Sprintf("%d (x) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", pid, s.parent, s.start)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "stat"), []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for pid, want := range map[int]bool{1: false, 10: true, 11: false, 20: true, 21: true, 22: true, 30: false, 31: false, 40: false, 50: false, 60: false} {
		if got := scrub.Guards(proc, map[int]bool{1: true, 10: true, 11: true}, map[int]bool{10: true}, pid); got != want {
			t.Errorf("process %d guarded: %v; want %v", pid, got, want)
		}
	}
}

// TestOnlyTheSystemsProgramsManageAUsersServices: users may put what they like into the control group of their service manager, and call it
// what they like.
func TestOnlyTheSystemsProgramsManageAUsersServices(t *testing.T) {
	t.Parallel()
	asRoot(t)
	systems, users := open(t), open(t)
	plant(t, systems, "systemd", "systemd-executor", "sleep")
	plant(t, users, "systemd", "systemd-executor")
	for _, name := range []string{"systemd", "systemd-executor"} {
		if err := os.Chown(filepath.Join(users, name), int(uidOf(t, "games")), -1); err != nil {
			t.Fatal(err)
		}
	}
	const own = "0::/user.slice/user-5.slice/user@5.service/init.scope"
	for name, c := range map[string]struct {
		comm, exe, cgroup string
		want              bool
	}{
		"the manager":                                          {"systemd", systems + "/systemd", own, true},
		"its keeper of the session":                            {"(sd-pam)", systems + "/systemd", own, true},
		"that of later versions":                               {"(sd-pam)", systems + "/systemd-executor", own, true},
		"that, where its program is hidden":                    {"(sd-pam)", "", own, true},
		"a service of the user":                                {"systemd", systems + "/systemd", "0::/user.slice/user-5.slice/user@5.service/app.slice/x.service", false},
		"a user's program of that name":                        {"systemd", users + "/systemd", own, false},
		"another that looks like the keeper":                   {"(sd-pam)", users + "/systemd-executor", own, false},
		"a program of the system that calls itself the keeper": {"(sd-pam)", systems + "/sleep", own, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proc := t.TempDir()
			dir := filepath.Join(proc, "7")
			err := errors.Join(
				os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "cgroup"), []byte(c.cgroup+"\n"), 0o644),
				os.WriteFile(filepath.Join(dir, "stat"), fmt.Appendf(nil, "7 (%s) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0\n", c.comm), 0o644),
			)
			if c.exe != "" {
				err = errors.Join(err, os.Symlink(c.exe, filepath.Join(dir, "exe")))
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := scrub.IsUserService(proc, 7); got != c.want {
				t.Errorf("manages services: %v; want %v", got, c.want)
			}
		})
	}
}
