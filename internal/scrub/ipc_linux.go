// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// ipc removes what owned users have left in the kernel to talk to each other through.
type ipc struct {
	owned spec.Ownership
	here  Here
	proc  procfs.Root
	users users
	known map[string]message // what the last look found, by the identity of its deviation
	notes []string
}

// message is one object: of a table of System V, or a queue of POSIX.
type message struct {
	table  *ipcTable
	object procfs.IPC
	queue  queue
}

// ipcTable is one of the tables of System V.
type ipcTable struct{ file, kind, name string }

var ipcTables = []ipcTable{{"shm", "segment", "shared memory"}, {"sem", "semaphores", "semaphores"}, {"msg", "queue", "message queue"}}

func newIPC(s spec.Spec, here Here) Step {
	return &ipc{owned: s.Owned, here: here, proc: procfs.Machine, known: map[string]message{}}
}

// Notes returns remarks on what the last look saw and leaves alone.
func (i *ipc) Notes() []string { return i.notes }

// Look finds the objects of owned users.
func (i *ipc) Look(ctx context.Context) ([]Deviation, error) {
	if err := i.users.find(ctx, i.here, i.owned); err != nil {
		return nil, err
	}
	i.notes = nil
	clear(i.known)
	var found []Deviation
	absent := true
	for n := range ipcTables {
		objects, err := i.proc.IPC(ipcTables[n].file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		absent = false
		there, err := i.inTable(ctx, &ipcTables[n], objects)
		if err != nil {
			return nil, err
		}
		found = append(found, there...)
	}
	queues, mounted, err := i.queues(ctx)
	if absent && !mounted && err == nil {
		return nil, Absent{"this kernel has no System V IPC, and no message queues of POSIX are mounted at " + queueDir}
	}
	if !mounted {
		i.notes = append(i.notes, "message queues of POSIX are not looked at: they are not mounted at "+queueDir)
	}
	return append(found, queues...), err
}

// inTable finds the owned objects of one table.
func (i *ipc) inTable(ctx context.Context, table *ipcTable, objects []procfs.IPC) ([]Deviation, error) {
	now := time.Now().Unix()
	var found []Deviation
	var attached []int
	for _, o := range objects {
		if !i.users.owned(o.UID) && !i.users.owned(o.CUID) {
			continue
		}
		id := table.name + " " + strconv.Itoa(o.ID)
		if table.file == "shm" && o.Doomed() {
			i.notes = append(i.notes, id+" has been removed, and the kernel frees it when the last process lets go of it")
			continue
		}
		r := spec.Residue{
			Kind: table.kind, ID: id, What: fmt.Sprintf("key 0x%08x", uint32(o.Key)), //nolint:gosec // keys have 32 bits
			Bytes: o.Bytes, Age: spec.Seconds(max(0, now-o.Changed)), Owner: i.users.name(o.UID),
		}
		if o.Attached > 0 {
			attached = append(attached, len(found))
		}
		i.known[r.ID] = message{table: table, object: o}
		found = append(found, Deviation{Residue: r})
	}
	if len(attached) == 0 {
		return found, nil
	}
	by, err := i.holders(ctx)
	for _, n := range attached {
		found[n].Stays = i.held(i.known[found[n].ID].object, by)
	}
	return found, err
}

// holder is a process that has something attached or open.
type holder struct {
	pid, uid int
	name     string
}

// holders returns for each segment who has it attached, each process as often as it has. The same numbers mean other
// segments to processes in other namespaces.
func (i *ipc) holders(ctx context.Context) (map[int][]holder, error) {
	by := map[int][]holder{}
	err := i.each(ctx, func(s procfs.Stat, h holder) {
		for _, id := range i.proc.Segments(i.proc.Body(s)) {
			by[id] = append(by[id], h)
		}
	})
	return by, err
}

// each calls f with each process of our own namespace of IPC.
func (i *ipc) each(ctx context.Context, f func(procfs.Stat, holder)) error {
	all, err := i.proc.All()
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	home := i.proc.Link(os.Getpid(), "ns/ipc")
	for _, s := range all {
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		if i.proc.Link(s.PID, "ns/ipc") != home {
			continue
		}
		if uid, ok := i.proc.UID(s); ok {
			f(s, holder{s.PID, uid, s.Name})
		}
	}
	return nil
}

// held says why a segment that is attached has to stay; "" if only processes of owned users have it. Removed, it is
// there for those until they end, as it would be for themselves.
func (i *ipc) held(o procfs.IPC, by map[int][]holder) string {
	if why := i.others(by[o.ID], "attached to it"); why != "" {
		return why
	}
	if hidden := o.Attached - len(by[o.ID]); hidden > 0 {
		return fmt.Sprintf("it is attached %d times by processes that cannot be seen from here", hidden)
	}
	return ""
}

// others names the first of the holders whose user is not owned.
func (i *ipc) others(by []holder, how string) string {
	for _, h := range by {
		if !i.users.owned(h.uid) {
			return fmt.Sprintf("process %d (%s) of user %d is %s", h.pid, shown(h.name), h.uid, how)
		}
	}
	return ""
}

// Mend removes the objects. What has changed hands since the look is left for the next one.
func (i *ipc) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	tables := map[*ipcTable]map[int]procfs.IPC{}
	for n, d := range found {
		if ctx.Err() != nil {
			errs[n] = stopped(ctx)
			continue
		}
		m := i.known[d.ID]
		if m.table == nil {
			errs[n] = refusal(m.queue.unlink())
			continue
		}
		if tables[m.table] == nil {
			tables[m.table] = i.table(m.table.file)
		}
		o, there := tables[m.table][m.object.ID]
		switch {
		case !there || o.Key != m.object.Key || o.CUID != m.object.CUID || o.Changed != m.object.Changed:
		case o.UID != m.object.UID || o.Attached > m.object.Attached:
			errs[n] = errors.New("somebody has begun to use it meanwhile")
		default:
			errs[n] = refusal(removeIPC(m.table.file, o.ID))
		}
	}
	return errs
}

// table returns the objects of a table by their numbers, none if it cannot be read.
func (i *ipc) table(file string) map[int]procfs.IPC {
	objects, _ := i.proc.IPC(file)
	by := make(map[int]procfs.IPC, len(objects))
	for _, o := range objects {
		by[o.ID] = o
	}
	return by
}

// refusal says in words why the kernel did not remove something; nil if it did, or there was nothing.
func refusal(err error) error {
	switch {
	case err == nil, errors.Is(err, unix.EINVAL), errors.Is(err, unix.EIDRM), errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Final{errors.New("this needs root, or the user it belongs to")}
	}
	return err
}

// ipcCalls are the system calls by which objects of a table are removed. muxed is the number of the same operation in
// the call "ipc", which alone has them on ppc64le and s390x before Linux 5.1 (include/uapi/linux/ipc.h).
var ipcCalls = map[string]struct{ call, muxed uintptr }{
	"shm": {unix.SYS_SHMCTL, 24}, "sem": {unix.SYS_SEMCTL, 3}, "msg": {unix.SYS_MSGCTL, 14},
}

// removeIPC removes an object. IPC_RMID is 0 (include/uapi/linux/ipc.h).
func removeIPC(table string, id int) error {
	const remove = 0
	c := ipcCalls[table]
	second, third := uintptr(remove), uintptr(0)
	if table == "sem" { // the number of a semaphore comes before the operation
		second, third = 0, remove
	}
	_, _, errno := unix.Syscall6(c.call, uintptr(id), second, third, 0, 0, 0)
	if errno == unix.ENOSYS {
		errno = removeMuxed(c.muxed, uintptr(id), second, third)
	}
	if errno != 0 {
		return errno
	}
	return nil
}
