// SPDX-License-Identifier: Apache-2.0

package erase

import (
	"sync"

	"golang.org/x/sys/unix"
)

// dir is a directory at or below the tree that is being worked on.
type dir struct {
	parent *dir // nil: the tree itself
	name   string
	depth  int    // below the tree
	want   ident  // what a policy selected; zero: whatever has the name
	top    *Entry // measuring: the entry of the tree that it belongs to

	// Only for the worker that visits it at the time.
	id      ident
	reading reading

	// Guarded by crew.mu.
	fd        int // -1: not open
	users     int // visits that use fd now
	idle      bool
	prev, nxt *dir // in the list of idle ones
	pending   int  // directories in it that are not done, and 1 while it is being read
	kept      bool // something in it stays, so it stays too
	moved     bool // something in it was seen outside the tree, together with it
}

// reading is how far a directory was read.
type reading struct {
	entered bool  // it was opened, its identity is known
	begun   bool  // next matters
	read    bool  // there are no more names, or it seems so
	end     bool  // there are no more names
	lost    bool  // it is not in the tree any more, so it is left alone
	next    int64 // where to read on
	round   int   // how often it was found filled again
	found   int64 // names read in this round
	limit   int64 // that many names can be in it; if there are more, somebody may be filling it
}

// again has it read from its beginning.
func (r *reading) again(limit int64) {
	r.read, r.end, r.next, r.found, r.limit = false, false, 0, 0, limit
	r.round++
}

// crew hands directories to workers and lends out descriptors, of which there are few: a directory's may be closed while nobody uses it,
// and is opened again, and recognised, when it is needed.
type crew struct {
	mu     sync.Mutex
	wake   sync.Cond
	stacks [][]*dir // by worker, who takes the newest of its own, or else steals the oldest of another's
	left   int      // directories that are not done
	over   bool     // no more is to be done

	open, most int // descriptors
	first      dir // the ring of open directories that nobody uses; first.nxt was used last
}

func newCrew(workers int) *crew {
	c := &crew{stacks: make([][]*dir, workers), most: allowance(workers)}
	c.wake.L = &c.mu
	c.first.prev, c.first.nxt = &c.first, &c.first
	return c
}

// allowance is how many descriptors a removal may hold: half of what the process may have, but no more than are of use.
func allowance(workers int) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 4 * workers
	}
	return int(min(max(limit.Cur/2, uint64(4*workers)), 512)) //nolint:gosec // at most 512
}

// give queues directories found by a worker.
func (c *crew) give(worker int, dirs ...*dir) {
	if len(dirs) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue(worker, dirs)
	c.wake.Broadcast()
}

// keepNext queues a directory that the worker takes next itself. Nobody is woken for it: in a chain of directories that would be for each.
func (c *crew) keepNext(worker int, d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue(worker, []*dir{d})
}

func (c *crew) queue(worker int, dirs []*dir) {
	c.left += len(dirs)
	if p := dirs[0].parent; p != nil {
		p.pending += len(dirs)
	}
	c.stacks[worker] = append(c.stacks[worker], dirs...)
}

// take waits for a directory to visit; nil means that all is done, or that no more is to be.
func (c *crew) take(worker int) *dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && c.left > 0 {
		if own := c.stacks[worker]; len(own) > 0 {
			d := own[len(own)-1]
			own[len(own)-1] = nil
			c.stacks[worker] = own[:len(own)-1]
			return d
		}
		for i, other := range c.stacks {
			if len(other) > 0 {
				d := other[0]
				other[0] = nil
				c.stacks[i] = other[1:]
				return d
			}
		}
		c.wake.Wait()
	}
	return nil
}

// stop has every worker end after what it does now.
func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.wake.Broadcast()
}

// begin marks a directory as being read.
func (c *crew) begin(d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.pending++
}

// end is the other half of begin. It says whether the worker has to go on with the directory, because nothing in it is still to be done;
// otherwise its descriptor is given back: from now on the directory is another worker's.
func (c *crew) end(d *dir) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.pending--
	if d.pending > 0 {
		c.unuse(d)
		return false
	}
	return true
}

// done counts a directory off and gives its parent, if that has now nothing left to wait for.
func (c *crew) done(d *dir, kept bool) *dir {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left--
	if c.left == 0 {
		c.wake.Broadcast()
	}
	p := d.parent
	if p == nil {
		return nil
	}
	p.kept = p.kept || kept
	p.pending--
	if p.pending > 0 {
		return nil
	}
	return p
}

// move marks a directory as moved together with what is in it.
func (c *crew) move(d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.moved = true
}

func (c *crew) hasMoved(d *dir) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.moved
}

func (c *crew) keep(d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d.kept = true
}

func (c *crew) keeps(d *dir) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.kept
}

// borrow gives the directory's descriptor if it is open.
func (c *crew) borrow(d *dir) (fd int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.fd < 0 {
		return -1, false
	}
	c.use(d)
	return d.fd, true
}

func (c *crew) use(d *dir) {
	d.users++
	if d.idle {
		d.idle = false
		d.prev.nxt, d.nxt.prev = d.nxt, d.prev
	}
}

// lend takes over a descriptor just opened for the directory and borrows it. If another worker was faster, its descriptor is used.
func (c *crew) lend(d *dir, fd int) int {
	c.mu.Lock()
	spare := []int{fd}
	if d.fd < 0 {
		d.fd, spare = fd, spare[:0]
		c.open++
	}
	c.use(d)
	fd = d.fd
	spare = append(spare, c.evict(c.most)...)
	c.mu.Unlock()
	closeAll(spare)
	return fd
}

// giveBack ends a borrow. The descriptor may be closed then to make room.
func (c *crew) giveBack(d *dir) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unuse(d)
}

func (c *crew) unuse(d *dir) {
	d.users--
	if d.users == 0 && d.parent != nil {
		d.idle = true
		d.prev, d.nxt = &c.first, c.first.nxt
		d.prev.nxt, d.nxt.prev = d, d
	}
}

// drop ends the last borrow of a directory that is not needed any more.
func (c *crew) drop(d *dir) {
	if d.parent == nil {
		return // the tree's own
	}
	c.mu.Lock()
	fd := d.fd
	d.users, d.fd = d.users-1, -1
	c.open--
	c.mu.Unlock()
	_ = unix.Close(fd)
}

// evict takes descriptors that nobody uses, those unused for longest, until no more than most are open.
func (c *crew) evict(most int) (fds []int) {
	for c.open > most && c.first.prev != &c.first {
		d := c.first.prev
		c.use(d)
		d.users--
		fds = append(fds, d.fd)
		d.fd = -1
		c.open--
	}
	return fds
}

// closeIdle makes all the room there is.
func (c *crew) closeIdle() int {
	c.mu.Lock()
	fds := c.evict(0)
	c.mu.Unlock()
	closeAll(fds)
	return len(fds)
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
