// SPDX-License-Identifier: Apache-2.0

package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/container/podmantest"
)

// boxed is the image of an ephemeral controller: a jenkinstest that agent programs connect to.
const boxed = "localhost/jenkins:endtoend"

// imageOf makes that image.
func imageOf(t *testing.T, p podmantest.Podman) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jenkins")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", file, "github.com/pitcrew-ci/pitcrew/internal/container/testdata/jenkins")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the controller: %v\n%s", err, out)
	}
	jenkins, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	jar := borrower.Get(t.Context(), t, "/jnlpJars/agent.jar")
	root := podmantest.Root(t, map[string][]byte{"var/": nil, "var/jenkins_home/": nil, "jenkins": jenkins, "agent.jar": []byte(jar)})
	p.Import(t, boxed, root, `ENTRYPOINT ["/jenkins"]`, "ENV JENKINS_HOME=/var/jenkins_home", "USER 1000:1000", "VOLUME /var/jenkins_home")
}

// box is a rehearser with an engine.
type box struct {
	*rehearser
	t      *testing.T
	engine podmantest.Podman
}

// rehearsal is one whose controller is a container of the engine behind a socket.
func (b *box) rehearsal(socket string, arguments ...string) *exec.Cmd {
	b.Helper()
	return b.commandAt([]string{"--image", boxed, "--engine", socket}, wipes, furnish, arguments...)
}

// left are the containers and volumes of the engine.
func left(t *testing.T, p podmantest.Podman) string {
	t.Helper()
	return strings.TrimSpace(p.Run(t, "ps", "--all", "--format", "{{.Names}}") + p.Run(t, "volume", "ls", "--quiet"))
}

// TestARehearsalInAContainer has all that needs an engine. The parts share one, but for the one that kills it.
func TestARehearsalInAContainer(t *testing.T) {
	switch {
	case testing.Short():
		t.Skip("mostly runs other programs; left to the longer run")
	case absent != nil:
		t.Skip(absent)
	case controller.Real:
		t.Skip("in a network of its own no controller of the environment can be reached")
	case !podmantest.InNamespaces(t, builtProgram+"="+program):
		return
	}
	p := podmantest.Start(t)
	imageOf(t, p)
	t.Run("all", func(t *testing.T) { // returns when the parallel ones have ended
		for name, part := range map[string]func(*box){
			"engine killed": engineIsKilled, "container killed": containerIsKilled, "rehearsal killed": rehearsalIsKilled,
			"engine gone": engineIsGone, "engine or container killed at any part": killedAtParts,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				part(&box{newRehearser(t, ""), t, p})
			})
		}
	})
	if all := left(t, p); all != "" {
		t.Errorf("left is %q", all)
	}
}

// starts is held while a rehearsal starts, which sweeps, and locked by who leaves something that only its own next one may sweep.
var starts sync.RWMutex

// begin starts a rehearsal and waits until its candidate runs.
func (b *box) begin(c *exec.Cmd) (said *journal, ended chan error) {
	b.Helper()
	starts.RLock()
	defer starts.RUnlock()
	return b.awaitRun(c)
}

// engineIsKilled goes on with the container that lives, once the engine is there again.
func engineIsKilled(b *box) {
	socket := filepath.Join(filepath.Dir(b.engine.Socket), "another")
	service := b.engine.Serve(b.t, socket)
	c := b.rehearsal(socket)
	said, ended := b.begin(c)
	service.Kill()
	b.must(os.Remove(socket))
	b.engine.Serve(b.t, socket)
	b.must(os.Remove(filepath.Join(b.dir, "hold")))
	if err := <-ended; err != nil {
		b.Errorf("%v\n%s", err, said)
	}
	b.leavesNothing()
}

// containerIsKilled ends the rehearsal, which blames nobody for it.
func containerIsKilled(b *box) {
	c := b.rehearsal(b.engine.Socket)
	said, ended := b.begin(c)
	b.engine.Run(b.t, "kill", "--signal", "KILL", b.container(c))
	<-ended
	if got := c.ProcessState.ExitCode(); got != 1 {
		b.Errorf("it ended with %d", got)
	}
	text := strings.Join(strings.Fields(said.String()), " ")
	for _, want := range []string{"ended with exit code 137", "Jenkins is fully up and running", ": BROKEN", "the controller of the rehearsal died"} {
		if !strings.Contains(text, want) {
			b.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(text, "left behind") {
		b.Error("it says that something is left behind")
	}
	b.leavesNothing()
}

// killedAtParts kills the engine, and in another rehearsal the container, at parts of a rehearsal; PITCREW_LONG=1 does so at all of them.
func killedAtParts(b *box) {
	socket := filepath.Join(filepath.Dir(b.engine.Socket), "fourth")
	service := b.engine.Serve(b.t, socket)
	for i, part := range append([]string{"starts a Jenkins"}, parts...) {
		for j, victim := range []string{"engine", "container"} {
			if i == 0 && victim == "container" || os.Getenv("PITCREW_LONG") == "" && (i+j)%6 != 0 {
				continue // there is none yet, or it is left to the longer run
			}
			c := b.rehearsal(socket)
			starts.RLock()
			said := b.until(c, part)
			starts.RUnlock()
			if victim == "engine" {
				service.Kill()
				b.must(os.Remove(socket))
				service = b.engine.Serve(b.t, socket)
			} else {
				b.engine.Run(b.t, "kill", "--signal", "KILL", b.container(c))
			}
			_ = c.Wait() // the code is looked at
			code := c.ProcessState.ExitCode()
			b.Logf("%s at %q: it ended with %d", victim, part, code)
			if mayFail := victim == "container" || i == 0; code != 0 && (code != 1 || !mayFail) {
				b.Errorf("%s at %q: it ended with %d:\n%s", victim, part, code, said)
			}
			b.leavesNothing()
		}
	}
}

// engineIsGone leaves what only an engine can remove, says so, and returns the rest.
func engineIsGone(b *box) {
	socket := filepath.Join(filepath.Dir(b.engine.Socket), "third")
	service := b.engine.Serve(b.t, socket)
	c := b.rehearsal(socket)
	said, ended := b.begin(c)
	name := b.container(c)
	starts.Lock()
	defer starts.Unlock()
	service.Kill()
	b.must(c.Process.Signal(syscall.SIGINT))
	<-ended
	if got := c.ProcessState.ExitCode(); got != 130 || strings.Count(said.String(), "left behind: the Jenkins http://") != 1 || strings.Count(said.String(), "left behind") != 1 {
		b.Errorf("it ended with %d:\n%s", got, said)
	}
	b.leavesNothing()
	b.isSwept(name)
}

// rehearsalIsKilled leaves a container until the next one.
func rehearsalIsKilled(b *box) {
	c := b.rehearsal(b.engine.Socket, "--ttl", "10s")
	_, ended := b.begin(c)
	name := b.container(c)
	starts.Lock()
	defer starts.Unlock()
	b.must(c.Process.Kill())
	<-ended
	b.leavesNothing()
	b.isSwept(name)
}

// isSwept starts another rehearsal, which removes the container that one has left.
func (b *box) isSwept(name string) {
	b.Helper()
	if all := left(b.t, b.engine); !strings.Contains(all, name) {
		b.Fatalf("its container is gone already; there are\n%s", all)
	}
	next, said := b.rehearsal(b.engine.Socket), &journal{}
	next.Stderr = said
	b.must(next.Start())
	b.await("the next rehearsal's sweep", func() bool {
		return strings.Contains(said.String(), "removed what a killed rehearsal has left: ") && !strings.Contains(left(b.t, b.engine), name)
	})
	b.must(next.Process.Signal(syscall.SIGINT))
	_ = next.Wait() // the code is looked at
	if got := next.ProcessState.ExitCode(); got != 130 {
		b.Errorf("the next one ended with %d:\n%s", got, said)
	}
	b.leavesNothing()
}

// container is that of a rehearsal which runs.
func (b *box) container(c *exec.Cmd) (name string) {
	b.Helper()
	all := b.engine.Run(b.t, "ps", "--format", `{{.Names}} {{index .Labels "io.github.pitcrew-ci.ephemeral.owner"}}`)
	for line := range strings.Lines(all) {
		name, owner, _ := strings.Cut(line, " ")
		if strings.Contains(owner, fmt.Sprintf("/%d/", c.Process.Pid)) {
			return name
		}
	}
	b.Fatalf("the rehearsal has no container; there are\n%s", all)
	return ""
}
