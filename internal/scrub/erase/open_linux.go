// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is an open directory that we own: everything is done relative to its descriptor, so what happens to the path that led to it
// does not matter any more. Its methods may be used by several goroutines.
type Tree struct {
	path   string
	fd     int
	id     ident
	kernel kernel
	// inMemory says that the order of inodes means nothing to the file system.
	inMemory bool
}

// maxLinks is how many symbolic links may stand on the way to a tree: the kernel's own limit.
const maxLinks = 40

// Open opens the directory at the absolute path, looking at each component on the way. A symbolic link is followed only if root owns it
// and the directory that it stands in, and nobody else may write there; any other is a *LinkError.
func Open(path string) (*Tree, error) {
	t, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open tree %s: %w", quote(path), err)
	}
	return t, nil
}

func open(path string) (*Tree, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path does not begin with a slash")
	}
	at, err := resolve(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer unix.Close(at)
	fd, err := retry(func() (int, error) { return unix.Openat(at, ".", directory, 0) })
	if err != nil {
		return nil, err
	}
	t := &Tree{path: filepath.Clean(path), fd: fd}
	if err := t.examine(); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// examine learns what the tree is and what the kernel can do there.
func (t *Tree) examine() error {
	var st, top unix.Stat_t
	if err := unix.Fstat(t.fd, &st); err != nil {
		return err
	}
	if err := unix.Stat("/", &top); err != nil {
		return err
	}
	t.id = identOf(&st)
	if t.id == identOf(&top) {
		return ErrRoot
	}
	var sys unix.Statfs_t
	if err := unix.Fstatfs(t.fd, &sys); err == nil {
		t.inMemory = sys.Type == unix.TMPFS_MAGIC || sys.Type == unix.RAMFS_MAGIC
	}
	var err error
	t.kernel, err = probe(t.fd)
	return err
}

// Close gives the descriptor back.
func (t *Tree) Close() error { return unix.Close(t.fd) }

// resolver goes along a path, one component at a time.
type resolver struct {
	fd    int    // the directory reached, opened for its place only
	path  string // its path
	todo  []string
	links int
}

// resolve opens what the path names, for its place only.
func resolve(path string) (int, error) {
	fd, err := unix.Open("/", place|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	r := &resolver{fd: fd, path: "/", todo: components(path)}
	for len(r.todo) > 0 {
		if err := r.step(); err != nil {
			_ = unix.Close(r.fd)
			return -1, err
		}
	}
	return r.fd, nil
}

func components(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(c string) bool { return c == "" || c == "." })
}

// step goes one component on. What is no directory and no link ends the way.
func (r *resolver) step() error {
	name := r.todo[0]
	next := filepath.Join(r.path, name)
	// With O_DIRECTORY an automount point is mounted rather than looked at.
	fd, err := retry(func() (int, error) { return unix.Openat(r.fd, name, place|unix.O_DIRECTORY, 0) })
	if err == nil {
		_ = unix.Close(r.fd)
		r.fd, r.path, r.todo = fd, next, r.todo[1:]
		return nil
	}
	if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
		return &fs.PathError{Op: "open", Path: next, Err: err}
	}
	target, err := r.link(name, next)
	if err != nil {
		return err
	}
	r.todo = append(components(target), r.todo[1:]...)
	if !filepath.IsAbs(target) {
		return nil
	}
	_ = unix.Close(r.fd)
	r.path = "/"
	r.fd, err = unix.Open("/", place|unix.O_DIRECTORY, 0)
	return err
}

// link reads the symbolic link of that name, if it may be followed.
func (r *resolver) link(name, path string) (string, error) {
	var dir, st unix.Stat_t
	if err := unix.Fstat(r.fd, &dir); err != nil {
		return "", err
	}
	fd, err := retry(func() (int, error) { return unix.Openat(r.fd, name, place, 0) })
	if err != nil {
		return "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	r.links++
	switch {
	case r.links > maxLinks:
		return "", &LinkError{path, "there are too many on the way"}
	case st.Uid != 0:
		return "", &LinkError{path, fmt.Sprintf("user %d owns it, not root", st.Uid)}
	case dir.Uid != 0:
		return "", &LinkError{path, fmt.Sprintf("user %d owns its directory, not root", dir.Uid)}
	case dir.Mode&0o022 != 0: // an access list's rights show in the bits of the group
		return "", &LinkError{path, fmt.Sprintf("others than root may write to its directory (mode %04o)", dir.Mode&0o7777)}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]), nil
}
