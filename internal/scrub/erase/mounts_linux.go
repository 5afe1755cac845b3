// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mounts tells the tree's mount from others on kernels without openat2. A bind mount of the tree's own file system has the same device
// number, so the mount itself has to be known.
type mounts struct {
	way mountWay
	id  int // the tree's mount
}

// mountWay is how to learn what mount a descriptor is on.
type mountWay int

const (
	byHandle mountWay = iota + 1 // name_to_handle_at gives the mount's number even when it is refused the handle: Linux 2.6.39
	byInfo                       // /proc/self/fdinfo: Linux 3.15
	byTable                      // /proc/self/mountinfo: is the descriptor's path that of a mount? A rename in between can mislead it
)

var errMounts = errors.New("this kernel gives no means to tell mounts apart: /proc is missing")

func probeMounts(fd int) (mounts, error) {
	for _, way := range []mountWay{byHandle, byInfo} {
		m := mounts{way: way}
		var err error
		if m.id, err = m.number(fd); err == nil {
			return m, nil
		}
	}
	m := mounts{way: byTable}
	if _, err := m.covers(fd); err != nil {
		return m, errMounts
	}
	return m, nil
}

// same checks that the descriptor, of something in the tree but not the tree itself, is on the tree's mount.
func (m mounts) same(fd int) error {
	if m.way == byTable {
		covered, err := m.covers(fd)
		if err == nil && covered {
			err = errMount
		}
		return err
	}
	id, err := m.number(fd)
	if err == nil && id != m.id {
		err = errMount
	}
	return err
}

func (m mounts) number(fd int) (int, error) {
	if m.way == byHandle {
		return handleMount(fd)
	}
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, unix.ENOSYS
}

// handleMount asks for a handle of no size, which the kernel refuses with EOVERFLOW after it has told the mount.
func handleMount(fd int) (int, error) {
	var handle struct {
		size uint32
		kind int32
	}
	id, empty := int32(-1), [1]byte{}
	_, _, errno := unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(fd), uintptr(unsafe.Pointer(&empty)), //nolint:gosec // the call takes addresses
		uintptr(unsafe.Pointer(&handle)), uintptr(unsafe.Pointer(&id)), unix.AT_EMPTY_PATH, 0) //nolint:gosec // the call takes addresses
	if errno != unix.EOVERFLOW && errno != 0 {
		return 0, errno
	}
	if id < 0 {
		return 0, unix.ENOSYS
	}
	return int(id), nil
}

// covers says whether the descriptor's path is one that something is mounted on.
func (m mounts) covers(fd int) (bool, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return false, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	lines := bufio.NewScanner(bytes.NewReader(table))
	lines.Buffer(nil, len(table)+1)
	for lines.Scan() {
		// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && unescape(fields[4]) == path {
			return true, nil
		}
	}
	return false, lines.Err()
}

// unescape undoes the octal escapes (\040 for a space) that the kernel writes into mountinfo.
func unescape(field string) string {
	if !strings.Contains(field, `\`) {
		return field
	}
	var out []byte
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				out = append(out, byte(code))
				i += 3
				continue
			}
		}
		out = append(out, field[i])
	}
	return string(out)
}
