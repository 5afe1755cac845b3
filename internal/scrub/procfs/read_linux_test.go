// SPDX-License-Identifier: Apache-2.0

package procfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// TestAllOpenFilesAreSeen, also those that the kernel tells of only when it is asked again.
func TestAllOpenFilesAreSeen(t *testing.T) {
	t.Parallel()
	const many = 900 // of which a read brings fewer, and which is less than a process may have anywhere
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range many {
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	for _, c := range []struct {
		numbers string
		beyond  int // number of one more
	}{{"without gaps", 0}, {"with a gap", 1000}} {
		want := many + 1
		if c.beyond > 0 {
			fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, c.beyond)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			want++
		}
		seen := map[string]int{}
		procfs.Machine.OpenFiles(os.Getpid(), func(fd, path string) bool {
			if path == file.Name() {
				seen[fd]++
			}
			return true
		})
		if len(seen) != want {
			t.Errorf("numbers %s: %d files are open, %d are seen", c.numbers, want, len(seen))
		}
		for fd, times := range seen {
			if times > 1 {
				t.Errorf("numbers %s: %s is seen %d times", c.numbers, fd, times)
			}
		}
	}
}

// TestAFileIsSeenBesideThoseThatAreJustOpened opens others while those are looked at that there were: as many are found without the one
// with a high number.
func TestAFileIsSeenBesideThoseThatAreJustOpened(t *testing.T) { //nolint:paralleltest // others would open files
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var high int
	for i := range 51 { // of which the others fill the gaps between the lowest numbers
		if high, err = unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, i/50*1500); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(high)
	}
	var others []*os.File
	seen := false
	procfs.Machine.OpenFiles(os.Getpid(), func(fd, _ string) bool {
		for range 10 - len(others) { // whoever started us may have left us some with high numbers
			other, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			others = append(others, other)
		}
		seen = seen || fd == strconv.Itoa(high)
		return true
	})
	for _, other := range others {
		other.Close()
	}
	if !seen {
		t.Errorf("file %d was not seen", high)
	}
}

func TestAProcessReadsItself(t *testing.T) {
	t.Setenv("PITCREW_PROCFS", "read") // another than at the start, which is what counts
	self := os.Getpid()
	s, ok := procfs.Machine.Stat(self)
	if !ok || s.PID != self || s.Parent != os.Getppid() || s.Kernel || s.Start == 0 {
		t.Errorf("%+v, %v", s, ok)
	}
	if uid, ok := procfs.Machine.UID(s); !ok || uid != os.Getuid() {
		t.Errorf("user %d, %v; want %d", uid, ok, os.Getuid())
	}
	s.Owner = 0 // so that only its status tells
	if uid, ok := procfs.Machine.UID(s); !ok || uid != os.Getuid() {
		t.Errorf("user %d by its status, %v; want %d", uid, ok, os.Getuid())
	}
	asked := false
	procfs.Machine.Environ(self, func(e procfs.Environ) {
		asked = true
		if e.Get("PATH") == "" || e.Get("PITCREW_PROCFS") != "" {
			t.Errorf("%q; want the environment that we were started with", e)
		}
	})
	if !asked {
		t.Error("our own environment may not be read")
	}
	if exe, err := os.Executable(); err != nil || procfs.Machine.Link(self, "exe") != exe {
		t.Errorf("our program is %q; want %q, %v", procfs.Machine.Link(self, "exe"), exe, err)
	}
}

// TestAProcessThatBecomesAnotherProgramIsRead looks at one that does so all the time, between which the kernel shows no environment.
func TestAProcessThatBecomesAnotherProgramIsRead(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(script, []byte(`exec sh "$0"`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), "sh", script)
	c.Env = append(os.Environ(), "PITCREW_PROCFS=here")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = c.Process.Kill(), c.Wait() }()
	const looks = 10_000
	missed := 0
	for range looks {
		marked := false
		procfs.Machine.Environ(c.Process.Pid, func(e procfs.Environ) { marked = e.Get("PITCREW_PROCFS") == "here" })
		if !marked {
			missed++
		}
	}
	if missed > 0 {
		t.Errorf("%d of %d looks saw no environment", missed, looks)
	}
}
