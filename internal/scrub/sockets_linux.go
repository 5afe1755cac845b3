// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/rtnetlink"
)

// sockets are the files of the sockets that programs hold: none of those is ours to remove.
type sockets struct {
	// paths are those that can be found by the name that they were bound by.
	paths []string
	// files are those that cannot: the name is relative, or of other mounts or another root.
	files []rtnetlink.UnixSocket
	// names are what such are called in their directories, where the kernel tells no more than names.
	names []string
}

// listening returns the sockets of all programs. Each network namespace has its own, as a service with PrivateNetwork= has. The kernel is
// asked for their files; where it does not answer, as without unix_diag or in the namespaces of others without root, the table of names
// that every process can read (proc_net(5)) is what can be known.
func listening() sockets {
	proc := procfs.Machine
	ours := [2]string{proc.Link(os.Getpid(), "ns/net"), proc.Link(os.Getpid(), "ns/mnt")}
	spaces := map[string]map[string]int{ours[0]: {ours[1]: os.Getpid()}} // by network and by mounts: a process that sees both
	all, _ := proc.All()                                                 // without it, those of our own namespace are what can be known
	for _, s := range all {
		net, mnt := proc.Link(s.PID, "ns/net"), proc.Link(s.PID, "ns/mnt")
		if net == "" || mnt == "" {
			continue
		}
		if spaces[net] == nil {
			spaces[net] = map[string]int{}
		}
		if _, seen := spaces[net][mnt]; !seen {
			spaces[net][mnt] = s.PID
		}
	}
	var found sockets
	for net, views := range spaces {
		_, seen := views[ours[1]]
		if err := found.ask(net == ours[0], seen, views); err == nil {
			continue
		}
		for mnt, pid := range views {
			text, err := os.ReadFile(proc.Path(pid, "net/unix"))
			if err == nil {
				found.read(string(text), proc.Path(pid, "root"), mnt == ours[1])
			}
		}
	}
	slices.Sort(found.paths)
	found.paths = slices.Compact(found.paths)
	return found
}

// ask has the kernel tell of the sockets in a network namespace; seen is whether some of those who live there have our mounts. To others a name
// means another place, and everybody can have mounts of their own: of theirs only the file counts.
func (s *sockets) ask(ours, seen bool, views map[string]int) error {
	list := rtnetlink.UnixSockets
	if !ours {
		list = func() ([]rtnetlink.UnixSocket, error) { return abroad(views, rtnetlink.UnixSockets) }
	}
	all, err := list()
	for _, one := range all {
		bound := isBoundTo(one)
		if bound || seen { // also where the kernel knows the file by another number than we are told, as on overlays
			bound = s.place(one.Name) && bound
		}
		if !bound {
			s.files = append(s.files, one)
		}
	}
	return err
}

// abroad calls f in the network namespace of one of the processes.
func abroad[T any](views map[string]int, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		var r result
		if unix.Gettid() == os.Getpid() { // it stands for the process in /proc, and would never end: while it waits, another has to go
			defer runtime.UnlockOSThread()
			r.value, r.err = abroad(views, f)
			done <- r
			return
		}
		// Never unlocked: the thread ends with the function, for it is where no other function may run.
		for _, pid := range views {
			var fd int
			if fd, r.err = unix.Open(procfs.Machine.Path(pid, "ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0); r.err != nil {
				continue // it has ended
			}
			r.err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
			if r.err == nil {
				r.value, r.err = f()
				break
			}
		}
		done <- r
	}()
	r := <-done
	return r.value, r.err
}

// read takes the names of a table that belongs to a root.
func (s *sockets) read(table, root string, ours bool) {
	for _, p := range socketNames(table) {
		there := ours || path.IsAbs(p) && sameThing(root+p, p)
		if !there || !s.place(p) {
			s.names = append(s.names, path.Base(p))
		}
	}
}

// place notes a path, if we see a socket there.
func (s *sockets) place(p string) bool {
	var st unix.Stat_t
	if !path.IsAbs(p) || unix.Lstat(p, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	s.paths = append(s.paths, spell(path.Clean(p)))
	return true
}

// isBoundTo reports whether the file of a socket is what we see by its name.
func isBoundTo(s rtnetlink.UnixSocket) bool {
	var st unix.Stat_t
	return unix.Lstat(s.Name, &st) == nil && uint32(st.Ino) == s.Inode && deviceOf(&st) == s.Device //nolint:gosec // as many bits as the kernel tells
}

func deviceOf(st *unix.Stat_t) string {
	return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))) //nolint:unconvert // 32 bits on some platforms
}

// in returns what says of a file in a directory, at any depth, whether it may be one of those that their names do not lead to; nil if none
// can be there. Names alone prove nothing: where the kernel tells no more, whatever has such a name stays.
func (s sockets) in(dir string) func(name string, inode uint64) bool {
	var devices []string
	var st unix.Stat_t
	if unix.Stat(dir, &st) == nil {
		devices = append(devices, deviceOf(&st))
	}
	if tree, err := mountTree(procfs.Machine, os.Getpid()); err == nil {
		m, _ := tree.At(spell(dir))
		devices = append(devices, m.Device)
	}
	inodes := map[uint32]bool{}
	for _, one := range s.files {
		if slices.Contains(devices, one.Device) {
			inodes[one.Inode] = true
		}
	}
	if len(inodes)+len(s.names) == 0 {
		return nil
	}
	return func(name string, inode uint64) bool {
		return inodes[uint32(inode)] || slices.Contains(s.names, name) //nolint:gosec // as many bits as the kernel tells
	}
}

// sameThing reports whether two paths name the same thing; what can be found by neither is no reason to keep anything.
func sameThing(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Lstat(a, &x) == nil && unix.Lstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// socketNames reads what follows the seventh column of each line below the heading; a name may hold blanks, an abstract one begins with an @.
func socketNames(text string) []string {
	var all []string
	_, lines, _ := strings.Cut(text, "\n")
	for line := range strings.Lines(lines) {
		rest := strings.TrimSuffix(line, "\n")
		for range 7 {
			_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
		}
		if rest != "" && !strings.HasPrefix(rest, "@") {
			all = append(all, rest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
