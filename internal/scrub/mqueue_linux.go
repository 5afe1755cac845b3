// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// queueDir is where the message queues of POSIX are mounted, if they are (mq_overview(7)).
const queueDir = "/dev/mqueue"

// queue is a message queue of POSIX: a file in that directory.
type queue struct {
	name string
	file identity
	uid  uint32
}

// queues finds the message queues of owned users. mounted is whether they can be seen at all.
func (i *ipc) queues(ctx context.Context) (found []Deviation, mounted bool, err error) {
	tree, err := mountTree(i.proc, os.Getpid())
	if err != nil {
		return nil, false, err
	}
	for _, m := range tree.All() {
		mounted = mounted || m.Point == queueDir && m.Type == "mqueue"
	}
	if !mounted {
		return nil, false, nil
	}
	entries, err := os.ReadDir(queueDir)
	if err != nil {
		return nil, true, err
	}
	var there []queue
	for _, entry := range entries {
		if q, ok := lookQueue(entry.Name()); ok && i.users.owned(int(q.uid)) {
			there = append(there, q)
		}
	}
	if len(there) == 0 {
		return nil, true, nil
	}
	by, err := i.readers(ctx, there)
	for _, q := range there {
		r := spec.Residue{Kind: "queue", ID: shown(queueDir + "/" + q.name), What: "message queue of POSIX", Owner: i.users.name(int(q.uid))}
		i.known[r.ID] = message{queue: q}
		found = append(found, Deviation{r, i.others(by[q.file], "using it")})
	}
	return found, true, err
}

// lookQueue looks one up without following a link.
func lookQueue(name string) (queue, bool) {
	var s unix.Stat_t
	err := unix.Lstat(queueDir+"/"+name, &s)
	ok := err == nil && s.Mode&unix.S_IFMT == unix.S_IFREG
	return queue{name, identity{uint64(s.Dev), s.Ino}, s.Uid}, ok //nolint:unconvert // as in identify
}

// readers returns for each queue who has it open. To a process its path begins at the directory or at the slash.
func (i *ipc) readers(ctx context.Context, there []queue) (map[identity][]holder, error) {
	names := map[string]bool{}
	for _, q := range there {
		names[q.name] = true
	}
	by := map[identity][]holder{}
	err := i.each(ctx, func(s procfs.Stat, h holder) {
		pid := i.proc.Body(s)
		i.proc.OpenFiles(pid, func(fd, file string) bool {
			if names[strings.TrimPrefix(strings.TrimPrefix(file, queueDir), "/")] {
				if id, ok := identifyLinked(i.proc.Path(pid, "fd/"+fd)); ok {
					by[id] = append(by[id], h)
				}
			}
			return true
		})
	})
	return by, err
}

// unlink removes the queue if it is still the same. Who has it open keeps it until it is closed.
func (q queue) unlink() error {
	now, ok := lookQueue(q.name)
	if !ok || now.file != q.file || now.uid != q.uid {
		return nil
	}
	return unix.Unlink(queueDir + "/" + q.name)
}
