// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// spaceDirs are where network namespaces have names: files that the namespace is mounted on (ip-netns(8)). The second is
// the first on most machines.
var spaceDirs = []string{"/run/netns", "/var/run/netns"}

// spaces gives up named network namespaces. The kernel ends one that nobody is in and nothing else refers to; its
// physical devices go back where they came from.
type spaces struct {
	owned spec.Ownership
	proc  procfs.Root
	known map[string]space // what the last look found, by the identity of its deviation
}

// space is the name of a namespace.
type space struct {
	path   string
	mounts []mountinfo.Mount // those at the path, from below
	inode  uint64            // the number of the namespace; 0 of a name without one
}

// Look finds the owned names.
func (s *spaces) Look(ctx context.Context) ([]Deviation, error) {
	clear(s.known)
	var found []Deviation
	for _, dir := range spaceDirs {
		there, err := s.in(dir)
		if err != nil {
			return nil, err
		}
		found = append(found, there...)
	}
	if len(found) == 0 {
		return nil, nil
	}
	lives, err := s.inhabitants(ctx)
	for i, d := range found {
		if in := lives[s.known[d.ID].inode]; len(in) > 0 && d.Stays == "" {
			found[i].Stays = "in it " + inWords(in)
		}
	}
	return found, err
}

// inWords names the processes that live somewhere.
func inWords(in []string) string {
	if n := len(in) - named; n > 0 {
		in = append(in[:named:named], fmt.Sprintf("%d more", n))
	}
	if len(in) == 1 {
		return "lives " + in[0]
	}
	return "live " + strings.Join(in, ", ")
}

// in finds the owned names in a directory. One that a link leads to is looked at under its own name.
func (s *spaces) in(dir string) ([]Deviation, error) {
	fd, err := openDir(dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	tree, err := mountTree(s.proc, os.Getpid())
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, entry := range entries {
		if !s.owned.Named(entry.Name()) {
			continue
		}
		one := space{path: path.Join(dir, entry.Name())}
		one.mounts = slices.DeleteFunc(slices.Clone(tree.All()), func(m mountinfo.Mount) bool { return m.Point != one.path })
		d := Deviation{Residue: spec.Residue{Kind: "namespace", ID: shown(one.path), What: "network namespace"}}
		d.Stays = one.judge(fd)
		s.known[d.ID] = one
		found = append(found, d)
	}
	return found, nil
}

// judge learns the number of the namespace, and says why what is there is no name of one; "" if it is. What somebody else
// has mounted there is not touched, since it may hang.
func (s *space) judge(dir int) string {
	for _, m := range s.mounts {
		network := m.Type == "nsfs" && strings.HasPrefix(m.Root, "net:[")
		if !network && m.Type != "proc" { // as Linux before 3.19 mounts namespaces
			return "what is mounted there is no network namespace, but " + shown(strings.TrimSpace(m.Type+" "+m.Root))
		}
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(dir, path.Base(s.path), &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return ""
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return "it is no file as namespaces are mounted on"
	case len(s.mounts) > 0:
		s.inode = stat.Ino
	case stat.Size > 0:
		return "it is a file with content, and no namespace is mounted there"
	}
	return ""
}

// inhabitants names for each network namespace the processes that live in it, with any of their threads.
func (s *spaces) inhabitants(ctx context.Context) (map[uint64][]string, error) {
	all, err := s.proc.All()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	in := map[uint64][]string{}
	for _, p := range all {
		if ctx.Err() != nil {
			return in, stopped(ctx)
		}
		seen := map[uint64]bool{}
		threads, _ := os.ReadDir(s.proc.Path(p.PID, "task"))
		for _, thread := range threads {
			inode, ok := spaceNumber(s.proc.Link(p.PID, "task/"+thread.Name()+"/ns/net"))
			if ok && !seen[inode] {
				seen[inode] = true
				in[inode] = append(in[inode], fmt.Sprintf("process %d (%s)", p.PID, shown(p.Name)))
			}
		}
	}
	return in, nil
}

// spaceNumber reads what a link to a namespace says, as net:[4026531840].
func spaceNumber(link string) (uint64, bool) {
	number, ok := strings.CutPrefix(link, "net:[")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return inode, err == nil
}

// Mend unmounts the names and removes their files.
func (s *spaces) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		errs[i] = s.giveUp(ctx, s.known[d.ID])
	}
	return errs
}

func (s *spaces) giveUp(ctx context.Context, one space) error {
	if ctx.Err() != nil {
		return stopped(ctx)
	}
	for range one.mounts {
		switch err := unmountAt(one.path, one.mounts[0].Parent); {
		case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			return Final{errors.New("this needs root")}
		case errors.Is(err, unix.EBUSY):
			return s.busy(ctx, one)
		case err != nil:
			return err
		}
	}
	dir, err := openDir(path.Dir(one.path))
	if err != nil {
		return fmt.Errorf("open %s: %w", path.Dir(one.path), err)
	}
	defer unix.Close(dir)
	switch err := unix.Unlinkat(dir, path.Base(one.path), 0); {
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Final{errors.New("this needs root")}
	case errors.Is(err, unix.EBUSY): // before Linux 3.18
		return errors.New("it is mounted in another mount namespace, too")
	default:
		return err
	}
}

// busy names who holds the file of a namespace open, which is how one is held without living in it.
func (s *spaces) busy(ctx context.Context, one space) error {
	all, err := s.proc.All()
	if err != nil {
		return fmt.Errorf("it is busy; list processes: %w", err)
	}
	var who []string
	for _, p := range all {
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		files, _ := os.ReadDir(s.proc.Path(p.PID, "fd"))
		if slices.ContainsFunc(files, func(file os.DirEntry) bool {
			to := s.proc.Link(p.PID, "fd/"+file.Name())
			inode, ok := spaceNumber(to)
			return to == one.path || ok && inode == one.inode
		}) {
			who = append(who, fmt.Sprintf("process %d (%s)", p.PID, shown(p.Name)))
		}
	}
	if len(who) == 0 {
		return errors.New("it is busy, and no process shows why")
	}
	return Final{errors.New("it is held open by " + strings.Join(who[:min(named, len(who))], ", "))}
}
