// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// inside says to a test that it is in namespaces of its own.
const inside = "PITCREW_TEST_CONTAINER_INSIDE"

// ownNamespaces runs the test once more in a process that has mounts, processes, a network and a host name of its own, which takes all that
// was started with it when it ends. It returns true there.
func ownNamespaces(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == t.Name() {
		return true
	}
	t.Parallel()
	// -test.run may name one of the test's own.
	pattern := "^" + t.Name() + "$"
	if _, sub, ok := strings.Cut(flag.Lookup("test.run").Value.String(), "/"); ok {
		pattern += "/" + sub
	}
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run="+pattern, "-test.timeout=10m", fmt.Sprintf("-test.v=%v", testing.Verbose()))
	c.Env = append(os.Environ(), inside+"="+t.Name(), "TMPDIR="+t.TempDir())
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

// processes is the text of all command lines and environments of this PID namespace.
func processes(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no processes: %v", err)
		}
		for _, file := range files {
			text, _ := os.ReadFile(file) // it may have ended
			all.Write(text)
		}
	}
	return all.String()
}
