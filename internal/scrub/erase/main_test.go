// SPDX-License-Identifier: Apache-2.0

//go:build linux

package erase

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tests run themselves again in other worlds: as another user, on a kernel that lacks system calls, with few descriptors, each in a
// mount namespace of its own. worldVar names the world to a child, roleVar a part to play other than running tests.
const (
	worldVar = "ERASE_TEST_WORLD"
	roleVar  = "ERASE_TEST_ROLE"
)

// world is a kind of machine to run on.
type world struct {
	name  string
	uid   uint32
	files uint64           // descriptors; 0: as many as there are
	lacks map[uint32]errno // system calls that answer with an error
}

type errno = unix.Errno

const nobody = 65534

var (
	since57 = map[uint32]errno{
		unix.SYS_OPENAT2: unix.ENOSYS, unix.SYS_STATX: unix.ENOSYS, unix.SYS_FACCESSAT2: unix.ENOSYS,
		unix.SYS_FCHMODAT2: unix.ENOSYS, unix.SYS_CLOSE_RANGE: unix.ENOSYS,
	}
	worlds = []world{
		{name: "root on this kernel"},
		{name: "root with 64 descriptors", files: 64},
		{name: "root on a kernel without openat2", lacks: since57},
		{name: "root on a kernel without openat2 and file handles", lacks: with(since57, unix.SYS_NAME_TO_HANDLE_AT, unix.ENOSYS)},
		{name: "root where a filter forbids openat2", lacks: map[uint32]errno{unix.SYS_OPENAT2: unix.EPERM, unix.SYS_NAME_TO_HANDLE_AT: unix.EPERM}},
		{name: "an ordinary user", uid: nobody},
		{name: "an ordinary user on a kernel without openat2", uid: nobody, lacks: since57},
	}
)

func with(calls map[uint32]errno, call uint32, answer errno) map[uint32]errno {
	more := map[uint32]errno{call: answer}
	maps.Copy(more, calls)
	return more
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	if os.Geteuid() != 0 && os.Getenv("CI") == "true" && os.Getenv(worldVar) == "" {
		fmt.Fprintln(os.Stderr, "these tests need root: they mount, change owners and set flags")
		os.Exit(1)
	}
	if w, ok := here(); ok {
		if err := w.become(); err != nil {
			fmt.Fprintf(os.Stderr, "enter the world %q: %v\n", w.name, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// here is the world that this process was started for.
func here() (world, bool) {
	for _, w := range worlds {
		if w.name == os.Getenv(worldVar) {
			return w, true
		}
	}
	return world{}, false
}

// become does what a process has to do to itself.
func (w world) become() error {
	if w.files > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: w.files, Max: w.files}); err != nil {
			return err
		}
	}
	return forbid(w.lacks)
}

// in runs the calling test in the world, and says whether the caller is the child that has to do the testing.
func in(t *testing.T, w world) (inside bool) {
	t.Helper()
	if now, ok := here(); ok {
		return now.name == w.name
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts, changes of owner and flags") // in CI, TestMain has failed
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/") // its subtest for the world is the only one that does anything there
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+name+"$", "-test.v", "-test.timeout=10m")
	if testing.Short() {
		cmd.Args = append(cmd.Args, "-test.short")
	}
	tmp := openTemp(t)
	cmd.Env = append(os.Environ(), worldVar+"="+w.name, "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if w.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: w.uid, Gid: w.uid}
		if err := os.Chown(tmp, int(w.uid), int(w.uid)); err != nil {
			t.Fatal(err)
		}
		// The test binary lies where only its maker may look.
		cmd.Path = tmp + "/erase.test"
		copyFile(t, self, cmd.Path)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Errorf("in the world %q: %v\n%s", w.name, err, failures(string(out)))
	}
	return false
}

// failures is what a test's output says beside the tests that pass.
func failures(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		if !strings.Contains(line, "=== ") && !strings.Contains(line, "--- PASS") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// openTemp is a temporary directory that other users can reach, which t.TempDir alone is not.
func openTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			_ = exec.Command("chattr", "-R", "-i", "-a", dir).Run()
		}
	})
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	// A process that another test starts meanwhile would hold the file open for writing until it executes, and nobody could execute this one.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(to, text, 0o755); err != nil {
		t.Fatal(err)
	}
}

// forbid has system calls of this process answer with an error, as an older kernel or a container's filter does.
func forbid(calls map[uint32]errno) error {
	if len(calls) == 0 {
		return nil
	}
	const number, allow = 0, unix.SECCOMP_RET_ALLOW // the number is the first field of what a filter sees
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for call, answer := range calls {
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(answer)})
	}
	code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow})
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	_, err := unix.Openat2(unix.AT_FDCWD, "/", &unix.OpenHow{Flags: place})
	if err == nil {
		return fmt.Errorf("the filter does not work: openat2 still does")
	}
	return nil
}

// play does the part of another process in a test.
func play(role string, args []string) int {
	var err error
	switch role {
	case "sit":
		err = playSit(args)
	case "erase":
		err = playErase(args)
	default:
		err = fmt.Errorf("no such role: %s", strconv.Quote(role))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// actor starts this program in a role.
func actor(t *testing.T, role string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}
