// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/erase"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// homes removes the homes of users that are no more.
type homes struct {
	goal  spec.Users
	here  Here
	names nameService
	now   func() time.Time
	// owners are those of what the last look found, by its path.
	owners map[string]uint32
}

func newHomes(s spec.Spec, here Here) Step {
	goal := *s.Users
	if len(goal.Homes) == 0 {
		goal.Homes = []string{"/home"}
	}
	return &homes{goal: goal, here: here, names: nameService{here, goal.Known}, now: time.Now}
}

// Look finds directories whose owner and name nobody knows. Whenever the name service cannot be relied on, it is an
// error, and everything stays.
func (h *homes) Look(ctx context.Context) ([]Deviation, error) {
	if _, err := h.here.tool("getent"); err != nil {
		return nil, err
	}
	h.owners = map[string]uint32{}
	if err := h.names.prove(ctx); err != nil {
		return nil, err
	}
	var found []Deviation
	for _, dir := range h.goal.Homes {
		more, err := h.lookAt(ctx, dir)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	if len(found) > 0 { // a service that left meanwhile has made users unknown
		if err := h.names.prove(ctx); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (h *homes) lookAt(ctx context.Context, dir string) ([]Deviation, error) {
	tree, err := erase.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	if kind := sharedWith(dir); kind != "" {
		return nil, fmt.Errorf("%s is a file system of the type %s: other machines, whose users are not known here, may use it too", dir, kind)
	}
	entries, err := tree.Look(ctx, erase.Policy{Keep: h.keeps(dir)})
	if err != nil {
		return nil, err
	}
	var orphans []string
	for _, e := range entries {
		orphan, err := h.orphan(ctx, e)
		if err != nil {
			return nil, err
		}
		if orphan {
			orphans = append(orphans, e.Name)
		}
	}
	if len(orphans) == 0 {
		return nil, nil
	}
	entries, err = tree.Look(ctx, erase.Policy{Measure: true, Keep: func(name string) bool { return !slices.Contains(orphans, name) }})
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, e := range entries {
		if e.Unseen || e.Newest.Before(h.now().Add(-h.goal.Older.Duration())) {
			h.owners[filepath.Join(dir, e.Name)] = e.Owner
			found = append(found, h.deviation(ctx, dir, e))
		}
	}
	return found, nil
}

// keeps returns what says of a name in dir whether it stays whoever owns it.
func (h *homes) keeps(dir string) func(name string) bool {
	return func(name string) bool {
		if name == "lost+found" || spec.Matches(h.goal.Keep, name) {
			return true
		}
		at := filepath.Join(spell(dir), name)
		return slices.ContainsFunc(h.here.Spared, func(p string) bool { return spec.Within(at, spell(p)) })
	}
}

// orphan reports whether the name service knows neither the owner of a directory nor a user of its name.
func (h *homes) orphan(ctx context.Context, e erase.Entry) (bool, error) {
	if !e.Mode.IsDir() {
		return false, nil
	}
	for _, user := range []string{strconv.Itoa(int(e.Owner)), e.Name} {
		if known, err := h.names.knows(ctx, user); known || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (h *homes) deviation(ctx context.Context, dir string, e erase.Entry) Deviation {
	r := spec.Residue{Kind: "home", ID: filepath.Join(dir, e.Name), Bytes: e.Size, Owner: strconv.Itoa(int(e.Owner))}
	r.Age = spec.Seconds(max(0, h.now().Sub(e.Newest)) / time.Second)
	d := Deviation{Residue: r}
	who, err := delegated(e.Owner)
	pid, blind := runs(e.Owner)
	switch err := errors.Join(err, blind); {
	case err != nil:
		d.Stays = "cannot tell who else uses its owner's number: " + err.Error()
	case e.Unseen:
		d.Stays = "not all of it can be seen: something is mounted in it, or is not ours to read"
	case who != "":
		d.Stays = fmt.Sprintf("its owner %d is given to containers of %s", e.Owner, who)
	case pid > 0:
		d.Stays = fmt.Sprintf("%s still runs as its owner %d", process(pid), e.Owner)
	default:
		d.Stays = h.others(ctx, r.ID, e.Owner)
	}
	return d
}

// others says what in the home of a user who is gone belongs to a person who is not: another home may lie in it. It is "" if nothing does. What
// belongs to the system or its services does not count.
func (h *homes) others(ctx context.Context, home string, owner uint32) string {
	first, err := firstOfPeople()
	if err != nil {
		return "cannot tell who else has things there: " + err.Error()
	}
	gone := map[int]bool{int(owner): true, nobody: true}
	var why string
	_ = filepath.WalkDir(home, func(at string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went meanwhile, or is not ours to read, of which the look has told
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it went meanwhile
		}
		user := ownerOf(info)
		if user < first || gone[user] {
			return nil
		}
		switch known, err := h.names.knows(ctx, strconv.Itoa(user)); {
		case err != nil:
			why = err.Error()
		case known:
			why = fmt.Sprintf("%s belongs to user %d, who is not gone", shown(at), user)
		default:
			gone[user] = true
			return nil
		}
		return fs.SkipAll
	})
	return why
}

// runs returns a process of a user, 0 if there is none.
func runs(uid uint32) (int, error) {
	all, err := procfs.Machine.All()
	for _, s := range all {
		if owner, ok := procfs.Machine.UID(s); ok && owner == int(uid) {
			return s.PID, nil
		}
	}
	return 0, err
}

// Mend removes homes. Whether their users are still unknown is asked again: one may have come since.
func (h *homes) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	if err := h.names.prove(ctx); err != nil {
		return fill(errs, err)
	}
	for i, d := range found {
		errs[i] = h.remove(ctx, d.ID)
	}
	return errs
}

func (h *homes) remove(ctx context.Context, path string) error {
	dir, name := filepath.Dir(path), filepath.Base(path)
	owner := h.owners[path]
	orphan, err := h.orphan(ctx, erase.Entry{Name: name, Owner: owner, Mode: fs.ModeDir})
	if err != nil || !orphan {
		return err
	}
	tree, err := erase.Open(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	policy := erase.Policy{
		Keep:   func(other string) bool { return other != name || h.keeps(dir)(other) },
		Owners: []uint32{owner}, Before: h.now().Add(-h.goal.Older.Duration()),
	}
	report, err := tree.Empty(ctx, policy, erase.Options{})
	for _, problem := range report.Problems {
		err = errors.Join(err, final(problem))
	}
	return err
}

// farTypes are file systems, by the number that statfs(2) tells, that other machines may use at the same time, or that
// come to be when they are looked at.
var farTypes = map[uint32]string{
	0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb2", 0x517b: "smb", 0x0187: "autofs", 0x00c36400: "ceph", 0x01021997: "9p",
	0x5346414f: "afs", 0x0bd00bd0: "lustre", 0x01161970: "gfs2", 0x7461636f: "ocfs2", 0x65735546: "fuse", 0x6a656a63: "virtiofs",
	0x47504653: "gpfs", 0x19830326: "beegfs",
}

// sharedWith returns the type of dir's file system if other machines may use it too.
func sharedWith(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "unknown: " + err.Error()
	}
	return farTypes[uint32(st.Type)] //nolint:gosec // the number has 32 bits
}
