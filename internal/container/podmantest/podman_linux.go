// SPDX-License-Identifier: Apache-2.0

package podmantest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place is where Podman keeps everything; it wants a short path.
const place = "/run/engine"

// Podman is one of a test's own.
type Podman struct {
	Socket  string // of a service that was started with it
	program []string
}

// Start starts Podman's service on a socket of its own. The test is in namespaces of its own.
func Start(t *testing.T) Podman {
	t.Helper()
	etc := filepath.Join(t.TempDir(), "etc")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", "/etc", etc).CombinedOutput(); err != nil {
		t.Fatalf("copy /etc: %s", out)
	}
	policy, conf := filepath.Join(etc, "containers/policy.json"), place+"/containers.conf"
	// Without events Podman does not see the end of a container whose log is followed, and ends the log at its first pause.
	text := `[containers]
default_ulimits=["nofile=1024:1024","nproc=4096:4096"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
events_logger="file"
`
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), unix.Mount("proc", "/proc", "proc", 0, ""),
		os.MkdirAll(filepath.Dir(policy), 0o750), os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600),
		os.WriteFile(filepath.Join(etc, "machine-id"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600),
		unix.Mount(etc, "/etc", "", unix.MS_BIND, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		os.Mkdir(place, 0o750), unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""), os.WriteFile(conf, []byte(text), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONTAINERS_CONF", conf)
	p := Podman{Socket: place + "/s", program: []string{
		"podman", "--root", place + "/root", "--runroot", place + "/run", "--tmpdir", place + "/tmp", "--storage-driver", "vfs",
	}}
	p.Serve(t, p.Socket)
	return p
}

// Service is a process of Podman that answers on a socket.
type Service struct {
	command *exec.Cmd
	ended   chan error
}

// Serve starts another service for the same containers and waits until it answers. It is ended at the end of the test.
func (p Podman) Serve(t *testing.T, socket string) *Service {
	t.Helper()
	args := p.args("system", "service", "--time=0", "unix://"+socket)
	life := context.WithoutCancel(t.Context()) // until the end of what the test cleans up
	s := &Service{command: exec.CommandContext(life, args[0], args[1:]...), ended: make(chan error, 1)}
	var out bytes.Buffer
	s.command.Stdout, s.command.Stderr = &out, &out
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.command.Wait() }()
	t.Cleanup(func() {
		_ = s.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended: //nolint:errcheck // it was told to
		case <-time.After(20 * time.Second):
			_ = s.command.Process.Kill()
		}
		if t.Failed() {
			t.Logf("%q said:\n%s", args, out.Bytes())
		}
	})
	for {
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", socket); err == nil {
			_ = conn.Close()
			return s
		}
		select {
		case err := <-s.ended:
			t.Fatalf("%q ended: %v\n%s", args, err, out.Bytes())
		case <-time.After(50 * time.Millisecond): // the test's own limit ends this
		}
	}
}

// Kill ends the service as the machine's OOM killer does, and returns when it is gone. Its containers live on.
func (s *Service) Kill() {
	_ = s.command.Process.Kill() // ended already
	err := <-s.ended
	s.ended <- err // for the end of the test
}

func (p Podman) args(words ...string) []string { return slices.Concat(p.program, words) }

// Run runs podman with these words, which must succeed, and returns what it prints.
func (p Podman) Run(t *testing.T, words ...string) string {
	t.Helper()
	args := p.args(words...)
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Import makes an image from what is in a tar archive, with changes as Podman takes them.
func (p Podman) Import(t *testing.T, name string, root []byte, changes ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(file, root, 0o600); err != nil {
		t.Fatal(err)
	}
	words := []string{"import", "--quiet"}
	for _, change := range changes {
		words = append(words, "--change", change)
	}
	p.Run(t, append(words, file, name)...)
}

// Root is a tar archive of directories that belong to user 1000, whose names end with a slash, and of executables.
func Root(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		head := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name]))}
		if name[len(name)-1] == '/' {
			head = &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, Uid: 1000, Gid: 1000}
		}
		err := w.WriteHeader(head)
		_, wrote := w.Write(files[name])
		if err := errors.Join(err, wrote); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return root.Bytes()
}
