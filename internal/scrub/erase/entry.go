// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"io/fs"
	"time"
)

// Entry is one thing directly in a tree. Its name may hold any bytes but a slash and NUL.
type Entry struct {
	Name  string
	Mode  fs.FileMode // type and permissions; of a symbolic link, the link's
	Owner uint32      // user id; 0 where the system has none

	Modified time.Time // its contents, as its owner may have set it
	Changed  time.Time // its inode: nobody can set this one back
	// Size is in bytes on disk. A file with several names is counted with each of them. Size, Inodes, Newest and Oldest speak of the
	// entry alone, unless the policy asked to measure: then of it and of everything below it.
	Size   int64
	Inodes int64
	Newest time.Time // the last time that any of it was used: read, written or changed
	Oldest time.Time // the longest time ago that any of it was last used
	// Unseen says that not everything below could be visited, for want of rights, for a mount, or because it changed meanwhile.
	// An entry that was not wholly seen is never selected by its age.
	Unseen bool
	// InUse says that it is a socket that the policy says is in use, or holds one.
	InUse bool

	id       ident
	replaced bool // another thing had its name when it was to be visited
}

func (e *Entry) used(at time.Time) {
	if at.After(e.Newest) {
		e.Newest = at
	}
	if e.Oldest.IsZero() || at.Before(e.Oldest) {
		e.Oldest = at
	}
}
