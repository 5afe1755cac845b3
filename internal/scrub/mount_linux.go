// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// mount mounts what the recipe wants mounted.
//
// It looks at the kernel's table only, never at a mount point. It mounts over nothing: what else is mounted at a target
// stays, or goes first where the recipe says so.
type mount struct {
	goal spec.Mount
	here Here
	proc procfs.Root
	// gone takes away what is replaced.
	gone *mounts
}

func newMount(s spec.Spec, here Here) Step {
	return &mount{
		goal: *s.Mount, here: here, proc: procfs.Machine,
		gone: &mounts{here: here, proc: procfs.Machine, calls: map[int]*unmounting{}},
	}
}

// The kinds of what is other than wanted: nothing is mounted, something else is, or with other options.
const (
	nothingMounted = "mount"
	otherMount     = "replacement"
	otherOptions   = "options"
)

// Look finds targets at which nothing is mounted, something else, or with other options.
func (m *mount) Look(context.Context) ([]Deviation, error) {
	tree, err := mountTree(m.proc, os.Getpid())
	if err != nil {
		return nil, err
	}
	var found []Deviation
	for _, w := range m.goal.Wanted {
		if d, differs := judgeMount(tree, w); differs {
			found = append(found, d)
		}
	}
	return found, nil
}

// judgeMount compares what is mounted at the target with what is wanted there.
func judgeMount(tree mountinfo.Tree, w spec.WantedMount) (d Deviation, differs bool) {
	d = Deviation{Residue: spec.Residue{Kind: nothingMounted, ID: w.Target, What: "nothing is mounted there"}}
	there, ok := mountedAt(tree, w.Target)
	if !ok {
		return d, true
	}
	if !isWanted(tree, w, there) {
		d.Kind, d.What = otherMount, fmt.Sprintf("there is %s, not %s", describe(there), describeWanted(w))
		if !w.Replace {
			d.Stays = d.What + "; say \"replace: true\" if it may be unmounted"
		}
		return d, true
	}
	if lasting := otherLasting(w, there); len(lasting) > 0 {
		d.Kind, d.What = otherMount, strings.Join(lasting, "; ")+", and only a new mount takes it"
		if !w.Replace {
			d.Stays = d.What + "; say \"replace: true\" if this one may be unmounted"
		}
		return d, true
	}
	flags, options := otherOptionsOf(w, there)
	d.Kind, d.What = otherOptions, strings.Join(append(flags, options...), "; ")
	if _, readOnly := there.Option("ro"); readOnly && !slices.Contains(w.Options, "ro") {
		d.What = "its file system is read-only"
		d.Stays = d.What + ": somebody wanted that, or the kernel found it damaged and says so in its log"
	}
	return d, d.What != ""
}

// mountedAt returns what is mounted at a target, and not just shows there.
func mountedAt(tree mountinfo.Tree, target string) (mountinfo.Mount, bool) {
	at := spell(target)
	m, ok := tree.At(at)
	return m, ok && m.Point == at
}

func describe(m mountinfo.Mount) string {
	text := m.Type + " of " + shown(m.Source)
	if m.Root != "/" {
		text += ", its " + shown(m.Root)
	}
	return text
}

func describeWanted(w spec.WantedMount) string {
	if bind, _ := w.Bind(); bind {
		return "what is at " + w.Source
	}
	return strings.TrimSuffix(w.Type+" of "+shown(w.Source), " of ")
}

// isWanted reports whether what is mounted comes from where it has to.
func isWanted(tree mountinfo.Tree, w spec.WantedMount, there mountinfo.Mount) bool {
	if bind, _ := w.Bind(); bind {
		device, root, ok := tree.Shows(spell(w.Source))
		return ok && device == there.Device && root == there.Root
	}
	sameType := w.Type == there.Type || w.Type == "nfs" && there.Type == "nfs4"
	// Of a server, and of btrfs, a part can be mounted as if it were the whole; of others that is a bind.
	whole := there.Root == "/" || there.Type == "btrfs" || slices.Contains(remote, there.Type)
	return sameType && whole && sameSource(w.Source, there)
}

// sameSource reports whether a mount is of a source. A device may have several names; its number tells.
func sameSource(source string, there mountinfo.Mount) bool {
	if source == "" || strings.TrimSuffix(source, "/") == strings.TrimSuffix(there.Source, "/") {
		return true
	}
	if !strings.HasPrefix(source, "/") {
		return false
	}
	number := func(name string) (uint64, bool) {
		var st unix.Stat_t
		err := unix.Stat(name, &st)
		return uint64(st.Rdev), err == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK //nolint:unconvert // 32 bits on some platforms
	}
	n, ok := number(source)
	if !ok {
		return false
	}
	if fmt.Sprintf("%d:%d", unix.Major(n), unix.Minor(n)) == there.Device {
		return true
	}
	other, ok := number(there.Source) // btrfs has a number of its own
	return ok && strings.HasPrefix(there.Source, "/") && n == other
}

// otherOptionsOf says which flags of the mount, and which options of its file system, are other than wanted. Of the latter
// only what the kernel tells counts.
func otherOptionsOf(w spec.WantedMount, there mountinfo.Mount) (flags, options []string) {
	has := strings.Split(there.Flags, ",")
	if !slices.Contains(w.Options, "ro") && slices.Contains(has, "ro") {
		flags = append(flags, "it is read-only")
	}
	for _, option := range w.Options {
		key, value, _ := strings.Cut(option, "=")
		shows, told := there.Option(key)
		switch isFlag := slices.Contains(spec.MountFlags(), option); {
		case isFlag && option != "rw" && !hasFlag(has, option):
			flags = append(flags, "it is not "+option)
		case !isFlag && told && !sameValue(key, value, shows):
			options = append(options, fmt.Sprintf("%s is %s, not %s", key, shown(shows), value))
		}
	}
	return flags, options
}

// otherLasting says which options are other than wanted that a tmpfs has for as long as it is mounted: told to change them,
// the kernel says yes and leaves them.
func otherLasting(w spec.WantedMount, there mountinfo.Mount) (others []string) {
	if there.Type != "tmpfs" {
		return nil
	}
	for _, option := range w.Options {
		key, value, _ := strings.Cut(option, "=")
		shows, told := there.Option(key)
		if slices.Contains([]string{"mode", "uid", "gid"}, key) && told && !sameValue(key, value, shows) {
			others = append(others, fmt.Sprintf("%s is %s, not %s", key, shown(shows), value))
		}
	}
	return others
}

// hasFlag reports whether a mount with these flags is as an option says. The kernel writes what is not usual only.
func hasFlag(has []string, option string) bool {
	switch option {
	case "strictatime":
		return !slices.Contains(has, "relatime") && !slices.Contains(has, "noatime")
	case "suid", "dev", "exec", "atime", "diratime":
		return !slices.Contains(has, "no"+option)
	}
	return slices.Contains(has, option)
}

// sameValue reports whether two values of an option mean the same: sizes may have a unit, modes a leading zero, and of a
// version the kernel tells more.
func sameValue(key, want, shows string) bool {
	a, aIsSize := sizeOf(want)
	b, bIsSize := sizeOf(shows)
	switch {
	case want == shows, strings.HasSuffix(want, "%"):
		return true
	case key == "mode":
		return strings.TrimLeft(want, "0") == strings.TrimLeft(shows, "0")
	case key == "vers":
		return strings.HasPrefix(shows, want+".")
	}
	return aIsSize && bIsSize && a == b
}

// sizeOf reads a size as file systems do, with k, m, g or t behind it.
func sizeOf(text string) (bytes uint64, ok bool) {
	digits := strings.TrimRight(text, "kKmMgGtT")
	shift := 0
	switch strings.ToLower(text[len(digits):]) {
	case "":
	case "k":
		shift = 10
	case "m":
		shift = 20
	case "g":
		shift = 30
	case "t":
		shift = 40
	default:
		return 0, false
	}
	if len(digits) > 12 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n << shift, err == nil
}

// Mend mounts, one after the other.
func (m *mount) Mend(ctx context.Context, found []Deviation) []error {
	errs := make([]error, len(found))
	for i, d := range found {
		if ctx.Err() != nil {
			errs[i] = stopped(ctx)
			continue
		}
		at := slices.IndexFunc(m.goal.Wanted, func(w spec.WantedMount) bool { return w.Target == d.ID })
		errs[i] = m.mend(ctx, m.goal.Wanted[at])
	}
	return errs
}

// mend does what is to be done at one target by what is there now.
func (m *mount) mend(ctx context.Context, w spec.WantedMount) error {
	tree, err := mountTree(m.proc, os.Getpid())
	if err != nil {
		return err
	}
	d, differs := judgeMount(tree, w)
	there, _ := mountedAt(tree, w.Target)
	switch {
	case !differs || d.Stays != "":
		return nil
	case d.Kind == otherOptions:
		return explainMount(w, remount(w, there))
	case d.Kind == otherMount:
		return m.unmount(ctx, tree, there) // the next look says what shows now: of a stack another one
	}
	if err := m.mount(ctx, tree, w); err != nil {
		return explainMount(w, err)
	}
	return m.flags(w)
}

// unmount takes away what is mounted where something else has to be.
func (m *mount) unmount(ctx context.Context, tree mountinfo.Tree, there mountinfo.Mount) error {
	m.gone.tree = tree
	err := m.gone.call(ctx, there)
	if !errors.Is(err, unix.EBUSY) {
		return m.gone.explain(ctx, there, err)
	}
	if inside := tree.Children(there); len(inside) > 0 {
		return Final{fmt.Errorf("%s is in its place, and %s is mounted in that", describe(there), shown(inside[0].Point))}
	}
	return fmt.Errorf("%s is in its place and cannot go: %w", describe(there), busyMount(ctx, m.proc, tree, there))
}

// mount mounts at a target at which nothing is.
func (m *mount) mount(ctx context.Context, tree mountinfo.Tree, w spec.WantedMount) error {
	target, err := openMountable("target", w.Target)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	shows, _ := tree.At(spell(w.Target))
	if id, ok := mountOf(target); ok && id != shows.ID {
		return errors.New("something has been mounted there meanwhile")
	}
	if bind, recursive := w.Bind(); bind {
		source, err := openMountable("source", w.Source)
		if err != nil {
			return err
		}
		defer unix.Close(source)
		flags := uintptr(unix.MS_BIND)
		if recursive {
			flags |= unix.MS_REC
		}
		return unix.Mount(opened(source), opened(target), "", flags, "")
	}
	if _, err := m.here.tool("mount." + w.Type); err == nil {
		return m.byHelper(ctx, w)
	}
	if slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3"}, w.Type) {
		return Final{fmt.Errorf("%s is mounted by a program mount.%s, and there is none here: install the one of this system", w.Type, w.Type)}
	}
	flags, data := mountArguments(w)
	source := w.Source
	if source == "" {
		source = w.Type
	}
	return unix.Mount(source, opened(target), w.Type, flags, data)
}

// byHelper has mount(8) call the program of a type. It goes by the path, which nobody else may be able to change.
func (m *mount) byHelper(ctx context.Context, w spec.WantedMount) error {
	if who, can := othersCanChange(w.Target); can && os.Geteuid() == 0 {
		return Final{fmt.Errorf("mount goes by the path, and user %d can change where %s leads: choose a target of root's, and bind it to where builds want it", who, w.Target)}
	}
	program, err := m.here.tool("mount")
	if err != nil {
		return err
	}
	args := []string{"-t", w.Type}
	if len(w.Options) > 0 {
		args = append(args, "-o", strings.Join(w.Options, ","))
	}
	_, err = program.run(ctx, append(args, "--", w.Source, spell(w.Target))...)
	return err
}

// opened is a path to what is open.
func opened(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// openMountable opens a directory or file as a place only. It follows links only where nobody but root can have put them.
func openMountable(what, p string) (int, error) {
	fd, err := openDir(spell(p))
	if err == nil {
		var st unix.Stat_t
		if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
		if err != nil {
			_ = unix.Close(fd)
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		return -1, Final{fmt.Errorf("the %s %s is not there: let a step before this one make it, as by place", what, p)}
	case errors.Is(err, unix.ELOOP):
		return -1, Final{fmt.Errorf("the %s %s leads through a link that is not root's", what, p)}
	case err != nil:
		return -1, fmt.Errorf("open the %s %s: %w", what, p, err)
	}
	return fd, nil
}

// flags gives a mount its flags: a bind comes with those of what it shows.
func (m *mount) flags(w spec.WantedMount) error {
	tree, err := mountTree(m.proc, os.Getpid())
	if err != nil {
		return err
	}
	d, differs := judgeMount(tree, w)
	if there, ok := mountedAt(tree, w.Target); ok && differs && d.Kind == otherOptions && d.Stays == "" {
		return explainMount(w, remount(w, there))
	}
	return nil
}

// remount changes the options of a mount. Flags are those of this mount alone; others belong to its file system wherever
// it is mounted.
func remount(w spec.WantedMount, there mountinfo.Mount) error {
	target, err := openMountable("target", w.Target)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	if id, ok := mountOf(target); ok && id != there.ID {
		return errors.New("something else has been mounted there meanwhile")
	}
	has := strings.Split(there.Flags, ",")
	if !slices.Contains(w.Options, "ro") {
		has = append(has, "rw")
	}
	flags := flagsOf(append(has, w.Options...))
	if err := unix.Mount("", opened(target), "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
		return err
	}
	if _, options := otherOptionsOf(w, there); len(options) == 0 {
		return nil
	}
	_, data := mountArguments(w)
	return unix.Mount("", opened(target), "", unix.MS_REMOUNT|flags, data)
}

// mountArguments splits options into those of the mount and those of the file system.
func mountArguments(w spec.WantedMount) (flags uintptr, data string) {
	var of []string
	for _, option := range w.Options {
		if !slices.Contains(spec.MountFlags(), option) {
			of = append(of, option)
		}
	}
	return flagsOf(w.Options), strings.Join(of, ",")
}

// flagsOf returns the flags of mount(2); of options that exclude each other the last counts.
func flagsOf(options []string) uintptr {
	const times = unix.MS_NOATIME | unix.MS_RELATIME | unix.MS_STRICTATIME
	bits := map[string]struct{ set, clear uintptr }{
		"ro": {set: unix.MS_RDONLY}, "rw": {clear: unix.MS_RDONLY}, "nosuid": {set: unix.MS_NOSUID}, "suid": {clear: unix.MS_NOSUID},
		"nodev": {set: unix.MS_NODEV}, "dev": {clear: unix.MS_NODEV}, "noexec": {set: unix.MS_NOEXEC}, "exec": {clear: unix.MS_NOEXEC},
		"noatime": {unix.MS_NOATIME, times}, "relatime": {unix.MS_RELATIME, times}, "strictatime": {unix.MS_STRICTATIME, times},
		"atime": {clear: unix.MS_NOATIME}, "nodiratime": {set: unix.MS_NODIRATIME}, "diratime": {clear: unix.MS_NODIRATIME},
	}
	var flags uintptr
	for _, option := range options {
		b := bits[option]
		flags = flags&^b.clear | b.set
	}
	return flags
}

// explainMount says what a refusal to mount means.
func explainMount(w spec.WantedMount, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return Final{fmt.Errorf("%w: this needs root, or the container forbids it", err)}
	case errors.Is(err, unix.ENODEV):
		return Final{fmt.Errorf("this kernel knows no file system %s; a module may be missing", w.Type)}
	case errors.Is(err, unix.ENOTBLK):
		return Final{fmt.Errorf("%s is no block device", w.Source)}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
		return Final{fmt.Errorf("%s is not there", w.Source)}
	case errors.Is(err, unix.ENOTDIR):
		return Final{fmt.Errorf("%w: of source and target one is a directory and the other is not", err)}
	case errors.Is(err, unix.EINVAL):
		return Final{fmt.Errorf("%w: there is no %s on it, or it takes other options", err, strings.TrimSpace(w.Type+" file system"))}
	}
	return err
}
