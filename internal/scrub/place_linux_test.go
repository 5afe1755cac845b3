// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// asNobody reports whether this is the run of a test as the user nobody. If it is not, it starts that run, in a home of
// its own, and passes on what comes of it.
func asNobody(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Setenv("HOME", t.TempDir())
		return true
	}
	t.Parallel()
	dir := open(t)
	uid := uidOf(t, "nobody")
	if err := os.Chown(dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.timeout=2m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Dir = dir
	c.Env = append(os.Environ(), inside+"="+t.Name(), "TMPDIR="+dir, "HOME="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("as nobody:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

// picture is all that is below dir, with what there is to tell of each thing.
func picture(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(content))
		case info.Mode()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(path)
			text += " to " + to
		}
		all[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// reached runs a step that has to reach its goal, and says in which state; then once more, which has to change nothing.
func reached(t *testing.T, goal spec.Goal, here scrub.Here, want spec.State) spec.Result {
	t.Helper()
	result := goalReached(t, goal, here, scrub.Do)
	if result.State != want {
		t.Fatalf("%s: %+v; want it %s", result.Kind, result, want)
	}
	if again := goalReached(t, goal, here, scrub.Do); again.State != spec.Unchanged {
		t.Fatalf("%s, a second time: %+v", result.Kind, again)
	}
	return result
}

func goalReached(t *testing.T, goal spec.Goal, here scrub.Here, mode scrub.Mode) spec.Result {
	t.Helper()
	s := spec.Spec{Version: spec.Version, Name: "test", Goal: goal}
	if r, ok := emulated(t, 0, s, here, mode); ok {
		return r
	}
	step, err := scrub.New(s, here)
	if err != nil {
		t.Fatal(err)
	}
	result, err := scrub.Reach(t.Context(), s.Kind(), step, mode)
	if err != nil {
		t.Logf("reach: %v", err)
	}
	return result
}

// placing is a goal of recipe r in which all files are named.
func placing(files ...spec.Placed) spec.Goal {
	p := &spec.Place{Recipe: "r", Files: files}
	for _, f := range files {
		p.All = append(p.All, f.Path)
	}
	return spec.Goal{Place: p}
}

func lines(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tmpfs hides what is at a directory of the machine, in our namespace.
func tmpfs(t *testing.T, points ...string) {
	t.Helper()
	for _, p := range points {
		if err := errors.Join(os.MkdirAll(p, 0o755), unix.Mount("test", p, "tmpfs", 0, "mode=755")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilesArePlacedAsRootAndGivenBack(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	dir := open(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	nobody := int(uidOf(t, "nobody"))
	plant(t, dir, "changed", "kept/other", "gone", "twin")
	if err := errors.Join(os.Link(at("twin"), at("kept/twin")), os.Symlink("kept/other", at("link")), os.Chown(at("changed"), nobody, 7),
		os.Chmod(at("changed"), 0o640), os.Mkdir(at("there"), 0o700), os.Chown(at("there"), nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	before := picture(t, dir)
	files := []spec.Placed{
		{Path: at("new"), State: spec.PlaceFile, Content: "agent ${agent} $${HOME}\n", Template: true, Mode: "0600", Owner: "nobody", Group: "0"},
		{Path: at("changed"), State: spec.PlaceFile, Content: "new\n"},
		{Path: at("link"), State: spec.PlaceFile, Content: "no link\n"},
		{Path: at("twin"), State: spec.PlaceFile, Content: "one name only\n"},
		{Path: at("gone"), State: spec.PlaceAbsent},
		{Path: at("made"), State: spec.PlaceDirectory, Mode: "2750", Group: "7"},
		{Path: at("made/inside"), State: spec.PlaceFile, Content: "x"},
		{Path: at("there"), State: spec.PlaceDirectory, Mode: "0755", Owner: "0"},
	}
	here := scrub.Here{Agent: "a1"}
	if planned := goalReached(t, placing(files...), here, scrub.Plan); planned.State != spec.Planned || len(planned.Differs) != len(files) || len(planned.Problems) > 0 {
		t.Errorf("the plan is %+v", planned)
	}
	if diff := cmp.Diff(before, picture(t, dir)); diff != "" {
		t.Fatalf("the plan changed something:\n%s", diff)
	}
	reached(t, placing(files...), here, spec.Changed)
	after := picture(t, dir)
	for name, want := range map[string]string{
		"new":         fmt.Sprintf("-rw------- %d:0 %x", nobody, sha256.Sum256([]byte("agent a1 ${HOME}\n"))),
		"changed":     fmt.Sprintf("-rw-r----- %d:7 %x", nobody, sha256.Sum256([]byte("new\n"))),
		"link":        fmt.Sprintf("-rw-r--r-- 0:0 %x", sha256.Sum256([]byte("no link\n"))),
		"twin":        fmt.Sprintf("-rw------- 0:0 %x", sha256.Sum256([]byte("one name only\n"))),
		"gone":        "",
		"made":        "dgrwxr-x--- 0:7",
		"made/inside": fmt.Sprintf("-rw-r--r-- 0:0 %x", sha256.Sum256([]byte("x"))),
		"there":       "drwxr-xr-x 0:" + fmt.Sprint(nobody),
		"kept/other":  before[at("kept/other")],
		"kept/twin":   before[at("kept/twin")],
	} {
		if got := after[at(name)]; got != want {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	if got := picture(t, "/var/lib")["/var/lib/pitcrew-scrub"]; got != "drwx------ 0:0" {
		t.Errorf("what was there is kept in a directory %q", got)
	}
	// A second change keeps what was there first.
	files[1].Content = "newer\n"
	reached(t, placing(files...), here, spec.Changed)
	// Another recipe gives nothing of ours back.
	reached(t, spec.Goal{Place: &spec.Place{Recipe: "other"}}, here, spec.Unchanged)
	reached(t, spec.Goal{Place: &spec.Place{Recipe: "r", Files: []spec.Placed{{Path: at("twin"), State: spec.PlaceRestored}}, All: placing(files...).Place.All}}, here, spec.Changed)
	result := reached(t, placing(), here, spec.Changed)
	if len(result.Differs) != len(files)-1 {
		t.Errorf("given back: %+v", result.Differs)
	}
	want := before
	if diff := cmp.Diff(want, picture(t, dir)); diff != "" {
		t.Errorf("what was there before (-) is not given back (+):\n%s", diff)
	}
	if left := listing(t, "/var/lib/pitcrew-scrub"); len(left) > 0 {
		t.Errorf("still kept: %q", left)
	}
}

func TestFilesArePlacedByAUserWithoutRights(t *testing.T) {
	if !asNobody(t) {
		return
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "file")
	plant(t, dir, "file")
	reached(t, placing(spec.Placed{Path: at, State: spec.PlaceFile, Content: "new"}), scrub.Here{}, spec.Changed)
	if got := lines(t, at); got != "new" {
		t.Errorf("the file holds %q", got)
	}
	denied := spec.Placed{Path: "/etc/pitcrew-test", State: spec.PlaceFile, Content: "x"}
	if r := goalReached(t, placing(spec.Placed{Path: at, State: spec.PlaceFile, Content: "new"}, denied), scrub.Here{}, scrub.Do); r.State != spec.Unmet ||
		!strings.Contains(r.Reason, "/etc/pitcrew-test: permission denied") {
		t.Errorf("a file in /etc: %+v", r)
	}
	r := goalReached(t, placing(spec.Placed{Path: at, State: spec.PlaceFile, Content: "newest", Owner: "root"}), scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "give it to 0:") || lines(t, at) != "new" {
		t.Errorf("a file for root: %+v, and it holds %q", r, lines(t, at))
	}
	reached(t, placing(), scrub.Here{}, spec.Changed)
	if got := lines(t, at); got != "some text\n" {
		t.Errorf("given back is %q", got)
	}
	if names := listing(t, dir); !slices.Equal(names, []string{"file"}) {
		t.Errorf("the directory holds %q", names)
	}
}

func TestTheHomeOfAnotherIsRefusedInOneLine(t *testing.T) {
	if !asNobody(t) {
		return
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.Mkdir(filepath.Join(home, ".local"), 0); err != nil {
		t.Fatal(err)
	}
	r := goalReached(t, placing(spec.Placed{Path: filepath.Join(t.TempDir(), "file"), State: spec.PlaceFile}), scrub.Here{}, scrub.Plan)
	if r.State != spec.Unmet || strings.Contains(r.Reason, "\n") || !strings.Contains(r.Reason, home+"/.local") {
		t.Errorf("%q; want one line that names the directory", r.Reason)
	}
}

func TestWhatStandsInTheWayOfAFileIsNamedAndStays(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	dir := open(t)
	plant(t, dir, "directory/inside", "file")
	if err := errors.Join(unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("/etc", filepath.Join(dir, "way")),
		os.Lchown(filepath.Join(dir, "way"), 1, 1)); err != nil {
		t.Fatal(err)
	}
	before := picture(t, dir)
	for name, c := range map[string]struct {
		placed spec.Placed
		want   string
	}{
		"directory":    {spec.Placed{State: spec.PlaceFile}, "there is a directory in its place"},
		"directory/":   {spec.Placed{State: spec.PlaceAbsent}, "there is a directory in its place"},
		"pipe":         {spec.Placed{State: spec.PlaceFile}, "there is a device, pipe or socket in its place"},
		"file":         {spec.Placed{State: spec.PlaceDirectory}, "there is a file in its place"},
		"way/x":        {spec.Placed{State: spec.PlaceFile}, "leads through a link that is not root's"},
		"none/x":       {spec.Placed{State: spec.PlaceFile}, "the directory " + dir + "/none is not there"},
		"file2":        {spec.Placed{State: spec.PlaceFile, Owner: "nosuchuser"}, "the machine knows no user nosuchuser"},
		"file3":        {spec.Placed{State: spec.PlaceFile, Template: true, Content: "${controller}"}, "fact controller: it is not known here"},
		"directory/y/": {spec.Placed{State: spec.PlaceFile, Group: "nosuchgroup"}, "the machine knows no group nosuchgroup"},
	} {
		c.placed.Path = filepath.Join(dir, name)
		if r := goalReached(t, placing(c.placed), scrub.Here{}, scrub.Do); r.State != spec.Unmet || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: %s, %q; want it unmet, with %q", name, r.State, r.Reason, c.want)
		}
	}
	if diff := cmp.Diff(before, picture(t, dir)); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
	// Others could write to what is kept: nothing is placed.
	if err := errors.Join(os.MkdirAll("/var/lib/pitcrew-scrub", 0o700), os.Chmod("/var/lib/pitcrew-scrub", 0o777)); err != nil {
		t.Fatal(err)
	}
	if r := goalReached(t, placing(spec.Placed{Path: dir + "/file", State: spec.PlaceFile}), scrub.Here{}, scrub.Do); r.State != spec.Unmet || !strings.Contains(r.Reason, "nobody else can write to") {
		t.Errorf("with an open directory for what is kept: %+v", r)
	}
}

// TestWhatCouldNotBePlacedIsNotGivenBack: a file that a container's engine has mounted, as /etc/hosts, has its content and cannot be replaced.
func TestWhatCouldNotBePlacedIsNotGivenBack(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	dir := open(t)
	plant(t, dir, "hosts", "engine/hosts")
	file := filepath.Join(dir, "hosts")
	if err := unix.Mount(filepath.Join(dir, "engine/hosts"), file, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	before := picture(t, dir)
	r := goalReached(t, placing(spec.Placed{Path: file, State: spec.PlaceFile, Content: "new"}), scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, "something is mounted at its place") {
		t.Errorf("%s, %q; want it unmet, with what is in the way", r.State, r.Reason)
	}
	reached(t, placing(), scrub.Here{}, spec.Changed)
	if diff := cmp.Diff(before, picture(t, dir)); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
}

// TestNobodyLeadsAPlacedFileElsewhere has a user swap the directory in which root places a file for a link.
func TestNobodyLeadsAPlacedFileElsewhere(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	p := newPlot(t)
	plant(t, p.other, "file", "guard")
	before := picture(t, p.other)
	nobody := int(uidOf(t, "nobody"))
	home := filepath.Join(p.owned, "home")
	if err := errors.Join(os.MkdirAll(home+"/d", 0o755), os.Chown(home, nobody, nobody), os.Chown(home+"/d", nobody, nobody), os.Chmod(p.owned, 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(p.other, home+"/evil"); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(home+"/evil", nobody, nobody); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		swaps := 0
		for ; ctx.Err() == nil; swaps++ {
			_ = unix.Renameat2(unix.AT_FDCWD, home+"/d", unix.AT_FDCWD, home+"/evil", unix.RENAME_EXCHANGE)
		}
		ended <- swaps
	}()
	placed, refused := 0, 0
	for i := range 500 {
		r := goalReached(t, placing(spec.Placed{Path: home + "/d/file", State: spec.PlaceFile, Content: fmt.Sprint(i)}), scrub.Here{}, scrub.Do)
		if r.State == spec.Unmet {
			refused++
		} else {
			placed++
		}
	}
	cancel()
	swaps := <-ended
	if diff := cmp.Diff(before, picture(t, p.other)); diff != "" {
		t.Errorf("outside something changed:\n%s", diff)
	}
	if placed == 0 || refused == 0 || swaps < 1000 {
		t.Errorf("%d placed, %d refused, %d swaps: nothing was tried", placed, refused, swaps)
	}
}

// TestWhatIsKeptIsOneFile has a user swap the file that root is about to keep for one of root's: given back to the user, that
// would be read, and the user's content as a file of root's could be run.
func TestWhatIsKeptIsOneFile(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	home := open(t)
	nobody := int(uidOf(t, "nobody"))
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	owners := map[string]int{"of the user": nobody, "of root": 0}
	var turn atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			at := fmt.Sprintf("%s/%d", home, turn.Load())
			_ = unix.Renameat2(unix.AT_FDCWD, at, unix.AT_FDCWD, at+"x", unix.RENAME_EXCHANGE)
		}
	}()
	seen := map[int]int{}
	for i := range 1000 {
		at := fmt.Sprintf("%s/%d", home, i+1)
		plant := func(path, content string) error {
			return errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chown(path, owners[content], owners[content]))
		}
		if err := errors.Join(plant(at, "of the user"), plant(at+"x", "of root")); err != nil {
			t.Fatal(err)
		}
		turn.Add(1)
		goalReached(t, placing(spec.Placed{Path: at, State: spec.PlaceFile, Content: "new"}), scrub.Here{}, scrub.Do)
		goalReached(t, spec.Goal{Place: &spec.Place{Recipe: "r"}}, scrub.Here{}, scrub.Do)
		for _, path := range []string{at, at + "x"} {
			f, err := os.Open(path)
			if err != nil {
				continue
			}
			info, err := f.Stat()
			content, readErr := io.ReadAll(f)
			if err := errors.Join(err, readErr, f.Close()); err != nil {
				t.Fatal(err)
			}
			uid := int(info.Sys().(*syscall.Stat_t).Uid)
			if want, known := owners[string(content)]; known && uid != want {
				t.Fatalf("what was %s belongs to user %d now", content, uid)
			}
			seen[uid]++
		}
	}
	cancel()
	<-ended
	if len(seen) < 2 {
		t.Errorf("files of %v: nothing was tried", seen)
	}
}

// A user who knows what is to be placed as root can have left a file there with any mode.
func TestAFileOfAnotherOwnerIsPlacedWithoutTheirRights(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	dir := open(t)
	nobody := int(uidOf(t, "nobody"))
	plant(t, dir, "theirs", "same")
	for _, name := range []string{"theirs", "same"} {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.Chown(at, nobody, 7), os.Chmod(at, 0o755|os.ModeSetuid|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
	}
	goal := placing(
		spec.Placed{Path: filepath.Join(dir, "theirs"), State: spec.PlaceFile, Content: "x", Owner: "0"},
		spec.Placed{Path: filepath.Join(dir, "same"), State: spec.PlaceFile, Content: "x"})
	reached(t, goal, scrub.Here{}, spec.Changed)
	sum := sha256.Sum256([]byte("x"))
	want := map[string]string{filepath.Join(dir, "theirs"): fmt.Sprintf("-rwxr-xr-x 0:7 %x", sum), filepath.Join(dir, "same"): fmt.Sprintf("ugrwxr-xr-x %d:7 %x", nobody, sum)}
	got := picture(t, dir)
	maps.DeleteFunc(got, func(path, _ string) bool { return want[path] == "" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("placed (-want +got):\n%s", diff)
	}
}

// acl is one as acl(5) describes it and the kernel has it (linux/posix_acl_xattr.h): user 7 may read and write, the group nothing.
const acl = "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x06\x00\x07\x00\x00\x00" + "\x04\x00\x00\x00\xff\xff\xff\xff" +
	"\x10\x00\x06\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// capability is CAP_NET_RAW, permitted and effective (linux/capability.h, revision 2).
const capability = "\x01\x00\x00\x02" + "\x00\x20\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// rights are the mode, the ACL and the capability of a file.
func rights(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	said := info.Mode().String()
	for name, want := range map[string]string{"system.posix_acl_access": acl, "security.capability": capability} {
		value := make([]byte, 1024)
		switch n, err := unix.Getxattr(path, name, value); {
		case errors.Is(err, unix.ENODATA):
		case err != nil:
			t.Fatal(err)
		case string(value[:n]) == want:
			said += " " + name
		default:
			said += fmt.Sprintf(" another %s", name)
		}
	}
	words := strings.Fields(said)
	slices.Sort(words[1:])
	return strings.Join(words, " ")
}

// TestWhatAnACLGivesIsKeptWhereItsOwnerIs: a capability was given to a program, and one user's ACL says nothing of another's file.
func TestWhatAnACLGivesIsKeptWhereItsOwnerIs(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	tmpfs(t, "/var/lib")
	dir := open(t)
	nobody := int(uidOf(t, "nobody"))
	at := func(name string) string { return filepath.Join(dir, name) }
	plant(t, dir, "same", "moded", "theirs", "said")
	for name, owner := range map[string]int{"same": nobody, "moded": 0, "theirs": nobody, "said": nobody} {
		if err := errors.Join(os.Chown(at(name), owner, owner), unix.Setxattr(at(name), "system.posix_acl_access", []byte(acl), 0),
			unix.Setxattr(at(name), "security.capability", []byte(capability), 0)); err != nil {
			t.Fatal(err)
		}
	}
	const both = "-rw-rw---- security.capability system.posix_acl_access"
	if got := rights(t, at("same")); got != both {
		t.Fatalf("the file is made with %q", got)
	}
	reached(t, placing(
		spec.Placed{Path: at("same"), State: spec.PlaceFile, Content: "new"},
		spec.Placed{Path: at("moded"), State: spec.PlaceFile, Content: "new", Mode: "0640"},
		spec.Placed{Path: at("theirs"), State: spec.PlaceFile, Content: "new", Owner: "0"},
		spec.Placed{Path: at("said"), State: spec.PlaceFile, Content: "new", Owner: "0", Mode: "0664"},
	), scrub.Here{}, spec.Changed)
	for name, want := range map[string]string{
		"same": "-rw-rw---- system.posix_acl_access", "moded": "-rw-r----- another system.posix_acl_access", // its mask, no more
		"theirs": "-rw-------", "said": "-rw-rw-r--",
	} {
		if got := rights(t, at(name)); got != want {
			t.Errorf("%s has %q; want %q", name, got, want)
		}
	}
	reached(t, placing(), scrub.Here{}, spec.Changed)
	for _, name := range []string{"same", "moded", "theirs", "said"} {
		if got := rights(t, at(name)); got != both {
			t.Errorf("%s is given back with %q; want %q", name, got, both)
		}
	}
}

// TestAKilledPlacingIsTakenUp kills the placing after each change that it makes to the disk: the file is the old or the
// new one, whole, and afterwards the same end is reached and can be gone back from.
func TestAKilledPlacingIsTakenUp(t *testing.T) {
	content, old := strings.Repeat("new content\n", 20_000), strings.Repeat("old content\n", 20_000)
	if file := os.Getenv("SCRUB_TEST_PLACE"); file != "" {
		goalReached(t, placing(spec.Placed{Path: file, State: spec.PlaceFile, Content: content}), scrub.Here{}, scrub.Do)
		return
	}
	dir, keeping := t.TempDir(), "/var/lib/pitcrew-scrub"
	if os.Getuid() == 0 {
		if !ownNamespaces(t) {
			return
		}
		tmpfs(t, "/var/lib")
	} else {
		t.Setenv("HOME", t.TempDir())
		keeping = os.Getenv("HOME") + "/.local/state/pitcrew-scrub"
	}
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.MkdirAll(keeping, 0o700), os.WriteFile(file, []byte(old), 0o600)); err != nil {
		t.Fatal(err)
	}
	kills, torn := 0, map[string]bool{}
	for i := 1; i <= 40; i++ {
		killed := killedAfter(t, i, []string{dir, keeping}, "SCRUB_TEST_PLACE="+file)
		if killed {
			kills++
		}
		there := lines(t, file)
		torn[there[:3]] = true
		if there != old && there != content {
			t.Fatalf("killed after change %d, the file is neither the old nor the new one", i)
		}
		goal := placing(spec.Placed{Path: file, State: spec.PlaceFile, Content: content})
		if r := goalReached(t, goal, scrub.Here{}, scrub.Do); r.State == spec.Unmet || lines(t, file) != content {
			t.Fatalf("killed after change %d, then %+v", i, r)
		}
		if r := goalReached(t, placing(), scrub.Here{}, scrub.Do); r.State != spec.Changed || lines(t, file) != old {
			t.Fatalf("killed after change %d, then given back: %+v", i, r)
		}
		if names := append(listing(t, dir), listing(t, keeping)...); !slices.Equal(names, []string{"file"}) {
			t.Fatalf("killed after change %d, these are left: %q", i, names)
		}
		if !killed {
			break
		}
	}
	if kills < 5 || len(torn) != 2 {
		t.Errorf("%d kills, which left %v: nothing was tried", kills, torn)
	}
}

// killedAfter runs this test with a variable in its environment, and kills it when something in dirs has changed n times.
// It reports whether it came to that.
func killedAfter(t *testing.T, n int, dirs []string, variable string) bool {
	t.Helper()
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	for _, dir := range dirs {
		if _, err := unix.InotifyAddWatch(watch, dir, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_CLOSE_WRITE|unix.IN_MOVE|unix.IN_DELETE); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), variable)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	events := make([]byte, 4096)
	for seen := 0; ; {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}}, 20); err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		size, _ := unix.Read(watch, events)
		for at := 0; at < size; seen++ {
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[at+12:]))
		}
		if seen >= n {
			_ = c.Process.Kill()
			<-ended
			return true
		}
		select {
		case <-ended:
			return false
		default:
		}
	}
}
