// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

func startsAndStops(t *testing.T, e engine) {
	t.Helper()
	c := start(t, named(t, e.spec()))
	if !strings.HasPrefix(c.URL(), "http://127.0.0.1:") || c.AdvertiseURL() != c.URL() || c.User() != "pitcrew" {
		t.Errorf("it is at %s, advertised as %s, for %s", c.URL(), c.AdvertiseURL(), c.User())
	}
	serves(t, c)
	if _, err := e.client.ContainerStatPath(t.Context(), e.only(t), client.ContainerStatPathOptions{Path: "/var/jenkins_home/pitcrew-seed/token"}); err == nil {
		t.Error("the file with the token is still there")
	}
	if c.Err() != nil {
		t.Errorf("it lives, and says %v", c.Err())
	}
	stopped(t, c)
	if left := e.has(t, t.Name()); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func limitsAreSet(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec())
	s.Image.Limits = container.Limits{Memory: 300 << 20, CPUs: 0.5, PIDs: 77}
	start(t, s)
	found, _ := e.inspect(t, e.only(t))
	host := found.Container.HostConfig
	if host.Memory != 300<<20 || host.NanoCPUs != 5e8 || host.PidsLimit == nil || *host.PidsLimit != 77 {
		t.Errorf("limits: memory %d, cpus %d, pids %v", host.Memory, host.NanoCPUs, host.PidsLimit)
	}
	for port, bound := range host.PortBindings {
		if port.Port() != "8080" || len(bound) != 1 || bound[0].HostIP.String() != "127.0.0.1" {
			t.Errorf("port %s is bound to %v", port, bound)
		}
	}
	if env := found.Container.Config.Env; !strings.Contains(strings.Join(env, "\n"), "JAVA_OPTS=-Dimage.own=yes -Djenkins.install.runSetupWizard=false") {
		t.Errorf("environment %q; want the image's own options kept, and the wizard off", env)
	}
}

func tokenStandsNowhere(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec("noise=3"))
	var out log
	s.Log = &out
	c := start(t, s)
	secret := strings.TrimPrefix(string(c.Token()), "11")
	_, inspected := e.inspect(t, e.only(t))
	shown := fmt.Sprintf("%v %+v %#v", c.Token(), struct{ T container.Token }{c.Token()}, s.Seed)
	running := processes(t)
	if !strings.Contains(running, "runSetupWizard") || !strings.Contains(inspected, "runSetupWizard") || !strings.Contains(out.String(), "noise 1") {
		t.Error("this test does not see what it looks at")
	}
	for where, text := range map[string]string{"inspect": inspected, "log": out.String(), "process list": running, "tail": c.Log(), "print": shown} {
		if strings.Contains(text, secret) {
			t.Errorf("the token stands in %s", where)
		}
	}
}

func homesOfImages(t *testing.T, e engine) {
	t.Helper()
	for name, f := range map[string]struct{ image, holds string }{
		"root, and no home": {imageRoot, "/somewhere/else/init.groovy.d/00-pitcrew-seed.groovy"},
		"with plugins":      {imageBaked, "/baked/plugins"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := named(t, e.spec())
			s.Image.Name = f.image
			serves(t, start(t, s))
			if _, err := e.client.ContainerStatPath(t.Context(), e.only(t), client.ContainerStatPathOptions{Path: f.holds}); err != nil {
				t.Error(err)
			}
		})
	}
}

func logIsCaptured(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec("noise=500"))
	var out log
	s.Log = &out
	c := start(t, s)
	stopped(t, c)
	for i := range 500 {
		if !strings.Contains(out.String(), fmt.Sprintf("noise %d on stdout\n", i)) || !strings.Contains(out.String(), fmt.Sprintf("noise %d on stderr\n", i)) {
			t.Fatalf("line %d is missing in %d bytes", i, len(out.String()))
		}
	}
	if lines := strings.Split(c.Log(), "\n"); len(lines) != 40 || !strings.Contains(c.Log(), "fully up") {
		t.Errorf("the tail has %d lines:\n%s", len(lines), c.Log())
	}
}

func deathIsSeen(t *testing.T, e engine) {
	t.Helper()
	c := start(t, named(t, e.spec("noise=1")))
	if _, err := e.client.ContainerKill(t.Context(), e.only(t), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	err := dies(t, c)
	if !strings.Contains(err.Error(), "exit code 137") || !strings.Contains(err.Error(), "noise 0 on stdout") {
		t.Errorf("it says %v; want the exit code and the log", err)
	}
}

func removalIsSeen(t *testing.T, e engine) {
	t.Helper()
	c := start(t, named(t, e.spec()))
	if _, err := e.client.ContainerRemove(t.Context(), e.only(t), client.ContainerRemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		t.Fatal(err)
	}
	dies(t, c)
	if err := c.Stop(t.Context()); err != nil {
		t.Errorf("stop of what is gone: %v", err)
	}
}

func failuresLeaveNothing(t *testing.T, e engine) {
	t.Helper()
	other := func(name string) func(*container.Spec) { return func(s *container.Spec) { s.Image.Name = name } }
	soon := func(s *container.Spec) { s.ReadyWithin = 2 * time.Second }
	for name, f := range map[string]struct {
		options []string
		bend    func(*container.Spec)
		says    []string
	}{
		"no image":    {bend: other("localhost/no/such:image"), says: []string{"has no image localhost/no/such:image", "archive"}},
		"no program":  {bend: other(imageEmpty), says: []string{"start container", "there-is-no-such-program"}},
		"no engine":   {bend: func(s *container.Spec) { s.Image.Engine = "/no/such/socket" }, says: []string{"/no/such/socket", "no such file"}},
		"no network":  {bend: func(s *container.Spec) { s.Image.Network = "no-such-network" }, says: []string{"no-such-network"}},
		"no archive":  {bend: func(s *container.Spec) { s.Image.Archive = "/no/such/file.tar" }, says: []string{"/no/such/file.tar"}},
		"bad archive": {bend: func(s *container.Spec) { s.Image.Archive = "main_test.go" }, says: []string{"load archive main_test.go"}},
		"exits":       {options: []string{"noise=2", "exit=3"}, says: []string{"exit code 3", "noise 1 on stderr", "exits at once"}},
		"503":         {options: []string{"dead=waits for something"}, bend: soon, says: []string{"was not ready within 2s", "503", "waits"}},
		"open":        {options: []string{"open=yes"}, says: []string{"lets anybody in"}},
		"java option": {options: []string{"x=a'b"}, says: []string{"white space or quotes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, o := range f.options {
				f.options[i] = strings.ReplaceAll(o, " ", "_")
			}
			s := named(t, e.spec(f.options...))
			if f.bend != nil {
				f.bend(&s)
			}
			c, err := container.Start(t.Context(), s)
			if err == nil {
				c.Stop(t.Context())
				t.Fatal("it started")
			}
			for _, part := range f.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("it says %v; want %q in it", err, part)
				}
			}
			if left := e.has(t, t.Name()); len(left) != 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func portIsTaken(t *testing.T, e engine) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := named(t, e.spec())
	s.Bind = l.Addr().String()
	if c, err := container.Start(t.Context(), s); err == nil {
		c.Stop(t.Context())
		t.Error("it started")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Errorf("it says %v", err)
	}
	if left := e.has(t, t.Name()); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	l.Close()
	c := start(t, s)
	if c.URL() != "http://"+s.Bind {
		t.Errorf("it is at %s, want %s", c.URL(), s.Bind)
	}
	serves(t, c)
}

func inNetwork(t *testing.T, e engine) {
	t.Helper()
	if _, err := e.client.NetworkCreate(t.Context(), "rehearsal", client.NetworkCreateOptions{Driver: "bridge"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.client.NetworkRemove(context.WithoutCancel(t.Context()), "rehearsal", client.NetworkRemoveOptions{})
	})
	s := named(t, e.spec())
	s.Image.Network = "rehearsal"
	c := start(t, s)
	if strings.Contains(c.URL(), "127.0.0.1") || !strings.HasSuffix(c.URL(), ":8080") {
		t.Errorf("it is at %s; want an address of the network", c.URL())
	}
	found, _ := e.inspect(t, e.only(t))
	for port, bound := range found.Container.HostConfig.PortBindings {
		if len(bound) != 0 {
			t.Errorf("port %s is published as %v", port, bound)
		}
	}
	serves(t, c)
	stopped(t, c) // before the network goes
}

func advertisedURL(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec())
	var out log
	s.Log, s.AdvertiseURL = &out, "https://ci.example:8443/"
	c := start(t, s)
	if c.AdvertiseURL() != "https://ci.example:8443" || !strings.HasPrefix(c.URL(), "http://127.0.0.1:") {
		t.Errorf("it is at %s, advertised as %s", c.URL(), c.AdvertiseURL())
	}
	stopped(t, c)
	if !strings.Contains(out.String(), "up and running at https://ci.example:8443/") {
		t.Errorf("the controller does not know its root URL:\n%s", out.String())
	}
}

func filesOfSeed(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec())
	s.Seed = container.Seed{User: "ci", Files: map[string][]byte{"jenkins.yaml": []byte("jenkins: {}\n"), "init.groovy.d/more/x.groovy": []byte("//\n")}}
	c := start(t, s)
	serves(t, c)
	if c.User() != "ci" {
		t.Errorf("user %s", c.User())
	}
	for _, name := range []string{"jenkins.yaml", "init.groovy.d/more/x.groovy"} {
		if _, err := e.client.ContainerStatPath(t.Context(), e.only(t), client.ContainerStatPathOptions{Path: "/var/jenkins_home/" + name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func fromArchive(t *testing.T, e engine) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "jenkins.tar")
	const tag = "localhost/archived:1"
	if _, err := e.client.ImageTag(t.Context(), client.ImageTagOptions{Source: imageRoot, Target: tag}); err != nil {
		t.Fatal(err)
	}
	saved, err := e.client.ImageSave(t.Context(), []string{tag})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(file, saved)
	_, gone := e.client.ImageRemove(t.Context(), tag, client.ImageRemoveOptions{})
	if err := errors.Join(err, gone, file.Close(), saved.Close()); err != nil {
		t.Fatal(err)
	}
	s := named(t, e.spec())
	s.Image.Name, s.Image.Archive = "", archive
	serves(t, start(t, s))
}

func pullOfImage(t *testing.T, e engine) {
	t.Helper()
	s := named(t, e.spec())
	s.Image.Name, s.Image.Pull = "127.0.0.1:1/none:1", true
	_, err := container.Start(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "pull image 127.0.0.1:1/none:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("it says %v; want what the registry answers", err)
	}
}
