// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// realEngine is an engine of the machine with everything it touches in a place of its own. Its own program tells what
// it has.
type realEngine struct {
	socket  string
	program []string
	env     []string
	// group is what its containers are told about the control group they belong in.
	group []string
}

// do runs the engine's program and returns what it prints.
func (e realEngine) do(t *testing.T, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), e.program[0], append(slices.Clone(e.program[1:]), args...)...)
	c.Env = append(os.Environ(), e.env...)
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	if err := c.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", e.program[0], args, err, wrong.Bytes())
	}
	return strings.TrimSpace(out.String())
}

// has are the names of all containers, volumes, networks and images.
func (e realEngine) has(t *testing.T) []string {
	t.Helper()
	var all []string
	for kind, args := range map[string][]string{
		"container": {"ps", "--all", "--format", "{{.Names}}"}, "volume": {"volume", "ls", "--format", "{{.Name}}"},
		"network": {"network", "ls", "--format", "{{.Name}}"}, "image": {"images", "--all", "--format", "{{.Repository}}:{{.Tag}}"},
	} {
		for name := range strings.FieldsSeq(e.do(t, args...)) {
			own := kind == "network" && slices.Contains([]string{"podman", "bridge", "host", "none"}, name)
			if name = strings.TrimPrefix(name, "localhost/"); !own {
				all = append(all, kind+" "+name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// make makes a container by a verb of the engine's program, create or run.
func (e realEngine) make(t *testing.T, verb string, args ...string) {
	t.Helper()
	e.do(t, slices.Concat([]string{verb}, e.group, args)...)
}

// groupOf is the control group of a test's containers.
func groupOf(test string) string { return "/pitcrew-" + test }

// removeGroups removes the control groups of a test whose containers have ended.
func removeGroups(t *testing.T) { t.Helper(); removeGroup(groupOf(t.Name())) }

// removeGroup removes a control group and all in it, but for what is in use.
func removeGroup(group string) {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		tops, _ := filepath.Glob(root + group)
		for _, top := range tops {
			var dirs []string
			_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, _ error) error {
				if entry != nil && entry.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for _, dir := range slices.Backward(dirs) {
				_ = syscall.Rmdir(dir)
			}
		}
	}
}

// apartFromMachine gives this run of a test directories of its own where engines keep what they do not let one place.
func apartFromMachine(t *testing.T) {
	t.Helper()
	etc := copyEtc(t)
	policy := filepath.Join(etc, "containers/policy.json")
	err := errors.Join(
		os.MkdirAll(filepath.Dir(policy), 0o755), os.WriteFile(policy, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600),
		unix.Mount(etc, "/etc", "", unix.MS_BIND, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), os.Mkdir(place, 0o755), unix.Mount("tmpfs", "/dev/shm", "tmpfs", 0, ""),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// place is where an engine keeps everything; Podman wants a short path.
const place = "/run/engine"

// serve starts the engine and waits until its program finds it.
func (e realEngine) serve(t *testing.T, args ...string) {
	t.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), e.env...)
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
			if t.Failed() {
				t.Logf("%s said:\n%s", args[0], out.Bytes())
			}
		case <-time.After(20 * time.Second):
			_ = c.Process.Kill()
		}
	})
	client := unixhttp.Client{Socket: e.socket, Limit: 100}
	for {
		if answer, err := client.Do(t.Context(), "GET", "/_ping"); err == nil && answer.Status == 200 {
			return
		}
		select {
		case err := <-ended:
			t.Fatalf("%q ended: %v\n%s", args, err, out.Bytes())
		case <-time.After(50 * time.Millisecond): // the test's own limit ends this
		}
	}
}

func startPodman(t *testing.T) realEngine {
	t.Helper()
	conf := place + "/containers.conf"
	text := "[containers]\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=4096:4096\"]\n[engine]\nruntime=\"runc\"\ncgroup_manager=\"cgroupfs\"\nevents_logger=\"none\"\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	e := realEngine{socket: place + "/s", env: []string{"CONTAINERS_CONF=" + conf}, group: []string{"--network=none", "--cgroup-parent=" + groupOf(t.Name())}}
	e.program = []string{"podman", "--root", place + "/root", "--runroot", place + "/run", "--tmpdir", place + "/tmp", "--storage-driver", "vfs"}
	e.serve(t, append(slices.Clone(e.program), "system", "service", "--time=0", "unix://"+e.socket)...)
	return e
}

func startDocker(t *testing.T) realEngine {
	t.Helper()
	e := realEngine{socket: place + "/s", program: []string{"docker", "--host", "unix://" + place + "/s"}, group: []string{"--network=none"}}
	e.serve(
		t, "dockerd", "--host", "unix://"+e.socket, "--data-root", place+"/root", "--exec-root", place+"/exec", "--pidfile", place+"/pid",
		"--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip-forward=false",
		"--cgroup-parent", groupOf(t.Name()), "--exec-opt", "native.cgroupdriver=cgroupfs",
		"--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=4096:4096",
	)
	return e
}

// importBase makes the image that everything is made of: one busybox.
func (e realEngine) importBase(t *testing.T) {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(open(t), "base.tar"))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(file)
	head := w.WriteHeader(&tar.Header{Name: "bin/sleep", Mode: 0o755, Size: int64(len(busybox))})
	_, written := w.Write(busybox)
	if err := errors.Join(head, written, w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	e.do(t, "import", file.Name(), "base:1")
	t.Cleanup(func() { // so that no control group is left in use
		c := exec.Command(e.program[0], append(slices.Clone(e.program[1:]), "rm", "--force", "guard", "agent", "leftover")...)
		c.Env = append(os.Environ(), e.env...)
		_ = c.Run()
	})
}

func TestPodmanIsCleaned(t *testing.T) { realEngineIsCleaned(t, startPodman, "podman", "runc") }

func TestDockerIsCleaned(t *testing.T) {
	realEngineIsCleaned(t, startDocker, "dockerd", "docker", "runc")
}

// needs has a test skipped, or failed in CI, where a program is missing.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "true" {
			t.Fatalf("%v (scripts/test-deps.sh installs it)", err)
		} else if err != nil {
			t.Skipf("%v (scripts/test-deps.sh installs it)", err)
		}
	}
}

func realEngineIsCleaned(t *testing.T, start func(*testing.T) realEngine, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	needs(t, programs...)
	if !ownNamespaces(t, unix.CLONE_NEWNET) {
		removeGroups(t)
		return
	}
	apartFromMachine(t)
	e := start(t)
	e.importBase(t)
	label := []string{"--label=ci=yes"}
	e.do(t, "volume", "create", "guard-data")
	e.do(t, "volume", "create", "plain")
	e.do(t, "volume", "create", "--label=ci=yes", "labelled")
	e.do(t, "network", "create", "--label=ci=yes", "labelled")
	e.do(t, "network", "create", "ci-net")
	e.do(t, "network", "create", "other")
	run := func(name string, more ...string) {
		e.make(t, "run", slices.Concat([]string{"--detach", "--name=" + name}, more, []string{"base:1", "/bin/sleep", "1000"})...)
	}
	run("guard", "--volume=guard-data:/data")
	run("leftover", append(label, "--volume=labelled:/data", "--volume=/anonymous", "--env=JOB_NAME=app", "--env=BUILD_NUMBER=7")...)
	run("paused", label...)
	e.do(t, "pause", "paused")
	run("again", append(label, "--restart=always")...)
	e.make(t, "create", "--name=ci-created", "base:1", "/bin/sleep", "1")
	e.do(t, append([]string{"create", "--name=side", "--network=container:leftover"}, append(label, "base:1", "/bin/sleep", "1")...)...)
	e.do(t, "commit", "leftover", "ci-app:1")
	e.do(t, "commit", "leftover", "prod:1")
	e.do(t, "tag", "prod:1", "ci-prod:1")

	s := spec.Spec{
		Owned: spec.Ownership{Labels: []string{"ci=yes"}, Names: []string{"ci-*"}},
		Goal:  spec.Goal{Containers: &spec.Containers{Sockets: []string{e.socket}, Images: &spec.Images{Keep: []string{"prod"}}}},
	}
	before := e.has(t)
	if plan := reach(t, s, scrub.Here{}, scrub.Plan); plan.State != spec.Planned || len(plan.Found) < 9 {
		t.Errorf("plan %+v; want nine things or more to go", plan)
	}
	if diff := cmp.Diff(before, e.has(t)); diff != "" {
		t.Errorf("a plan changed something:\n%s", diff)
	}
	r := reach(t, s, scrub.Here{}, scrub.Do)
	i := slices.IndexFunc(r.Found, func(f spec.Residue) bool { return strings.HasPrefix(f.ID, "leftover (") })
	if r.State != spec.Changed || i < 0 || r.Found[i].Culprit == nil || *r.Found[i].Culprit != (spec.Culprit{Job: "app", Build: 7, By: "environment"}) {
		t.Errorf("result %+v; want it changed, and the leftover of app #7", r)
	}
	want := []string{"container guard", "image base:1", "image ci-prod:1", "image prod:1", "network other", "volume guard-data", "volume plain"}
	if diff := cmp.Diff(want, e.has(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("a second run: %+v; want it unchanged", r)
	}
	e.emptied(t)
}

// emptied has the engine emptied by a program that runs in one of its containers.
func (e realEngine) emptied(t *testing.T) {
	t.Helper()
	program := filepath.Join(open(t), "scrub")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/scrub")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build scrub: %v\n%s", err, out)
	}
	text, err := spec.Spec{Version: spec.Version, Name: "all", Goal: spec.Goal{Containers: &spec.Containers{
		All: true, Sockets: []string{"/engine"}, Images: &spec.Images{}, BuildCache: &spec.BuildCache{},
	}}}.Encode()
	order := filepath.Join(filepath.Dir(program), "spec")
	if err := errors.Join(err, os.WriteFile(order, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"containers: changed", "containers: unchanged"} {
		out := e.do(t, slices.Concat([]string{"run"}, e.group, []string{
			"--name=agent", "--volume=" + program + ":/scrub:ro", "--volume=" + order + ":/spec:ro", "--volume=" + e.socket + ":/engine",
			"base:1", "/scrub", "run", "/spec",
		})...)
		if !strings.Contains(out, says) || !strings.Contains(out, "container agent is left alone: this program or an agent lives in it") {
			t.Errorf("it says:\n%s\nwant %q and that its own container stays", out, says)
		}
		if diff := cmp.Diff([]string{"container agent", "image base:1"}, e.has(t)); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		e.do(t, "rm", "agent")
	}
}
