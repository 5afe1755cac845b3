// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// IPC is an object of System V interprocess communication: a line of one of the tables in /proc/sysvipc
// (proc_sysvipc(5)). What a table does not have is 0.
type IPC struct {
	ID  int
	Key int64
	// Mode are the permissions, and of a segment more (see Doomed).
	Mode int64
	// UID is the user that it belongs to, CUID the one that made it.
	UID, CUID int
	// Bytes is the size of a segment, or what waits in a queue.
	Bytes int64
	// Attached is how often a segment is mapped by processes.
	Attached int
	// Changed is when it was made or given to another, in seconds since 1970.
	Changed int64
}

// shmDest is SHM_DEST of the kernel's include/uapi/linux/shm.h.
const shmDest = 0o1000

// Doomed reports whether a segment has been removed and is only there until its last process lets go of it.
func (i IPC) Doomed() bool { return i.Mode&shmDest != 0 }

var errIPC = errors.New("not a table of /proc/sysvipc")

// ParseIPC reads one of the tables. What its columns are stands in its first line.
func ParseIPC(text []byte) ([]IPC, error) {
	var all []IPC
	var head []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if head == nil {
			head = fields
			continue
		}
		one, err := parseIPC(head, fields)
		if err != nil {
			return nil, fmt.Errorf("%w, line %d: %w", errIPC, len(all)+2, err)
		}
		all = append(all, one)
	}
	for _, column := range []string{"key", "perms", "uid", "cuid"} {
		if !slices.Contains(head, column) {
			return nil, fmt.Errorf("%w: it has no column %s", errIPC, column)
		}
	}
	return all, nil
}

func parseIPC(head, fields []string) (IPC, error) {
	var i IPC
	if len(fields) != len(head) {
		return i, fmt.Errorf("%d fields; want %d", len(fields), len(head))
	}
	for at, name := range head {
		base := 10
		if name == "perms" {
			base = 8
		}
		v, err := strconv.ParseInt(fields[at], base, 64)
		if err != nil && (name == "rss" || name == "swap") { // not what we ask for
			continue
		}
		if err != nil {
			return i, fmt.Errorf("%s: %w", name, err)
		}
		i.set(name, v)
	}
	return i, nil
}

func (i *IPC) set(column string, v int64) {
	switch column {
	case "shmid", "semid", "msqid":
		i.ID = int(v)
	case "key":
		i.Key = v
	case "perms":
		i.Mode = v
	case "uid":
		i.UID = int(v)
	case "cuid":
		i.CUID = int(v)
	case "size", "cbytes":
		i.Bytes = v
	case "nattch":
		i.Attached = int(v)
	case "ctime":
		i.Changed = v
	}
}

// ParseSegments returns the numbers of the segments of shared memory in the text of /proc/PID/maps, one for each time
// that it is mapped. The kernel gives their files the number of the segment (proc_pid_maps(5), shmget(2)).
func ParseSegments(maps []byte) []int {
	const inode, path = 4, 5
	var ids []int
	for line := range strings.Lines(string(maps)) {
		fields := strings.Fields(line)
		if len(fields) <= path || !strings.HasPrefix(fields[path], "/SYSV") {
			continue
		}
		if id, err := strconv.Atoi(fields[inode]); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
