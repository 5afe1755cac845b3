// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshd starts a server of the scene's own on this machine, which lets root's new key in, and the keys of accounts.
// It returns its port.
func (s *scene) sshd() int {
	s.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			s.Fatal("only root can lend an account of its own")
		}
		s.Skip("only root can lend an account of its own")
	}
	s.must(os.MkdirAll("/run/sshd", 0o755)) // sshd insists on it
	host, hostKey := s.key()
	client, clientKey := s.key()
	s.write("host", host)
	s.write("client", client)
	s.write("authorized_keys", string(ssh.MarshalAuthorizedKey(clientKey)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	port := l.Addr().(*net.TCPAddr).Port
	s.must(l.Close())
	s.write("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(hostKey)))
	file := func(name string) string { return filepath.Join(s.dir, name) }
	s.write("sshd_config", strings.Join([]string{
		"ListenAddress 127.0.0.1", "HostKey " + file("host"), "AuthorizedKeysFile " + file("authorized_keys") + " .ssh/authorized_keys", "PidFile none",
		"StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no", "PermitRootLogin yes", "",
	}, "\n"))
	server := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", file("sshd_config"), "-p", strconv.Itoa(port))
	noise, err := server.StderrPipe()
	s.must(err)
	s.must(server.Start())
	s.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(noise)
		for said := ""; lines.Scan(); {
			if said += lines.Text() + "\n"; strings.Contains(said, "Server listening") {
				ready <- ""
				said = ""
			}
		}
		ready <- "it ended"
	}()
	select {
	case why := <-ready:
		if why != "" {
			s.Fatalf("sshd: %s", why)
		}
	case <-time.After(patience):
		s.Fatal("sshd does not listen")
	}
	return port
}

// key makes a key pair, the private one as a file has it.
func (s *scene) key() (private string, public ssh.PublicKey) {
	s.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	s.must(err)
	block, err := ssh.MarshalPrivateKey(priv, "")
	s.must(err)
	public, err = ssh.NewPublicKey(pub)
	s.must(err)
	return string(pem.EncodeToMemory(block)), public
}

// account makes an account of this machine, which is gone with the test.
func (s *scene) account() string {
	s.Helper()
	name := "pc" + strconv.FormatInt(time.Now().UnixNano()%1_000_000_000, 36)
	// Without a password, but not locked: such an account sshd lets nobody into without PAM.
	out, err := exec.Command("useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", name).CombinedOutput()
	if err != nil {
		s.Fatalf("useradd: %v\n%s", err, out)
	}
	s.Cleanup(func() {
		if out, err := exec.Command("userdel", "--remove", "--force", name).CombinedOutput(); err != nil {
			s.Errorf("userdel: %v\n%s", err, out)
		}
	})
	return name
}
