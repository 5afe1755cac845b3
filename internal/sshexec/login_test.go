// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sshexec_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// run runs a program whose exit status is 11, and returns the error when it did not run.
func run(t *testing.T, e *sshexec.Executor, target sshexec.Target) error {
	t.Helper()
	exit, err := e.Run(t.Context(), target, []byte("exit 11"), nil, newLines())
	if err == nil && exit != 11 {
		t.Errorf("got exit %d, want 11", exit)
	}
	return err
}

func TestUnknownHostIsRefusedWithTheLineThatWouldPinIt(t *testing.T) {
	t.Parallel()
	s, e, target := setup(t, sshexec.Options{})
	known := write(t, t.TempDir(), "known_hosts", nil)
	for name, way := range map[string]sshexec.Host{
		"no pin at all":           {Address: s.addr, User: target.User, Keys: target.Keys},
		"an empty known_hosts":    {Address: s.addr, User: target.User, Keys: target.Keys, KnownHosts: []string{known}},
		"another host is pinned":  {Address: s.addr, User: target.User, Keys: target.Keys, KnownHosts: []string{write(t, t.TempDir(), "k", []byte("other "+s.keyLine+"\n"))}},
		"another port is trusted": {Address: s.addr, User: target.User, Keys: target.Keys, KnownHosts: []string{write(t, t.TempDir(), "k", []byte("[127.0.0.1]:1 "+s.keyLine+"\n"))}},
	} {
		err := run(t, e, sshexec.Target{Host: way})
		if kind(t, err) != sshexec.HostKeyUnknown {
			t.Errorf("%s: got %v", name, err)
		}
		var trouble *sshexec.Error
		if errors.As(err, &trouble); trouble.Line == "" || !strings.Contains(err.Error(), trouble.Line) || !strings.Contains(err.Error(), "SHA256:") {
			t.Errorf("%s: got %q, want fingerprint and line", name, err)
		}
		// The promise of the message: with that line the same host is trusted.
		way.KnownHosts = []string{write(t, t.TempDir(), "known_hosts", []byte(trouble.Line+"\n"))}
		if err := run(t, e, sshexec.Target{Host: way}); err != nil {
			t.Errorf("%s, line added: %v", name, err)
		}
	}
}

func TestHostWithAnotherKeyThanThePinnedOneIsRefused(t *testing.T) {
	t.Parallel()
	s, e, target := setup(t, sshexec.Options{}, "HostKeyAlgorithms ssh-ed25519")
	_, stranger := newKey(t, "ed25519", "")
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(stranger)))
	for name, pin := range map[string]func(*sshexec.Host){
		"pinned in the configuration": func(h *sshexec.Host) { h.HostKeys = []string{line} },
		"pinned in known_hosts": func(h *sshexec.Host) {
			h.HostKeys, h.KnownHosts = nil, []string{write(t, t.TempDir(), "k", []byte("[127.0.0.1]:"+port(s.addr)+" "+line+"\n"))}
		},
		"revoked": func(h *sshexec.Host) {
			h.HostKeys, h.KnownHosts = nil, []string{write(t, t.TempDir(), "k", []byte("@revoked * "+s.keyLine+"\n"))}
		},
	} {
		way := target
		pin(&way.Host)
		err := run(t, e, way)
		if kind(t, err) != sshexec.HostKeyMismatch || !strings.Contains(err.Error(), "SHA256:") {
			t.Errorf("%s: got %v", name, err)
		}
		var trouble *sshexec.Error
		if errors.As(err, &trouble); trouble.Line != "" {
			t.Errorf("%s: offers to trust %q", name, trouble.Line)
		}
	}
}

func port(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

func TestPinOfOneKeyTypeServesHostThatPrefersAnother(t *testing.T) {
	t.Parallel()
	s, e, target := setup(t, sshexec.Options{}, "HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519")
	target.KnownHosts = []string{write(t, t.TempDir(), "k", []byte("[127.0.0.1]:"+port(s.addr)+" "+s.keyLine+"\n"))}
	if err := run(t, e, target); err != nil {
		t.Errorf("pinned in the configuration: %v", err)
	}
	target.HostKeys = nil
	if err := run(t, e, target); err != nil {
		t.Errorf("pinned in known_hosts: %v", err)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	const passphrase = "c0rrect-h0rse"
	text, public := newKey(t, "ed25519", passphrase)
	stranger, _ := clientKey(t)
	s := startSSHD(t, public)
	e := newExecutor(t, sshexec.Options{})
	locked := sshexec.Key{Name: "locked", PEM: secret(text), Passphrase: secret([]byte(passphrase))}
	// Their names differ, because keys of one name share a connection.
	wrong := sshexec.Key{Name: "locked, wrong", PEM: secret(text), Passphrase: secret([]byte("wr0ng"))}
	none := sshexec.Key{Name: "locked, none", PEM: secret(text)}
	vaultDown := errors.New("vault is sealed")
	for _, tt := range []struct {
		name string
		host func(*sshexec.Host)
		want sshexec.Kind
		text string
	}{
		{name: "a key with its passphrase", host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{locked} }},
		{name: "the right key after a wrong one", host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{stranger, locked} }},
		{name: "a key of the SSH agent", host: func(h *sshexec.Host) { h.AgentSocket = startAgent(t, text, passphrase) }},
		{name: "no key", host: func(*sshexec.Host) {}, want: sshexec.Misconfigured, text: "no key"},
		{name: "a key that the host does not know", host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{stranger} }, want: sshexec.AuthRefused},
		{
			name: "a user that the host does not know", want: sshexec.AuthRefused,
			host: func(h *sshexec.Host) { h.Keys, h.User = []sshexec.Key{locked}, "nobody-of-this-name" },
		},
		{name: "a wrong passphrase", host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{wrong} }, want: sshexec.Misconfigured, text: "locked"},
		{name: "a passphrase that nobody gave", host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{none} }, want: sshexec.Misconfigured, text: "locked"},
		{
			name: "a key that cannot be fetched", want: sshexec.Misconfigured, text: vaultDown.Error(),
			host: func(h *sshexec.Host) {
				h.Keys = []sshexec.Key{{Name: "k", PEM: func(context.Context) ([]byte, error) { return nil, vaultDown }}}
			},
		},
		{
			name: "text that is no key", want: sshexec.Misconfigured, text: "k",
			host: func(h *sshexec.Host) { h.Keys = []sshexec.Key{{Name: "k", PEM: secret([]byte("t0ken"))}} },
		},
		{name: "an agent that is not there", host: func(h *sshexec.Host) { h.AgentSocket = "/nonexistent" }, want: sshexec.Misconfigured},
		{name: "a pin that is no key", host: func(h *sshexec.Host) { h.HostKeys = []string{"nonsense"} }, want: sshexec.Misconfigured},
		{
			name: "a known_hosts file that is not there", want: sshexec.Misconfigured, text: "/nonexistent",
			host: func(h *sshexec.Host) { h.HostKeys, h.KnownHosts = nil, []string{"/nonexistent"} },
		},
		{name: "no address", host: func(h *sshexec.Host) { h.Address = "" }, want: sshexec.Misconfigured},
		{name: "no user", host: func(h *sshexec.Host) { h.User = "" }, want: sshexec.Misconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := s.host(t)
			tt.host(&host)
			err := run(t, e, sshexec.Target{Host: host})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if kind(t, err) != tt.want || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %s and %q", err, tt.want, tt.text)
			}
			for _, canary := range []string{passphrase, "wr0ng", "t0ken", "PRIVATE KEY"} {
				if strings.Contains(err.Error(), canary) {
					t.Errorf("%q stands in %q", canary, err)
				}
			}
		})
	}
}

// startAgent serves the key on a socket, as ssh-agent does.
func startAgent(t *testing.T, text []byte, passphrase string) string {
	t.Helper()
	private, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keyring, conn) }()
		}
	}()
	return socket
}

func TestJumpHosts(t *testing.T) {
	t.Parallel()
	key, public := clientKey(t)
	first, second, last := startSSHD(t, public), startSSHD(t, public), startSSHD(t, public)
	e := newExecutor(t, sshexec.Options{})
	way := func() sshexec.Target {
		return sshexec.Target{Host: last.host(t, key), Jumps: []sshexec.Host{first.host(t, key), second.host(t, key)}}
	}

	var out bytes.Buffer
	if _, err := e.Run(t.Context(), way(), []byte(`echo "$SSH_CONNECTION"`), nil, &out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(strings.TrimSpace(out.String()), port(last.addr)) {
		t.Errorf("the program ran where %q leads", out.String())
	}
	for name, s := range map[string]*server{"first": first, "second": second} {
		if log := s.logged(); strings.Contains(log, "Starting session") || !strings.Contains(log, "Accepted publickey") {
			t.Errorf("%s jump host: want a login and no session:\n%s", name, log)
		}
	}

	_, stranger := newKey(t, "ed25519", "")
	pin := []string{string(ssh.MarshalAuthorizedKey(stranger))}
	for name, tt := range map[string]struct {
		spoil func(*sshexec.Target)
		kind  sshexec.Kind
		addr  string
	}{
		"the target shows another key":       {func(w *sshexec.Target) { w.HostKeys = pin }, sshexec.HostKeyMismatch, last.addr},
		"the second jump shows another key":  {func(w *sshexec.Target) { w.Jumps[1].HostKeys = pin }, sshexec.HostKeyMismatch, second.addr},
		"the first jump refuses our user":    {func(w *sshexec.Target) { w.Jumps[0].User = "nobody-of-this-name" }, sshexec.AuthRefused, first.addr},
		"nobody listens behind the jumps":    {func(w *sshexec.Target) { w.Address = "127.0.0.1:1" }, sshexec.Unreachable, "127.0.0.1:1"},
		"the first jump is not there at all": {func(w *sshexec.Target) { w.Jumps[0].Address = "127.0.0.1:1" }, sshexec.Unreachable, "127.0.0.1:1"},
	} {
		w := way()
		tt.spoil(&w)
		err := run(t, e, w)
		var trouble *sshexec.Error
		if !errors.As(err, &trouble) || trouble.Kind != tt.kind || trouble.Addr != tt.addr {
			t.Errorf("%s: got %v, want %s at %s", name, err, tt.kind, tt.addr)
		}
	}
}

func TestJumpHostsOfOtherWaysAreShared(t *testing.T) {
	t.Parallel()
	key, public := clientKey(t)
	jump, left, right := startSSHD(t, public), startSSHD(t, public), startSSHD(t, public)
	e := newExecutor(t, sshexec.Options{})
	for _, s := range []*server{left, right, left} {
		if err := run(t, e, sshexec.Target{Host: s.host(t, key), Jumps: []sshexec.Host{jump.host(t, key)}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, s := range map[string]*server{"jump": jump, "left": left, "right": right} {
		if n := strings.Count(s.logged(), "Accepted publickey"); n != 1 {
			t.Errorf("%s: %d logins, want one", name, n)
		}
	}
}

func TestHostThatSaysNothingIsUnreachable(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	key, _ := clientKey(t)
	e := newExecutor(t, sshexec.Options{HandshakeTimeout: 50 * time.Millisecond})
	err = run(t, e, sshexec.Target{Host: sshexec.Host{Address: listener.Addr().String(), User: "u", Keys: []sshexec.Key{key}}})
	if kind(t, err) != sshexec.Unreachable || !strings.Contains(err.Error(), "too long") {
		t.Errorf("got %v, want unreachable", err)
	}
}
