// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// patience is how long to wait before a lock that another holds is asked for again.
const patience = 200 * time.Millisecond

// hold waits until nobody works with the package manager, and keeps others from beginning until release is called. No
// lock is ever removed, whoever left it. The error says who holds which.
func (m packager) hold(ctx context.Context) (release func(), err error) {
	var held []int
	release = func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}
	for _, path := range m.locks {
		fd, err := lock(ctx, path)
		if errors.Is(err, os.ErrNotExist) { // it has never been at work
			continue
		}
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, fd)
	}
	for _, path := range m.pids {
		if err := waitFor(ctx, func() string { return atWork(path) }); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// lock takes the lock that fcntl and the one that flock knows: package managers use either.
func lock(ctx context.Context, path string) (int, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open lock", Path: path, Err: err}
	}
	err = waitFor(ctx, func() string {
		all := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		if unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &all) != nil || unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
			return path + " is locked by " + cmp.Or(lockedBy(fd), "another process")
		}
		return ""
	})
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// waitFor waits until held says no reason any more.
func waitFor(ctx context.Context, held func() string) error {
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		why := held()
		if why == "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New(why)
		}
	}
}

// lockedBy names who holds a lock on an open file, "" if nobody can be seen to.
func lockedBy(fd int) string {
	asked := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &asked) == nil && asked.Type != unix.F_UNLCK && asked.Pid > 0 {
		return process(int(asked.Pid))
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) == nil {
		if pid := lockOwner(&st); pid > 0 {
			return process(pid)
		}
	}
	return ""
}

// lockOwner finds in the kernel's table of locks who has one on a file, 0 if nobody or out of sight.
func lockOwner(st *unix.Stat_t) int {
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] == "->" || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 && pid != os.Getpid() {
			return pid
		}
	}
	return 0
}

// holder names who is at work with the package manager, "" if nobody. It takes no lock.
func (m packager) holder() string {
	for _, path := range m.locks {
		if who := lockHolder(path); who != "" {
			return path + " is locked by " + who
		}
	}
	for _, path := range m.pids {
		if why := atWork(path); why != "" {
			return why
		}
	}
	return ""
}

// lockHolder needs no right to open the lock, if the kernel's table of locks knows it.
func lockHolder(path string) string {
	if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err == nil {
		defer unix.Close(fd)
		return lockedBy(fd)
	}
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return ""
	}
	if pid := lockOwner(&st); pid > 0 {
		return process(pid)
	}
	return ""
}

// atWork says who is named in a file that holds the number of a process, "" if that does not live.
func atWork(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || pid == os.Getpid() || errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return ""
	}
	return path + " names " + process(pid)
}

// process names a process.
func process(pid int) string {
	if s, ok := procfs.Machine.Stat(pid); ok {
		return fmt.Sprintf("process %d (%s)", pid, shown(s.Name))
	}
	return fmt.Sprintf("process %d", pid)
}
