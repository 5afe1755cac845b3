// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sshexec_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitLimit bounds every wait of these tests for something that is sure to come.
const waitLimit = 2 * time.Minute

// server is a real sshd of the test's own.
type server struct {
	addr    string
	keyLine string // its ed25519 host key as in a known_hosts file, without the host

	mu  sync.Mutex
	log bytes.Buffer
}

// startSSHD starts an sshd on a free port of 127.0.0.1 that lets the owner of client log in as the test's own user.
func startSSHD(t *testing.T, client ssh.PublicKey, extra ...string) *server {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(sshd); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no sshd on this machine: scripts/test-deps.sh installs it")
		}
		t.Skipf("no sshd on this machine: scripts/test-deps.sh installs it")
	}
	if os.Geteuid() == 0 { // sshd insists on its empty directory when it could give up rights
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	host, keyLine := hostKey(t, dir, "ed25519")
	second, _ := hostKey(t, dir, "ecdsa")
	write(t, dir, "authorized_keys", ssh.MarshalAuthorizedKey(client))
	config := []string{
		"ListenAddress 127.0.0.1", "HostKey " + host, "HostKey " + second, "AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys"),
		"PidFile none", "StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no",
		"PermitRootLogin yes", "LogLevel VERBOSE", "MaxStartups 100", "AllowTcpForwarding yes",
	}
	file := write(t, dir, "sshd_config", []byte(strings.Join(append(extra, config...), "\n")+"\n"))

	for range 5 { // somebody else may take the port between our look and sshd's
		s := &server{addr: freeAddr(t), keyLine: keyLine}
		if s.start(t, sshd, file) {
			return s
		}
	}
	t.Fatal("sshd got no port")
	return nil
}

func (s *server) start(t *testing.T, sshd, config string) bool {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	cmd := exec.Command(sshd, "-D", "-e", "-f", config, "-p", port)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start sshd: %v", err)
	}
	listening := make(chan bool, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.mu.Lock()
			s.log.WriteString(lines.Text() + "\n")
			s.mu.Unlock()
			if strings.Contains(lines.Text(), "Server listening on") {
				listening <- true
			}
		}
		listening <- false
	}()
	if !<-listening {
		_ = cmd.Wait()
		t.Logf("sshd did not start: %s", s.logged())
		return false
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("sshd at %s:\n%s", s.addr, s.logged())
		}
	})
	return true
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// host is the server as a host to log in to.
func (s *server) host(t *testing.T, keys ...sshexec.Key) sshexec.Host {
	t.Helper()
	return sshexec.Host{Address: s.addr, User: me(t), Keys: keys, HostKeys: []string{s.keyLine}}
}

func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func write(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hostKey(t *testing.T, dir, kind string) (path, line string) {
	t.Helper()
	text, public := newKey(t, kind, "")
	return write(t, dir, "host_"+kind, text), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
}

// newKey makes a private key as it stands in a file.
func newKey(t *testing.T, kind, passphrase string) ([]byte, ssh.PublicKey) {
	t.Helper()
	var private crypto.Signer
	var err error
	if kind == "ecdsa" {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), public
}

// clientKey makes a key to log in with.
func clientKey(t *testing.T) (sshexec.Key, ssh.PublicKey) {
	t.Helper()
	text, public := newKey(t, "ed25519", "")
	return sshexec.Key{Name: "test key", PEM: secret(text)}, public
}

func secret(text []byte) sshexec.Secret {
	return func(context.Context) ([]byte, error) { return text, nil }
}

// newExecutor returns one with limits that suit a test, closed at its end.
func newExecutor(t *testing.T, o sshexec.Options) *sshexec.Executor {
	t.Helper()
	o.Grace = cmp.Or(o.Grace, time.Second)
	o.DialTimeout = cmp.Or(o.DialTimeout, waitLimit) // a busy machine is no failure
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, waitLimit)
	e := sshexec.New(o)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// setup is an sshd, an executor, and the way from one to the other.
func setup(t *testing.T, o sshexec.Options, extra ...string) (*server, *sshexec.Executor, sshexec.Target) {
	t.Helper()
	key, public := clientKey(t)
	s := startSSHD(t, public, extra...)
	return s, newExecutor(t, o), sshexec.Target{Host: s.host(t, key)}
}

// lines hands out what a program prints, line by line.
type lines struct {
	seen chan string
	mu   sync.Mutex
	rest []byte
}

func newLines() *lines { return &lines{seen: make(chan string, 1000)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.seen <- string(line)
		l.rest = rest
	}
}

func (l *lines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l.seen:
		return line
	case <-time.After(waitLimit):
		t.Fatal("the program prints nothing")
		return ""
	}
}

// eventually waits for a condition that nobody announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(waitLimit)
	for !holds() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}

// runs says whether the process exists and is more than a zombie.
func runs(pid string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
