// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// isAgent reports whether a process, if it is one of our ancestors, is an agent: that is Java.
func isAgent(s procfs.Stat) bool {
	return strings.HasPrefix(s.Name, "java") || strings.HasPrefix(filepath.Base(procfs.Machine.Link(s.PID, "exe")), "java")
}

// agentPaths returns where the agent among our ancestors works: its directory, and its jar with others that it holds
// open outside of the system's directories.
func agentPaths() []string {
	proc := procfs.Machine
	var all []string
	for pid := os.Getppid(); pid > 1; {
		s, ok := proc.Stat(pid)
		if !ok {
			break
		}
		if isAgent(s) {
			all = append(all, proc.Link(pid, "cwd"))
			proc.OpenFiles(pid, func(_, path string) bool {
				all = append(all, path)
				return true
			})
		}
		pid = s.Parent
	}
	return all
}
