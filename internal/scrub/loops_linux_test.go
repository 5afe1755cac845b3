// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func loopsOf(p plot) spec.Spec {
	return spec.Spec{Owned: spec.Ownership{Paths: []string{p.owned}}, Goal: spec.Goal{Loops: &spec.Loops{}}}
}

// field is what losetup says of a loop device.
func field(t *testing.T, device, name string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--list", "--noheadings", "--raw", "--output", name, device).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// swapping are the swap spaces by the word of swapon.
func swapping(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("swapon", "--show=NAME", "--noheadings", "--raw").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestLoopDevicesOfOwnedFilesAreDetached(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for name, c := range map[string]struct {
		build string // prints the device
		stays bool
		says  string
	}{
		"of an owned file":                    {build: "truncate -s 1M $O/i; losetup -f --show $O/i"},
		"read-only, at an offset":             {build: "truncate -s 1M $O/i; losetup -r -o 4096 -f --show $O/i"},
		"of a deleted file":                   {build: "truncate -s 1M $O/i; losetup -f --show $O/i; rm $O/i"},
		"of a file in a deleted place":        {build: "mkdir -p $O/a/b; truncate -s 1M $O/a/b/i; losetup -f --show $O/a/b/i; rm -r $O/a"},
		"of a file called deleted":            {build: "truncate -s 1M \"$O/i (deleted)\"; losetup -f --show \"$O/i (deleted)\""},
		"of a file of an odd name":            {build: "n=\"$(printf '%s/a\\nb c' $O)\"; truncate -s 1M \"$n\"; losetup -f --show \"$n\""},
		"with partitions":                     {build: "truncate -s 4M $O/i; d=$(losetup -P -f --show $O/i); addpart $d 1 8 64; addpart $d 2 128 64; echo $d"},
		"with swap space":                     {build: "truncate -s 4M $O/i; d=$(losetup -f --show $O/i); mkswap -q $d >&2; swapon $d; echo $d"},
		"with swap space on a partition":      {build: "truncate -s 8M $O/i; d=$(losetup -P -f --show $O/i); addpart $d 1 8 8192; mkswap -q ${d}p1 >&2; swapon ${d}p1; echo $d"},
		"not of another file":                 {build: "truncate -s 1M $X/i; losetup -f --show $X/i", stays: true},
		"not of a path of the same beginning": {build: "mkdir ${O}-data; truncate -s 1M ${O}-data/i; losetup -f --show ${O}-data/i", stays: true},
		"not of a file elsewhere that is set up by an owned name": {
			build: "truncate -s 1M $X/i; ln -s $X/i $O/i; losetup -f --show $O/i", stays: true,
		},
		"not of a file of that name in another mount namespace": {
			build: "truncate -s 1M $O/i; unshare -m sh -euc 'mount -t tmpfs t $O; truncate -s 1M $O/i; losetup -f --show $O/i; exec sleep 600 >/dev/null' &", stays: true, says: "another mount namespace",
		},
		"not of a deleted file of that name in another mount namespace": {
			build: "unshare -m sh -euc 'mount -t tmpfs t $O; truncate -s 1M $O/i; losetup -f --show $O/i; rm $O/i; exec sleep 600 >/dev/null' &", stays: true, says: "another mount namespace",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlot(t)
			guard := p.run(t, "truncate -s 1M $X/guard; losetup -f --show $X/guard")
			swap := p.run(t, "fallocate -l 1M $X/swap; chmod 600 $X/swap; d=$(losetup -f --show $X/swap); mkswap -q $d >&2; swapon $d; echo $d")
			t.Cleanup(func() { _ = exec.Command("swapoff", swap).Run() })
			device := p.run(t, c.build)
			file := field(t, device, "BACK-INO")
			t.Cleanup(func() { _ = exec.Command("losetup", "-d", device).Run() })
			if r := do(t, loopsOf(p), scrub.Plan); field(t, device, "BACK-INO") != file {
				t.Errorf("a plan detached it: %+v", r)
			}
			r := do(t, loopsOf(p), scrub.Do)
			want := map[bool]spec.State{false: spec.Changed, true: spec.Unchanged}[c.stays]
			if r.State != want || !strings.Contains(said(r), c.says) {
				t.Errorf("%s: %s; want %s, %q", r.State, said(r), want, c.says)
			}
			if there := field(t, device, "BACK-INO") == file && file != ""; there != c.stays {
				t.Errorf("%s is attached: %v; want %v", device, there, c.stays)
			}
			if field(t, guard, "BACK-FILE") != p.path("X/guard") || !slices.Contains(swapping(t), swap) {
				t.Errorf("guard: attached %q, swapping to %q", field(t, guard, "BACK-FILE"), swapping(t))
			}
			if again := do(t, loopsOf(p), scrub.Do); again.State != spec.Unchanged {
				t.Errorf("a second run at once: %+v; want nothing to do", again)
			}
		})
	}
}

func TestOwnedSwapFilesAreGivenUp(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "for d in $O $X; do fallocate -l 1M \"$d/s w\"; chmod 600 \"$d/s w\"; mkswap -q \"$d/s w\"; swapon \"$d/s w\"; done")
	t.Cleanup(func() { _ = exec.Command("swapoff", p.path("X/s w"), p.path("O/s w")).Run() })
	r := do(t, loopsOf(p), scrub.Do)
	if got := strings.Join(swapping(t), " "); r.State != spec.Changed || strings.Contains(got, p.owned) || !strings.Contains(got, p.other) {
		t.Errorf("%s: %s; swapping to %s", r.State, said(r), got)
	}
}

func TestBusyLoopDevicesNameWhoKeepsThemBusy(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	image := "truncate -s 16M $O/i; mkfs.ext4 -q -m 0 -O ^has_journal $O/i; d=$(losetup -f --show $O/i); "
	for how, c := range map[string]struct {
		use, says string
		lazily    bool // whether the kernel could not be kept from noting that it is to go later
	}{
		"mounted elsewhere":            {use: image + "mount $d $X; echo; exec sleep 600", says: "the mount at "},
		"mounted in another namespace": {use: image + "export d; exec unshare -m sh -c 'mount $d $X; echo; exec sleep 600'", says: "in the mount namespace of process "},
		"opened by a process":          {use: image + "exec 7<$d; echo; exec sleep 600", says: "by an open file", lazily: true},
		"a partition that is mounted":  {use: "truncate -s 20M $O/i; d=$(losetup -P -f --show $O/i); addpart $d 1 8 32768; mkfs.ext4 -q -m 0 ${d}p1; mount ${d}p1 $X; echo; exec sleep 600", says: "the mount at "},
	} {
		t.Run(how, func(t *testing.T) {
			p := newPlot(t)
			t.Cleanup(func() { _ = exec.Command("umount", p.other).Run() })
			user := p.leave(t, c.use)
			r := do(t, loopsOf(p), scrub.Do)
			devices := attached(t, p.owned)
			if r.State != spec.Unmet || !strings.Contains(said(r), c.says) || len(devices) != 1 {
				t.Errorf("%s: %s; attached: %v; want it to say %q", r.State, said(r), devices, c.says)
			}
			for device := range devices {
				if later := field(t, device, "AUTOCLEAR") != "0"; later != c.lazily {
					t.Errorf("to be detached later: %v; want %v", later, c.lazily)
				}
			}
			if strings.Contains(c.use, "exec 7") && !strings.Contains(said(r), strconv.Itoa(user.Process.Pid)) {
				t.Errorf("%s; want it to name process %d", said(r), user.Process.Pid)
			}
			_ = syscall.Kill(-user.Process.Pid, syscall.SIGKILL)
			_ = user.Wait()
			_ = exec.Command("umount", p.other).Run()
			if r := do(t, loopsOf(p), scrub.Do); r.State == spec.Unmet || len(attached(t, p.owned)) > 0 {
				t.Errorf("when nobody uses it any more: %s: %s", r.State, said(r))
			}
		})
	}
}

func TestDetachingNeedsRoot(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	p := newPlot(t)
	p.run(t, "truncate -s 1M $O/i; losetup -f $O/i")
	r := reachAs(t, uidOf(t, "games"), loopsOf(p), scrub.Here{}, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(said(r), "needs root") || len(attached(t, p.owned)) != 1 {
		t.Errorf("%s: %s; want it to say that this needs root", r.State, said(r))
	}
}

// machine writes down the block devices of a machine, in the form of /sys/class/block.
func machine(t *testing.T, files map[string]string, holders map[string][]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for low, high := range holders {
		for _, h := range high {
			for _, link := range []string{filepath.Join(low, "holders", h), filepath.Join(h, "slaves", low)} {
				if err := os.MkdirAll(filepath.Join(dir, link), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return dir
}

// TestMappedDevicesGoFromTheTopDown is on a recorded machine: the device mapper is not in every kernel that tests run on.
func TestMappedDevicesGoFromTheTopDown(t *testing.T) {
	t.Parallel()
	devices := machine(t, map[string]string{
		"loop901/loop/backing_file": "/srv/ci/a.img", "loop902/loop/backing_file": "/srv/ci/b.img", "loop903/loop/backing_file": "/srv/ci/c.img",
		"loop910/loop/backing_file": "/var/lib/docker/data", "loop911/loop/backing_file": "/srv/ci-data/x.img",
		"loop901/dev": "7:901", "loop902/dev": "7:902", "loop903/dev": "7:903", "loop901/loop901p1/partition": "1", "loop901p1/partition": "1",
		"dm-1/dm/name": "vg-base", "dm-2/dm/name": "vg-top", "dm-3/dm/name": "spans", "dm-4/dm/name": "over-spans", "dm-5/dm/name": "docker-pool",
		"md0/md/level": "raid1",
	}, map[string][]string{
		"loop901p1": {"dm-1"}, "dm-1": {"dm-2"}, "loop902": {"dm-3"}, "sdb": {"dm-3"}, "dm-3": {"dm-4"}, "loop910": {"dm-5"}, "loop903": {"md0"},
	})
	proc := t.TempDir()
	swaps := "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/dm-2                               partition\t1\t0\t-2\n/dev/dm-5 partition\t1\t0\t-2\n/srv/ci-data/swap file\t1\t0\t-2\n"
	if err := os.WriteFile(filepath.Join(proc, "swaps"), []byte(swaps), 0o600); err != nil {
		t.Fatal(err)
	}
	// A partition stands in the directory of its disk too, and that is where it is looked for.
	if err := os.Rename(filepath.Join(devices, "loop901p1", "holders"), filepath.Join(devices, "loop901", "loop901p1", "holders")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../loop901/loop901p1/holders", filepath.Join(devices, "loop901p1", "holders")); err != nil {
		t.Fatal(err)
	}
	found, err := scrub.NewLoopsOf(spec.Ownership{Paths: []string{"/srv/ci"}}, devices, proc).Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got [][3]string
	for _, d := range found {
		got = append(got, [3]string{d.ID, d.What, d.Stays})
	}
	want := [][3]string{
		{"/dev/dm-2", "swap space on dm-2", ""},
		{"dm-2", "vg-top on dm-1", ""},
		{"dm-1", "vg-base on loop901p1", ""},
		{"loop901", "made of /srv/ci/a.img", ""},
		{"dm-4", "over-spans on dm-3", "it stands on dm-3, which stays: it stands on sdb too, which is not owned"},
		{"dm-3", "spans on loop902, sdb", "it stands on sdb too, which is not owned"},
		{"loop902", "made of /srv/ci/b.img", "dm-3 stands on it and stays: it stands on sdb too, which is not owned"},
		{"md0", " on loop903", "it is not of the device mapper, and nothing else is taken apart"},
		{"loop903", "made of /srv/ci/c.img", "md0 stands on it and stays: it is not of the device mapper, and nothing else is taken apart"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

func TestADeviceWaitsForWhatStandsOnIt(t *testing.T) {
	t.Parallel()
	devices := machine(t, map[string]string{
		"loop901/loop/backing_file": "/srv/ci/a.img", "loop901/dev": "7:901", "dm-1/dm/name": "scrub-test-no-such-device",
	}, map[string][]string{"loop901": {"dm-1"}})
	step := scrub.NewLoopsOf(spec.Ownership{Paths: []string{"/srv/ci"}}, devices, t.TempDir())
	found, err := step.Look(t.Context())
	if err != nil || len(found) != 2 {
		t.Fatalf("found %+v, %v; want the device and what it stands on", found, err)
	}
	if errs := step.Mend(t.Context(), found); errs[1] == nil || errs[1].Error() != "dm-1 stands on it" {
		t.Errorf("%v; want the loop device to wait", errs)
	}
}

func TestRemovalIsAStructOfTheDeviceMapper(t *testing.T) {
	t.Parallel()
	order := scrub.Removal("vg-top")
	if len(order) != 312 || binary.NativeEndian.Uint32(order) != 4 || binary.NativeEndian.Uint32(order[12:]) != 312 {
		t.Errorf("size %d, version %d, told size %d", len(order), binary.NativeEndian.Uint32(order), binary.NativeEndian.Uint32(order[12:]))
	}
	if name := string(order[48:55]); name != "vg-top\x00" {
		t.Errorf("name %q", name)
	}
	if long := scrub.Removal(strings.Repeat("x", 500)); long[48+126] != 'x' || long[48+127] != 0 || long[48+128] != 0 {
		t.Error("a name that is too long runs into what follows it")
	}
}
