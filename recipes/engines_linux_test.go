// SPDX-License-Identifier: Apache-2.0

package recipes_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// serve starts a daemon in the sandbox and waits until it answers, by a command. It lives as long as the test.
func (s sandbox) serve(answers []string, args ...string) {
	s.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Env = append(os.Environ(), "CONTAINERS_CONF=/etc/containers.conf")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	check(s.T, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	s.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		}
		if s.Failed() {
			s.Logf("%s said last:\n%s", args[0], out.Bytes()[max(0, out.Len()-1000):])
		}
	})
	for exec.CommandContext(s.Context(), answers[0], answers[1:]...).Run() != nil {
		select {
		case err := <-ended:
			s.Fatalf("%q ended: %v\n%s", args, err, out.Bytes())
		case <-time.After(100 * time.Millisecond): // the test's own limit ends this
		}
	}
}

// engine is a container engine in the sandbox, by its own program.
type engine struct {
	sandbox
	program []string
}

func (e engine) do(args ...string) string {
	e.Helper()
	c := exec.CommandContext(e.Context(), e.program[0], slices.Concat(e.program[1:], args)...)
	c.Env = append(os.Environ(), "CONTAINERS_CONF=/etc/containers.conf")
	var wrong bytes.Buffer
	c.Stderr = &wrong
	out, err := c.Output()
	if err != nil {
		e.Fatalf("%q %q: %v\n%s", e.program, args, err, wrong.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// fill makes images, containers, volumes and networks of CI, and of the machine's own mirror.
func (e engine) fill() {
	e.Helper()
	e.sh("mkdir -p /tmp/base/bin; cp /bin/busybox /tmp/base/bin/true")
	for _, image := range []string{"alpine:3", "ci/app:1", "mirror:2"} { // what makes them large is in none of the others
		e.sh("head -c 1500000 /dev/urandom >/tmp/base/bin/sleep; tar -C /tmp/base -cf /tmp/base.tar bin")
		e.do("import", "/tmp/base.tar", image)
	}
	e.sh("rm -r /tmp/base /tmp/base.tar")
	for _, name := range []string{"registry-mirror", "leftover"} {
		e.do("volume", "create", name+"-data")
		image := map[string]string{"registry-mirror": "mirror:2", "leftover": "ci/app:1"}[name]
		e.do("create", "--name="+name, "--network=none", "--volume="+name+"-data:/data", image, "/bin/sleep", "1000")
	}
	e.do("network", "create", "ci-net")
}

// has are the names of all that the engine has.
func (e engine) has() []string {
	e.Helper()
	var all []string
	for kind, args := range map[string][]string{
		"container": {"ps", "--all", "--format", "{{.Names}}"}, "volume": {"volume", "ls", "--format", "{{.Name}}"},
		"network": {"network", "ls", "--format", "{{.Name}}"}, "image": {"images", "--format", "{{.Repository}}:{{.Tag}}"},
	} {
		for name := range strings.FieldsSeq(e.do(args...)) {
			own := kind == "network" && slices.Contains([]string{"podman", "bridge", "host", "none"}, name)
			if name = strings.TrimPrefix(name, "localhost/"); !own {
				all = append(all, kind+" "+name)
			}
		}
	}
	slices.Sort(all)
	return all
}

// controlGroup begins the name of that of Docker's containers in a sandbox: it is the machine's, and goes with the test.
const controlGroup = "/pitcrew-recipes-"

func removeGroup() {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		groups, _ := filepath.Glob(root + controlGroup + "*")
		for _, group := range groups {
			below, _ := filepath.Glob(group + "/*/")
			for _, dir := range append(below, group) {
				_ = syscall.Rmdir(filepath.Clean(dir))
			}
		}
	}
}

func TestDockerHost(t *testing.T) {
	need(t, "dockerd", "docker.io")
	need(t, "runc", "runc")
	need(t, "busybox", "busybox-static")
	t.Cleanup(removeGroup)
	inSandbox(t, func(s sandbox) {
		p := s.plant()
		s.serve([]string{"docker", "version"}, "dockerd", "--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip-forward=false",
			"--cgroup-parent", controlGroup+strings.TrimSuffix(s.image, ".img"), "--exec-opt", "native.cgroupdriver=cgroupfs",
			"--default-ulimit", "nofile=1024:1024", "--default-ulimit", "nproc=4096:4096")
		e := engine{s, []string{"docker"}}
		e.fill()
		s.sh("echo 0 >/proc/sys/net/ipv4/ip_forward; mkdir -p /run/systemd/system")
		// systemd and firewalld stand in: the latter has thrown Docker's chains away when it started.
		s.standIn("systemctl", systemctl)
		s.standIn("firewall-cmd", `[ "$*" = --state ]`)
		s.standIn("iptables", `[ -e $D/chains ]`)
		s.sh("echo inactive disabled >/var/lib/stand-in/docker.unit")
		r := s.recipe("docker-host", "size: 40GB", "size: 1MB", ", network: bridge}", "}")

		report := s.run(s.program(r), cleanup)
		if report.Outcome != recipe.Reconnect { // for the new group
			s.Errorf("outcome %s: %s", report.Outcome, report.Reason)
		}
		s.survived(p)
		// The mirror needs its image and its volume; alpine is kept by its name.
		want := []string{"container registry-mirror", "image alpine:3", "image mirror:2", "volume registry-mirror-data"}
		if diff := cmp.Diff(want, e.has()); diff != "" {
			s.Errorf("the engine has (-want +got):\n%s", diff)
		}
		const orders = "systemctl --no-ask-password enable -- docker\nsystemctl --no-ask-password start -- docker\nsystemctl restart docker\n"
		if got := s.orders(); got != orders {
			s.Errorf("orders:\n%s", got)
		}
		if got := s.sh("cat /proc/sys/net/ipv4/ip_forward; id -nG jenkins"); got != "1\njenkins docker" {
			s.Errorf("settings: %q", got)
		}
		s.idle(r, cleanup, "/var/lib/docker", "/var/lib/containerd", "/etc/docker")
	})
}

// systemctl stands in for systemd: it keeps the states of units in files. A restart of Docker makes its chains.
const systemctl = `for unit; do :; done
f=$D/$unit.unit; read -r active enabled <$f || exit 3
case $1 in
is-active) [ "$active" = active ]; exit ;;
show) printf 'LoadState=%s\nActiveState=%s\nUnitFileState=%s\n' "$([ $enabled = masked ] && echo masked || echo loaded)" $active $enabled; exit ;;
restart) touch $D/chains ;;
--no-ask-password)
	case $2 in
	enable) enabled=enabled ;; start) active=active ;; stop) active=inactive ;; mask) enabled=masked ;;
	esac
	echo $active $enabled >$f ;;
esac
order "$*"`
