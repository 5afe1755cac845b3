// SPDX-License-Identifier: Apache-2.0

// Package procfs reads the processes of a Linux machine from /proc.
//
// A process is named by its number and its start time together: numbers are used again. Whatever can vanish while it is
// read is absent then, without an error; what may not be read is left empty and can be told from what is empty.
// Names that a process gives itself (its "comm", its arguments) are read but never decide that it ends.
package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// TicksPerSecond is USER_HZ, the unit of times in /proc, on every platform that we carry (proc(5), sysconf(3)).
const TicksPerSecond = 100

// Stat is what /proc/PID/stat says of a process (proc_pid_stat(5)).
type Stat struct {
	PID int
	// Name is what the process calls itself, at most 15 bytes, any bytes.
	Name string
	// State is one letter: R, S, D, Z, T, ...
	State   byte
	Parent  int
	Group   int
	Session int
	// Threads is how many threads it has, one that has ended included if that is its first.
	Threads int
	// Kernel is whether it is a thread of the kernel, Exiting whether it has begun to end.
	Kernel, Exiting bool
	// Start is when it was started, in ticks since boot.
	Start uint64
	// Owner is whom the file belongs to: the user that the process acts as; or 0, also for one that has changed its user
	// and could know secrets of the other. ParseStat does not know it.
	Owner int
}

// Zombie reports whether the process has ended and only its parent has not asked yet. One whose first thread has ended
// looks the same, but others of its threads go on.
func (s Stat) Zombie() bool { return s.headless() && s.Threads < 2 }

func (s Stat) headless() bool { return s.State == 'Z' || s.State == 'X' }

// PF_EXITING and PF_KTHREAD of the kernel's include/linux/sched.h.
const (
	exiting      = 0x00000004
	kernelThread = 0x00200000
)

// The fields of a stat line, counted from the one behind the name.
const (
	fieldState = iota
	fieldParent
	fieldGroup
	fieldSession
	fieldTTY
	fieldTTYGroup
	fieldFlags
	fieldThreads = 17
	fieldStart   = 19
)

var errStat = errors.New("not a line of /proc/PID/stat")

// ParseStat reads the text of a stat file. The name may hold anything, line ends and ") " included: what counts comes
// after the last parenthesis.
func ParseStat(text []byte) (Stat, error) {
	open, shut := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || shut < open {
		return Stat{}, errStat
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:open])))
	if err != nil || pid < 1 {
		return Stat{}, errStat
	}
	s, at := Stat{PID: pid, Name: string(text[open+1 : shut])}, 0
	for field := range bytes.FieldsSeq(text[shut+1:]) {
		if err := s.take(at, field); err != nil {
			return Stat{}, fmt.Errorf("%w: %w", errStat, err)
		}
		if at == fieldStart {
			return s, nil
		}
		at++
	}
	return Stat{}, errStat
}

// take sets what a field says.
func (s *Stat) take(at int, field []byte) (err error) {
	switch at {
	case fieldState:
		if len(field) != 1 {
			err = errors.New("its state is not one letter")
		}
		s.State = field[0]
	case fieldParent:
		s.Parent, err = strconv.Atoi(string(field))
	case fieldGroup:
		s.Group, err = strconv.Atoi(string(field))
	case fieldSession:
		s.Session, err = strconv.Atoi(string(field))
	case fieldFlags:
		var flags uint64
		flags, err = strconv.ParseUint(string(field), 10, 64)
		s.Kernel, s.Exiting = flags&kernelThread != 0, flags&exiting != 0
	case fieldThreads:
		s.Threads, err = strconv.Atoi(string(field))
	case fieldStart:
		s.Start, err = strconv.ParseUint(string(field), 10, 64)
	}
	return err
}

// Environ is the environment that a process was started with.
type Environ []byte

// Get returns the value of a variable, "" if it is not there.
func (e Environ) Get(name string) string {
	for rest := []byte(e); len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, 0); end >= 0 {
			line, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		if len(line) > len(name) && line[len(name)] == '=' && string(line[:len(name)]) == name {
			return string(line[len(name)+1:])
		}
	}
	return ""
}

// ParseCgroups returns the paths in the text of /proc/PID/cgroup, one for each hierarchy (cgroups(7)).
func ParseCgroups(text []byte) []string {
	var groups []string
	for line := range bytes.Lines(text) {
		_, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		if _, group, _ := bytes.Cut(rest, []byte(":")); len(group) > 0 && group[0] == '/' {
			groups = append(groups, ExePath(string(group)))
		}
	}
	return groups
}

// ParseUID returns the real user of the text of /proc/PID/status.
func ParseUID(text []byte) (uid int, ok bool) {
	_, after, found := bytes.Cut(text, []byte("\nUid:\t"))
	if !found {
		return 0, false
	}
	end := bytes.IndexAny(after, "\t\n")
	if end < 0 {
		return 0, false
	}
	uid, err := strconv.Atoi(string(after[:end]))
	return uid, err == nil && uid >= 0
}

// ExePath is the path in a link that /proc shows, without the mark of what is deleted.
func ExePath(link string) string { return strings.TrimSuffix(link, " (deleted)") }
