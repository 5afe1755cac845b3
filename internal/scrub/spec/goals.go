// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Seconds is a duration that travels as whole seconds.
type Seconds int64

// Duration returns s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Processes asks that none is left of the owned users, none that stands in an owned path or cgroup, and none that an
// earlier build of this agent started.
//
// What survives whatever else is true of it: process 1, the kernel's own, this program and its ancestors, the agent and
// what belongs to it, the session it is reached by, processes of other users that the ownership does not name, and
// those in Keep.
type Processes struct {
	// Cookies has the processes of earlier builds ended: those whose environment names this agent, this controller and
	// another build than this one.
	Cookies bool `json:"cookies,omitempty"`
	// Keep are names of programs (the base name of the executable, never the command line) that survive.
	Keep []string `json:"keep,omitempty"`
	// Grace is how long a process has between TERM and KILL; 0 means 5 seconds.
	Grace Seconds `json:"grace,omitempty"`
}

// Mounts asks that nothing is mounted below the owned paths. A mount at an owned path itself stays unless Roots says
// otherwise: that is how agents with a disk of their own look.
type Mounts struct {
	Roots bool     `json:"roots,omitempty"`
	Keep  []string `json:"keep,omitempty"` // mount points that stay, with everything mounted on the way to them
}

// Loops asks that no loop device has a backing file below the owned paths, and that no device-mapper device stands on
// such a one.
type Loops struct{}

// Files asks that the owned paths hold nothing but what the policy keeps. An owned path itself stays.
type Files struct {
	// Paths are the owned paths, or paths below them, that are to be emptied; all owned ones if neither they nor Shared
	// name any.
	Paths []string `json:"paths,omitempty"`
	// Shared are directories that others use too, such as /tmp. Of what they hold directly, that goes which an owned
	// user owns or whose name matches Names; private directories of services and sockets that are listened on stay.
	Shared []string `json:"shared,omitempty"`
	// Names are patterns (as in path.Match) of names that are owned in the shared directories.
	Names []string `json:"names,omitempty"`
	// Keep are patterns (as in path.Match) of names that stay, directly below a path.
	Keep []string `json:"keep,omitempty"`
	// Older keeps what was used less long ago; 0 keeps nothing on account of its age.
	Older Seconds `json:"older,omitempty"`
	// Size keeps what was used last, directly below each path, as far as it fits into so many bytes on disk; 0 keeps nothing
	// on account of its size. With Older as well, what is kept has to be both.
	Size int64 `json:"size,omitempty"`
	// Pressure keeps everything below a path while its file system has so many bytes free; 0 asks for no reason to remove.
	Pressure int64 `json:"pressure,omitempty"`
}

// check says why f would reach further than what is owned.
func (f Files) check(o Ownership) error {
	for _, p := range f.Paths {
		if !o.Holds(p) {
			return fmt.Errorf("files: path %q is not owned", p)
		}
	}
	for _, p := range f.Shared {
		if why := NotShared(p); why != "" {
			return fmt.Errorf("files: shared directory %q: %s", p, why)
		}
	}
	for _, p := range f.Names {
		if why := TooLoose(p); why != "" {
			return fmt.Errorf("files: name %q: %s", p, why)
		}
	}
	return nil
}

// inhabited are directories in which what somebody has is no leftover: homes, and what services live on.
var inhabited = []string{"/", "/dev", "/home", "/media", "/mnt", "/opt", "/root", "/run/user", "/srv", "/var", "/var/cache", "/var/lib", "/var/spool"}

// NotShared says why nothing may be taken out of p as a directory that others use too, "" if it may.
func NotShared(p string) string {
	if slices.Contains(inhabited, p) {
		return "what it holds are homes, or what services live on, and no leftovers; own directories below it instead"
	}
	if root := systems(p); root != "" {
		return "all of " + root + " belongs to the system"
	}
	return ""
}

// TooLoose says why a pattern would match things of others in a shared directory: at least two of its characters have to be
// meant.
func TooLoose(pattern string) string {
	meant := 0
	for rest := pattern; rest != ""; rest = rest[1:] {
		switch rest[0] {
		case '*', '?', '\\':
		case '[':
			rest = rest[max(strings.IndexByte(rest, ']'), 0):]
		default:
			meant++
		}
	}
	if meant < 2 {
		return "it would match things of others; at least two of its characters have to be meant"
	}
	return ""
}

// Disk asks for room on the file systems that hold Paths. It is judged, not made.
type Disk struct {
	Paths     []string `json:"paths"`
	BytesFree int64    `json:"bytesFree,omitempty"`
	// InodesFree is ignored on file systems that do not count inodes.
	InodesFree int64 `json:"inodesFree,omitempty"`
}
