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

// sweepLimit bounds how long the demo waits for its last processes to be gone.
const sweepLimit = 5 * time.Second

// leaveNothing ends every process of the run and removes its directory.
func leaveNothing(dir, cookie string) error {
	end := time.Now().Add(sweepLimit)
	for {
		left := leftovers(dir, cookie)
		if len(left) == 0 {
			break
		}
		if time.Now().After(end) {
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
// only be the demo's: the cookie is random, and so is the directory's name.
func leftovers(dir, cookie string) []int {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	var pids []int
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if carries(path, cookie) || worksIn(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func carries(environ, cookie string) bool {
	text, err := os.ReadFile(environ)
	if err != nil {
		return false // gone, or somebody else's
	}
	return bytes.Contains(append([]byte{0}, text...), []byte("\x00"+messVar+"="+cookie+"."))
}

func worksIn(pid int, dir string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && (cwd == dir || strings.HasPrefix(cwd, dir+"/"))
}
