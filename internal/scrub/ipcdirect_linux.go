// SPDX-License-Identifier: Apache-2.0

//go:build !ppc64le && !s390x

package scrub

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// removeMuxed is for platforms where the calls of System V have not always had numbers of their own.
func removeMuxed(_, _, _, _ uintptr) syscall.Errno { return unix.ENOSYS }
