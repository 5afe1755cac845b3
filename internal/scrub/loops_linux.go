// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// loops detaches the devices that are made of owned files: swap space, what the device mapper has put on loop devices,
// and those.
type loops struct {
	owned  spec.Ownership
	proc   procfs.Root
	blocks blocks
	known  map[string]device // what the last look found, by the identity of its deviation
	notes  []string
}

// device is something that is made of owned files.
type device struct {
	kind, name string // name is as in /dev; of a swap file, its path
	// file is what a loop device is made of.
	file identity
	// mapped is the name that the device mapper knows a device by, slaves what it stands on.
	mapped string
	slaves []string
}

// identity tells files apart whatever they are called.
type identity struct{ device, inode uint64 }

func newLoops(s spec.Spec, _ Here) Step {
	return &loops{owned: s.Owned, proc: procfs.Machine, blocks: sysfs, known: map[string]device{}}
}

// Notes returns remarks on what the last look saw and leaves alone.
func (l *loops) Notes() []string { return l.notes }

// Look finds the devices from the top down.
func (l *loops) Look(context.Context) ([]Deviation, error) {
	owned, err := spelled(l.owned)
	if err != nil {
		return nil, err
	}
	l.notes = nil
	clear(l.known)
	swapping, err := swaps(l.proc)
	if err != nil {
		return nil, fmt.Errorf("cannot look for swap space: %w", err)
	}
	ground, err := l.ofOwnedFiles(owned)
	if err != nil {
		return nil, fmt.Errorf("cannot look for loop devices: %w; is sysfs mounted at /sys?", err)
	}
	tower := l.tower(ground)
	why := tower.why()
	var found []Deviation
	add := func(d device, what, stays string) {
		r := spec.Residue{Kind: d.kind, ID: shown(d.name), What: what}
		l.known[r.Kind+r.ID] = d
		found = append(found, Deviation{r, stays})
	}
	for _, s := range swapping {
		if on, ok := tower.partOf(s); ok {
			add(device{kind: "swap", name: s}, "swap space on "+on, why[on])
		} else if owned.Holds(s) {
			add(device{kind: "swap", name: s}, "swap file", "")
		}
	}
	for _, name := range tower.order {
		d := tower.devices[name]
		what := "made of " + shown(l.blocks.read(name, "loop", "backing_file"))
		if d.kind != "loop" {
			what = strings.TrimSuffix(shown(d.mapped)+" on "+strings.Join(d.slaves, ", "), " on ")
		}
		add(d, what, why[name])
	}
	return found, nil
}

// ofOwnedFiles returns the loop devices whose file is owned.
func (l *loops) ofOwnedFiles(owned spec.Ownership) ([]device, error) {
	loops, err := l.blocks.loops()
	if err != nil {
		return nil, err
	}
	var all []device
	for _, one := range loops {
		if !owned.Holds(one.file) {
			continue
		}
		status, err := l.status(one.name)
		d := device{kind: "loop", name: one.name, file: status}
		switch {
		case errors.Is(err, unix.ENXIO): // detached meanwhile
		case err != nil: // we may not ask the device, and are not going to be allowed to detach it
			all = append(all, d)
		case isThere(one.file, status):
			all = append(all, d)
		default:
			l.notes = append(l.notes, fmt.Sprintf(
				"%s is made of a %s that is not the one there: it is of another mount namespace or hidden; it is left alone", one.name, shown(one.file)))
		}
	}
	return all, nil
}

// status asks a loop device for its file.
func (l *loops) status(name string) (identity, error) {
	fd, err := l.blocks.node(name, unix.O_RDONLY)
	if err != nil {
		return identity{}, err
	}
	defer unix.Close(fd)
	return fileOf(fd)
}

// fileOf returns the file of an open loop device. The name that it tells too is any text that its maker gave it.
func fileOf(fd int) (identity, error) {
	info, err := unix.IoctlLoopGetStatus64(fd)
	if err != nil {
		return identity{}, err
	}
	return identity{info.Device, info.Inode}, nil
}

// isThere reports whether the file that the kernel calls so is what a path of that name leads to for us. Of one that is
// deleted, the directory it was in, or what is left above that, has to be on the same file system.
func isThere(file string, id identity) bool {
	if at, ok := identify(file); ok {
		return at == id
	}
	gone, deleted := strings.CutSuffix(file, " (deleted)")
	if !deleted {
		return false
	}
	for dir := path.Dir(gone); ; dir = path.Dir(dir) {
		if at, ok := identify(dir); ok {
			return at.device == id.device
		}
		if dir == "/" {
			return false
		}
	}
}

// identify looks a path up without following a link.
func identify(p string) (identity, bool) {
	dir, err := openDir(path.Dir(p))
	if err != nil {
		return identity{}, false
	}
	defer unix.Close(dir)
	var s unix.Stat_t
	if err := unix.Fstatat(dir, path.Base(p), &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return identity{}, false
	}
	return identity{uint64(s.Dev), s.Ino}, true //nolint:unconvert // 32 bits on some platforms
}

// identifyLinked looks up what a link leads to, without asking a server.
func identifyLinked(link string) (identity, bool) {
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, link, flags, unix.STATX_INO, &x); err == nil {
		return identity{unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino}, true
	} else if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return identity{}, false
	}
	var s unix.Stat_t // before Linux 4.11, or where a container's system call filter does not know statx
	err := unix.Stat(link, &s)
	return identity{uint64(s.Dev), s.Ino}, err == nil //nolint:unconvert // as in identify
}

// tower is what stands on loop devices, all of it.
type tower struct {
	order   []string // from the top down
	devices map[string]device
	parts   map[string]string // each device and partition: the device
}

// tower climbs from the loop devices to whatever stands on them.
func (l *loops) tower(ground []device) tower {
	t := tower{devices: map[string]device{}, parts: map[string]string{}}
	var climb func(d device)
	climb = func(d device) {
		if _, seen := t.devices[d.name]; seen {
			return
		}
		t.devices[d.name] = d
		for _, part := range l.blocks.parts(d.name) {
			t.parts[part] = d.name
		}
		for _, name := range l.blocks.above(d.name) {
			climb(device{kind: "device", name: name, mapped: l.blocks.read(name, "dm", "name"), slaves: l.blocks.list(name, "slaves")})
		}
		t.order = append(t.order, d.name)
	}
	for _, d := range ground {
		climb(d)
	}
	return t
}

// partOf returns the device of the tower that a path below /dev names, or one of its partitions.
func (t tower) partOf(node string) (string, bool) {
	if !strings.HasPrefix(node, "/dev/") {
		return "", false
	}
	on, ok := t.parts[strings.TrimPrefix(node, "/dev/")]
	return on, ok
}

// why returns for each device why it has to stay, "" if it goes. One that stands on something else too is not ours
// alone; and what it stands on stays below it.
func (t tower) why() map[string]string {
	why := map[string]string{}
	for _, name := range slices.Backward(t.order) {
		d := t.devices[name]
		if d.kind == "device" && d.mapped == "" {
			why[name] = "it is not of the device mapper, and nothing else is taken apart"
		}
		for _, slave := range d.slaves {
			switch on, ours := t.parts[slave]; {
			case !ours:
				why[name] = fmt.Sprintf("it stands on %s too, which is not owned", slave)
			case why[on] != "":
				why[name] = fmt.Sprintf("it stands on %s, which stays: %s", on, why[on])
			}
		}
	}
	for _, name := range t.order {
		for _, slave := range t.devices[name].slaves {
			if on, ours := t.parts[slave]; ours && why[name] != "" && why[on] == "" {
				why[on] = fmt.Sprintf("%s stands on it and stays: %s", name, why[name])
			}
		}
	}
	return why
}
