// SPDX-License-Identifier: Apache-2.0

//go:build unix

package scrub

import (
	"os"

	"golang.org/x/sys/unix"
)

// roomAt asks the file system that holds path. Btrfs and others that make inodes as they need them count none.
func roomAt(path string) (room, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return room{}, os.NewSyscallError("statfs", err)
	}
	block := int64(s.Bsize) //nolint:unconvert // int32 on darwin
	return room{
		bytes: clamp(s.Bavail) * block, allBytes: clamp(s.Blocks) * block, inodes: clamp(s.Ffree), allInodes: clamp(s.Files), countsInodes: s.Files > 0,
	}, nil
}

// clamp keeps what network file systems without a limit report from becoming negative.
func clamp(n uint64) int64 { return int64(min(n, 1<<53)) }
