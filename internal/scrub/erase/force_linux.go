// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// errLinked says that a flag would have to be taken off a file that has other names.
var errLinked = errors.New("it has other names")

const (
	flagImmutable  = 0x10 // FS_IMMUTABLE_FL
	flagAppendOnly = 0x20 // FS_APPEND_FL
)

// denied says whether a right is missing, which a flag or a mode can be the reason for.
func denied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

func unlink(dir int, name string) error { return remove(dir, name, 0) }

func removeDirectory(dir int, name string) error { return remove(dir, name, unix.AT_REMOVEDIR) }

func remove(dir int, name string, flags int) error {
	_, err := retry(func() (struct{}, error) { return struct{}{}, unix.Unlinkat(dir, name, flags) })
	return err
}

// insist deals with a name that could not be removed at the first try, because of err. It says whether the name does not stay for now:
// it is gone, or turned out to be a directory, which is queued.
func (w *worker) insist(d *dir, fd int, name string, err error) bool {
	if denied(err) {
		err = w.force(fd, name, err)
	}
	switch {
	case err == nil:
		w.stats.Files++
		w.since++
		return true
	case errors.Is(err, unix.ENOENT):
		return true
	case errors.Is(err, unix.EISDIR):
		sub := new(dir)
		sub.below(d, name)
		w.give(w.number, sub)
		return true
	}
	w.refuse(d, name, err)
	w.keep(d)
	return false
}

// force takes off what forbids the removal of a name, the directory's flags and mode before the file's flags, and tries again.
func (w *worker) force(fd int, name string, err error) error {
	if w.unlock(fd) {
		if err = unlink(fd, name); !denied(err) {
			return err
		}
	}
	file, undo, locked := w.unlockFile(fd, name)
	if locked != nil {
		return locked
	}
	if file < 0 {
		return err
	}
	defer unix.Close(file)
	err = unlink(fd, name)
	undo()
	return err
}

// unlock takes the immutable and append-only flags off an open directory, if we are root, and gives its owner all rights, if that may be
// us. It says whether it changed anything.
func (w *worker) unlock(fd int) (changed bool) {
	if os.Geteuid() == 0 {
		if flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS); err == nil && flags&(flagImmutable|flagAppendOnly) != 0 {
			changed = setFlags(fd, flags&^(flagImmutable|flagAppendOnly)) == nil
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&0o700 == 0o700 {
		return changed
	}
	return unix.Fchmod(fd, st.Mode&0o7777|0o700) == nil || changed
}

func setFlags(fd int, flags uint32) error {
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(flags))
}

// unlockFile takes the flags off a regular file; undo puts them back on what remains of it. A flagged file cannot be given another name,
// so one that has a single name has none outside. Without a flag to take off there is no descriptor.
func (w *worker) unlockFile(dir int, name string) (fd int, undo func(), err error) {
	if os.Geteuid() != 0 {
		return -1, nil, nil
	}
	at, st, err := w.openAt(dir, name, place)
	if err != nil {
		return -1, nil, err
	}
	defer unix.Close(at)
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return -1, nil, nil
	}
	// By way of /proc it is that very inode and no device that took its place, which to open might do something.
	fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, nil, nil // then there is nothing to be done about flags, and the first error stands
	}
	flags, err := unix.IoctlGetUint32(fd, unix.FS_IOC_GETFLAGS)
	switch {
	case err != nil || flags&(flagImmutable|flagAppendOnly) == 0:
		err = nil
	case st.Nlink > 1 && !w.opts.Linked:
		err = errLinked
	default:
		err = setFlags(fd, flags&^(flagImmutable|flagAppendOnly))
		if err == nil {
			return fd, func() {
				if st.Nlink > 1 {
					_ = setFlags(fd, flags)
				}
			}, nil
		}
	}
	_ = unix.Close(fd)
	return -1, nil, err
}

// openDirectory opens a directory to read it, if need be after giving its owner, which may be us, the right to.
func (w *worker) openDirectory(parent int, name string) (fd int, st unix.Stat_t, err error) {
	fd, st, err = w.openAt(parent, name, directory)
	if !errors.Is(err, unix.EACCES) || w.measuring {
		return fd, st, err
	}
	at, was, lookErr := w.openAt(parent, name, place|unix.O_DIRECTORY)
	if lookErr != nil {
		if denied(lookErr) && w.unlock(parent) { // the right to go through its parent is missing
			return w.openAt(parent, name, directory)
		}
		return fd, st, err
	}
	defer unix.Close(at)
	// What is open for its place only can have its mode changed by way of /proc.
	if unix.Chmod("/proc/self/fd/"+strconv.Itoa(at), was.Mode&0o7777|0o700) != nil {
		return fd, st, err
	}
	return w.openAt(parent, name, directory)
}

// refuse reports why a name in a directory stays, or, without a name, the directory itself.
func (w *worker) refuse(d *dir, name string, err error) {
	p := Problem{Path: w.path(d, name), Kind: Failed, Err: err}
	fd, reached := w.reach(d)
	if reached == nil {
		defer w.giveBack(d)
	}
	switch {
	case errors.Is(err, errMount), errors.Is(err, errLinked), errors.Is(err, errChanged):
		p.Kind, p.Err = map[error]Kind{errMount: Mount, errLinked: Linked, errChanged: Changed}[err], nil
	case reached != nil:
	case errors.Is(err, unix.EBUSY):
		p.Kind, p.By = Busy, nil
		if w.mounted(fd, name) {
			p.Kind = Mount
		}
	case denied(err):
		p.Kind = Denied
		p.Owner, p.Mode, p.Note = inTheWay(fd, name)
	}
	w.report(p)
}

// mounted says whether something is mounted on a name.
func (w *worker) mounted(dir int, name string) bool {
	if name == "" {
		return false
	}
	fd, _, err := w.openAt(dir, name, place)
	if err == nil {
		_ = unix.Close(fd)
	}
	return errors.Is(err, errMount)
}

// inTheWay tells whose right would be needed: the directory's, if we may not write to it, or that of the name in it.
func inTheWay(dir int, name string) (owner uint32, mode fs.FileMode, note string) {
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return 0, 0, ""
	}
	if name == "" {
		return st.Uid, modeOf(st.Mode), ""
	}
	if unix.Faccessat(dir, ".", unix.W_OK|unix.X_OK, 0) != nil {
		return st.Uid, modeOf(st.Mode), "these are its directory's"
	}
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, 0, ""
	}
	return st.Uid, modeOf(st.Mode), ""
}

// modeOf translates a mode of the system.
func modeOf(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, bit := range []struct {
		is   bool
		mode fs.FileMode
	}{
		{mode&unix.S_IFMT == unix.S_IFDIR, fs.ModeDir},
		{mode&unix.S_IFMT == unix.S_IFLNK, fs.ModeSymlink},
		{mode&unix.S_IFMT == unix.S_IFIFO, fs.ModeNamedPipe},
		{mode&unix.S_IFMT == unix.S_IFSOCK, fs.ModeSocket},
		{mode&unix.S_IFMT == unix.S_IFBLK, fs.ModeDevice},
		{mode&unix.S_IFMT == unix.S_IFCHR, fs.ModeDevice | fs.ModeCharDevice},
		{mode&unix.S_ISUID != 0, fs.ModeSetuid},
		{mode&unix.S_ISGID != 0, fs.ModeSetgid},
		{mode&unix.S_ISVTX != 0, fs.ModeSticky},
	} {
		if bit.is {
			m |= bit.mode
		}
	}
	return m
}
