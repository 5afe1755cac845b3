// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// place is where Podman keeps everything; it wants a short path.
const place = "/run/engine"

// engine is a Podman of the test's own.
type engine struct {
	socket  string
	program []string
	client  *client.Client
}

// startPodman starts Podman's service on a socket of its own and imports what the tests start.
func startPodman(t *testing.T) engine {
	t.Helper()
	etc := filepath.Join(t.TempDir(), "etc")
	if out, err := exec.Command("cp", "-a", "/etc", etc).CombinedOutput(); err != nil {
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
		os.MkdirAll(filepath.Dir(policy), 0o755), os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600),
		os.WriteFile(filepath.Join(etc, "machine-id"), []byte("0123456789abcdef0123456789abcdef\n"), 0o600),
		unix.Mount(etc, "/etc", "", unix.MS_BIND, ""), unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"),
		os.Mkdir(place, 0o755), unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""), os.WriteFile(conf, []byte(text), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("bring loopback up: %s", out)
	}
	t.Setenv("CONTAINERS_CONF", conf)
	e := engine{socket: place + "/s", program: []string{
		"podman", "--root", place + "/root", "--runroot", place + "/run", "--tmpdir", place + "/tmp", "--storage-driver", "vfs",
	}}
	serve(t, e.socket, append(slices.Clone(e.program), "system", "service", "--time=0", "unix://"+e.socket)...)
	if e.client, err = client.New(client.WithHost("unix://" + e.socket)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.client.Close() })
	e.imports(t)
	return e
}

// serve starts an engine and waits until it answers.
func serve(t *testing.T, socket string, args ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", args[0], out.Bytes())
		}
	})
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("%q ended: %v\n%s", args, err, out.Bytes())
		case <-time.After(50 * time.Millisecond): // the test's own limit ends this
		}
	}
}

// Images that the tests start. The first has a user and a volume, as the official one has.
const (
	image      = "localhost/jenkins:test"
	imageRoot  = "localhost/jenkins-root:test"
	imageBaked = "localhost/jenkins-baked:test" // its home has something in it
	imageEmpty = "localhost/nothing:test"       // its program does not exist
)

// imports makes the images from one static program.
func (e engine) imports(t *testing.T) {
	t.Helper()
	program, err := fake()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	err = errors.Join(
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "var/", Mode: 0o755}),
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "var/jenkins_home/", Mode: 0o755, Uid: 1000, Gid: 1000}),
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "baked/", Mode: 0o755, Uid: 1000, Gid: 1000}),
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "baked/plugins/", Mode: 0o755, Uid: 1000, Gid: 1000}),
		w.WriteHeader(&tar.Header{Name: "jenkins", Mode: 0o755, Size: int64(len(text))}),
	)
	_, wrote := w.Write(text)
	if err := errors.Join(err, wrote, w.Close()); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(file, root.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	start := []string{`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/var/jenkins_home"}
	for name, changes := range map[string][]string{
		image:      append(start, "USER 1000:1000", "VOLUME /var/jenkins_home", "ENV JAVA_OPTS=-Dimage.own=yes"),
		imageRoot:  {`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/somewhere/else"},
		imageBaked: {`ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/baked", "USER 1000:1000"},
		imageEmpty: {`ENTRYPOINT ["/there-is-no-such-program"]`},
	} {
		args := slices.Concat(e.program[1:], []string{"import", "--quiet"})
		for _, change := range changes {
			args = append(args, "--change", change)
		}
		if out, err := exec.CommandContext(t.Context(), e.program[0], append(args, file, name)...).CombinedOutput(); err != nil {
			t.Fatalf("import %s: %v\n%s", name, err, out)
		}
	}
}

// spec is that of a controller in this engine. Options are those of testdata/jenkins.
func (e engine) spec(options ...string) container.Spec {
	s := container.Spec{Image: container.Image{Name: image, Engine: e.socket}, ReadyWithin: waitLimit}
	for _, o := range options {
		s.JavaOptions = append(s.JavaOptions, "-Dfake."+o)
	}
	return s
}

// has are the containers with a label of ours whose run is this, and all volumes that belong to no container.
func (e engine) has(t *testing.T, run string) []string {
	t.Helper()
	// What a cancelled test left behind must be looked for as well.
	ctx := context.WithoutCancel(t.Context())
	list, err := e.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range list.Items {
		if c.Labels["io.github.pitcrew-ci.ephemeral.run"] == run {
			all = append(all, "container "+strings.TrimPrefix(c.Names[0], "/"))
		}
	}
	return all
}

// volumes are all there are.
func (e engine) volumes(t *testing.T) []string {
	t.Helper()
	list, err := e.client.VolumeList(context.WithoutCancel(t.Context()), client.VolumeListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, v := range list.Items {
		all = append(all, v.Name)
	}
	return all
}

// named is a spec whose containers can be told from those of other tests.
func named(t *testing.T, s container.Spec) container.Spec {
	t.Helper()
	s.Owner = container.Self(t.Name())
	return s
}

// inspect is all that the engine has to say of the containers of a run, as text and decoded.
func (e engine) inspect(t *testing.T, name string) (client.ContainerInspectResult, string) {
	t.Helper()
	found, err := e.client.ContainerInspect(t.Context(), name, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(found.Raw)
	if err != nil {
		t.Fatal(err)
	}
	return found, string(text)
}

// only is the name of the one container of a test.
func (e engine) only(t *testing.T) string {
	t.Helper()
	all := e.has(t, t.Name())
	if len(all) != 1 {
		t.Fatalf("the engine has %q; want one container", all)
	}
	return strings.TrimPrefix(all[0], "container ")
}

// TestPodman has all that needs an engine. They share one, so each looks at what is its own by the name of its run.
func TestPodman(t *testing.T) {
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	needs(t, "podman", "runc", "ip")
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("namespaces of its own need root")
		}
		t.Skip("namespaces of its own need root")
	}
	if !ownNamespaces(t) {
		return
	}
	e := startPodman(t)
	t.Run("all", func(t *testing.T) { // returns when the parallel ones have ended
		for name, test := range map[string]func(*testing.T, engine){
			"starts and stops": startsAndStops, "limits": limitsAreSet, "secrets": tokenStandsNowhere, "homes": homesOfImages,
			"death": deathIsSeen, "removed": removalIsSeen, "failures": failuresLeaveNothing, "port": portIsTaken, "network": inNetwork, "cancel": cancelledAnywhere,
			"archive": fromArchive, "sweep": sweepOfDead, "engine lost": engineConnectionIsLost, "advertised": advertisedURL, "files": filesOfSeed,
			"noise": logIsCaptured, "pull": pullOfImage,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, e)
			})
		}
	})
	if left := e.volumes(t); len(left) != 0 {
		t.Errorf("volumes that are left: %q", left)
	}
	http.DefaultClient.CloseIdleConnections()
}
