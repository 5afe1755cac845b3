// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path"
	"slices"
	"strings"
)

// listening returns the paths of the sockets that programs hold, by /proc/net/unix (proc_net(5)): a socket is not ours
// to remove while somebody answers there. It shows those of our own network namespace.
func listening() []string {
	text, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		return nil
	}
	return socketPaths(string(text))
}

// socketPaths reads the last column of each line; a path may hold blanks, an abstract name begins with an @.
func socketPaths(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		fields := strings.SplitN(strings.Join(strings.Fields(strings.TrimRight(line, "\n")), " "), " ", 8)
		if len(fields) == 8 && strings.HasPrefix(fields[7], "/") {
			all = append(all, path.Clean(fields[7]))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
