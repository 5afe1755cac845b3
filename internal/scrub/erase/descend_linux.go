// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"

	"golang.org/x/sys/unix"
)

const (
	directory = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	place     = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC // to look at and to start from; nothing is opened

	within = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV
)

// errMount says that an entry belongs to another mount or file system than the tree.
var errMount = errors.New("another file system or mount")

// kernel is what the running kernel, seen from the tree, offers for not leaving the tree's mount.
type kernel struct {
	openat2 bool   // Linux 5.6: the kernel itself refuses to cross a mount; else mounts tells the tree's from others
	mounts  mounts //
	dev     uint64
}

// probe finds out. A kernel that does not know openat2 says ENOSYS; a container's system call filter may also say EPERM.
func probe(fd int) (kernel, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return kernel{}, err
	}
	k := kernel{dev: uint64(st.Dev)} //nolint:unconvert // 32 bits on some architectures
	self, err := unix.Openat2(fd, ".", &unix.OpenHow{Flags: place, Resolve: within})
	if err == nil {
		k.openat2 = true
		return k, unix.Close(self)
	}
	k.mounts, err = probeMounts(fd)
	return k, err
}

func identOf(st *unix.Stat_t) ident {
	return ident{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on some architectures
}

// open opens an entry of the directory that is no symbolic link and not on another mount or file system (errMount).
func (k *kernel) open(dir int, name string, flags int) (fd int, st unix.Stat_t, err error) {
	if k.openat2 {
		how := &unix.OpenHow{Flags: uint64(flags), Resolve: within} //nolint:gosec // flags are our own constants
		fd, err = retry(func() (int, error) { return unix.Openat2(dir, name, how) })
	} else {
		fd, err = k.openNear(dir, name, flags)
	}
	if errors.Is(err, unix.EXDEV) {
		err = errMount
	}
	if err != nil {
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err == nil {
		err = k.same(&st)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, st, err
	}
	return fd, st, nil
}

// openNear opens an entry where the kernel itself does not refuse to cross a mount. It opens it for its place first, of which the mount can be
// told: to open what is mounted, or to look at it, may be to ask a server that hangs.
func (k *kernel) openNear(dir int, name string, flags int) (int, error) {
	at, err := retry(func() (int, error) { return unix.Openat(dir, name, place|flags&unix.O_DIRECTORY, 0) })
	if err != nil {
		return -1, err
	}
	if err := k.mounts.same(at); err != nil {
		_ = unix.Close(at)
		return -1, err
	}
	if flags&unix.O_PATH != 0 {
		return at, nil
	}
	defer unix.Close(at)
	return retry(func() (int, error) { return unix.Openat(at, ".", flags, 0) })
}

// same checks that what is open, which is on the tree's own mount, is of its file system too: a subvolume of btrfs is not.
func (k *kernel) same(st *unix.Stat_t) error {
	if uint64(st.Dev) != k.dev { //nolint:unconvert // 32 bits on some architectures
		return errMount
	}
	return nil
}

// retry repeats f while signals interrupt it, or, for openat2, a rename somewhere on the machine.
func retry[T any](f func() (T, error)) (T, error) {
	for tries := 0; ; tries++ {
		v, err := f()
		if err == nil || !errors.Is(err, unix.EINTR) && (!errors.Is(err, unix.EAGAIN) || tries >= 1000) {
			return v, err
		}
	}
}
