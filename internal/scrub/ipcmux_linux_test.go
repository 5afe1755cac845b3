// SPDX-License-Identifier: Apache-2.0

//go:build ppc64le || s390x

package scrub

import (
	"errors"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestTheOneCallOfOldKernelsRemovesIPC makes an object of each table and removes it as before Linux 5.1, by the numbers of linux/ipc.h.
func TestTheOneCallOfOldKernelsRemovesIPC(t *testing.T) {
	t.Parallel()
	var data [1024]byte // more than any table tells of an object
	at := unsafe.Pointer(&data)
	ask := func(operation uintptr, args ...uintptr) (int, error) {
		args = append(args, make([]uintptr, 4-len(args))...)
		r, _, errno := unix.Syscall6(unix.SYS_IPC, operation, args[0], args[1], args[2], args[3], 0)
		if errno != 0 {
			return 0, errno
		}
		return int(r), nil
	}
	const private, mode = 0, 0o600
	status := func(operation uintptr, id int) error {
		_, err := ask(operation, uintptr(id), unix.IPC_STAT, 0, uintptr(at))
		return err
	}
	for table, c := range map[string]struct {
		make  func() (int, error)
		there func(id int) error
	}{
		"shm": {
			func() (int, error) { return ask(23, private, 4096, unix.IPC_CREAT|mode) },
			func(id int) error { return status(24, id) },
		},
		"sem": {
			func() (int, error) { return ask(2, private, 3, unix.IPC_CREAT|mode) },
			func(id int) error {
				_, err := ask(3, uintptr(id), 2, 12, uintptr(at)) // GETVAL of the third, for which what is pointed to does not matter
				return err
			},
		},
		"msg": {
			func() (int, error) { return ask(13, private, unix.IPC_CREAT|mode) },
			func(id int) error { return status(14, id) },
		},
	} {
		id, err := c.make()
		if err := errors.Join(err, c.there(id)); err != nil {
			t.Errorf("%s: make %d: %v", table, id, err)
			continue
		}
		if errno := removeMuxed(ipcCalls[table].muxed, uintptr(id), 0, 0); errno != 0 { // as removeIPC does: IPC_RMID is 0, wherever it stands
			t.Errorf("%s: remove %d: %v", table, id, errno)
		}
		if err := c.there(id); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EIDRM) {
			t.Errorf("%s: %d is there when it is removed: %v", table, id, err)
		}
	}
}
