// SPDX-License-Identifier: Apache-2.0

package spec

import "slices"

// Mount asks that file systems are mounted. They are looked at in the order of Wanted, so that one can stand in another.
type Mount struct {
	Wanted []WantedMount `json:"wanted"`
}

// WantedMount is one mount as it has to be.
type WantedMount struct {
	// Source is a device, a server's directory, or with the option bind a file or directory of this machine. Types without
	// a source, as tmpfs, may leave it empty.
	Source string `json:"source,omitempty"`
	// Target is where it shows: absolute and clean.
	Target string `json:"target"`
	// Type is the type of the file system; empty with the option bind.
	Type string `json:"type,omitempty"`
	// Options are as in mount(8), each by itself. Without "ro" it has to be writable.
	Options []string `json:"options,omitempty"`
	// Replace has something else that is mounted at Target unmounted; otherwise that is a failure.
	Replace bool `json:"replace,omitempty"`
}

// Bind reports whether a directory or file of this machine is to show at a second place, and whether with all that is
// mounted in it.
func (m WantedMount) Bind() (bind, recursive bool) {
	recursive = slices.Contains(m.Options, "rbind")
	return recursive || slices.Contains(m.Options, "bind"), recursive
}

// mountFlags are the options that a single mount has, whatever its file system.
var mountFlags = []string{"ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "noatime", "atime", "relatime", "strictatime", "nodiratime", "diratime"}

// MountFlags returns the options that a single mount has, whatever its file system: those are all that go with bind.
func MountFlags() []string { return slices.Clone(mountFlags) }
