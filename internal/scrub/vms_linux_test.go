// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// libvirt is a libvirtd in namespaces of the test's own, with machines that qemu emulates in software.
type libvirt struct {
	t   *testing.T
	dir string
}

// newLibvirt hides the machine's own directories of libvirt, the networks, and the users that it looks for and that only
// its Debian package would add, and starts libvirtd.
func newLibvirt(t *testing.T) libvirt {
	t.Helper()
	runtime.LockOSThread()                   // until the test ends, and this process with it
	must(t, unix.Unshare(unix.CLONE_NEWNET)) // of this thread, and of what it starts
	l := libvirt{t, open(t)}
	for _, dir := range []string{"/run", "/var/lib/libvirt", "/etc/libvirt", "/var/log", "/var/cache"} {
		must(t, os.MkdirAll(dir, 0o755), unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	}
	l.add("/etc/passwd", "libvirt-qemu:x:64055:64055::/:/bin/false\n")
	l.add("/etc/group", "libvirt-qemu:x:64055:\nkvm:x:64056:\n")
	config := "security_driver = \"none\"\nuser = \"root\"\ngroup = \"root\"\ncgroup_controllers = []\nnamespaces = []\nstdio_handler = \"file\"\n"
	must(t, os.WriteFile("/etc/libvirt/qemu.conf", []byte(config), 0o600),
		os.WriteFile("/etc/libvirt/libvirtd.conf", []byte("auth_unix_rw = \"none\"\n"), 0o600), os.Mkdir("/run/libvirt", 0o755))
	log, err := os.Create(filepath.Join(l.dir, "log"))
	must(t, err)
	c := exec.Command("libvirtd", "--config", "/etc/libvirt/libvirtd.conf")
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, c.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("libvirtd says:\n%s", text)
		}
	})
	go reapMachines(t.Context())
	until(t, func() bool { return exec.Command("virsh", "--connect", "qemu:///system", "uri").Run() == nil })
	return l
}

// reapMachines does for machines that have ended what process 1 does, which this one is here: libvirt waits until they are
// gone.
func reapMachines(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		stats, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, file := range stats {
			var pid int
			text, _ := os.ReadFile(file)
			if _, err := fmt.Sscanf(string(text), "%d (qemu-system-x86) Z 1 ", &pid); err == nil {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// add appends to a file of the machine, for this test only.
func (l libvirt) add(file, lines string) {
	l.t.Helper()
	text, err := os.ReadFile(file)
	must(l.t, err)
	copied := filepath.Join(l.dir, filepath.Base(file))
	must(l.t, os.WriteFile(copied, append(text, lines...), 0o644), unix.Mount(copied, file, "", unix.MS_BIND, ""))
}

// virsh is the test's own way to ask and tell libvirt.
func (l libvirt) virsh(args ...string) string {
	l.t.Helper()
	out, err := exec.Command("virsh", append([]string{"--quiet", "--connect", "qemu:///system"}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("virsh %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// xml writes a description for virsh.
func (l libvirt) xml(format string, args ...any) string {
	l.t.Helper()
	f, err := os.CreateTemp(l.dir, "*.xml")
	must(l.t, err)
	_, err = fmt.Fprintf(f, format, args...)
	must(l.t, err, f.Close())
	return f.Name()
}

func escaped(text string) string {
	return strings.NewReplacer("&", "&amp;", "'", "&apos;").Replace(text)
}

// machine describes one with disks and a network, "" for none.
func (l libvirt) machine(name, network string, disks ...string) string {
	l.t.Helper()
	devices := ""
	for i, disk := range disks {
		devices += fmt.Sprintf("<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vd%c' bus='virtio'/></disk>", escaped(disk), 'a'+i)
	}
	if network != "" {
		devices += "<interface type='network'><source network='" + network + "'/></interface>"
	}
	return l.xml("<domain type='qemu'><name>%s</name><memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os><devices>%s</devices></domain>", name, devices)
}

// image makes a disk image, on top of another if backing is one.
func (l libvirt) image(path, backing string) {
	l.t.Helper()
	args := []string{"create", "-q", "-f", "qcow2", path, "1M"}
	if backing != "" {
		args = []string{"create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing, path}
	}
	if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("qemu-img %q: %v\n%s", args, err, out)
	}
}

// names are all machines, networks and files of a pool, by the words of virsh and the file system.
func (l libvirt) names(pool string) []string {
	l.t.Helper()
	var all []string
	for kind, list := range map[string]string{"vm": "list", "net": "net-list"} {
		for name := range strings.Lines(l.virsh(list, "--all", "--name")) {
			if name = strings.TrimSpace(name); name != "" {
				all = append(all, kind+" "+name)
			}
		}
	}
	files, err := os.ReadDir(pool)
	must(l.t, err)
	for _, f := range files {
		all = append(all, "file "+f.Name())
	}
	slices.Sort(all)
	return all
}

func vmsStep(t *testing.T, owned spec.Ownership, goal spec.VMs) scrub.Step {
	t.Helper()
	s, err := scrub.New(spec.Spec{Version: spec.Version, Name: "vms", Owned: owned, Goal: spec.Goal{VMs: &goal}}, scrub.Here{})
	must(t, err)
	return s
}

// TestOwnedMachinesGo has machines in all states; networks and volumes that only they use, and some that others use.
func TestOwnedMachinesGo(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long: nearly all of it is libvirt's work")
	}
	if !ownNamespaces(t) {
		return
	}
	l := newLibvirt(t)
	pool := filepath.Join(l.dir, "p /a&b'") // libvirt's lists have blanks between columns, its descriptions have entities
	must(t, os.MkdirAll(pool, 0o755))
	file := func(name string) string { return filepath.Join(pool, name) }
	for _, name := range []string{"ci-1.img", "ci-top.img", "ci-base.img", "ci-mid.img", "ci-free.img", "ci-far.img", "theirs.img"} {
		backing := map[string]string{"ci-1.img": file("ci-base.img"), "ci-top.img": file("ci-mid.img")}[name]
		if name == "ci-top.img" || name == "ci-1.img" {
			l.image(backing, "")
		}
		l.image(file(name), backing)
	}
	must(t, os.Chtimes(file("ci-free.img"), time.Time{}, time.Now().Add(-time.Hour)))
	outside := filepath.Join(l.dir, "outside.img")
	l.image(outside, file("ci-far.img"))
	l.image(file("theirs.img"), file("ci-mid.img"))
	l.virsh("pool-create", l.xml("<pool type='dir'><name>images</name><target><path>%s</path></target></pool>", escaped(pool)))
	for _, name := range []string{"ci-net", "ci-shared", "ci-idle", "theirs", "default"} {
		l.virsh("net-define", l.xml("<network><name>%s</name><dns enable='no'/></network>", name))
		if name != "ci-idle" {
			l.virsh("net-start", name)
		}
	}
	l.virsh("define", l.machine("ci-running", "ci-net", file("ci-1.img")))
	l.virsh("start", "ci-running")
	l.virsh("define", l.machine("ci-off", ""))
	l.virsh("create", l.machine("ci-transient", ""))
	l.virsh("define", l.machine("ci-saved", ""))
	l.virsh("start", "ci-saved")
	l.virsh("managedsave", "ci-saved")
	l.virsh("define", l.machine("ci-snapshot", "", file("ci-top.img")))
	l.virsh("snapshot-create-as", "ci-snapshot", "before")
	l.virsh("define", l.machine("ci-paused", ""))
	l.virsh("start", "ci-paused", "--paused")
	l.virsh("create", l.machine("theirs-ci-1", "ci-shared", outside))
	l.virsh("define", l.machine("7", "", file("theirs.img")))
	l.virsh("define", l.machine("ci-kept", ""))

	owned, goal := spec.Ownership{Names: []string{"ci-*"}}, spec.VMs{Volumes: true, Keep: []string{"ci-kept"}}
	before := l.names(pool)
	planned, err := scrub.Reach(t.Context(), spec.KindVMs, vmsStep(t, owned, goal), scrub.Plan)
	if err != nil || planned.State != spec.Planned || len(planned.Found) != 6+2+4 {
		t.Errorf("a plan: %v, %+v", err, planned)
	}
	if diff := cmp.Diff(before, l.names(pool)); diff != "" {
		t.Errorf("a plan changed something (-before +after):\n%s", diff)
	}

	result, err := scrub.Reach(t.Context(), spec.KindVMs, vmsStep(t, owned, goal), scrub.Do)
	if err != nil || result.State != spec.Unmet || result.Removed != 6+2+4 {
		t.Errorf("%v, %+v", err, result)
	}
	for _, f := range result.Found {
		if strings.HasSuffix(f.ID, "/ci-free.img") && (f.Bytes < 4096 || f.Bytes > 1<<20 || f.Age < 3600 || f.Age > 7200) {
			t.Errorf("a volume is told as %+v", f)
		}
	}
	// What staying machines use stays, and is said with the reason.
	why := map[string]string{}
	for _, p := range result.Problems {
		why[filepath.Base(p.ID)] = p.Why
	}
	for name, want := range map[string]string{
		"ci-shared":   "machine theirs-ci-1, which stays, is connected to it",
		"ci-mid.img":  "theirs.img, which stays, is made from it",
		"ci-far.img":  "machine theirs-ci-1, which stays, uses it",
		"no-such.img": "",
	} {
		if !strings.Contains(why[name], want) {
			t.Errorf("%s stays because %q; want %q", name, why[name], want)
		}
	}
	if names := slices.Sorted(maps.Keys(why)); !slices.Equal(names, []string{"ci-far.img", "ci-mid.img", "ci-shared"}) {
		t.Errorf("what stays is %q", names)
	}
	want := []string{
		"file ci-far.img", "file ci-mid.img", "file theirs.img", "net ci-shared", "net default", "net theirs", "vm 7", "vm ci-kept", "vm theirs-ci-1",
	}
	if diff := cmp.Diff(want, l.names(pool)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if state := l.virsh("domstate", "theirs-ci-1"); state != "running" {
		t.Errorf("the machine of others is %s", state)
	}

	// Once nothing of others stands on it, the rest goes; a second run at once changes nothing.
	l.virsh("destroy", "theirs-ci-1")
	l.virsh("undefine", "7")
	must(t, os.Remove(file("theirs.img")))
	l.virsh("pool-refresh", "images")
	for _, want := range []spec.State{spec.Changed, spec.Unchanged} {
		if result, err := scrub.Reach(t.Context(), spec.KindVMs, vmsStep(t, owned, goal), scrub.Do); err != nil || result.State != want {
			t.Errorf("%v, %+v; want %s", err, result, want)
		}
	}
	if diff := cmp.Diff([]string{"net default", "net theirs", "vm ci-kept"}, l.names(pool)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}

	// All of it is CI's: the network default stays still.
	if result, err := scrub.Reach(t.Context(), spec.KindVMs, vmsStep(t, spec.Ownership{}, spec.VMs{All: true}), scrub.Do); err != nil || result.State != spec.Changed {
		t.Errorf("all: %v, %+v", err, result)
	}
	if diff := cmp.Diff([]string{"net default"}, l.names(pool)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestWithoutLibvirtThereAreNoMachines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	look := func(uri string) error {
		s, err := scrub.New(spec.Spec{Version: spec.Version, Name: "vms", Goal: spec.Goal{VMs: &spec.VMs{All: true, URI: uri}}}, scrub.Here{Tools: []string{dir}})
		must(t, err)
		_, err = s.Look(t.Context())
		return err
	}
	if err := look(""); err == nil || err.Error() != "there is no virsh here" {
		t.Errorf("without virsh: %v", err)
	}
	script(t, dir, "virsh", `echo "error: Failed to connect socket to '/x': No such file or directory" >&2; exit 1`)
	if err := look("qemu:///x"); err == nil || !strings.HasPrefix(err.Error(), "no libvirt answers at qemu:///x: ") {
		t.Errorf("without libvirtd: %v", err)
	} else if _, absent := errors.AsType[scrub.Absent](err); !absent {
		t.Errorf("without libvirtd: %T; want an Absent one", err)
	}
	script(t, dir, "virsh", `echo "error: authentication unavailable" >&2; exit 1`)
	if err := look(""); err == nil || !strings.Contains(err.Error(), "authentication unavailable") {
		t.Errorf("where we may not ask: %v", err)
	}
}
