// SPDX-License-Identifier: Apache-2.0

//go:build ppc64le || s390x

package scrub

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// removeMuxed calls "ipc", where the last argument of semctl goes by a pointer that has to lead somewhere.
func removeMuxed(operation, id, second, third uintptr) syscall.Errno {
	var none uintptr
	_, _, errno := unix.Syscall6(unix.SYS_IPC, operation, id, second, third, uintptr(unsafe.Pointer(&none)), 0)
	return errno
}
