// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// inside says to a test that it is in namespaces of its own.
const inside = "PITCREW_TEST_CONTAINER_INSIDE"

// InNamespaces runs the test once more in a process that has mounts, processes, a network and a host name of its own, which takes all that
// was started with it when it ends. It returns true there. more is for its environment.
func InNamespaces(t *testing.T, more ...string) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Geteuid() != 0 {
		absent(t, "namespaces of its own need root")
	}
	Needs(t, "podman", "runc", "ip")
	t.Parallel()
	// -test.run may name one of the test's own.
	pattern := "^" + t.Name() + "$"
	if _, sub, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		pattern += "/" + sub
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The network has nothing but a loopback interface that is down.
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `ip link set lo up && exec "$0" "$@"`, self,
		"-test.run="+pattern, "-test.timeout=10m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = append(os.Environ(), inside+"="+t.Name(), "TMPDIR="+t.TempDir())
	c.Env = append(c.Env, more...)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL,
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

// Inside reports whether this process is one that [InNamespaces] has started.
func Inside() bool { return os.Getenv(inside) != "" }

// Needs has a test skipped, or failed in CI, where a program is missing.
func Needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			absent(t, fmt.Sprintf("%v (scripts/test-deps.sh installs it)", err))
		}
	}
}

func absent(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
