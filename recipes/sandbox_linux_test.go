// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// inside names the test that runs in a sandbox, in a second run of this program; shared is a directory that both see.
const inside, shared = "RECIPES_TEST_INSIDE", "RECIPES_TEST_SHARED"

// The users of a sandbox: whose builds run there, and somebody else.
const jenkins, stranger = 4242, 4343

// sandbox is this machine for one test: its files as they are, with changes that nobody else sees and that end with the
// test, and with process numbers, links, IPC objects and a name of its own. What it shares with the machine is the kernel:
// loop devices, control groups, values in /proc/sys that are of no namespace.
type sandbox struct {
	*testing.T
	agent string
	// changes is the directory in which all changes to files are seen.
	changes string
	// image is the name of all files that loop devices are made of: those are the machine's, where other runs have theirs.
	image string
}

// inSandbox runs a test in a sandbox. Outside of it, it starts that run and passes on what comes of it.
func inSandbox(t *testing.T, test func(s sandbox)) {
	t.Helper()
	need(t, "setpriv", "util-linux")
	if os.Getuid() != 0 {
		missing(t, "this test needs root")
	}
	if os.Getenv(inside) == t.Name() {
		dir := os.Getenv(shared)
		s := sandbox{T: t, agent: "a1", changes: "/changes", image: imageOf(dir)}
		s.enter(dir)
		test(s)
		return
	}
	// Not in parallel: loop devices are the machine's, and all sandboxes have the same paths.
	dir := t.TempDir()
	t.Cleanup(func() { detachAll(t, imageOf(dir)) })
	self, err := os.Executable()
	check(t, err)
	// A shell is the first process, which takes over what leftovers leave.
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `"$@"; exit $?`, "sh", self,
		"-test.run=^"+t.Name()+"$", "-test.timeout=5m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "CI=" + os.Getenv("CI"), inside + "=" + t.Name(), shared + "=" + dir}
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWCGROUP,
		Pdeathsig: syscall.SIGKILL,
	}
	out, err := c.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("in the sandbox:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// need skips a test for want of a tool, but not in CI.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		missing(t, tool+" is missing; install the Debian package "+pkg)
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// enter makes what the sandbox is.
func (s sandbox) enter(dir string) {
	s.Helper()
	up, work, root := dir+"/up", dir+"/work", dir+"/root"
	check(s.T, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"),
		os.Mkdir(up, 0o755), os.Mkdir(work, 0o755), os.Mkdir(root, 0o755))
	must := func(err error) { s.Helper(); check(s.T, err) }
	err := unix.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+up+",workdir="+work)
	if errors.Is(err, unix.ENODEV) {
		missing(s.T, "this kernel has no overlay file systems")
	}
	must(err)
	must(unix.Mount("/dev", root+"/dev", "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("/sys", root+"/sys", "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("proc", root+"/proc", "proc", 0, ""))
	for path, mode := range map[string]string{"/dev/shm": "1777", "/run": "755", "/tmp": "1777", "/var/tmp": "1777"} {
		must(unix.Mount("tmpfs", root+path, "tmpfs", 0, "mode="+mode))
	}
	must(os.Mkdir(root+s.changes, 0o755))
	must(unix.Mount(up, root+s.changes, "", unix.MS_BIND, ""))
	must(unix.PivotRoot(root, root+"/tmp"))
	must(os.Chdir("/"))
	must(unix.Unmount("/tmp", unix.MNT_DETACH)) // the old root
	must(unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777"))
	must(unix.Sethostname([]byte("sandbox")))
	// Values of the kernel that are of no namespace: these are files that nobody reads.
	s.sh(`rm -f /.dockerenv # it is not the machine's container that is cleaned
		rm -rf /var/lib/containers /var/lib/docker /var/lib/containerd # nor its images: what runs here has a store of its own
		rm -rf /home; mkdir /home # nor its homes, which come and go with the accounts of other tests
		cp -r --no-preserve=all /proc/sys/fs /tmp/fs 2>/dev/null || :
		mount -t tmpfs tmpfs /proc/sys/fs; cp -r /tmp/fs/. /proc/sys/fs; rm -r /tmp/fs; mkdir -p /run/lock
		ip link set lo up
		echo jenkins:x:4242:4242::/home/jenkins:/bin/sh >>/etc/passwd; echo jenkins:x:4242: >>/etc/group
		echo stranger:x:4343:4343::/home/stranger:/bin/sh >>/etc/passwd; echo stranger:x:4343: >>/etc/group
		echo 'jenkins:*:19000:0:99999:7:::' >>/etc/shadow; echo 127.0.0.1 localhost sandbox >/etc/hosts
		mkdir -p /home/jenkins/workspace/cleanup /home/stranger
		chown -R 4242:4242 /home/jenkins; chown 4343:4343 /home/stranger`)
}

// sh runs a shell script as root and returns what it prints.
func (s sandbox) sh(script string) string {
	s.Helper()
	c := exec.CommandContext(s.Context(), "/bin/sh", "-euc", script)
	c.Dir = "/"
	var wrong bytes.Buffer
	c.Stderr = &wrong
	out, err := c.Output()
	if err != nil {
		s.Fatalf("%s: %v\n%s", script, err, wrong.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// leave starts a process of a user that stays, in a session of its own and with this environment, and returns its number.
func (s sandbox) leave(uid uint32, env []string, args ...string) int {
	s.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env = "/", append([]string{"PATH=/usr/bin:/bin"}, env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	check(s.T, c.Start())
	go func() { _ = c.Wait() }()
	return c.Process.Pid
}

// standIn has a shell script stand in for a program of another distribution. What it is told to change it notes by
// "order". Its state is in the directory $D.
func (s sandbox) standIn(name, script string) {
	s.Helper()
	const dir = "/var/lib/stand-in"
	check(s.T, os.MkdirAll(dir, 0o777))
	text := "#!/bin/sh\nD=" + dir + "\norder() { echo \"" + name + " $*\" >>$D/orders; }\n" + script + "\n"
	check(s.T, os.RemoveAll("/usr/sbin/"+name), os.WriteFile("/usr/sbin/"+name, []byte(text), 0o755))
}

// orders are what stand-ins were told to change, since this was asked last.
func (s sandbox) orders() string {
	text, _ := os.ReadFile("/var/lib/stand-in/orders")
	_ = os.Remove("/var/lib/stand-in/orders")
	return string(text)
}

// files are what all changed files are like: type and mode, owner, size, and when they were changed.
func (s sandbox) files(but []string) map[string]string {
	s.Helper()
	all := map[string]string{}
	for line := range strings.Lines(s.sh(`find ` + s.changes + ` /tmp /var/tmp /dev/shm -printf '%p %M %U:%G %s %T@\n'`)) {
		path, rest, _ := strings.Cut(line, " ")
		path = strings.TrimPrefix(path, s.changes)
		own := path == "" || path == "/tmp" || strings.HasPrefix(path, "/tmp/"+s.Name()) // in which programs unpack, and this one
		if !own && !slices.ContainsFunc(but, func(root string) bool { return spec.Within(root, path) }) {
			all[path] = rest
		}
	}
	return all
}

// gone fails for each path at which something is; there for each at which nothing is.
func (s sandbox) gone(paths ...string) {
	s.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			s.Errorf("%s is still there", path)
		}
	}
}

func (s sandbox) there(paths ...string) {
	s.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err != nil {
			s.Errorf("it should not have gone: %v", err)
		}
	}
}

// alive says which of the processes are alive.
func alive(processes map[string]int) []string {
	var all []string
	for name, pid := range processes {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err == nil && !strings.Contains(string(text), ") Z ") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// imageOf is the name of an image that only the run has to which a directory belongs.
func imageOf(dir string) string { return strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-") + ".img" }

// attached are the loop devices made of files of a name, and those files, by the word of losetup.
func attached(t *testing.T, image string) map[string]string {
	t.Helper()
	out, err := exec.Command("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").Output()
	check(t, err)
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, file, _ := strings.Cut(strings.TrimSpace(line), " "); strings.Contains(file, image) {
			all[name] = file
		}
	}
	return all
}

func detachAll(t *testing.T, image string) {
	t.Helper()
	for name := range maps.Keys(attached(t, image)) {
		_ = exec.Command("losetup", "--detach", name).Run()
	}
}
