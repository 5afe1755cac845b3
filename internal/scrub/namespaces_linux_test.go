// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside names the test that runs in namespaces of its own, in a second run of this program.
const inside = "SCRUB_TEST_INSIDE"

var alone sync.Mutex

// ownNamespaces reports whether this is the run of a test in mount and process namespaces of its own. If it is not, it
// starts that run and passes on what comes of it. All mounts and processes of that run end with it, however it ends, and
// its loop devices are detached. also are flags of further namespaces of its own, as in clone(2).
func ownNamespaces(t *testing.T, also ...uintptr) bool {
	t.Helper()
	asRoot(t)
	if os.Getenv(inside) == t.Name() {
		private := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err := errors.Join(private, unix.Mount("proc", "/proc", "proc", 0, "")); err != nil {
			t.Fatal(err)
		}
		return true
	}
	t.Parallel()
	// Loop devices and swap space are the machine's: one test's look at them keeps another's from being detached.
	alone.Lock()
	defer alone.Unlock()
	dir := open(t)
	t.Cleanup(func() { detachAll(t, dir) })
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.timeout=5m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = append(os.Environ(), inside+"="+t.Name(), "TMPDIR="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	for _, flag := range also {
		c.SysProcAttr.Cloneflags |= flag
	}
	out, err := c.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("in its own namespaces:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

// attached are the loop devices whose files are below dir, and those files, by the word of losetup.
func attached(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, err := exec.Command("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, file, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(file, dir+"/") {
			all[name] = file
		}
	}
	return all
}

func detachAll(t *testing.T, dir string) {
	t.Helper()
	for name := range attached(t, dir) {
		_ = exec.Command("losetup", "--detach", name).Run()
	}
}

// mounted are the points of all mounts, by a reading of the kernel's table that is not that of the code under test.
func mounted(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(text)) {
		points = append(points, plain.Replace(strings.Split(line, " ")[4]))
	}
	slices.Sort(points)
	return points
}

// times is how many mounts there are at a point.
func times(t *testing.T, point string) int {
	t.Helper()
	return len(slices.DeleteFunc(mounted(t), func(p string) bool { return p != point }))
}

// plot is a piece of ground for a test: a directory that is owned, and one that is not.
type plot struct{ owned, other string }

func newPlot(t *testing.T) plot {
	t.Helper()
	dir := open(t)
	p := plot{filepath.Join(dir, "ci"), filepath.Join(dir, "other")}
	for _, d := range []string{p.owned, p.other} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { detachAll(t, dir) })
	return p
}

// path turns a name that begins with O/ or X/ into one in the owned or the other directory.
func (p plot) path(name string) string {
	return strings.NewReplacer("O", p.owned, "X", p.other).Replace(name[:1]) + name[1:]
}

// run runs a shell script in which $O is the owned directory and $X the other.
func (p plot) run(t *testing.T, script string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Env = append(os.Environ(), "O="+p.owned, "X="+p.other)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return strings.TrimSpace(string(out))
}

// leave starts a shell script that stays, as run does, and returns once it has said that it is ready.
func (p plot) leave(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-euc", script)
	c.Env = append(os.Environ(), "O="+p.owned, "X="+p.other)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err := errors.Join(err, c.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		_ = c.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s: says %q, %v", script, line, err)
	}
	return c
}
