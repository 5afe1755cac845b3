// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"slices"
	"strings"
)

// Kind is what sort of thing a maker leaves.
type Kind string

// The kinds of mess.
const (
	Files      Kind = "files"
	Processes  Kind = "processes"
	Mounts     Kind = "mounts"
	Loops      Kind = "loop devices"
	Containers Kind = "containers"
	Disk       Kind = "disk"
	IPC        Kind = "ipc"
)

// Need is what a maker cannot do without. Where it is missing the maker is skipped, with the reason.
type Need string

// The needs of makers.
const (
	Root   Need = "root"             // and the right to mount, which root in a container may lack
	Proc   Need = "/proc"            // so Linux
	Setsid Need = "setsid"           // of util-linux or busybox
	Loop   Need = "loop devices"     // in the kernel, and losetup
	Engine Need = "podman or docker" // that answers, and has an image
	SysV   Need = "ipcmk and ipcrm"  // of util-linux
	Shm    Need = "/dev/shm"
)

// Maker leaves one sort of mess.
type Maker struct {
	Name   string // of the lines that are said about it, and of its part of the program
	Kind   Kind
	Leaves string // what, for people
	Needs  []Need
}

// All returns every maker, in the order in which they make. A full disk comes last: it would starve the others.
func All() []Maker { return slices.Clone(all) }

var all = []Maker{
	{"files-tree", Files, "a tree of 40 levels in MESS_DIR, with directories that are read-only", nil},
	{"files-names", Files, "names with a line end, a leading dash, spaces, quotes, stars, bytes that are no UTF-8", nil},
	{"files-links", Files, "hard links, and symbolic links out of MESS_DIR, to the root and to nowhere", nil},
	{"files-sparse", Files, "a sparse file that seems to have 8 GiB", nil},
	{"files-temporary", Files, "files of a build in MESS_TMP", nil},
	{"process-session", Processes, "a process in a session of its own, whose parent is gone", []Need{Proc, Setsid}},
	{"process-stubborn", Processes, "one that ignores SIGTERM, SIGINT and SIGHUP", []Need{Proc, Setsid}},
	{"process-bare", Processes, "one with an empty environment, which no mark of a build can find", []Need{Proc, Setsid}},
	{"process-open", Processes, "one that holds a deleted file of 1 MiB open, with its working directory in MESS_DIR", []Need{Proc, Setsid}},
	{"mount-tmpfs", Mounts, "a tmpfs in MESS_DIR, with a file in it", []Need{Proc, Root}},
	{"mount-busy", Mounts, "a tmpfs in MESS_DIR that a process uses", []Need{Proc, Setsid, Root}},
	{"loop", Loops, "a loop device of a file in MESS_DIR", []Need{Proc, Root, Loop}},
	{"container", Containers, "a container and a volume", []Need{Engine}},
	{"ipc-sysv", IPC, "a System V memory segment", []Need{Proc, SysV}},
	{"ipc-posix", IPC, "a POSIX memory object", []Need{Shm}},
	{"disk-full", Disk, "a file that fills the file system of MESS_DIR, or takes its quota of a large one", nil},
}

// Table returns the makers as a table for people, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| mess | leaves | needs |\n|---|---|---|\n")
	for _, m := range all {
		needs := make([]string, len(m.Needs))
		for i, n := range m.Needs {
			needs[i] = string(n)
		}
		b.WriteString("| `" + m.Name + "` | " + m.Leaves + " | " + strings.Join(needs, ", ") + " |\n")
	}
	return b.String()
}
