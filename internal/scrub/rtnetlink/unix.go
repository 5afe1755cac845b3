// SPDX-License-Identifier: Apache-2.0

package rtnetlink

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// UnixSocket is a unix socket that is bound to a file.
type UnixSocket struct {
	// Name is the path as the socket was bound by: relative to the directory, the root and the mounts that its process had then.
	Name string
	// Device is the number of the file's file system as "major:minor", which is the one in mountinfo; stat(2) may tell another (btrfs).
	Device string
	// Inode is the file's number, or the lower 32 bits of it.
	Inode uint32
}

// The numbers of sock_diag(7), from the kernel's include/uapi/linux: sock_diag.h, unix_diag.h. Inside of the kernel, the minor number of a
// device has 20 bits (include/linux/kdev_t.h).
const (
	typeSocket, familyUnix                = 20, 1
	unixRequestSize, unixSize             = 24, 16
	unixName, unixFile                    = 0, 1
	unixShow                              = 1<<unixName | 1<<unixFile
	unixStatesAt, unixShowAt, unixCookies = 4, 12, 16
	minorBits                             = 20
)

// unixRequest asks for sockets in any state.
func unixRequest() []byte {
	body := make([]byte, unixRequestSize)
	body[0] = familyUnix
	binary.NativeEndian.PutUint32(body[unixStatesAt:], ^uint32(0))
	binary.NativeEndian.PutUint32(body[unixShowAt:], unixShow)
	binary.NativeEndian.PutUint64(body[unixCookies:], ^uint64(0)) // any
	return body
}

// parseUnix reads one socket; what has no file has no inode.
func parseUnix(body []byte) (s UnixSocket, err error) {
	if len(body) < unixSize || body[0] != familyUnix {
		return s, errShort
	}
	err = attributes(body[unixSize:], func(kind uint16, value []byte) error {
		switch kind {
		case unixName:
			s.Name = string(bytes.TrimRight(value, "\x00"))
		case unixFile:
			var device uint32
			if len(value) < 2*wordSize {
				return errShort
			}
			_, _ = number(value, &s.Inode), number(value[wordSize:], &device) // they are as long
			s.Device = fmt.Sprintf("%d:%d", device>>minorBits, device&(1<<minorBits-1))
		}
		return nil
	})
	return s, err
}
