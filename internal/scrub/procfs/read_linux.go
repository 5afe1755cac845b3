// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Root is where /proc is.
type Root string

// Machine is the /proc of this machine.
const Machine Root = "/proc"

func (r Root) file(pid int, name string) string {
	return string(r) + "/" + strconv.Itoa(pid) + "/" + name
}

// passes bounds how often a walk lists the processes.
const passes = 20

// Listing is what the list of processes was at one time.
type Listing struct {
	All  []Stat   // that are no zombies, in the order of their numbers
	Exes []string // what each of them runs; "" if it may not be read
	complete
}

// complete tells whether a listing can have become incomplete.
type complete struct {
	forks uint64 // of before it
	found int    // processes in it
}

// still reports whether no process was started since a listing was begun. Where the number of all that ever were is less than what is
// there (gVisor tells 0), it means nothing.
func (c complete) still(r Root) bool {
	return c.found > 0 && c.forks >= uint64(c.found) && r.forks() == c.forks
}

// forks returns how many processes and threads the machine has started since it booted, in all its namespaces; 0 if that is not told.
// The kernel counts one as soon as it is in the list (copy_process of its kernel/fork.c).
func (r Root) forks() uint64 {
	text, _ := os.ReadFile(string(r) + "/stat")
	for line := range bytes.Lines(text) {
		if number, is := bytes.CutPrefix(line, []byte("processes ")); is {
			n, _ := strconv.ParseUint(string(bytes.TrimSpace(number)), 10, 64)
			return n
		}
	}
	return 0
}

// Walk calls yield with every process that is no zombie. It lists until a listing brings nothing new, or nothing new can have come,
// since a process that keeps starting another and ends is in no single listing for long; those of the first listing are yielded on all
// processors at once, each later one as soon as it is seen. Those in known are taken from there for the first.
func (r Root) Walk(known Listing, yield func(Stat)) error {
	seen := make(map[int]bool, len(known.All))
	for _, s := range known.All {
		seen[s.PID] = true
	}
	Each(len(known.All), func(i int) { yield(known.All[i]) })
	for pass, last := 0, known.complete; pass < passes && !last.still(r); pass++ {
		last.forks = r.forks()
		pids, err := r.pids()
		if err != nil {
			return err
		}
		last.found = len(pids)
		fresh := slices.DeleteFunc(pids, func(pid int) bool { return seen[pid] })
		if len(fresh) == 0 {
			return nil
		}
		for _, pid := range fresh {
			seen[pid] = true
		}
		one := func(i int) {
			if s, ok := r.Stat(fresh[i]); ok && !s.Zombie() {
				yield(s)
			}
		}
		if pass == 0 && len(known.All) == 0 {
			Each(len(fresh), one)
			continue
		}
		for i := range fresh {
			one(len(fresh) - 1 - i) // the youngest first: it is the one that may be gone soon
		}
	}
	return nil
}

func (r Root) pids() ([]int, error) {
	dir, err := os.Open(string(r))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// List lists the processes once. Those that are started meanwhile are left to a walk, which lists again: a good part of what a look at
// many processes takes is the kernel's time for listing them, and one processor's alone.
func (r Root) List() (Listing, error) {
	l := Listing{complete: complete{forks: r.forks()}}
	pids, err := r.pids()
	if err != nil {
		return l, err
	}
	l.found = len(pids)
	l.All, l.Exes = make([]Stat, len(pids)), make([]string, len(pids))
	Each(len(pids), func(i int) {
		if s, ok := r.Stat(pids[i]); ok && !s.Zombie() {
			l.All[i], l.Exes[i] = s, r.Link(r.Body(s), "exe")
		}
	})
	n := 0
	for i, s := range l.All {
		if s.PID != 0 {
			l.All[n], l.Exes[n] = s, l.Exes[i]
			n++
		}
	}
	l.All, l.Exes = l.All[:n], l.Exes[:n]
	return l, nil
}

// All returns every process that is no zombie, in the order of their numbers.
func (r Root) All() ([]Stat, error) {
	var all []Stat
	var lock sync.Mutex
	err := r.Walk(Listing{}, func(s Stat) {
		lock.Lock()
		defer lock.Unlock()
		all = append(all, s)
	})
	slices.SortFunc(all, func(a, b Stat) int { return cmp.Compare(a.PID, b.PID) })
	return all, err
}

// read returns the text of a small file of a process.
func (r Root) read(pid int, name string) (text []byte, err error) {
	err = r.within(pid, name, func(_ int, t []byte) { text = bytes.Clone(t) })
	return text, err
}

// within calls use with a file of a process, open, and its text, which is overwritten when use has returned. It goes around
// package os, whose files cost three more calls of the kernel each. What is a table of any length comes in pieces, and
// everything else at once if there is room for it.
func (r Root) within(pid int, name string, use func(fd int, text []byte)) error {
	fd, err := unix.Open(r.file(pid, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	buffer := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buffer)
	text, err := contents(fd, name == "maps" || name == "mountinfo", buffer)
	if err == nil {
		use(fd, text)
	}
	return err
}

// contents reads an open file into a buffer, which grows if need be; to its end if it is long.
func contents(fd int, long bool, buffer *[]byte) ([]byte, error) {
	size := 0
	for {
		n, err := unix.Read(fd, (*buffer)[size:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		size += n
		if n == 0 || size < len(*buffer) && !long {
			return (*buffer)[:size], nil
		}
		if size == len(*buffer) {
			*buffer = append(*buffer, make([]byte, size)...)
		}
	}
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// Each calls f with each number below n, on all processors.
func Each(n int, f func(i int)) {
	const chunk = 32
	var group sync.WaitGroup
	next := make(chan int, n/chunk+1)
	for from := 0; from < n; from += chunk {
		next <- from
	}
	close(next)
	for range min(runtime.GOMAXPROCS(0), n/chunk+1) {
		group.Go(func() {
			for from := range next {
				for i := from; i < min(from+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	group.Wait()
}

// Stat reads one process; ok is false if it is gone.
func (r Root) Stat(pid int) (s Stat, ok bool) {
	_ = r.within(pid, "stat", func(fd int, text []byte) {
		var err error
		s, err = ParseStat(text)
		ok = err == nil && s.PID == pid
		var file unix.Stat_t
		if unix.Fstat(fd, &file) == nil {
			s.Owner = int(file.Uid)
		}
	})
	return s, ok
}

// Body returns the number by which the files of a process are read: its own, or that of a thread that goes on if its
// first has ended, since that one has let go of everything.
func (r Root) Body(s Stat) int {
	if !s.headless() {
		return s.PID
	}
	threads, _ := os.ReadDir(r.file(s.PID, "task"))
	for _, entry := range threads {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if t, ok := r.Stat(id); ok && !t.headless() {
			return id
		}
	}
	return s.PID
}

// UID returns the real user of a process. Its status is what costs most of all files, and it is asked only if the owner
// of another does not tell: one that belongs to a user is of a process that is that user and nobody else.
func (r Root) UID(s Stat) (uid int, ok bool) {
	if s.Owner != 0 {
		return s.Owner, true
	}
	_ = r.within(s.PID, "status", func(_ int, text []byte) { uid, ok = ParseUID(text) })
	return uid, ok
}

// A process that becomes another program has neither environment nor arguments for a moment, and one whose first thread has ended
// keeps them with the others: it is looked at again, no more often than moments. One with arguments has no environment if sure looks
// say so, since it may have become the other program in between.
const (
	moment  = time.Millisecond
	moments = 50
	sure    = 3
)

// Environ calls use with the environment that a process was started with, which is overwritten when use has returned; not at
// all if it may not be read, or the process ends.
func (r Root) Environ(pid int, use func(Environ)) {
	for left, stands := moments, 0; ; left-- {
		read := false
		err := r.within(pid, "environ", func(_ int, text []byte) {
			if read = len(text) > 0 || left == 0 || stands == sure; read {
				use(text)
			}
		})
		if read || left == 0 || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
			return
		}
		s, there := r.Stat(pid)
		switch {
		case !there || s.Kernel || s.Exiting && s.Threads < 2:
			return
		case s.headless():
			pid = r.Body(s)
		case s.Exiting || len(r.Args(pid)) == 0:
			<-time.After(moment)
		default:
			stands++
		}
	}
}

// Args returns the arguments of a process; nil if they may not be read.
func (r Root) Args(pid int) []string {
	text, _ := r.read(pid, "cmdline")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// Cgroups returns the control groups of a process.
func (r Root) Cgroups(pid int) (groups []string) {
	_ = r.within(pid, "cgroup", func(_ int, text []byte) { groups = ParseCgroups(text) })
	return groups
}

// Link returns where one of the links of a process leads: exe, cwd, root, ns/pid, ns/mnt; "" if it may not be read.
func (r Root) Link(pid int, name string) string {
	return ExePath(readlink(unix.AT_FDCWD, r.file(pid, name)))
}

// readlink returns where a link leads; "" if that cannot be told.
func readlink(dir int, name string) string {
	buffer := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buffer)
	n, err := unix.Readlinkat(dir, name, *buffer)
	if err != nil || n == len(*buffer) {
		return ""
	}
	return string((*buffer)[:n])
}

// Path returns the path of one of the files of a process, or of a link to follow.
func (r Root) Path(pid int, name string) string { return r.file(pid, name) }

// OpenFiles calls yield with the descriptor and the path of each file that a process holds open, until it returns false.
//
// Since Linux 6.2 the size of their directory is how many they are (proc_pid_fd(5)), before that it is 0. Where they have the lowest
// numbers, as most have, asking for one after the other is all there is to do: the kernel takes longer for listing three than for
// telling where two of them lead.
func (r Root) OpenFiles(pid int, yield func(fd, path string) bool) {
	dir, err := unix.Open(r.file(pid, "fd"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	asked, count := 0, 0
	var stat unix.Stat_t
	if unix.Fstat(dir, &stat) == nil {
		count = int(stat.Size)
	}
	for ; asked < count; asked++ {
		fd := strconv.Itoa(asked)
		to := readlink(dir, fd)
		if to == "" {
			break
		}
		if strings.HasPrefix(to, "/") && !yield(fd, ExePath(to)) {
			return
		}
	}
	// That as many were there proves nothing: one may have been opened since, and closed again. In the directory the place of a number
	// is the number itself (proc_readfd_common of the kernel's fs/proc/fd.c), so that what is left is soon listed.
	if asked > 0 {
		_, _ = unix.Seek(dir, int64(asked)+firstFile, unix.SEEK_SET) // otherwise all are listed
	}
	list(dir, func(fd string) bool {
		if n, err := strconv.Atoi(fd); err == nil && n < asked {
			return true
		}
		to := readlink(dir, fd)
		return !strings.HasPrefix(to, "/") || yield(fd, ExePath(to))
	})
}

// firstFile is the place of file 0, behind the directory itself and the one above.
const firstFile = 2

// list calls yield with each name in an open directory, until it returns false.
func list(dir int, yield func(name string) bool) {
	buffer := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buffer)
	for {
		n, err := unix.ReadDirent(dir, *buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		_, _, names := unix.ParseDirent((*buffer)[:n], -1, nil)
		for _, name := range names {
			if !yield(name) {
				return
			}
		}
	}
}

// Use returns how a process uses a file of which the path is wanted, in words; "" if it uses none. Only names are
// compared, and no file is touched: those on a dead server would hang us.
func (r Root) Use(pid int, wanted func(path string) bool) string {
	for _, link := range []struct{ name, means string }{{"root", "its root"}, {"cwd", "its directory"}, {"exe", "its program"}} {
		if to := r.Link(pid, link.name); to != "" && wanted(to) {
			return link.means
		}
	}
	use := ""
	r.OpenFiles(pid, func(_, file string) bool {
		if wanted(file) {
			use = "an open file"
		}
		return use == ""
	})
	if use != "" {
		return use
	}
	text, _ := r.read(pid, "maps")
	for line := range strings.Lines(string(text)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && wanted(ExePath(strings.ReplaceAll(line[at:len(line)-1], `\012`, "\n"))) {
			return "a mapped file"
		}
	}
	return ""
}

// readings bounds how often a table is read until it is the same twice.
const readings = 10

// Mounts returns the text of the table of mounts that a process sees. The kernel hands it out in pieces, between which it
// may change, so that a mount can be missed: it is read until nothing has changed.
func (r Root) Mounts(pid int) ([]byte, error) {
	text, err := r.read(pid, "mountinfo")
	for range readings {
		if err != nil {
			return nil, os.NewSyscallError("read mountinfo", err)
		}
		var again []byte
		if again, err = r.read(pid, "mountinfo"); bytes.Equal(text, again) {
			break
		}
		text = again
	}
	return text, err
}

// WaitChannel returns the function of the kernel that a process waits in; "" if that is not told.
func (r Root) WaitChannel(pid int) string {
	text, _ := r.read(pid, "wchan")
	if string(text) == "0" {
		return ""
	}
	return string(text)
}

// Uptime returns how long the machine has been up, in ticks; 0 if that is not told.
func (r Root) Uptime() uint64 {
	text, _ := os.ReadFile(string(r) + "/uptime")
	var seconds float64
	for i, c := range text {
		if c == ' ' {
			seconds, _ = strconv.ParseFloat(string(text[:i]), 64)
			break
		}
	}
	return uint64(seconds * TicksPerSecond)
}

// IPC reads one of the tables of System V interprocess communication: shm, sem or msg. They show the namespace of
// whoever reads.
func (r Root) IPC(table string) ([]IPC, error) {
	text, err := os.ReadFile(string(r) + "/sysvipc/" + table)
	if err != nil {
		return nil, err
	}
	all, err := ParseIPC(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", table, err)
	}
	return all, nil
}

// Segments returns the numbers of the segments of shared memory that a process has mapped, each as often as it has; none
// if that may not be read.
func (r Root) Segments(pid int) []int {
	text, _ := r.read(pid, "maps")
	return ParseSegments(text)
}
