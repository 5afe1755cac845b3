// SPDX-License-Identifier: Apache-2.0

//go:build unix

package demo

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweepLimit bounds how long the demo waits for its last processes to be gone, beginLimit for those that may be beginning.
const (
	sweepLimit = 5 * time.Second
	beginLimit = time.Second
)

// leaveNothing ends every process of the run and removes its directory.
func leaveNothing(dir, cookie string) error {
	began := time.Now()
	for {
		left, beginning := leftovers(dir, cookie)
		took := time.Since(began)
		if len(left) == 0 && (!beginning || took > beginLimit) {
			break
		}
		if took > sweepLimit {
			return fmt.Errorf("processes %v of the demo did not end; its directory %s is left for them", left, dir)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
		}
		timer := time.NewTimer(20 * time.Millisecond)
		<-timer.C
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove the demo's directory: %w", err)
	}
	return nil
}

// leftovers are the processes that carry the run's cookie, or work inside its directory. Both can
// only be the demo's: the cookie is random, and so is the directory's name. It also reports whether a process is there that
// may be one of them in a moment: while a program takes the place of another, its environment is empty.
func leftovers(dir, cookie string) (pids []int, beginning bool) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, false
	}
	ours := startOf(os.Getpid())
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		text, err := os.ReadFile(path)
		switch {
		case err != nil: // gone, or somebody else's
		case carries(text, cookie) || worksIn(pid, dir):
			pids = append(pids, pid)
		case len(text) == 0:
			beginning = beginning || startOf(pid) >= ours
		}
	}
	return pids, beginning
}

// startOf is when a process was started, in ticks since the machine was; 0 if it is gone, or a zombie.
func startOf(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // proc_pid_stat(5), from its third field on
	if len(fields) < 20 || fields[0] == "Z" {
		return 0
	}
	ticks, _ := strconv.ParseUint(fields[19], 10, 64) // the kernel writes a number
	return ticks
}

func carries(environ []byte, cookie string) bool {
	return bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+messVar+"="+cookie+"."))
}

func worksIn(pid int, dir string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/"))
}
