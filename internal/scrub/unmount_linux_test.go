// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestBusyMountsNameWhoKeepsThemBusy(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for how, user := range map[string]string{
		"its directory":              "cd $O/a; echo; exec sleep 600",
		"an open file":               "exec 7>$O/a/f; echo; exec sleep 600",
		"its program":                "cp -L $(command -v busybox) $O/a/sh; mkfifo $X/p; exec $O/a/sh -c 'echo; read x <$X/p'",
		"its root":                   "cp -L $(command -v busybox) $O/a/sh; mkfifo $O/a/p; exec chroot $O/a /sh -c 'echo; read x </p'",
		"in another mount namespace": "mount --make-shared $O/a/..; exec unshare -m --propagation unchanged sh -c 'cd $O/a; echo; exec sleep 600'",
	} {
		t.Run(how, func(t *testing.T) {
			p := newPlot(t)
			p.run(t, "mount -t tmpfs t $O; mkdir $O/a; mount -t tmpfs t $O/a")
			c := p.leave(t, user)
			r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do)
			if r.State != spec.Unmet || !strings.Contains(said(r), fmt.Sprintf("process %d ", c.Process.Pid)) {
				t.Errorf("%s: %s; want it to name process %d", r.State, said(r), c.Process.Pid)
			}
			if !strings.HasPrefix(how, "in ") && !strings.Contains(said(r), how) {
				t.Errorf("%s; want it to say that it is %s", said(r), how)
			}
			if times(t, p.path("O/a")) != 1 {
				t.Error("the busy mount is out of sight: it was unmounted lazily")
			}
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			_ = c.Wait()
			if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed {
				t.Errorf("after the process has ended: %s: %s", r.State, said(r))
			}
		})
	}
}

func TestMappedFilesKeepAMountBusy(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a; mount -t tmpfs t $O/a; head -c 4096 /dev/zero >$O/a/f")
	f, err := os.Open(p.path("O/a/f"))
	if err != nil {
		t.Fatal(err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do)
	if want := fmt.Sprintf("process %d (this program) by a mapped file", os.Getpid()); !strings.Contains(said(r), want) {
		t.Errorf("%s; want %q", said(r), want)
	}
	if err := unix.Munmap(mapped); err != nil {
		t.Fatal(err)
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed {
		t.Errorf("after that: %s: %s", r.State, said(r))
	}
}

// image makes a file with an empty ext4 file system.
const image = "truncate -s 16M %[1]s; mkfs.ext4 -q -m 0 -O ^has_journal %[1]s; "

func TestLoopDevicesOfFilesInAMountGoWithIt(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a $O/b; mount -t tmpfs t $O/a; "+fmt.Sprintf(image, "$O/a/img")+"mount -o loop $O/a/img $O/b; truncate -s 1M $O/a/raw; losetup -f $O/a/raw")
	if n := len(attached(t, p.owned)); n != 2 {
		t.Fatalf("%d loop devices; want 2", n)
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed || times(t, p.path("O/a")) > 0 {
		t.Errorf("%s: %s", r.State, said(r))
	}
	if left := attached(t, p.owned); len(left) > 0 {
		t.Errorf("still attached: %v", left)
	}
}

func TestAMountThatBelongsElsewhereKeepsItsDiskBusy(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a $X/m; mount -t tmpfs t $O/a; "+fmt.Sprintf(image, "$O/a/img")+"mount -o loop $O/a/img $X/m")
	r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "which is made of "+p.path("O/a/img")) {
		t.Errorf("%s: %s; want it to name the loop device", r.State, said(r))
	}
	if times(t, p.path("X/m")) != 1 || times(t, p.path("O/a")) != 1 {
		t.Error("guard: a mount is gone")
	}
}

func TestUnmountingNeedsRoot(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a; mount -t tmpfs t $O/a")
	r := reachAs(t, uidOf(t, "games"), mountsOf(p, spec.Mounts{}), scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "needs root") || times(t, p.path("O/a")) != 1 {
		t.Errorf("%s: %s; want it to say that this needs root", r.State, said(r))
	}
}

// connect mounts a file system whose server is this test, and returns its end of the line.
func connect(t *testing.T, source, point, kind string, uid uint32) int {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, uid, uid)
	if err := unix.Mount(source, point, kind, unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestADeadServerIsNotAsked(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/dead")
	connect(t, "host:/export", p.path("O/dead"), "fuse", 0)
	began := time.Now()
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed || times(t, p.path("O/dead")) > 0 {
		t.Errorf("%s: %s", r.State, said(r))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

// greet answers the first message of the kernel and none after it (struct fuse_init_in and _out of linux/fuse.h).
func greet(t *testing.T, fd int) {
	t.Helper()
	in := make([]byte, 1<<20)
	if _, err := unix.Read(fd, in); err != nil {
		t.Fatal(err)
	}
	out := make([]byte, 16+64)
	binary.NativeEndian.PutUint32(out, uint32(len(out)))
	copy(out[8:16], in[8:16]) // which message it answers
	binary.NativeEndian.PutUint32(out[16:], 7)
	binary.NativeEndian.PutUint32(out[20:], 31)
	binary.NativeEndian.PutUint32(out[24+12:], 4096)
	if _, err := unix.Write(fd, out); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatHangsIsNamed(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	disk := p.run(t, "mkdir $O/hung $O/z; mount -t tmpfs t $O/z; truncate -s 1M $X/disk; losetup -f --show $X/disk")
	greet(t, connect(t, disk, p.path("O/hung"), "fuseblk", 0))
	step, err := scrub.New(mountsOf(p, spec.Mounts{}), scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	began := time.Now()
	r, err := scrub.Reach(ctx, spec.KindMounts, step, scrub.Do)
	if err == nil || r.State != spec.Unmet || !strings.Contains(r.Reason, disk+" does not answer") || !strings.Contains(r.Reason, "its time is over") {
		t.Errorf("%+v, %v; want it to name %s", r, err, disk)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	// It is out of sight by now, but not done with: another look has to say so.
	found, err := step.Look(t.Context())
	if err != nil || len(found) == 0 || !strings.Contains(found[0].Stays, "does not answer") {
		t.Errorf("a second look: %+v, %v", found, err)
	}
}

// TestAServerThatOwesAnAnswerIsNamed has a process wait in the kernel for a server: it has nothing open that shows.
func TestAServerThatOwesAnAnswerIsNamed(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/hung")
	fd := connect(t, "theirs", p.path("O/hung"), "fuse", 0)
	greet(t, fd)
	c := exec.Command("stat", p.path("O/hung"))
	must(t, c.Start())
	if _, err := unix.Read(fd, make([]byte, 1<<20)); err != nil { // it waits for the answer to that
		t.Fatal(err)
	}
	r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "its server (theirs) may owe an answer") || !strings.Contains(said(r), "/abort") {
		t.Errorf("%s: %s; want it to say what ends that", r.State, said(r))
	}
	null, err := os.Open(os.DevNull)
	must(t, err, unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC), null.Close()) // the server ends, and so does what waits for it
	_ = c.Wait()
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed {
		t.Errorf("%s: %s", r.State, said(r))
	}
}

func TestAUsersOwnServerIsUnmountedByThatUser(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p, games := newPlot(t), uidOf(t, "games")
	p.run(t, "mkdir $O/mine $O/other; chown games $O $O/mine")
	connect(t, "mine", p.path("O/mine"), "fuse", games)
	connect(t, "other", p.path("O/other"), "fuse", 0)
	r := reachAs(t, games, mountsOf(p, spec.Mounts{}), scrub.Here{}, scrub.Do)
	if times(t, p.path("O/mine")) != 0 || times(t, p.path("O/other")) != 1 || !strings.Contains(said(r), "needs root") {
		t.Errorf("%s: %s; mounted: %v", r.State, said(r), mounted(t))
	}
}

func TestAutomountsAreNotTriggered(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/auto")
	daemon := p.leave(t, "echo; exec sleep 600") // the one whose group may enter without triggering
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", ends[1], daemon.Process.Pid)
	if err := unix.Mount("auto", p.path("O/auto"), "autofs", 0, options); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(ends[1])
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Plan); r.State != spec.Planned {
		t.Errorf("plan: %+v", r)
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed {
		t.Errorf("%s: %s", r.State, said(r))
	}
	if n, err := unix.Read(ends[0], make([]byte, 512)); n > 0 {
		t.Errorf("the automounter was asked for something: %d bytes, %v", n, err)
	}
}

// busyWork calls f until the test ends, or stop is called.
func busyWork(t *testing.T, f func()) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				f()
			}
		}
	})
	stop = sync.OnceFunc(func() { close(end); group.Wait() })
	t.Cleanup(stop)
	return stop
}

// TestSwappedPathsNeverMisleadUnmounting exchanges a directory on the way to an owned mount for a link that leads to a
// place of the same shape outside, all the time.
func TestSwappedPathsNeverMisleadUnmounting(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for _, kernel := range []string{"a kernel of today", "a kernel without openat2"} {
		t.Run(kernel, func(t *testing.T) {
			if strings.Contains(kernel, "without") {
				without(t, unix.SYS_OPENAT2)
			}
			swapWhileUnmounting(t)
		})
	}
}

func swapWhileUnmounting(t *testing.T) {
	t.Helper()
	p := newPlot(t)
	p.run(t, "mkdir -p $O/d/m $X/d/m; ln -s $X/d $O/link; mount -t tmpfs guard $X/d/m; touch $X/d/m/guard")
	dir, err := unix.Open(p.path("O/d"), unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	point := fmt.Sprintf("/proc/self/fd/%d/m", dir) // whatever it is called at the moment
	swaps := 0
	swap := func() {
		if unix.Renameat2(unix.AT_FDCWD, p.path("O/d"), unix.AT_FDCWD, p.path("O/link"), unix.RENAME_EXCHANGE) == nil {
			swaps++
		}
	}
	stop := busyWork(t, swap)
	gone := 0
	for range 100 {
		if err := unix.Mount("t", point, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if do(t, mountsOf(p, spec.Mounts{}), scrub.Do).State == spec.Changed {
			gone++
		}
	}
	stop()
	if times(t, p.path("X/d/m")) != 1 {
		t.Error("guard: the mount outside is gone")
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State == spec.Unmet {
		t.Errorf("afterwards: %s", said(r))
	}
	t.Logf("%d exchanges, %d times all was gone at the end", swaps, gone)
	if swaps < 1000 || gone == 0 {
		t.Errorf("%d exchanges, %d times successful: that was no race", swaps, gone)
	}
}

func TestWhoeverMountsAgainIsOutlastedOrReported(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mkdir $O/a $X/a; mount -t tmpfs t $O/a; mount -t tmpfs t $X/a")
	n := 0
	stop := busyWork(t, func() {
		if n++; times(t, p.path("O/a")) < 4 { // also onto and into what is there
			_ = unix.Mount("t", p.path("O/a"), "tmpfs", 0, "")
			inner := p.path("O/a/" + strconv.Itoa(n%3))
			if os.Mkdir(inner, 0o755) == nil {
				_ = unix.Mount("t", inner, "tmpfs", 0, "")
			}
		}
	})
	r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do)
	stop()
	if r.State == spec.Unmet && len(r.Problems) == 0 {
		t.Errorf("%+v; want it to say what is there", r)
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State == spec.Unmet {
		t.Errorf("when it has stopped: %s", said(r))
	}
	for _, point := range mounted(t) {
		if strings.HasPrefix(point, p.owned+"/") {
			t.Errorf("still mounted: %s", point)
		}
	}
	if times(t, p.path("X/a")) != 1 {
		t.Error("guard: the mount outside is gone")
	}
}

// TestCopiesInOtherNamespacesGoToo holds the kernel to what it does with what came to other namespaces by the same way.
func TestCopiesInOtherNamespacesGoToo(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "mount -t tmpfs t $O; mount --make-shared $O; mkdir $O/a $X/m; mount -t tmpfs t $O/a; mount -t tmpfs t $X/m")
	c := p.leave(t, "exec unshare -m --propagation slave sh -c 'echo; exec sleep 600'")
	table := filepath.Join("/proc", strconv.Itoa(c.Process.Pid), "mountinfo")
	there := func(point string) bool {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), " "+p.path(point)+" ")
	}
	if !there("O/a") || !there("X/m") {
		t.Fatal("the other namespace has no copy")
	}
	if r := do(t, mountsOf(p, spec.Mounts{}), scrub.Do); r.State != spec.Changed || there("O/a") {
		t.Errorf("%s: %s; the copy is there: %v", r.State, said(r), there("O/a"))
	}
	if !there("X/m") || !there("O") {
		t.Error("guard: the other namespace has lost a mount that is not to go")
	}
}
