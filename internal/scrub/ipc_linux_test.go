// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// useIPC attaches a segment of System V, or opens a queue of POSIX as mq_open does.
func useIPC(segment, queue string) error {
	if segment != "" {
		id, err := strconv.Atoi(segment)
		if err != nil {
			return err
		}
		_, err = unix.SysvShmAttach(id, 0, 0)
		return err
	}
	name, err := unix.BytePtrFromString(queue)
	if err != nil {
		return err
	}
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_RDONLY, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

var ipcOfGames = spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games"}}, Goal: spec.Goal{IPC: &spec.IPC{}}}

// ipcThere lists the objects by the word of ipcs: "m 5" is a segment, "s 5" semaphores, "q 5" a queue.
func ipcThere(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, sort := range []string{"m", "s", "q"} {
		out, err := exec.Command("ipcs", "-"+sort).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if fields := strings.Fields(line); len(fields) > 3 && strings.HasPrefix(fields[0], "0x") {
				all = append(all, sort+" "+fields[1])
			}
		}
	}
	return all
}

// makeIPC has a user make one object, and returns it as ipcThere lists it.
func makeIPC(t *testing.T, user, sort string) string {
	t.Helper()
	option := map[string]string{"m": "-M 65536", "s": "-S 3", "q": "-Q"}[sort]
	out := newPlot(t).run(t, "exec setpriv --reuid="+user+" --regid="+user+" --clear-groups ipcmk "+option)
	_, id, _ := strings.Cut(out, "id: ")
	return sort + " " + id
}

func TestIPCOfOwnedUsersIsRemoved(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC) {
		return
	}
	var ours, guards []string
	for _, sort := range []string{"m", "s", "q"} {
		ours = append(ours, makeIPC(t, "games", sort), makeIPC(t, "games", sort))
		guards = append(guards, makeIPC(t, "news", sort), makeIPC(t, "root", sort))
	}
	_, id, _ := strings.Cut(guards[1], " ") // root's segment, given to an owned user
	segment, err := strconv.Atoi(id)
	if err != nil {
		t.Fatal(err)
	}
	given := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: uidOf(t, "games"), Mode: 0o600}}
	if _, err := unix.SysvShmCtl(segment, unix.IPC_SET, &given); err != nil {
		t.Fatal(err)
	}
	ours, guards = append(ours, guards[1]), slices.Delete(guards, 1, 2)
	slices.Sort(guards)

	if r := do(t, ipcOfGames, scrub.Plan); r.State != spec.Planned || len(r.Found) != len(ours) || len(ipcThere(t)) != len(ours)+len(guards) {
		t.Errorf("plan: %+v; there: %v", r, ipcThere(t))
	}
	r := do(t, ipcOfGames, scrub.Do)
	there := ipcThere(t)
	slices.Sort(there)
	if r.State != spec.Changed || r.Removed != int64(len(ours)) || !slices.Equal(there, guards) {
		t.Errorf("%+v; there: %v; want only %v", r, there, guards)
	}
	if r.Bytes != 3*65536 {
		t.Errorf("%d bytes; want those of three segments", r.Bytes)
	}
	if again := do(t, ipcOfGames, scrub.Do); again.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v", again)
	}
}

func TestSegmentsInUse(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC) {
		return
	}
	games, news := uidOf(t, "games"), uidOf(t, "news")
	for name, c := range map[string]struct {
		users []uint32 // who has it attached
		stays bool
		says  string
	}{
		"by an owned user":         {users: []uint32{games}, says: "the kernel frees it"},
		"by root":                  {users: []uint32{0}, stays: true, says: "of user 0 is attached to it"},
		"by an owned user and one": {users: []uint32{games, news}, stays: true, says: fmt.Sprintf("of user %d is attached to it", news)},
	} {
		t.Run(name, func(t *testing.T) {
			segment := makeIPC(t, "games", "m")
			_, id, _ := strings.Cut(segment, " ")
			if err := exec.Command("ipcs", "-m", "-i", id).Run(); err != nil {
				t.Fatal(err)
			}
			number, _ := strconv.Atoi(id)
			open := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: games, Mode: 0o666}}
			if _, err := unix.SysvShmCtl(number, unix.IPC_SET, &open); err != nil {
				t.Fatal(err)
			}
			var processes []*exec.Cmd
			for _, uid := range c.users {
				processes = append(processes, start(t, leftover{mode: "messenger", env: []string{"SEGMENT=" + id}, uid: uid}))
			}
			r := do(t, ipcOfGames, scrub.Do)
			want := map[bool]spec.State{false: spec.Changed, true: spec.Unmet}[c.stays]
			if r.State != want || !strings.Contains(said(r), c.says) {
				t.Errorf("%s: %s; want %s, %q", r.State, said(r), want, c.says)
			}
			for _, process := range processes {
				_ = process.Process.Kill()
				_ = process.Wait()
			}
			if there := slices.Contains(ipcThere(t), segment); there != c.stays {
				t.Errorf("when its processes have ended: there %v; want %v", there, c.stays)
			}
			if r := do(t, ipcOfGames, scrub.Do); r.State == spec.Unmet || len(ipcThere(t)) != 0 {
				t.Errorf("when its processes have ended: %+v; there: %v", r, ipcThere(t))
			}
		})
	}
}

// TestSegmentsOfHiddenProcessesStay has the one process that has it attached in no table that we can read.
func TestSegmentsOfHiddenProcessesStay(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC) {
		return
	}
	segment := makeIPC(t, "games", "m")
	_, id, _ := strings.Cut(segment, " ")
	process := start(t, leftover{mode: "messenger", env: []string{"SEGMENT=" + id}, uid: uidOf(t, "games")})
	if err := unix.Mount("none", fmt.Sprintf("/proc/%d", process.Process.Pid), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	r := do(t, ipcOfGames, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "cannot be seen") || !slices.Contains(ipcThere(t), segment) {
		t.Errorf("%s: %s; there: %v", r.State, said(r), ipcThere(t))
	}
}

func TestOwnIPCGoesWithoutRoot(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC) {
		return
	}
	ours, theirs := makeIPC(t, "games", "s"), makeIPC(t, "news", "q")
	both := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games", "news"}}, Goal: ipcOfGames.Goal}
	r := reachAs(t, uidOf(t, "games"), both, scrub.Here{}, scrub.Do)
	if got := ipcThere(t); r.State != spec.Unmet || r.Removed != 1 || !slices.Equal(got, []string{theirs}) || !strings.Contains(said(r), "needs root") {
		t.Errorf("%+v; there: %v; want %s gone", r, got, ours)
	}
}

// mountQueues mounts the queues of this namespace where they belong, or there is an error.
func mountQueues(t *testing.T) {
	t.Helper()
	const dir = "/dev/mqueue"
	if err := os.Mkdir(dir, 0o755); err == nil {
		t.Cleanup(func() { _ = os.Remove(dir) })
	} else if !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	if err := unix.Mount("mqueue", dir, "mqueue", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
}

func TestQueuesOfOwnedUsersAreRemoved(t *testing.T) {
	if !ownNamespaces(t, syscall.CLONE_NEWIPC) {
		return
	}
	mountQueues(t)
	newPlot(t).run(t, `for u in games news root; do for q in a "b c"; do setpriv --reuid=$u --regid=$u --clear-groups sh -c ': >"/dev/mqueue/$1"' - "$u $q"; done; done
		chmod 666 /dev/mqueue/*`)
	held := start(t, leftover{mode: "messenger", env: []string{"QUEUE=games a"}, uid: uidOf(t, "news")})
	start(t, leftover{mode: "messenger", env: []string{"QUEUE=games b c"}, uid: uidOf(t, "games")})
	r := do(t, ipcOfGames, scrub.Do)
	names := func() []string {
		out, err := exec.Command("ls", "/dev/mqueue").Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	guards := []string{"news a", "news b c", "root a", "root b c"}
	want := fmt.Sprintf("/dev/mqueue/games a: process %d ", held.Process.Pid)
	if r.State != spec.Unmet || r.Removed != 1 || !strings.Contains(said(r), want) || !slices.Equal(names(), append([]string{"games a"}, guards...)) {
		t.Errorf("%s, %d gone: %s; want %q; there: %q", r.State, r.Removed, said(r), want, names())
	}
	_ = held.Process.Kill()
	_ = held.Wait()
	if r := do(t, ipcOfGames, scrub.Do); r.State != spec.Changed || !slices.Equal(names(), guards) {
		t.Errorf("when nobody uses it: %+v; there: %q", r, names())
	}
	if r := do(t, ipcOfGames, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v", r)
	}
}
