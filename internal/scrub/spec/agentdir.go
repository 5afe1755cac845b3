// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"path"
	"strings"
)

// OwnDirectory says why a directory is not emptied that an agent has for itself.
func OwnDirectory(dir string) string {
	return fmt.Sprintf("%s is an agent's own directory: own the ones in it that builds fill, as %s/workspace", dir, dir)
}

// Endangers says why s may not be done on a machine where an agent has dir for itself, "" if it may: it would empty it, which scrub refuses,
// or empty a directory above it, where only a running agent is seen by scrub. AgentWord is taken for the name of any agent.
func (s Spec) Endangers(dir string) string {
	if s.Files == nil || !path.IsAbs(dir) {
		return ""
	}
	dir = path.Clean(dir)
	paths := s.Files.Paths
	if len(paths)+len(s.Files.Shared) == 0 {
		paths = s.Owned.Paths
	}
	for _, p := range paths {
		rest, within := after(p, dir)
		switch {
		case !within:
		case rest == "":
			return OwnDirectory(dir)
		case !Matches(s.Files.Keep, rest):
			return fmt.Sprintf("%s, an agent's own directory, lies in %s, which is emptied: it would stay only while its agent runs; "+
				"own the ones in it that builds fill, as %s/workspace", dir, p, dir)
		}
	}
	return ""
}

// after returns the name in root, which may hold AgentWord, that p goes on with; "" if it is root.
func after(root, p string) (name string, within bool) {
	pattern, parts := strings.Split(root, "/"), strings.Split(p, "/")
	if len(pattern) > len(parts) {
		return "", false
	}
	for i, want := range pattern {
		fits := want == parts[i]
		if before, rest, named := strings.Cut(want, AgentWord); named {
			fits = len(parts[i]) > len(before)+len(rest) && strings.HasPrefix(parts[i], before) && strings.HasSuffix(parts[i], rest)
		}
		if !fits {
			return "", false
		}
	}
	if len(pattern) == len(parts) {
		return "", true
	}
	return parts[len(pattern)], true
}
