// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/erase"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// weighed is up to how many entries of a directory are weighed, each by itself, while they are removed; more than that
// are removed together, which is faster.
const weighed = 200

// files empties owned directories, and takes what is ours out of shared ones.
type files struct {
	goal  spec.Files
	owned spec.Ownership
	here  Here
	users users
	now   func() time.Time
	room  func(path string) (room, error)
	notes []string
}

func newFiles(s spec.Spec, here Here) Step {
	return &files{goal: *s.Files, owned: s.Owned, here: here, now: time.Now, room: roomAt}
}

// heap is a directory that is to be emptied as far as policies select.
type heap struct {
	path     string
	policies []erase.Policy
	// served are what is mounted directly in it and would be selected, or could be, if it could be looked at.
	served []Deviation
}

// servedMount is a mount behind which stands a server: to look at it is to ask that. user has mounted it, as far as the kernel tells; -1.
type servedMount struct {
	what string
	user int
}

// heaps returns the directories that the goal is about.
func (f *files) heaps(ctx context.Context) ([]heap, error) {
	var all []heap
	var before time.Time
	if f.goal.Older > 0 {
		before = f.now().Add(-f.goal.Older.Duration())
	}
	paths := f.goal.Paths
	if len(paths)+len(f.goal.Shared) == 0 {
		paths = f.owned.Paths
	}
	live := listening()
	for _, p := range f.pressed(paths) {
		keep, served, err := f.lookable(p, f.keeps(p, f.goal.Keep, live), func(string, int) bool { return true })
		if err != nil {
			return nil, err
		}
		all = append(all, heap{p, []erase.Policy{{Keep: keep, Before: before, InUse: live.in(p)}}, served})
	}
	if len(f.goal.Shared) == 0 {
		return all, nil
	}
	if err := f.users.find(ctx, f.here, f.owned); err != nil {
		return nil, err
	}
	for _, p := range f.pressed(f.goal.Shared) {
		keep, served, err := f.lookable(p, f.keeps(p, slices.Concat(f.goal.Keep, others), live), func(name string, user int) bool {
			return f.users.names[user] != "" || spec.Matches(f.goal.Names, name)
		})
		if err != nil {
			return nil, err
		}
		h, inUse := heap{path: p, served: served}, live.in(p)
		if owners := f.users.numbers(); len(owners) > 0 {
			h.policies = append(h.policies, erase.Policy{Keep: keep, Owners: owners, Before: before, InUse: inUse})
		}
		if len(f.goal.Names) > 0 {
			named := func(name string) bool { return keep(name) || !spec.Matches(f.goal.Names, name) }
			h.policies = append(h.policies, erase.Policy{Keep: named, Before: before, InUse: inUse})
		}
		all = append(all, h)
	}
	return all, nil
}

// lookable has what servers stand behind stay too, unlooked at: one that hangs would hang us, and one of another user refuses even root.
// Those that would be selected by their name and user are returned.
func (f *files) lookable(dir string, keep func(name string) bool, selected func(name string, user int) bool) (func(name string) bool, []Deviation, error) {
	mounts, err := servedIn(dir)
	if err != nil {
		return nil, nil, err
	}
	var found []Deviation
	for _, name := range slices.Sorted(maps.Keys(mounts)) {
		if m := mounts[name]; !keep(name) && selected(name, m.user) {
			r := spec.Residue{Kind: "mount", ID: filepath.Join(dir, name), What: m.what}
			if m.user >= 0 {
				r.Owner = f.users.name(m.user)
			}
			found = append(found, Deviation{r, m.what + " is mounted there: unmount it"})
		}
	}
	return func(name string) bool {
		_, is := mounts[name]
		return is || keep(name)
	}, found, nil
}

// others are names in shared directories that belong to the system whoever owns them: private directories of services,
// the sockets of displays, and the notes by which running Java programs are found.
var others = []string{
	"systemd-private-*", "snap-private-tmp", ".X*-lock", ".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix", ".Test-unix", "hsperfdata_*",
	"lost+found", "dbus-*",
}

// keeps returns what says of a name directly in dir whether it stays: because the recipe says so, because the cleanup or
// its agent works there, or because a living program listens on a socket there.
func (f *files) keeps(dir string, patterns []string, live sockets) func(name string) bool {
	alive := f.alive(live)
	really := spell(dir)
	return func(name string) bool {
		if spec.Matches(patterns, name) {
			return true
		}
		at := filepath.Join(really, name)
		return slices.ContainsFunc(alive, func(p string) bool { return spec.Within(at, p) })
	}
}

// alive are the paths that the cleanup, its agent or a living program needs, spelled as the kernel does: the environment
// and the recipe may name them by way of links.
func (f *files) alive(live sockets) []string {
	all := slices.Clone(live.paths)
	for _, p := range f.here.Spared {
		all = append(all, spell(filepath.Clean(p)))
	}
	return all
}

// open opens a directory that is to be emptied, unless what shows there is not ours.
func (f *files) open(dir string) (*erase.Tree, error) {
	if really := spell(filepath.Clean(dir)); slices.Contains(f.here.Homes, really) {
		return nil, Final{errors.New(spec.OwnDirectory(dir))}
	}
	tree, err := erase.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := borrowed(dir, f.owned); err != nil {
		return nil, Final{errors.Join(err, tree.Close())}
	}
	return tree, nil
}

// Look lists what is to go. A directory that is not there is empty.
func (f *files) Look(ctx context.Context) ([]Deviation, error) {
	f.notes = nil
	heaps, err := f.heaps(ctx)
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, h := range heaps {
		more, err := f.lookAt(ctx, h)
		if err != nil && ctx.Err() != nil {
			return nil, stopped(ctx)
		}
		if err != nil {
			found = append(found, Deviation{Residue: spec.Residue{Kind: "directory", ID: h.path}, Stays: err.Error()})
		}
		found = append(found, more...)
	}
	return found, nil
}

// Notes says of which directories everything stays, because there is room.
func (f *files) Notes() []string { return f.notes }

func (f *files) lookAt(ctx context.Context, h heap) ([]Deviation, error) {
	tree, err := f.open(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	found := slices.Clone(h.served)
	told := map[string]bool{}
	left := func(e erase.Entry) {
		d := Deviation{Residue: f.residue(h.path, e)}
		switch {
		case told[e.Name]:
		case e.InUse:
			f.notes = append(f.notes, shown(d.ID)+" stays: a program listens on a socket there")
		default:
			d.Stays = "not all of it can be seen, so that neither its age nor its size is known: something is mounted in it, or it is not ours to read"
			found = append(found, d)
		}
		told[e.Name] = true
	}
	entries, err := f.selected(ctx, tree, h.policies, left)
	for _, e := range entries {
		found = append(found, Deviation{Residue: f.residue(h.path, e)})
	}
	return found, err
}

func (f *files) residue(dir string, e erase.Entry) spec.Residue {
	kind := "file"
	if e.Mode.IsDir() {
		kind = "directory"
	}
	r := spec.Residue{Kind: kind, ID: filepath.Join(dir, e.Name), Bytes: e.Size, Owner: strconv.Itoa(int(e.Owner))}
	if name, ok := f.users.names[int(e.Owner)]; ok {
		r.Owner = name
	}
	if used := e.Changed; !used.IsZero() {
		r.Age = spec.Seconds(max(0, f.now().Sub(used)) / time.Second)
	}
	if filepath.Base(dir) == "workspace" {
		job, _, _ := strings.Cut(e.Name, "@")
		r.Culprit = &spec.Culprit{Job: job, By: spec.ByWorkspace}
	}
	return r
}

// Mend removes what was found and whatever else the policies select by now.
func (f *files) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	heaps, err := f.heaps(ctx)
	for _, h := range heaps {
		mine := map[string]int{}
		for i, d := range found {
			if filepath.Dir(d.ID) == h.path {
				mine[filepath.Base(d.ID)] = i
			}
		}
		if len(mine) > 0 {
			f.empty(ctx, h, found, mine, errs)
		}
	}
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// empty removes what is found in one directory; mine are the places of its names in found and errs.
func (f *files) empty(ctx context.Context, h heap, found []Deviation, mine map[string]int, errs []error) {
	tree, err := f.open(h.path)
	if err != nil {
		for _, i := range mine {
			errs[i] = err
		}
		return
	}
	defer tree.Close()
	note := func(r erase.Report, err error) {
		for _, p := range r.Problems {
			if i, ok := mine[first(h.path, p.Path)]; ok && errs[i] == nil {
				errs[i] = final(p)
			}
		}
		if err != nil {
			for _, i := range mine {
				errs[i] = errors.Join(errs[i], err)
			}
		}
	}
	if f.goal.Size > 0 {
		note(f.shrink(ctx, tree, h.policies, mine))
		return
	}
	for _, policy := range h.policies {
		if len(mine) > weighed || !policy.Before.IsZero() {
			note(tree.Empty(ctx, policy, erase.Options{}))
			continue
		}
		keep := policy.Keep
		for name, i := range mine {
			policy.Keep = func(other string) bool { return other != name || keep(other) }
			r, err := tree.Empty(ctx, policy, erase.Options{Bytes: true})
			found[i].Bytes = max(found[i].Bytes, r.Bytes)
			note(r, err)
		}
	}
}

// first returns the name of the entry of dir that path lies in.
func first(dir, path string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(path, dir), string(filepath.Separator))
	name, _, _ := strings.Cut(rest, string(filepath.Separator))
	return name
}

// final marks problems that another attempt would meet again.
func final(p erase.Problem) error {
	switch p.Kind {
	case erase.Denied, erase.Mount, erase.Linked:
		return Final{p}
	case erase.Failed, erase.Refilled, erase.Moved, erase.Changed, erase.Busy:
	}
	if errors.Is(p.Err, os.ErrPermission) {
		return Final{p}
	}
	return p
}
