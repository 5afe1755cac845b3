// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// blocks is where the kernel lists its block devices, partitions included.
type blocks string

const sysfs blocks = "/sys/class/block"

// loop is a loop device that has a file.
type loop struct {
	name string // loop0
	// file is where the kernel says that its file is, with " (deleted)" behind it if it is nowhere any more. It is told
	// from our root, also of a file in another mount namespace; whoever may ask the device knows better.
	file string
}

// read returns what a file below a device says, "" if there is none.
func (b blocks) read(parts ...string) string {
	text, _ := os.ReadFile(filepath.Join(append([]string{string(b)}, parts...)...))
	return strings.TrimSuffix(string(text), "\n")
}

// list returns the names in a directory below a device.
func (b blocks) list(parts ...string) []string {
	entries, _ := os.ReadDir(filepath.Join(append([]string{string(b)}, parts...)...))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// loops returns the loop devices that have a file.
func (b blocks) loops() ([]loop, error) {
	entries, err := os.ReadDir(string(b))
	if err != nil {
		return nil, err
	}
	var all []loop
	for _, e := range entries {
		switch file, err := os.ReadFile(filepath.Join(string(b), e.Name(), "loop", "backing_file")); {
		case err == nil:
			all = append(all, loop{e.Name(), strings.TrimSuffix(string(file), "\n")})
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.ENODEV): // the last: it is going
			return nil, err
		}
	}
	return all, nil
}

// number returns the number of a device as "major:minor", the form that mounts tell theirs in.
func (b blocks) number(name string) string { return b.read(name, "dev") }

// parts returns a device and its partitions.
func (b blocks) parts(name string) []string {
	return append([]string{name}, slices.DeleteFunc(b.list(name), func(part string) bool { return b.read(name, part, "partition") == "" })...)
}

// above returns the devices that stand on a device or on one of its partitions.
func (b blocks) above(name string) []string {
	var all []string
	for _, part := range b.parts(name) {
		all = append(all, b.list(part, "holders")...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// node opens the special file of a device, and refuses another of the same name.
func (b blocks) node(name string, flags int) (fd int, err error) {
	number := b.number(name)
	if number == "" {
		return -1, unix.ENXIO
	}
	fd, err = unix.Open("/dev/"+name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("open /dev/"+name, err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFBLK || numbered(s.Rdev) != number {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("/dev/%s is not the device of that name", name)
	}
	return fd, nil
}

// numbered is the number of a device in that form.
func numbered(dev uint64) string { return fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)) }

// swaps returns the files and devices that the kernel swaps to (proc_swaps(5)), as it names them.
func swaps(proc procfs.Root) ([]string, error) {
	text, err := os.ReadFile(string(proc) + "/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // this kernel swaps to nothing
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for i, line := range bytes.Split(text, []byte("\n")) {
		if name, _, _ := bytes.Cut(line, []byte(" ")); i > 0 && len(name) > 0 {
			all = append(all, mountinfo.Unescape(string(bytes.TrimRight(name, "\t"))))
		}
	}
	return all, nil
}
