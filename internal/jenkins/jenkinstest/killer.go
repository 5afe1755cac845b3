// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// procDir is where the kernel shows processes. Elsewhere than on Linux nothing is found
// and only the process that a step began with is ended.
const procDir = "/proc"

// killByEnvironment signals, with their descendants, all processes whose environment
// holds every one of the variables (hudson.util.ProcessTree). Whoever changed one of
// them, or cleared its environment, escapes.
func killByEnvironment(vars map[string]string, sig syscall.Signal) error {
	return killMatching(sig, func(pid int) bool {
		env, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), "environ"))
		if err != nil || len(env) == 0 {
			return false
		}
		have := make(map[string]bool, 64)
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			have[string(kv)] = true
		}
		for k, v := range vars {
			if !have[k+"="+v] {
				return false
			}
		}
		return true
	})
}

// killBelow kills all processes whose working directory lies in dir.
func killBelow(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", dir, err)
	}
	return killMatching(syscall.SIGKILL, func(pid int) bool {
		cwd, err := os.Readlink(filepath.Join(procDir, strconv.Itoa(pid), "cwd"))
		cwd = strings.TrimSuffix(cwd, " (deleted)")
		return err == nil && (cwd == real || strings.HasPrefix(cwd, real+string(filepath.Separator)))
	})
}

// killMatching never touches this process.
func killMatching(sig syscall.Signal, match func(pid int) bool) error {
	var problems []error
	for _, p := range processes() {
		if p.pid != os.Getpid() && match(p.pid) {
			problems = append(problems, killTree(p.pid, sig))
		}
	}
	return errors.Join(problems...)
}

type process struct{ pid, parent int }

// processes lists what runs, zombies left out.
func processes() []process {
	entries, err := os.ReadDir(procDir)
	if err != nil {
		return nil
	}
	var list []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(pid); ok {
			list = append(list, process{pid, parent})
		}
	}
	return list
}

// parentOf reads the state and parent behind the command name in parentheses.
func parentOf(pid int) (int, bool) {
	stat, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 2 || fields[0] == "Z" {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// killTree signals a process and its descendants, looked up before the first dies. As
// Jenkins sends SIGTERM, a process may ignore it and survive.
func killTree(pid int, sig syscall.Signal) error {
	children := map[int][]int{}
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	doomed := []int{pid}
	for i := 0; i < len(doomed); i++ {
		doomed = append(doomed, children[doomed[i]]...)
	}
	var problems []error
	for _, d := range doomed {
		if err := signal(d, sig); err != nil {
			problems = append(problems, fmt.Errorf("kill process %d: %w", d, err))
		}
	}
	return errors.Join(problems...)
}
