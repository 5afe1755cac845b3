// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// listening returns the paths of the sockets that programs hold, by /proc/PID/net/unix (proc_net(5)): a socket is not ours
// to remove while somebody answers there. Each network namespace has a table of its own, as a service with
// PrivateNetwork= has, and a path in it is one of the mounts that its programs see. Of other users' namespaces only root
// is told.
func listening() []string {
	proc := procfs.Machine
	all, _ := proc.All() // without it, those of our own namespace are what can be known
	views := map[[2]string]int{{proc.Link(os.Getpid(), "ns/net"), proc.Link(os.Getpid(), "ns/mnt")}: os.Getpid()}
	for _, s := range all {
		view := [2]string{proc.Link(s.PID, "ns/net"), proc.Link(s.PID, "ns/mnt")}
		if _, seen := views[view]; !seen && view[0] != "" && view[1] != "" {
			views[view] = s.PID
		}
	}
	ours := proc.Link(os.Getpid(), "ns/mnt")
	var found []string
	for view, pid := range views {
		text, err := os.ReadFile(proc.Path(pid, "net/unix"))
		if err != nil {
			continue
		}
		for _, p := range socketPaths(string(text)) {
			if view[1] == ours || sameThing(proc.Path(pid, "root")+p, p) {
				found = append(found, spell(p))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// sameThing reports whether two paths name the same thing; what can be found by neither is no reason to keep anything.
func sameThing(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Lstat(a, &x) == nil && unix.Lstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
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
