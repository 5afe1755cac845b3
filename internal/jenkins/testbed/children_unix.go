// SPDX-License-Identifier: Apache-2.0

//go:build unix

package testbed

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// endChildren ends what builds on an agent left running on this machine: an agent that
// was killed takes nothing with it. They are known by the agent's name, which no other
// run shares, in their environment.
func endChildren(agent string) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return
	}
	mark := []byte("\x00NODE_NAME=" + agent + "\x00")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(append([]byte{0}, text...), mark) {
			continue // ended, or somebody else's
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
