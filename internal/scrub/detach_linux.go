// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Mend takes the devices apart from the top down.
func (l *loops) Mend(ctx context.Context, found []Deviation) []error {
	patience, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	errs := make([]error, len(found))
	for i, f := range found {
		d := l.known[f.Kind+f.ID]
		if above := l.blocks.above(d.name); len(above) > 0 {
			errs[i] = fmt.Errorf("%s stands on it", strings.Join(above, ", "))
			continue
		}
		take := map[string]func(device) error{"swap": l.swapOff, "device": l.unmap, "loop": l.detach}[d.kind]
		for {
			errs[i] = l.explain(ctx, d, take(d))
			if busy, _ := errors.AsType[inUse](errs[i]); busy.error == nil || !pause(patience) {
				break
			}
		}
		if busy, ok := errors.AsType[inUse](errs[i]); ok {
			errs[i] = busyDevice(ctx, l.proc, l.names(d), l.numbers(d), busy.error)
		}
	}
	return errs
}

// inUse is the kernel's refusal to let go of what is in use.
type inUse struct{ error }

// pause waits a moment, and reports whether patience lasts.
func pause(patience context.Context) bool {
	select {
	case <-time.After(every):
		return true
	case <-patience.Done():
		return false
	}
}

func (l *loops) explain(ctx context.Context, d device, err error) error {
	switch {
	case ctx.Err() != nil && err != nil:
		return stopped(ctx)
	case errors.Is(err, unix.EBUSY):
		return inUse{err}
	case errors.Is(err, unix.ENXIO), d.kind != "swap" && errors.Is(err, unix.ENODEV):
		return nil // gone already
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Final{errors.New("this needs root")}
	}
	return err
}

// detach takes its file from a loop device.
//
// LOOP_CLR_FD on a device that others have open says yes and leaves it for whenever they close it. So the device is
// opened exclusively, which fails while it is mounted, swapped to, or stood on; and it counts as detached only when the
// kernel no longer shows its file.
func (l *loops) detach(d device) error {
	fd, err := l.blocks.node(d.name, unix.O_RDONLY|unix.O_EXCL)
	if err != nil {
		return err
	}
	now, err := fileOf(fd)
	if err == nil && now == d.file { // while we hold it, it keeps its file
		err = unix.IoctlSetInt(fd, unix.LOOP_CLR_FD, 0)
	}
	if err := errors.Join(err, unix.Close(fd)); err != nil {
		return err
	}
	if now, err := l.status(d.name); err == nil && now == d.file {
		return fmt.Errorf("%w: it detaches itself when the last who has it open closes it", unix.EBUSY)
	}
	return nil // whatever it is made of now
}

// swapOff has the kernel fetch back what it has swapped to a file or device.
func (l *loops) swapOff(d device) error {
	fd, err := openFile(d.name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	name, err := unix.BytePtrFromString(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SWAPOFF, uintptr(unsafe.Pointer(name)), 0, 0) //nolint:gosec // the kernel takes it so
	if errno != 0 && errno != unix.EINVAL {
		return os.NewSyscallError("swapoff", errno)
	}
	return nil
}

// openFile opens a file as a place only, without following a link.
func openFile(p string) (fd int, err error) {
	dir, err := openDir(path.Dir(p))
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return unix.Openat(dir, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// unmap has the device mapper remove a device, at once or not at all. It is named to it as it names it itself, if it
// still is the one we saw.
func (l *loops) unmap(d device) error {
	if l.blocks.read(d.name, "dm", "name") != d.mapped || !slices.Equal(l.blocks.list(d.name, "slaves"), d.slaves) {
		return nil
	}
	fd, err := unix.Open("/dev/mapper/control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/mapper/control", err)
	}
	defer unix.Close(fd)
	order := removal(d.mapped)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.DM_DEV_REMOVE, uintptr(unsafe.Pointer(&order[0]))) //nolint:gosec // as above
	if errno != 0 {
		return os.NewSyscallError("remove "+d.mapped, errno)
	}
	return nil
}

// removal is a struct dm_ioctl (linux/dm-ioctl.h) that names a device: the version of the interface, the size of it all,
// and at byte 48 the name.
func removal(name string) [312]byte {
	var order [312]byte
	binary.NativeEndian.PutUint32(order[0:], 4)
	binary.NativeEndian.PutUint32(order[12:], uint32(len(order)))
	binary.NativeEndian.PutUint32(order[16:], uint32(len(order)))
	copy(order[48:48+127], name)
	return order
}

// names are what processes can have a device open by.
func (l *loops) names(d device) []string {
	names := l.blocks.parts(strings.TrimPrefix(d.name, "/dev/"))
	if d.mapped != "" {
		names = append(names, "mapper/"+d.mapped)
	}
	return names
}

func (l *loops) numbers(d device) []string {
	var numbers []string
	for _, part := range l.blocks.parts(strings.TrimPrefix(d.name, "/dev/")) {
		numbers = append(numbers, l.blocks.number(part))
	}
	return numbers
}
