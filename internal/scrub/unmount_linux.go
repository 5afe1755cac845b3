// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

const (
	// settling is how long busy mounts have, all together, to become free: what was killed still closes its files.
	settling = 2 * time.Second
	// answering is how long a server may take to let go of a mount. A disk may take longer: it writes what is dirty.
	answering = 10 * time.Second
	// writing is how long a disk may take if the step has no limit.
	writing = 2 * time.Minute
)

// unmounting is a call of the kernel that has been made.
type unmounting struct {
	mount mountinfo.Mount
	began time.Time
	done  chan struct{}
	err   error // what came of it, once it is done
}

// Mend unmounts one after the other. What is mounted on another has been tried before that.
func (m *mounts) Mend(ctx context.Context, found []Deviation) []error {
	patience, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	errs := make([]error, len(found))
	for i, d := range found {
		errs[i] = m.unmount(ctx, patience, m.known[d.ID])
	}
	return errs
}

// unmount tries until patience ends. Loop devices made of files in the mount keep it busy, and it is what they are made
// of that goes: so they do.
func (m *mounts) unmount(ctx, patience context.Context, mount mountinfo.Mount) error {
	for first := true; ; first = false {
		err := m.call(ctx, mount)
		if !errors.Is(err, unix.EBUSY) {
			return m.explain(ctx, mount, err)
		}
		if tree, err := mountTree(m.proc, os.Getpid()); err == nil {
			if inside := tree.Children(mount); len(inside) > 0 {
				return fmt.Errorf("%s is mounted in it", shown(inside[0].Point))
			}
		}
		if first {
			m.detachIn(ctx, mount)
		}
		if !pause(patience) {
			return busyMount(ctx, m.proc, m.tree, mount)
		}
	}
}

// detachIn takes the devices apart that are made of files in a mount. What of them cannot go keeps the mount busy, and is
// named for that.
func (m *mounts) detachIn(ctx context.Context, mount mountinfo.Mount) {
	l := loops{owned: spec.Ownership{Paths: []string{mount.Point}}, proc: m.proc, blocks: sysfs, known: map[string]device{}}
	if found, err := l.Look(ctx); err == nil {
		l.Mend(ctx, slices.DeleteFunc(found, func(d Deviation) bool { return d.Stays != "" }))
	}
}

// explain says why a mount that was refused is still there; nil if it is not.
func (m *mounts) explain(ctx context.Context, mount mountinfo.Mount, err error) error {
	if _, given := errors.AsType[Final](err); given || err == nil {
		return err
	}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		if user, ok := mount.Option("user_id"); ok && strings.HasPrefix(mount.Type, "fuse") && user == strconv.Itoa(os.Getuid()) {
			return fusermount(ctx, m.here, mount.Point)
		}
		return Final{errors.New("this needs root")}
	}
	if tree, listed := mountTree(m.proc, os.Getpid()); listed == nil {
		if _, there := tree.Mount(mount.ID); !there {
			return nil
		}
	}
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: it came with this mount namespace and is locked in it, or its point has changed", err)
	}
	return err
}

// call asks the kernel to unmount, once for each mount, and waits as long as that can take.
func (m *mounts) call(ctx context.Context, mount mountinfo.Mount) error {
	u, ok := m.calls[mount.ID]
	if !ok {
		bearer, found := m.tree.Bearer(mount)
		if !found {
			return errors.New("it is the root of all")
		}
		u = &unmounting{mount: mount, began: time.Now(), done: make(chan struct{})}
		m.calls[mount.ID] = u
		top, shares := m.parts[mount.ID]
		go func() {
			defer close(u.done)
			if shares {
				u.err = m.part(top, mount)
			}
			if u.err == nil {
				u.err = unmountAt(mount.Point, bearer.ID)
			}
		}()
	}
	limit := time.NewTimer(allowed(ctx, mount))
	defer limit.Stop()
	select {
	case <-u.done:
		delete(m.calls, mount.ID)
		return u.err
	case <-limit.C:
	case <-ctx.Done():
	}
	return Final{errors.New(u.why())}
}

func (u *unmounting) why() string {
	return fmt.Sprintf("unmounting it has not ended after %s: %s does not answer", time.Since(u.began).Round(time.Second), shown(u.mount.Source))
}

// unanswered are the mounts that are out of sight, but that the kernel has not done with.
func (m *mounts) unanswered() []Deviation {
	var found []Deviation
	for id, u := range m.calls {
		select {
		case <-u.done:
			delete(m.calls, id)
			continue
		default:
		}
		if _, there := m.tree.Mount(id); !there {
			found = append(found, Deviation{
				Residue: spec.Residue{Kind: "mount", ID: shown(u.mount.Point), What: u.mount.Type + " of " + shown(u.mount.Source)}, Stays: u.why(),
			})
		}
	}
	slices.SortFunc(found, func(a, b Deviation) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

// remote are types of file systems behind which stands a server; all of FUSE are more.
var remote = []string{"9p", "afs", "beegfs", "ceph", "cifs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "virtiofs"}

// allowed is how long unmounting may take.
func allowed(ctx context.Context, mount mountinfo.Mount) time.Duration {
	if slices.Contains(remote, mount.Type) || strings.HasPrefix(mount.Type, "fuse") {
		return answering
	}
	if end, ok := ctx.Deadline(); ok {
		return max(answering, time.Until(end)/2)
	}
	return writing
}

// unmountAt unmounts what is uppermost at a point. It goes there without following a link, holds the directory that the
// point is in, which has to be in the mount bearer, and names the point relative to that: whatever becomes of the path
// meanwhile, it is a mount below that directory that goes.
func unmountAt(point string, bearer int) error {
	dir, err := openDir(path.Dir(point))
	if err != nil {
		return fmt.Errorf("open %s: %w", shown(path.Dir(point)), err)
	}
	defer unix.Close(dir)
	if id, ok := mountOf(dir); ok && id != bearer {
		return errors.New("something else has been mounted on the way to it")
	}
	return unix.Unmount(fmt.Sprintf("/proc/self/fd/%d/%s", dir, path.Base(point)), unix.UMOUNT_NOFOLLOW)
}

// part takes a mount, and all that is mounted in it, out of their peer groups, so that nothing that is unmounted there is unmounted
// elsewhere too. It goes on only when the kernel's table says so of the one that holds the point of what is to be unmounted.
func (m *mounts) part(top, mount mountinfo.Mount) error {
	dir, err := openDir(top.Point)
	if err != nil {
		return fmt.Errorf("open %s: %w", shown(top.Point), err)
	}
	defer unix.Close(dir)
	if id, ok := mountOf(dir); ok && id != top.ID {
		return fmt.Errorf("something else has been mounted at %s", shown(top.Point))
	}
	if err := unix.Mount("", fmt.Sprintf("/proc/self/fd/%d", dir), "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("part %s from where it shows too: %w", shown(top.Point), err)
	}
	tree, err := mountTree(m.proc, os.Getpid())
	if err != nil {
		return err
	}
	if holder, there := tree.Mount(mount.Parent); there && holder.Shared != 0 {
		return fmt.Errorf("%s shares its directory with others, and cannot be parted from them", shown(holder.Point))
	}
	return nil
}

// openDir opens a directory as a place only, without following a link anywhere on the way.
func openDir(dir string) (fd int, err error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_NO_SYMLINKS}
	fd, err = unix.Openat2(unix.AT_FDCWD, dir, &how)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return openEach(dir) // before Linux 5.6, or forbidden by a container's filter
	}
	return fd, err
}

// openEach does what openDir does, one name after the other.
func openEach(dir string) (fd int, err error) {
	const flags = unix.O_PATH | unix.O_CLOEXEC | unix.O_NOFOLLOW
	fd, err = unix.Open("/", flags, 0)
	for name := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if err != nil || name == "" {
			break
		}
		up := fd
		fd, err = unix.Openat(up, name, flags, 0) // a link is opened itself, and nothing is found in it
		_ = unix.Close(up)
	}
	return fd, err
}

// mountOf returns the mount that an open directory is in; kernels before 3.15 do not tell.
func mountOf(fd int) (id int, ok bool) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	for line := range bytes.Lines(text) {
		if value, found := bytes.CutPrefix(line, []byte("mnt_id:")); found {
			id, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return id, err == nil
		}
	}
	return 0, false
}

// fusermount unmounts a mount of our own user, who may do that only through this program. It goes by the path, and
// checks itself what it finds there.
func fusermount(ctx context.Context, here Here, point string) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	for _, name := range []string{"fusermount3", "fusermount"} {
		if t, err := here.tool(name); err == nil {
			_, err := t.run(ctx, "-u", "--", point)
			return err
		}
	}
	return Final{errors.New("this needs root, or fusermount")}
}
