// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// A build with root may have mounted anything where the recipe has something emptied, and what the step "mounts" could not
// unmount is still there then.
func TestWhatIsBoundIntoAnEmptiedDirectoryStays(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	base := open(t)
	owned, others := filepath.Join(base, "ci"), filepath.Join(base, "others")
	plant(t, others, "document", "cache/precious")
	plant(t, owned, "at/", "way/", "memory/", "ours/x", "twin/", "plain/x")
	bind := func(source, target string) {
		t.Helper()
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	bind(others, filepath.Join(owned, "at"))
	bind(others, filepath.Join(owned, "way"))
	bind(filepath.Join(owned, "ours"), filepath.Join(owned, "twin"))
	if err := unix.Mount("none", filepath.Join(owned, "memory"), "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	plant(t, owned, "memory/x")
	if err := os.Symlink(others, filepath.Join(owned, "link")); err != nil {
		t.Fatal(err)
	}
	step := func(names ...string) spec.Result {
		s := spec.Spec{Owned: spec.Ownership{Paths: []string{owned}}, Goal: spec.Goal{Files: &spec.Files{}}}
		for _, name := range names {
			s.Files.Paths = append(s.Files.Paths, filepath.Join(owned, name))
		}
		return reach(t, s, scrub.Here{}, scrub.Do)
	}
	if r := step("memory", "twin", "plain"); r.State != spec.Changed || r.Removed != 3 {
		t.Errorf("of what is only ours: %+v; want three files gone", r)
	}
	for name, why := range map[string]string{"at": others + ", which is not owned", "way/cache": others + "/cache, which is not owned", "link": "leads to " + others} {
		if r := step(name); r.State != spec.Unmet || !strings.Contains(r.Reason, why) {
			t.Errorf("%s: %+v; want it to stay because of %q", name, r, why)
		}
	}
	bind(others, owned)
	if r := step(); r.State != spec.Unmet || !strings.Contains(r.Reason, "which is not owned; own that too") {
		t.Errorf("bound at the owned path itself: %+v", r)
	}
	if err := errors.Join(unix.Unmount(owned, 0), unix.Mount("none", owned, "tmpfs", 0, "")); err != nil {
		t.Fatal(err)
	}
	plant(t, owned, "x")
	if r := step(); r.State != spec.Changed || r.Removed != 1 {
		t.Errorf("a file system of its own at the owned path: %+v; want one file gone", r)
	}
	if diff := cmp.Diff([]string{"cache", "cache/precious", "document"}, listing(t, others)); diff != "" {
		t.Errorf("of others (-want +got):\n%s", diff)
	}
}

// The kernel tells where an agent is by other words than the recipe, where root has put a link on the way.
func TestAnAgentBehindALinkStays(t *testing.T) {
	t.Parallel()
	asRoot(t)
	base := open(t)
	plant(t, base, "export/ci/agent/remoting/x", "export/ci/left/x")
	if err := os.Symlink(filepath.Join(base, "export"), filepath.Join(base, "home")); err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Owned: spec.Ownership{Paths: []string{filepath.Join(base, "home/ci")}}, Goal: spec.Goal{Files: &spec.Files{}}}
	here := scrub.Here{Spared: []string{filepath.Join(base, "export/ci/agent/remoting")}}
	if r := reach(t, s, here, scrub.Do); r.State != spec.Changed || r.Removed != 1 {
		t.Errorf("result %+v; want one thing gone", r)
	}
	s.Owned.Paths, here.Spared = []string{filepath.Join(base, "export/ci")}, []string{filepath.Join(base, "home/ci/agent")}
	if r := reach(t, s, here, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("with the words exchanged: %+v; want nothing to do", r)
	}
	if diff := cmp.Diff([]string{"agent", "agent/remoting", "agent/remoting/x"}, listing(t, filepath.Join(base, "export/ci"))); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// The directory of an agent holds what lets it connect again.
func TestAnAgentsOwnDirectoryIsNotEmptied(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for _, told := range []string{"", "-workDir", "-fsroot"} {
		t.Run("told by "+told, func(t *testing.T) {
			t.Parallel()
			home := open(t)
			plant(t, home, ".ssh/authorized_keys", "workspace/job/x", "other/x")
			agentStarts(t, home, told)
			here := scrub.HereFromEnvironment() // it is no ancestor of ours
			s := spec.Spec{Owned: spec.Ownership{Paths: []string{home}}, Goal: spec.Goal{Files: &spec.Files{}}}
			before := listing(t, home)
			if r := reach(t, s, here, scrub.Do); r.State != spec.Unmet || !strings.Contains(r.Reason, "an agent's own directory") {
				t.Errorf("%+v; want a refusal", r)
			}
			if diff := cmp.Diff(before, listing(t, home)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			s.Files.Paths = []string{filepath.Join(home, "workspace")}
			if r := reach(t, s, here, scrub.Do); r.State != spec.Changed || r.Removed != 1 {
				t.Errorf("a directory in it: %+v; want one thing gone", r)
			}
		})
	}
}

// agentStarts starts what looks like an agent: in its directory home, or elsewhere and told of it by an option.
func agentStarts(t *testing.T, home, told string) {
	t.Helper()
	line, dir := `exec -a java "$0" -s hudson.remoting.Launcher`, home
	if told != "" {
		line, dir = line+` "$1" "$2"`, open(t)
	}
	agent := exec.CommandContext(t.Context(), "bash", "-c", line, linkedJava(t), told, home)
	agent.Dir = dir
	in, err := agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = agent.Wait()
	})
	if _, err := io.WriteString(in, "echo up; read end\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Fatalf("%q, %v; want the agent to run", line, err)
	}
}

// linkedJava is a shell that is called as Java is.
func linkedJava(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/bin/bash")
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(open(t), "java")
	// A process that another test starts meanwhile would hold the file open for writing until it executes, and nobody could execute this one.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(at, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return at
}

// listener is a socket that a second run of this program listens on until its standard input ends.
const listener = "SCRUB_TEST_LISTENER"

func TestSocketsOfServicesWithTheirOwnNetworkStay(t *testing.T) {
	if at := os.Getenv(listener); at != "" {
		listenUntilEnd(t, at)
		return
	}
	t.Parallel()
	asRoot(t)
	shared := open(t)
	games := int(uidOf(t, "games"))
	plant(t, shared, "elsewhere/", "linked/", "left/x")
	link := open(t)
	if err := os.Symlink(shared, filepath.Join(link, "run")); err != nil {
		t.Fatal(err)
	}
	listens(t, "", filepath.Join(shared, "elsewhere/socket"), syscall.CLONE_NEWNET)
	listens(t, "", filepath.Join(shared, "elsewhere/other"), syscall.CLONE_NEWNET|syscall.CLONE_NEWNS)
	listens(t, "", filepath.Join(link, "run/linked/socket"), 0)
	for _, name := range []string{"elsewhere", "linked", "left"} {
		if err := os.Chown(filepath.Join(shared, name), games, -1); err != nil {
			t.Fatal(err)
		}
	}
	s := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games"}}, Goal: spec.Goal{Files: &spec.Files{Shared: []string{shared}}}}
	if r := reach(t, s, scrub.Here{}, scrub.Do); r.State != spec.Changed || r.Removed != 1 {
		t.Errorf("result %+v; want one thing gone", r)
	}
	want := []string{"elsewhere", "elsewhere/other", "elsewhere/socket", "linked", "linked/socket"}
	if diff := cmp.Diff(want, listing(t, shared)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// listens has a second run of this program listen on a socket, whose name may be relative to a directory.
func listens(t *testing.T, dir, at string, namespaces uintptr) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$")
	c.Env, c.Dir = append(os.Environ(), listener+"="+at), dir
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "listening\n" {
		t.Fatalf("%q, %v; want it to listen", line, err)
	}
}

func listenUntilEnd(t *testing.T, at string) {
	t.Helper()
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := os.Stdout.WriteString("listening\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}
