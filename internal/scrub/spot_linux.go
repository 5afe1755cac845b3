// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// spot is a place for one thing: a name in an open directory. All work at it is relative to that directory, so that
// nobody who swaps a directory for a link leads it elsewhere; and a link at the name itself is never followed.
type spot struct {
	dir  int
	name string
}

// openSpot opens the place that p names. Links on the way are followed only where nobody but root can have put them.
func openSpot(p string) (spot, error) {
	dir, err := openDir(spell(path.Dir(p)))
	if err == nil {
		err = isDir(dir)
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return spot{}, fmt.Errorf("the directory %s is not there: %w", path.Dir(p), fs.ErrNotExist)
	case errors.Is(err, unix.ELOOP):
		return spot{}, Final{fmt.Errorf("%s leads through a link that is not root's", path.Dir(p))}
	case err != nil:
		return spot{}, fmt.Errorf("open %s: %w", path.Dir(p), err)
	}
	return spot{dir, path.Base(p)}, nil
}

// isDir closes what is open as a place if it is no directory: a link is opened itself.
func isDir(fd int) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	switch {
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return nil
	case err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK:
		err = unix.ELOOP
	case err == nil:
		err = unix.ENOTDIR
	}
	_ = unix.Close(fd)
	return err
}

func (s spot) close() { _ = unix.Close(s.dir) }

// The types of things.
const (
	isNothing   = ""
	isFile      = "file"
	isDirectory = "directory"
	isLink      = "link"
	isOther     = "other"
)

// thing is what is at a spot.
type thing struct {
	Type string `json:"type"`
	Mode uint32 `json:"mode"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Target is where a link leads.
	Target string `json:"target,omitempty"`
	// ACL and Capability are the attributes of a file that say more of who may do what with it, as [seen] has read them.
	ACL        attribute `json:"acl,omitempty"`
	Capability attribute `json:"capability,omitempty"`
	size       int64
}

func (s spot) see() (thing, error) {
	var st unix.Stat_t
	err := unix.Fstatat(s.dir, s.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return thing{}, nil
	}
	if err != nil {
		return thing{}, err
	}
	t := thing{Type: isOther, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), size: st.Size}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		t.Type = isFile
	case unix.S_IFDIR:
		t.Type = isDirectory
	case unix.S_IFLNK:
		t.Type = isLink
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(s.dir, s.name, target)
		if err != nil {
			return thing{}, err
		}
		t.Target = string(target[:n])
	}
	return t, nil
}

// seen is what an open file is.
func seen(f *os.File) (thing, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return thing{}, err
	}
	t := thing{Type: isFile, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), size: st.Size}
	var err error
	if t.ACL, err = readAttribute(f, aclName); err == nil && os.Geteuid() == 0 { // nobody else could give a capability back
		t.Capability, err = readAttribute(f, capabilityName)
	}
	return t, err
}

// look is see, with the attributes of a file that we may read.
func (s spot) look() (thing, error) {
	t, err := s.see()
	if err != nil || t.Type != isFile {
		return t, err
	}
	f, err := s.open()
	if errors.Is(err, unix.EACCES) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	defer f.Close()
	return seen(f)
}

// open opens the file at the spot for reading.
func (s spot) open() (*os.File, error) {
	fd, err := unix.Openat(s.dir, s.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), s.name)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("it is no file any more"), f.Close())
	}
	return f, nil
}

// holds reports whether the file at the spot has that content and nothing more.
func (s spot) holds(content []byte) (bool, error) {
	f, err := s.open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	there, err := io.ReadAll(io.LimitReader(f, int64(len(content))+1))
	return bytes.Equal(there, content), err
}

// write puts a file at the spot, whole or not at all: under another name first, which then takes the place of what is
// there. So a link or a file of several names that stands there is replaced and not written to.
func (s spot) write(content io.Reader, like thing) (err error) {
	temp := s.temp()
	if err := unix.Unlinkat(s.dir, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) { // of a run that was killed
		return err
	}
	fd, err := unix.Openat(s.dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temp)
	_, err = io.Copy(f, content)
	// A change of the owner takes the capability away, and the mode is the last word on what the ACL allows at most.
	err = errors.Join(err, like.ACL.write(fd, aclName), like.dress(fd), like.Capability.write(fd, capabilityName), s.relabel(fd), f.Sync(), f.Close())
	if err == nil {
		err = s.replace(temp)
	}
	if err != nil {
		_ = unix.Unlinkat(s.dir, temp, 0)
	}
	return err
}

func (s spot) temp() string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s.name)) // never fails
	return fmt.Sprintf(".pitcrew-%x", h.Sum64())
}

// replace has the name temp take the place of the spot's, and sees to it that this is on the disk.
func (s spot) replace(temp string) error {
	err := unix.Renameat(s.dir, temp, s.dir, s.name)
	if errors.Is(err, unix.EBUSY) {
		err = Final{fmt.Errorf("something is mounted at its place, which cannot be replaced: %w", err)}
	}
	return errors.Join(err, s.sync())
}

func (s spot) sync() error {
	fd, err := unix.Openat(s.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		return nil // one that we may write to and not read
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsync(fd)
}

// dress gives an open file or directory the owner and the mode of t; whom it belongs to first, since that takes bits away.
func (t thing) dress(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != t.UID || int(st.Gid) != t.GID {
		if err := unix.Fchown(fd, t.UID, t.GID); err != nil {
			return fmt.Errorf("give it to %d:%d: %w", t.UID, t.GID, err)
		}
	}
	return unix.Fchmod(fd, t.Mode)
}

// relabel gives an open file the SELinux label of what is at the spot. Where there is none, the directory's rule has
// labelled it.
func (s spot) relabel(fd int) error {
	const name = "security.selinux"
	old, err := s.open()
	if err != nil {
		return nil // nothing is there, or no file
	}
	defer old.Close()
	label := make([]byte, 1024)
	n, err := unix.Fgetxattr(int(old.Fd()), name, label)
	if err != nil || n == 0 {
		return nil // no SELinux here
	}
	return unix.Fsetxattr(fd, name, label[:n], 0)
}

// link puts a link at the spot.
func (s spot) link(like thing) error {
	temp := s.temp()
	if err := unix.Unlinkat(s.dir, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Symlinkat(like.Target, s.dir, temp); err != nil {
		return err
	}
	err := unix.Fchownat(s.dir, temp, like.UID, like.GID, unix.AT_SYMLINK_NOFOLLOW)
	return errors.Join(err, s.replace(temp))
}

// directory makes a directory at the spot, or gives the one there its owner and mode.
func (s spot) directory(like thing) error {
	if err := unix.Mkdirat(s.dir, s.name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := unix.Openat(s.dir, s.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return errors.Join(like.dress(fd), s.sync())
}

// remove takes away the file or link at the spot, or the directory if it is empty.
func (s spot) remove(directory bool) error {
	flags := 0
	if directory {
		flags = unix.AT_REMOVEDIR
	}
	if err := unix.Unlinkat(s.dir, s.name, flags); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return s.sync()
}
