// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"golang.org/x/sys/unix"
)

// made reports whether a process lives in a user namespace that is not ours and was made by one of the users, directly or within another
// that was. Everybody may make such, and namespaces of processes and mounts in them: what lives there is the maker's, whatever its user.
// Linux before 4.11 does not tell whose they are: there they are nobody's.
func (j *judge) made(pid int, users func(uid int) bool) bool {
	if space := j.proc.Link(pid, "ns/user"); space == "" || j.userSpace == "" || space == j.userSpace {
		return false
	}
	fd, err := unix.Open(j.proc.Path(pid, "ns/user"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == nil && !j.isUserSpace(fd) {
		uid, unknown := unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
		if unknown == nil && users(int(uid)) {
			_ = unix.Close(fd)
			return true
		}
		var above int
		above, err = unix.IoctlRetInt(fd, unix.NS_GET_PARENT) // EPERM above ours
		_ = unix.Close(fd)
		fd = above
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	return false
}

// isUserSpace reports whether an open user namespace is ours.
func (j *judge) isUserSpace(fd int) bool {
	var theirs, ours unix.Stat_t
	return unix.Fstat(fd, &theirs) == nil && unix.Stat(j.proc.Path(j.self, "ns/user"), &ours) == nil && theirs.Ino == ours.Ino && theirs.Dev == ours.Dev
}
