// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// isAgent reports whether a process, if it is one of our ancestors, is an agent: that is Java.
func isAgent(s procfs.Stat) bool {
	return strings.HasPrefix(s.Name, "java") || strings.HasPrefix(filepath.Base(procfs.Machine.Link(s.PID, "exe")), "java")
}

// agents returns the agents that work on this machine: those among our ancestors, and whatever else looks like one. A program
// that came by SSH, or whose agent lost its connection, descends from none.
func agents() []procfs.Stat {
	proc := procfs.Machine
	var found []procfs.Stat
	for pid := os.Getppid(); pid > 1; {
		s, ok := proc.Stat(pid)
		if !ok {
			break
		}
		if isAgent(s) {
			found = append(found, s)
		}
		pid = s.Parent
	}
	all, _ := proc.All() // without a list, ancestors are what can be known
	looks := &processes{proc: proc}
	for _, s := range all {
		if looks.isAgent(s, "") && !slices.ContainsFunc(found, func(other procfs.Stat) bool { return other.PID == s.PID }) {
			found = append(found, s)
		}
	}
	return found
}

// agentPaths returns where agents work: their directories, and their jars with others that they hold open; and apart from
// that their homes, which are those directories and the ones that hold the jars.
func agentPaths() (paths, homes []string) {
	for _, s := range agents() {
		body := procfs.Machine.Body(s)
		cwd := procfs.Machine.Link(body, "cwd")
		paths, homes = append(paths, cwd), append(homes, cwd)
		procfs.Machine.OpenFiles(body, func(_, file string) bool {
			paths = append(paths, file)
			if strings.HasSuffix(file, ".jar") {
				homes = append(homes, filepath.Dir(file))
			}
			return true
		})
	}
	return paths, homes
}
