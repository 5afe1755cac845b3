// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// scan reads a directory on: directories in it are queued, all else is removed. It ends at the end, or when enough is queued.
func (w *worker) scan(d *dir, fd int) {
	if d.parent == nil && w.picks != nil {
		w.scanPicks(d, fd)
		return
	}
	r := &d.reading
	if r.begun {
		// The descriptor may be another one than the last time, or have to go back.
		if _, err := unix.Seek(fd, r.next, io.SeekStart); err != nil {
			w.unreadable(d, err)
			return
		}
	}
	for queued := 0; queued < maxAhead && !w.stopped(); {
		if err := w.names.read(fd); err != nil {
			w.unreadable(d, err)
			return
		}
		// After a first guess that was wrong, the end is what the system says it is.
		guess := !r.begun && !w.names.full && !w.measuring
		r.begun, r.next, r.end = true, w.names.next, w.names.end
		r.found += int64(len(w.names.list))
		if w.tooMany(d, fd) {
			return
		}
		queued += w.queue(d)
		if !w.clear(d, fd) || r.end || guess {
			r.read = true
			return
		}
	}
}

func (w *worker) unreadable(d *dir, err error) {
	d.reading.read, d.reading.end = true, true
	switch {
	case errors.Is(err, unix.ENOENT): // removed by somebody else
	case w.measuring:
		w.unseen(d.top)
	default:
		w.refuse(d, "", err)
		w.keep(d)
	}
}

// queue gives the directories among the names to the crew: first, so that others have something to do.
func (w *worker) queue(d *dir) int {
	count := w.names.dirs
	if count == 0 {
		return 0
	}
	block, dirs := make([]dir, count), make([]*dir, 0, count)
	for _, e := range w.names.list {
		if e.kind == unix.DT_DIR {
			sub := &block[len(dirs)]
			sub.below(d, w.names.name(e))
			dirs = append(dirs, sub)
		}
	}
	if count == 1 && len(w.names.list) == 1 {
		w.keepNext(w.number, dirs[0])
	} else {
		w.give(w.number, dirs...)
	}
	return count
}

// below makes it the directory of that name in d.
func (sub *dir) below(d *dir, name string) {
	sub.parent, sub.name, sub.depth, sub.top, sub.fd = d, name, d.depth+1, d.top, -1
	sub.reading.round = d.reading.round // or somebody could have us go on for ever
}

// clear removes the names that are no directories. It gives up, with false, if the directory left the tree.
func (w *worker) clear(d *dir, fd int) bool {
	if w.measuring {
		return w.weighAll(d, fd)
	}
	w.names.sort()
	for _, e := range w.names.list {
		if e.kind == unix.DT_DIR {
			continue
		}
		if w.stopped() || !w.sure(d, fd) {
			return false
		}
		if e.kind == unix.DT_UNKNOWN {
			w.removeUnknown(d, fd, w.names.name(e), ident{})
			continue
		}
		size := w.size(fd, e)
		if err := w.names.unlink(fd, e); err != nil {
			w.insist(d, fd, w.names.name(e), err)
			continue
		}
		w.stats.Files++
		w.stats.Bytes += size
		w.since++
		w.yield()
	}
	return true
}

// size gives the bytes that become free with the name, if they are to be counted.
func (w *worker) size(fd int, e entry) int64 {
	if !w.opts.Bytes {
		return 0
	}
	return sizeOf(fd, w.names.name(e))
}

func sizeOf(fd int, name string) int64 {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Nlink > 1 {
		return 0
	}
	return st.Blocks * 512
}

// removeUnknown removes a name of which it is not known what it is.
func (w *worker) removeUnknown(d *dir, fd int, name string, want ident) {
	var st unix.Stat_t
	err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		w.refuse(d, name, err)
		w.keep(d)
	case want != (ident{}) && want != identOf(&st):
		w.refuse(d, name, errChanged)
		w.keep(d)
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		sub := new(dir)
		sub.below(d, name)
		sub.want = want
		w.give(w.number, sub)
	default:
		size := sizeOf(fd, name)
		if w.insist(d, fd, name, unlink(fd, name)) && w.opts.Bytes {
			w.stats.Bytes += size
		}
	}
}

// scanPicks is scan for the tree itself when only some entries are to go.
func (w *worker) scanPicks(d *dir, fd int) {
	for _, p := range w.picks {
		if w.stopped() {
			return
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); errors.Is(err, unix.ENOENT) {
			continue
		}
		d.reading.found++
		w.removeUnknown(d, fd, p.name, p.id)
	}
	d.reading.read, d.reading.end = true, true
}

const (
	batch   = 32 // names that are removed before it is checked again that their directory is in the tree
	shallow = 32 // below this depth the check is made for longer batches, because it takes longer
	stride  = 1300
)

// ups leads up from a directory: its last 3*n bytes by n levels.
var ups = strings.Repeat("../", stride)

// sure says whether the directory is in the tree, as it was at most a batch ago.
func (w *worker) sure(d *dir, fd int) bool {
	if d.parent == nil {
		return true
	}
	if w.checked == d && w.since < batch || d.depth > shallow && w.checked != nil && w.since < max(batch, d.depth/8) {
		return true
	}
	err := w.beneath(fd, d.depth)
	if errors.Is(err, unix.EACCES) && w.unlock(fd) {
		err = w.beneath(fd, d.depth)
	}
	if err != nil {
		w.checked = nil
		w.lost(d, fd, err)
		return false
	}
	w.checked, w.since = d, 0
	w.pause(pointChecked, d)
	return true
}

// beneath checks that the tree is exactly that many levels above the directory.
func (w *worker) beneath(fd, depth int) error {
	for depth > stride {
		up, err := w.spare(func() (int, error) { return unix.Openat(fd, ups, place|unix.O_DIRECTORY, 0) })
		if err != nil {
			return err
		}
		defer unix.Close(up)
		fd = up
		depth -= stride
	}
	var st unix.Stat_t
	if err := unix.Fstatat(fd, ups[len(ups)-3*depth:], &st, 0); err != nil {
		return err
	}
	if identOf(&st) != w.tree.id {
		return errLost
	}
	return nil
}

// lost deals with a directory that was found not to be where it was. If it is elsewhere in what is being removed, it will be found there.
func (w *worker) lost(d *dir, fd int, err error) {
	d.reading.lost = true
	if !errors.Is(err, errLost) {
		w.refuse(d, "", err)
		w.keep(d)
		return
	}
	if d.parent.parent != nil && w.parentOf(fd) == d.parent.id {
		w.move(d.parent) // so it is the parent that is to be named, or what is above it
		return
	}
	now, ok := whereIs(fd)
	root, known := whereIs(w.tree.fd)
	if ok && known {
		if w.picks != nil {
			for top := d; top.parent != nil; top = top.parent {
				if top.parent.parent == nil {
					root += "/" + top.name
				}
			}
		}
		if now == root || strings.HasPrefix(now, root+"/") || strings.HasSuffix(now, " (deleted)") {
			return
		}
		now = "it is now " + quote(now)
	}
	w.report(Problem{Path: w.path(d, ""), Kind: Moved, Note: now})
}

// parentOf gives the identity of the directory above.
func (w *worker) parentOf(fd int) ident {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, "..", &st, 0); err != nil {
		return ident{}
	}
	return identOf(&st)
}

// whereIs gives the path that the kernel has for a descriptor.
func whereIs(fd int) (string, bool) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return path, err == nil && strings.HasPrefix(path, "/")
}

// suspicion is how many names a directory may have whatever its size says.
const suspicion = 4096

// limit is how many names a directory can have by its size: every file system needs more than a byte for one.
func limit(st *unix.Stat_t) int64 { return st.Size + suspicion }

func (e *erasure) room(fd int) int64 {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return suspicion
	}
	return limit(&st)
}

// tooMany says that a directory is being filled while it is read, which on some file systems has no end: more names were read than can
// have been in it, one of them was made after we began, and that often enough.
func (w *worker) tooMany(d *dir, fd int) bool {
	r := &d.reading
	if w.measuring || r.found <= r.limit || len(w.names.list) == 0 {
		return false
	}
	var st unix.Stat_t
	last := w.names.name(w.names.list[len(w.names.list)-1])
	err := unix.Fstatat(fd, last, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err != nil || time.Unix(st.Ctim.Unix()).Before(w.started) {
		return false
	}
	r.found, r.limit = 0, w.room(fd)
	if r.round++; r.round <= maxRounds {
		return false
	}
	r.read, r.end = true, true
	w.overrun(d, fd)
	return true
}
