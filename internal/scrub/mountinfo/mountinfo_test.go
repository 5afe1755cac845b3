// SPDX-License-Identifier: Apache-2.0

package mountinfo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
)

func TestLinesAreReadAsTheKernelWritesThem(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]mountinfo.Mount{
		`36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw,errors=continue`: {
			ID: 36, Parent: 35, Device: "98:0", Root: "/mnt1", Point: "/mnt2", Type: "ext3", Source: "/dev/root",
			Flags: "rw,noatime", Options: "rw,errors=continue",
		},
		`36 35 98:0 / /a rw shared:7 master:2 propagate_from:3 unbindable new:9 - fuse.sshfs a@b:/c rw,user_id=7`: {
			ID: 36, Parent: 35, Device: "98:0", Root: "/", Point: "/a", Shared: 7, Master: 2, Type: "fuse.sshfs", Source: "a@b:/c",
			Flags: "rw", Options: "rw,user_id=7",
		},
		`1 0 0:5 /gone\040a//deleted /a\040b\012c\011\134040\134x/ü` + "\xff" + ` rw - tmpfs \043none rw`: {
			ID: 1, Device: "0:5", Root: "/gone a//deleted", Point: "/a b\nc\t\\040\\x/ü\xff", Type: "tmpfs", Source: "#none", Flags: "rw", Options: "rw",
		},
		`1 0 0:5 net:[4026531840] /-/- rw - nsfs  rw`: {
			ID: 1, Device: "0:5", Root: "net:[4026531840]", Point: "/-/-", Type: "nsfs", Flags: "rw", Options: "rw",
		},
		`1 0 0:5 / /a\0 rw - tmpfs none rw,x=a b`: {ID: 1, Device: "0:5", Root: "/", Point: `/a\0`, Type: "tmpfs", Source: "none", Flags: "rw", Options: "rw,x=a b"},
	} {
		got, err := mountinfo.Parse([]byte(line + "\n"))
		if diff := cmp.Diff([]mountinfo.Mount{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", line, err, diff)
		}
	}
}

func TestWhatIsNoTableIsRefused(t *testing.T) {
	t.Parallel()
	good := "1 0 0:5 / /a rw - tmpfs none rw\n"
	for _, text := range []string{
		"\n", "x", good + "\n" + good, "1 0 0:5 / /a rw tmpfs none rw", "1 0 0:5 / /a rw - tmpfs none", "x 0 0:5 / /a rw - tmpfs none rw",
		"1 x 0:5 / /a rw - tmpfs none rw", "1 0 0:5 / a rw - tmpfs none rw", "1 0 0:5 / - rw tmpfs none rw",
	} {
		if got, err := mountinfo.Parse([]byte(text)); err == nil {
			t.Errorf("%q: %+v; want an error", text, got)
		}
	}
}

func TestOptionsAreFoundByTheirWholeName(t *testing.T) {
	t.Parallel()
	m := mountinfo.Mount{Options: "rw,xuser_id=1,user_id=1000,nosuid"}
	for name, want := range map[string]string{"user_id": "1000", "nosuid": ""} {
		if got, ok := m.Option(name); !ok || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, ok, want)
		}
	}
	if got, ok := m.Option("user"); ok {
		t.Errorf("user = %q; want none", got)
	}
}

// table is a short form of a table: number, parent, directory of the file system, point, and then groups.
func table(t *testing.T, lines ...string) mountinfo.Tree {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 5)
		groups := ""
		if len(f) == 5 {
			groups = f[4] + " "
		}
		fmt.Fprintf(&text, "%s %s 8:1 %s %s rw %s- ext4 /dev/x rw\n", f[0], f[1], f[2], f[3], groups)
	}
	all, err := mountinfo.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return mountinfo.NewTree(all)
}

func ids(all []mountinfo.Mount) []int {
	var ids []int
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids
}

func mount(t *testing.T, tree mountinfo.Tree, id int) mountinfo.Mount {
	t.Helper()
	m, ok := tree.Mount(id)
	if !ok {
		t.Fatalf("no mount %d", id)
	}
	return m
}

func TestDownGoesFromWhatIsMountedLast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		table []string
		want  []int
	}{
		"children first":                            {[]string{"1 0 / /", "2 1 / /a", "3 2 / /a/b"}, []int{3, 2, 1}},
		"of a stack the upper first":                {[]string{"1 0 / /", "2 1 / /a", "3 2 / /a", "4 3 / /a"}, []int{4, 3, 2, 1}},
		"whatever the numbers say":                  {[]string{"9 0 / /", "8 9 / /a", "3 8 / /a/b"}, []int{3, 8, 9}},
		"what hides another first, with its tree":   {[]string{"1 0 / /", "2 1 / /a/b", "3 1 / /a", "4 3 / /a/b"}, []int{4, 3, 2, 1}},
		"of two on one directory the later first":   {[]string{"1 0 / /", "2 1 / /a", "3 1 / /a"}, []int{3, 2, 1}},
		"a table without a top":                     {[]string{"5 4 / /x", "6 5 / /x/y"}, []int{6, 5}},
		"a circle, which no kernel writes, ends":    {[]string{"5 6 / /x", "6 5 / /x/y"}, []int{6, 5}},
		"a mount that is its own parent is the top": {[]string{"1 1 / /", "2 1 / /a"}, []int{2, 1}},
	} {
		if got := ids(table(t, c.table...).Down()); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v; want %v", name, got, c.want)
		}
	}
}

func TestHidersAreWhatNoPathLeadsAround(t *testing.T) {
	t.Parallel()
	tree := table(t, "1 0 / /", "2 1 / /a/b", "3 2 / /a/b/c", "4 1 / /a", "5 4 / /a/b", "6 1 / /a-b")
	for id, want := range map[int][]int{1: nil, 2: {4}, 3: {4}, 4: nil, 5: nil, 6: nil} {
		if got := ids(tree.Hiders(mount(t, tree, id))); !slices.Equal(got, want) {
			t.Errorf("mount %d is hidden by %v; want %v", id, got, want)
		}
	}
	for p, want := range map[string]int{"/": 1, "/a": 4, "/a/b/c": 5, "/a-b/x": 6, "/ab": 1} {
		if got, ok := tree.At(p); !ok || got.ID != want {
			t.Errorf("at %s shows %d; want %d", p, got.ID, want)
		}
	}
}

func TestTwinsAreToldOfAnUnmount(t *testing.T) {
	t.Parallel()
	tree := table(
		t, "1 0 / / shared:1", "2 1 /srv/ci /mnt/peer shared:1", "3 1 /srv /mnt/slave master:1", "4 1 /srv /mnt/private", "5 1 /srv/ci-data /mnt/beside shared:1",
		"6 1 /srv /mnt/relay shared:2 master:1", "7 1 /srv/ci /mnt/far master:2",
		"10 1 / /srv/ci/m shared:9", "11 2 / /mnt/peer/m shared:9", "12 3 / /mnt/slave/ci/m", "13 4 / /mnt/private/ci/m", "14 5 / /mnt/beside/m",
		"15 6 / /mnt/relay/ci/m", "16 7 / /mnt/far/m", "17 10 / /srv/ci/m/n", "18 11 / /mnt/peer/m/n", "20 4 / /mnt/private/x",
	)
	for id, want := range map[int][]int{
		10: {11, 12, 15, 16},
		11: {10, 12, 15, 16},
		12: nil, // a slave tells nobody
		15: {16},
		17: {18},
		20: nil,
		1:  nil,
	} {
		got := ids(tree.Twins(mount(t, tree, id)))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("with mount %d go %v; want %v", id, got, want)
		}
	}
}

func TestTwinsOfADeletedDirectory(t *testing.T) {
	t.Parallel()
	tree := table(t, "1 0 / /", "2 1 /a//deleted /x shared:1", "3 1 /a//deleted /y shared:1", "4 2 / /x/m", "5 3 / /y/m")
	if got := ids(tree.Twins(mount(t, tree, 4))); !slices.Equal(got, []int{5}) {
		t.Errorf("with mount 4 go %v; want 5", got)
	}
}

func TestBindsShowAnOwnedTreeElsewhere(t *testing.T) {
	t.Parallel()
	tree := table(t, "1 0 / /", "2 1 /data/ci /srv/ci", "3 1 /data/ci/x /mnt/x", "4 1 /data/ci-data /mnt/data", "5 2 /data/ci/y /srv/ci/z", "6 1 / /mnt/all")
	if got := ids(tree.Binds("/srv/ci")); !slices.Equal(got, []int{3}) {
		t.Errorf("binds %v; want 3", got)
	}
}

func TestBearerIsBelowTheStack(t *testing.T) {
	t.Parallel()
	tree := table(t, "1 0 / /", "2 1 / /a", "3 2 / /a/b", "4 3 / /a/b")
	for id, want := range map[int]int{4: 2, 3: 2, 2: 1} {
		if got, ok := tree.Bearer(mount(t, tree, id)); !ok || got.ID != want {
			t.Errorf("%d is borne by %d; want %d", id, got.ID, want)
		}
	}
	if got, ok := tree.Bearer(mount(t, tree, 1)); ok {
		t.Errorf("the top is borne by %d", got.ID)
	}
}

// write is how the kernel writes a table (show_mountinfo in fs/proc_namespace.c).
func write(all []mountinfo.Mount) []byte {
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`)
	var text strings.Builder
	for _, m := range all {
		fmt.Fprintf(&text, "%d %d %s %s %s %s shared:%d master:%d - %s %s %s\n", m.ID, m.Parent, m.Device, escape.Replace(m.Root),
			escape.Replace(m.Point), m.Flags, m.Shared, m.Master, escape.Replace(m.Type), escape.Replace(m.Source), escape.Replace(m.Options))
	}
	return []byte(text.String())
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 - ext3 /dev/root rw\n37 36 0:1 / /mnt\\0402/a rw - tmpfs  rw\n"))
	f.Add([]byte("1 2 0:0 /x//deleted / rw master:3 - a b c\n2 1 0:0 / /a rw shared:3 - a b c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := mountinfo.Parse(text)
		if err != nil {
			return
		}
		again, err := mountinfo.Parse(write(all))
		if diff := cmp.Diff(all, again); err != nil || diff != "" {
			t.Fatalf("written and read again: %v (-first +again):\n%s", err, diff)
		}
		tree := mountinfo.NewTree(all)
		if got := len(tree.Down()); got > len(all) {
			t.Errorf("%d mounts in order; there are %d", got, len(all))
		}
		for _, m := range all {
			tree.Hiders(m)
			tree.Twins(m)
			tree.Bearer(m)
		}
		tree.At("/a/b")
		tree.Binds("/a")
	})
}
