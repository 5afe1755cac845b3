// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// podman puts an engine into the ground's search path whose store is the ground's own, with one image. It returns what asks it.
func (g *ground) podman(t *testing.T) (ask func(args ...string) string) {
	t.Helper()
	program := need(t, "podman", "podman")
	need(t, "runc", "runc")
	busybox, err := os.ReadFile(need(t, "busybox", "busybox-static"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("", "mess-engine-") //nolint:usetesting // it is longer in use than a test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	conf, image, wrapper := filepath.Join(base, "containers.conf"), filepath.Join(base, "image.tar"), filepath.Join(filepath.Dir(g.shell[0]), "podman")
	const settings = `[containers]
default_ulimits=["nofile=1024:1024","nproc=4096:4096"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="none"
`
	file, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	head := w.WriteHeader(&tar.Header{Name: "bin/sleep", Mode: 0o755, Size: int64(len(busybox))})
	_, written := w.Write(busybox)
	script := fmt.Sprintf("#!/bin/sh\nexec env CONTAINERS_CONF=%[1]s/containers.conf %s --root %[1]s/root --runroot %[1]s/run --tmpdir %[1]s/tmp --storage-driver vfs \"$@\"\n", base, program)
	if err := errors.Join(head, written, w.Close(), file.Close(), os.WriteFile(conf, []byte(settings), 0o600), os.WriteFile(wrapper, []byte(script), 0o700)); err != nil {
		t.Fatal(err)
	}
	ask = func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), wrapper, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("podman %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	ask("import", image, "base:1")
	return ask
}

func TestAContainerIsLeftRunningAndUndone(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", named("container"))
	ask := g.podman(t)
	ask("volume", "create", "theirs")
	if l := g.run(t, "make")["container"]; l.State != Made {
		t.Fatalf("%s", l)
	}
	if got := strings.Fields(ask("ps", "--quiet")); len(got) != 1 {
		t.Errorf("containers that run: %q", got)
	}
	if l := g.run(t, "undo")["container"]; l.State != Removed {
		t.Errorf("%s", l)
	}
	if got := ask("ps", "--all", "--quiet"); got != "" {
		t.Errorf("containers that remain: %s", got)
	}
	if got := ask("volume", "ls", "--quiet"); got != "theirs" {
		t.Errorf("volumes: %s", got)
	}
	if l := g.run(t, "undo")["container"]; l.State != Gone {
		t.Errorf("again: %s", l)
	}
}

func TestAContainerThatTheCandidateRemovedIsGone(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", named("container"))
	ask := g.podman(t)
	if l := g.run(t, "make")["container"]; l.State != Made {
		t.Fatalf("%s", l)
	}
	ask("rm", "--force", "--all")
	ask("volume", "rm", "--all", "--force")
	if l := g.run(t, "undo")["container"]; l.State != Gone {
		t.Errorf("%s", l)
	}
}
