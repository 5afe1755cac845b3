// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	firstRead = 32 << 10 // bytes asked for at first: most directories are small
	bigRead   = 2 << 20  // bytes, some 60,000 names, that are read of a directory before any of them is removed
	// vastRead is the same where their order matters, if few of them are directories: a disk's inodes are gone through once for each read.
	vastRead = 32 << 20
	// The longest record: a fixed part and a name of 255 bytes. Less room than that at the end of a read means there may be more.
	record = 19 + 256 + 8
)

// entry is one record that getdents64 left in the buffer.
type entry struct {
	ino  uint64
	off  int32 // where its name begins; a NUL ends it
	size int32
	kind byte // unix.DT_UNKNOWN on file systems that do not tell
}

// names is what was read of a directory last. It is reused for all directories of a worker.
type names struct {
	buf  []byte
	list []entry
	next int64 // the position after what was read, for a descriptor opened anew
	full bool  // there is probably more to read
	end  bool  // there was nothing more to read

	inOrder bool // names are to be removed in the order of their inodes
	dirs    int  // directories in list
}

// read reads on from where the descriptor stands. No names means that the end was reached.
func (n *names) read(fd int) error {
	n.list, n.dirs, n.full, n.end = n.list[:0], 0, false, false
	if n.buf == nil {
		n.buf = make([]byte, firstRead)
	}
	for used, room := 0, firstRead; ; room = len(n.buf) - used {
		got, err := retry(func() (int, error) { return unix.Getdents(fd, n.buf[used:used+room]) })
		if err != nil {
			return err
		}
		n.parse(used, used+got)
		used += got
		n.end = used == 0
		// A file system may return less than would fit although there is more, which costs another read or, after the attempt to
		// remove the directory, another round.
		if got+record < room {
			return nil
		}
		if len(n.buf)-used >= firstRead {
			continue
		}
		more := max(bigRead, 2*len(n.buf))
		if more > bigRead && (!n.inOrder || n.dirs > maxAhead) || more > vastRead {
			n.full = true
			return nil
		}
		n.buf = append(make([]byte, 0, more), n.buf...)[:more]
	}
}

func (n *names) parse(from, to int) {
	for from < to {
		rec := n.buf[from:to]
		size := int(binary.NativeEndian.Uint16(rec[16:]))
		n.next = int64(binary.NativeEndian.Uint64(rec[8:])) //nolint:gosec // an opaque cookie
		name := rec[19:size]
		end := bytes.IndexByte(name, 0)
		if !dots(name[:end]) {
			if rec[18] == unix.DT_DIR {
				n.dirs++
			}
			n.list = append(n.list, entry{
				ino: binary.NativeEndian.Uint64(rec), off: int32(from + 19), size: int32(end), kind: rec[18], //nolint:gosec // below bigRead
			})
		}
		from += size
	}
}

func dots(name []byte) bool {
	return len(name) == 1 && name[0] == '.' || len(name) == 2 && name[0] == '.' && name[1] == '.'
}

// sort puts many names in the order of their inodes, if that matters, so that a disk is read and written from one end to the other.
func (n *names) sort() {
	if n.inOrder && len(n.list) > 1000 {
		slices.SortFunc(n.list, func(a, b entry) int { return cmp.Compare(a.ino, b.ino) })
	}
}

func (n *names) name(e entry) string { return string(n.buf[e.off : e.off+e.size]) }

// unlink removes the name, a directory's with unix.AT_REMOVEDIR. It never follows a link and removes no directory that is not empty.
func (n *names) unlink(dir int, e entry) error {
	return unlinkat(dir, &n.buf[e.off], 0)
}

// unlinkat is unix.Unlinkat without a copy of the name, which ends with NUL.
func unlinkat(dir int, name *byte, flags int) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_UNLINKAT, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(flags)) //nolint:gosec // the call takes an address
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}
