// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"errors"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// worker visits directories, one at a time.
type worker struct {
	*erasure
	number int
	names  names
	stats  Stats

	checked *dir // the last directory that was seen to be in the tree
	since   int  // names removed since then
	did     int  // names removed and directories visited
}

func (w *worker) run() {
	for d := w.take(w.number); d != nil; d = w.take(w.number) {
		for d != nil && !w.stopped() {
			d = w.visit(d)
		}
	}
}

// yields is how many things are done between two yields: some milliseconds.
const yields = 256

// yield lets the scheduler begin a new time slice. From one that goes on for 10 milliseconds with nothing but calls of the kernel it takes
// the processor, and looks at it every 20 microseconds from then on, which costs a tenth of the time (retake of Go's runtime/proc.go).
func (w *worker) yield() {
	if w.did++; w.did%yields == 0 {
		runtime.Gosched()
	}
}

// visit goes on with a directory until others in it have to be done first, or it is done itself. Then it gives the directory that has to
// be gone on with for that, if any.
func (w *worker) visit(d *dir) *dir {
	w.yield()
	fd, err := w.enter(d)
	if err != nil {
		return w.done(d, w.barred(d, err))
	}
	for !w.stopped() {
		if !d.reading.read {
			w.begin(d)
			w.scan(d, fd)
			if !w.end(d) {
				return nil
			}
		} else if kept, again := w.finish(d, fd); !again {
			w.drop(d)
			return w.done(d, kept)
		}
	}
	w.giveBack(d)
	return nil
}

// enter borrows the directory's descriptor; the first time, it opens the directory.
func (w *worker) enter(d *dir) (int, error) {
	if d.reading.entered {
		return w.reach(d)
	}
	if w.hasMoved(d.parent) {
		return -1, errLost
	}
	parent, err := w.reach(d.parent)
	if err != nil {
		return -1, err
	}
	defer w.giveBack(d.parent)
	fd, st, err := w.openDirectory(parent, d.name)
	if err != nil {
		return -1, err
	}
	if d.want != (ident{}) && d.want != identOf(&st) {
		_ = unix.Close(fd)
		return -1, errChanged
	}
	d.id = identOf(&st)
	d.reading.entered = true
	d.reading.limit = limit(&st)
	if w.measuring {
		w.weigh(d.top, &st)
		d.reading.read = shut(&st)
	}
	fd = w.lend(d, fd)
	w.pause(pointEntered, d)
	return fd, nil
}

// barred deals with a directory that could not be entered and says whether it stays.
func (w *worker) barred(d *dir, err error) (kept bool) {
	switch {
	case d.reading.entered && w.hasMoved(d):
		w.report(Problem{Path: w.path(d, ""), Kind: Moved})
		return false
	case errors.Is(err, unix.ENOENT), errors.Is(err, errLost):
		return false // gone, or not where it was: whoever has it now has it read again
	case w.measuring && errors.Is(err, errChanged):
		w.replaced(d.top)
		return true
	case w.measuring:
		if !w.weighShut(d, err) {
			w.unseen(d.top)
		}
		return true
	case !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP):
		w.refuse(d.parent, d.name, err)
		return true
	}
	fd, err := w.reach(d.parent)
	if err != nil {
		return false
	}
	defer w.giveBack(d.parent)
	if !w.sure(d.parent, fd) {
		return false
	}
	return !w.insist(d.parent, fd, d.name, unlink(fd, d.name))
}

// errLost says that a directory is not where it was when it was opened first.
var errLost = errors.New("the directory is not where it was")

// errChanged says that a name does not belong any more to what the policy selected.
var errChanged = errors.New("it was replaced")

// reach borrows a directory that was entered before. If its descriptor was closed meanwhile, it is opened again from the nearest
// directory above that is open, and each one on the way is recognised.
func (w *worker) reach(d *dir) (int, error) {
	fd, open := w.borrow(d)
	var way []*dir
	at := d
	for !open { // the tree itself always is
		way = append(way, at)
		at = at.parent
		fd, open = w.borrow(at)
	}
	for _, next := range slices.Backward(way) {
		sub, st, err := w.openAt(fd, next.name, directory)
		w.giveBack(at)
		if err == nil && identOf(&st) != next.id {
			_ = unix.Close(sub)
			err = errLost
		}
		if err != nil {
			return -1, err
		}
		fd, at = w.lend(next, sub), next
	}
	return fd, nil
}

// above borrows the parent of a directory that is open. If it was closed meanwhile, ".." is opened and recognised.
func (w *worker) above(d *dir, fd int) (int, error) {
	if parent, ok := w.borrow(d.parent); ok {
		return parent, nil
	}
	parent, err := w.spare(func() (int, error) { return unix.Openat(fd, "..", directory, 0) })
	if err == nil {
		var st unix.Stat_t
		if err := unix.Fstat(parent, &st); err == nil && identOf(&st) == d.parent.id {
			return w.lend(d.parent, parent), nil
		}
		_ = unix.Close(parent)
	}
	return w.reach(d.parent)
}

// openAt opens a name in a directory, see kernel.open.
func (w *worker) openAt(dir int, name string, flags int) (fd int, st unix.Stat_t, err error) {
	fd, err = w.spare(func() (int, error) {
		var fd int
		var err error
		fd, st, err = w.tree.kernel.open(dir, name, flags)
		return fd, err
	})
	return fd, st, err
}

// spare opens something, making room for it if need be.
func (w *worker) spare(open func() (int, error)) (int, error) {
	for {
		fd, err := retry(open)
		if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) || w.closeIdle() == 0 {
			return fd, err
		}
	}
}

// finish removes a directory that was emptied. It says whether the directory stays, or has to be read again.
func (w *worker) finish(d *dir, fd int) (kept, again bool) {
	switch {
	case w.measuring:
		return false, false
	case w.hasMoved(d) && !d.reading.lost:
		w.lost(d, fd, errLost)
		return w.keeps(d), false
	case w.keeps(d), d.reading.lost:
		return w.keeps(d), false
	case d.parent == nil && !d.reading.end:
		// No removal of the tree itself would tell that the end was only guessed: a signal makes the system return less, too.
		d.reading.read = false
		return false, true
	case d.parent == nil:
		if d.reading.found == 0 {
			return false, false
		}
		return w.refilled(d, fd)
	}
	w.pause(pointEmptied, d)
	if !w.sure(d, fd) {
		return w.keeps(d), false
	}
	parent, err := w.above(d, fd)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, errLost), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return false, false // its parent is not where it was
	case err != nil:
		w.refuse(d, "", err)
		return true, false
	}
	defer w.giveBack(d.parent)
	err = w.rmdir(d, fd, parent)
	switch {
	case err == nil:
		w.stats.Dirs++
		w.since++
		return false, false
	case errors.Is(err, unix.ENOENT):
		return false, false
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		if !d.reading.end { // the end was only guessed
			d.reading.read = false
			return false, true
		}
		return w.refilled(d, fd)
	case errors.Is(err, unix.ENOTDIR):
		return !w.insist(d.parent, parent, d.name, unlink(parent, d.name)), false
	}
	w.refuse(d.parent, d.name, err)
	return true, false
}

// rmdir removes an empty directory, taking its and its parent's flags off if need be.
func (w *worker) rmdir(d *dir, fd, parent int) error {
	err := removeDirectory(parent, d.name)
	if denied(err) && (w.unlock(fd) || w.unlock(parent)) {
		w.unlock(parent)
		err = removeDirectory(parent, d.name)
	}
	return err
}

// refilled has a directory read again from its beginning, unless that was done often enough.
func (w *worker) refilled(d *dir, fd int) (kept, again bool) {
	if d.reading.round >= maxRounds {
		w.overrun(d, fd)
		return true, false
	}
	d.reading.again(w.room(fd))
	return false, true
}

func (w *worker) overrun(d *dir, fd int) {
	w.report(Problem{Path: w.path(d, ""), Kind: Refilled, By: busy(fd)})
	w.keep(d)
}
