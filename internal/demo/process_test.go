// SPDX-License-Identifier: Apache-2.0

//go:build linux

package demo

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// escapedLine is the command line of the process that a build of the demo leaves behind.
var escapedLine = []string{"sh", "-c", "while sleep 1; do :; done"}

// startProcess starts a process that looks as one that a build left behind, with other environment
// or in another directory. It ends with the test.
func startProcess(t *testing.T, dir string, env ...string) int {
	t.Helper()
	cmd := exec.Command(escapedLine[0], escapedLine[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// runs reports whether a process is there and no zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	return len(fields) > 0 && fields[0] != "Z"
}

// traces are the processes that have anything to do with a directory: working directory, command
// line or environment.
func traces(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range found {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() || !runs(pid) {
			continue
		}
		cwd, _ := os.Readlink(p + "/cwd")
		line, _ := os.ReadFile(p + "/cmdline")
		env, _ := os.ReadFile(p + "/environ")
		if cwd == dir || strings.HasPrefix(cwd, dir+"/") || bytes.Contains(line, []byte(dir+"/")) || bytes.Contains(env, []byte(dir+"/")) {
			out = append(out, fmt.Sprintf("%d in %s: %s", pid, cwd, bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return out
}

// escapees are the processes that escaped from builds of the demo in a directory.
func escapees(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	for _, p := range traces(t, dir) {
		if strings.Contains(p, escapedLine[2]) {
			n++
		}
	}
	return n
}

// wantNothingLeft fails when a demo left a process or its directory.
func wantNothingLeft(t *testing.T, dir string) {
	t.Helper()
	if left := traces(t, dir); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("stat %s: got %v, want that it is gone", dir, err)
	}
}
