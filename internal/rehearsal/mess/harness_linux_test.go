// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// inside names the test that runs in namespaces of its own, in a second run of this program.
const inside = "MESS_TEST_INSIDE"

// life marks the processes of a test: nothing else sleeps so long.
const life = "4242"

func shells() []string { return []string{"dash", "bash", "busybox"} }

// need returns the path of a tool. Without it a developer's run skips, CI fails.
func need(t *testing.T, tool, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatalf("%s is missing; install the Debian package %s", tool, pkg)
	}
	if err != nil {
		t.Skipf("%s is missing (Debian package %s); CI runs this test", tool, pkg)
	}
	return path
}

// ownNamespaces reports whether this is the run of a test in mount, process and ipc namespaces of its own. If it is
// not, it starts that run. All that it leaves but loop devices ends with it.
func ownNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root, and CI is set")
		}
		t.Skip("needs root; CI runs this test")
	}
	if os.Getenv(inside) == t.Name() {
		err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		if err == nil {
			err = syscall.Mount("proc", "/proc", "proc", 0, "")
		}
		if err == nil {
			err = syscall.Mount("tmpfs", "/dev/shm", "tmpfs", 0, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		return true
	}
	t.Parallel()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.timeout=8m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = append(os.Environ(), inside+"="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("in its own namespaces:\n%s", out)
	}
	if err != nil {
		t.Error(err)
	}
	return false
}

// ground is where a mess is made.
type ground struct {
	dir, tmp, ledger string
	shell            []string
	path             string
	env              []string
	program          string
	makers           []Maker
}

func newGround(t *testing.T, shell string, makers []Maker) *ground {
	t.Helper()
	base, err := os.MkdirTemp("", "mess-test-") //nolint:usetesting // what is still mounted there goes with the namespace
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, device := range loops(t, base) {
			_ = exec.Command("losetup", "--detach", device).Run()
		}
		_ = os.RemoveAll(base) // all but what is mounted
	})
	_ = os.Chmod(base, 0o777)
	g := &ground{dir: filepath.Join(base, "ci"), tmp: filepath.Join(base, "tmp"), ledger: filepath.Join(base, "ledger"), makers: makers}
	for _, d := range []string{g.dir, g.tmp} {
		if err := os.Mkdir(d, 0o777); err != nil {
			t.Fatal(err)
		}
		_ = os.Chmod(d, 0o777)
	}
	bin := filepath.Join(base, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	path := need(t, shell, shell)
	g.path = bin + ":" + os.Getenv("PATH")
	if shell == "busybox" { // all its tools, and nothing else
		if out, err := exec.Command(path, "--install", "-s", bin).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		g.path = bin
	} else if err := os.Symlink(path, filepath.Join(bin, "sh")); err != nil {
		t.Fatal(err)
	}
	g.shell = []string{filepath.Join(bin, "sh")}
	text, err := Script(makers, testID)
	if err != nil {
		t.Fatal(err)
	}
	g.program = filepath.Join(base, "mess.sh")
	if err := os.WriteFile(g.program, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *ground) command(t *testing.T, verb string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), g.shell[0], append(g.shell[1:], g.program, verb)...)
	c.Dir = "/"
	c.Env = append([]string{
		"PATH=" + g.path, "MESS_DIR=" + g.dir, "MESS_TMP=" + g.tmp, "MESS_LEDGER=" + g.ledger, "MESS_LIFE=" + life, "MESS_FILL_QUOTA_KB=2048",
	}, g.env...)
	return c
}

// run runs a verb and returns what was said, by name.
func (g *ground) run(t *testing.T, verb string) map[string]Line {
	t.Helper()
	c := g.command(t, verb)
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.Output()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	lines, readErr := Read(out, g.makers)
	if readErr != nil {
		t.Fatalf("%s: %v, %v\n%s%s", verb, err, readErr, out, complaints.String())
	}
	left := slices.ContainsFunc(lines, func(l Line) bool { return l.State == Left })
	if (err != nil) != left || complaints.Len() > 0 {
		t.Errorf("%s: %v, left: %v, on standard error: %q", verb, err, left, complaints.String())
	}
	said := map[string]Line{}
	for _, l := range lines {
		said[l.Name] = l
	}
	return said
}

// remains are the traces of a mess that are still there, found by other means than the program's own.
func (g *ground) remains(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, d := range []string{g.dir, g.tmp, "/dev/shm"} {
		entries, err := os.ReadDir(d)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.Contains(e.Name(), testID) {
				all = append(all, filepath.Join(d, e.Name()))
			}
		}
	}
	all = append(all, sleepers(t)...)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.HasPrefix(line, "mess-"+testID) {
			all = append(all, strings.TrimSpace(line))
		}
	}
	all = append(all, loops(t, g.dir)...)
	return append(all, segments(t)...)
}

// sleepers are the living processes of a mess.
func sleepers(t *testing.T) []string {
	t.Helper()
	var all []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		line, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		if strings.HasSuffix(string(line), "sleep\x00"+life+"\x00") {
			all = append(all, "process "+filepath.Base(d))
		}
	}
	return all
}

func loops(t *testing.T, below string) []string {
	t.Helper()
	out, err := exec.Command("losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE").Output()
	if err != nil {
		t.Fatalf("losetup: %v", err)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		if name, file, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(file, below+"/") {
			all = append(all, name)
		}
	}
	return all
}

func segments(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] != "key" {
			all = append(all, "segment "+f[1])
		}
	}
	return all
}
