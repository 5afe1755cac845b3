// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// sshPool is what a pool says to reach its machines through the sshd at address.
func (s *site) sshPool(address, more string) {
	s.t.Helper()
	me, err := user.Current()
	must(s.t, err)
	s.edit("  recipe: test\n", fmt.Sprintf("  recipe: test\n%s  ssh:\n    user: %s\n    hosts: {linux-7: '%s'}\n    key: file:%s\n    knownHosts: %s\n",
		more, me.Username, address, s.path("client"), s.path("known_hosts")))
}

func TestAPoolThatChoosesSSHIsCleanedOverARealSSHD(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{recipe: strings.Replace(siteRecipe, "$WORKSPACE/../left-over", "LEFT", 2)})
	s.fixRecipe()
	s.write("left-over", "residue")
	s.sshPool(s.startSSHD(), "  delivery: ssh\n  depth: deep\n")
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	s.labelled("linux-7", "cleanable el7 clean")
	if _, err := os.Stat(s.path("left-over")); !os.IsNotExist(err) {
		t.Errorf("the program did not run on the machine: %v", err)
	}
	if n := len(s.cleanups()); n != 0 {
		t.Errorf("%d builds ran", n)
	}
	got, err := d.Store().Attempt(t.Context(), hygiene.AgentID{Controller: "ci", Name: "linux-7"}, 1)
	must(t, err)
	if got.Depth != hygiene.Deep || !strings.Contains(string(got.Report), `"depth":"deep"`) {
		t.Errorf("it was to clean %s, and its report is %s", got.Depth, got.Report)
	}
	if got.Delivery != hygiene.BySSH || len(got.Report) == 0 || len(got.Log) == 0 {
		t.Errorf("got %+v", got.Attempt)
	}
}

// Over SSH no executor stands between a program and a build that started since the poll: only the look after the claim does.
func TestOverSSHNothingIsCleanedBesideABuildThatIsFaster(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{recipe: strings.Replace(siteRecipe, "$WORKSPACE/../left-over", "LEFT", 2)})
	s.fixRecipe()
	s.write("left-over", "a build needs it")
	s.sshPool(s.startSSHD(), "  delivery: ssh\n")
	must(t, s.jenkins.CreateFreeStyle(jenkinstest.JobSpec{
		Name: "app", Label: "el7", Script: fmt.Sprintf("until test -e '%s'; do sleep 0.1; done; test -e '%s'", s.path("go"), s.path("left-over")),
	}))
	s.jenkins.Inject(jenkinstest.Fault{
		Count: 1, Method: http.MethodPost, Path: "/computer/linux-7/config.xml", // the claim writes dirty
		Before: func(*http.Request) {
			_, err := s.jenkins.Schedule("app", nil)
			if err != nil {
				t.Error(err)
			}
			s.await("the build", func() bool { return len(s.jenkins.Builds("app")) > 0 })
		},
	})
	d := s.run()
	if given := d.committed(hygiene.EventGivenBack, 1); given[0].Reason != "a build started on it" {
		t.Errorf("the claim was given back because %s", given[0].Reason)
	}
	s.write("go", "")
	d.committed(hygiene.EventGranted, 1)
	if b := s.jenkins.Builds("app"); len(b) != 1 || b[0].Result != "SUCCESS" {
		t.Errorf("the build met a cleanup: %+v", b)
	}
	if _, err := os.Stat(s.path("left-over")); !os.IsNotExist(err) {
		t.Errorf("after the build nothing was cleaned: %v", err)
	}
}

func TestAnAgentThatAMonitorTookOfflineIsCleanedOverSSHWithTheMarkInPlace(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{recipe: strings.Replace(siteRecipe, "$WORKSPACE/../left-over", "LEFT", 2)})
	s.fixRecipe()
	s.sshPool(s.startSSHD(), "  monitorOffline: ssh\n")
	s.jenkins.Agent("linux-7").MonitorOffline(1 << 20)
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	for _, e := range s.jenkins.Journal() {
		if e.Kind == "unmarked" {
			t.Error("the mark was lifted")
		}
	}
	if n := len(s.cleanups()); n != 0 {
		t.Errorf("%d builds ran", n)
	}
}

func TestAMachineWithAnotherHostKeyIsNotCleaned(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	s.sshPool(s.startSSHD(), "  delivery: ssh\n")
	known, err := os.ReadFile(s.path("known_hosts"))
	must(t, err)
	_, other := newKey(t)
	s.write("known_hosts", strings.Fields(string(known))[0]+" "+string(ssh.MarshalAuthorizedKey(other)))
	d := s.run()
	given := d.committed(hygiene.EventGivenBack, 1)
	if !strings.Contains(given[0].Reason, "not reached over SSH") {
		t.Errorf("the reason is %q", given[0].Reason)
	}
	attempts, err := d.Store().Attempts(t.Context(), store.AttemptFilter{Outcome: hygiene.Cleaned})
	must(t, err)
	if len(attempts) > 0 {
		t.Error("it was cleaned all the same")
	}
}

// fixRecipe puts this site's own file into the recipe.
func (s *site) fixRecipe() {
	s.t.Helper()
	text, err := os.ReadFile(s.path("recipe.yaml"))
	must(s.t, err)
	s.write("recipe.yaml", strings.ReplaceAll(string(text), "LEFT", s.path("left-over")))
}

// startSSHD starts an sshd of the test's own that lets the site's key in, and returns its address.
// The key and the machine's host key are files of the site.
func (s *site) startSSHD() string {
	t := s.t
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(sshd); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no sshd on this machine: scripts/test-deps.sh installs it")
		}
		t.Skip("no sshd on this machine: scripts/test-deps.sh installs it")
	}
	if os.Geteuid() == 0 { // sshd insists on its empty directory when it could give up rights
		must(t, os.MkdirAll("/run/sshd", 0o755))
	}
	host, hostKey := newKey(t)
	client, clientKey := newKey(t)
	s.write("host", host)
	s.write("client", client)
	s.write("authorized_keys", string(ssh.MarshalAuthorizedKey(clientKey)))
	for range 5 { // somebody else may take the port between our look and sshd's
		address := freeAddress(t)
		_, port, err := net.SplitHostPort(address)
		must(t, err)
		s.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%s %s", port, ssh.MarshalAuthorizedKey(hostKey)))
		s.write("sshd_config", strings.Join([]string{
			"ListenAddress 127.0.0.1", "HostKey " + s.path("host"), "AuthorizedKeysFile " + s.path("authorized_keys"), "PidFile none",
			"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", "PermitRootLogin yes", "",
		}, "\n"))
		if listens(t, exec.Command(sshd, "-D", "-e", "-f", filepath.Clean(s.path("sshd_config")), "-p", port)) {
			return address
		}
	}
	t.Fatal("sshd got no port")
	return ""
}

// listens starts sshd and reports whether it listens; it is ended with the test.
func listens(t *testing.T, sshd *exec.Cmd) bool {
	t.Helper()
	stderr, err := sshd.StderrPipe()
	must(t, err)
	must(t, sshd.Start())
	listening, done := make(chan bool, 2), make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if strings.Contains(lines.Text(), "Server listening on") {
				listening <- true
			}
		}
		listening <- false
	}()
	if !<-listening {
		_ = sshd.Wait()
		return false
	}
	t.Cleanup(func() {
		_ = sshd.Process.Signal(syscall.SIGTERM)
		<-done
		_ = sshd.Wait()
	})
	return true
}

func newKey(t *testing.T) (private string, public ssh.PublicKey) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	public, err = ssh.NewPublicKey(key.Public())
	must(t, err)
	return string(pem.EncodeToMemory(block)), public
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}
