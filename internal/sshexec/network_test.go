// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sshexec_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// wire is a TCP proxy that can be cut or go silent.
type wire struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	conns  []net.Conn
	silent bool
	tasks  sync.WaitGroup
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, to: to}
	w.tasks.Go(w.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut()
		w.tasks.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, near, far)
		w.mu.Unlock()
		w.tasks.Go(func() { w.carry(near, far) })
		w.tasks.Go(func() { w.carry(far, near) })
	}
}

func (w *wire) carry(from io.Reader, to io.WriteCloser) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		silent := w.silent
		w.mu.Unlock()
		if !silent {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// cut closes every connection.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		_ = conn.Close()
	}
	w.conns = nil
}

// mute swallows everything from now on, as a firewall that forgot the connection does.
func (w *wire) mute() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = true
}

// wired is a target behind a wire.
func wired(t *testing.T, o sshexec.Options) (*wire, *server, *sshexec.Executor, sshexec.Target) {
	t.Helper()
	s, e, target := setup(t, o)
	w := newWire(t, s.addr)
	target.Address = w.listener.Addr().String()
	return w, s, e, target
}

func TestCutConnectionLeavesOutcomeUnknownAndTheFarSideEndsTheProgram(t *testing.T) {
	t.Parallel()
	w, _, e, target := wired(t, sshexec.Options{})
	pids, done := startStubborn(t.Context(), t, e, target)
	w.cut()
	if err := <-done; kind(t, err) != sshexec.Lost {
		t.Errorf("got %v, want lost", err)
	}
	eventually(t, "the far side ends "+strings.Join(pids, " "), func() bool {
		return !slices.ContainsFunc(pids, runs)
	})
	if err := run(t, e, target); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

func TestPeerThatFallsSilentIsNoticed(t *testing.T) {
	t.Parallel()
	w, _, e, target := wired(t, sshexec.Options{KeepAlive: 50 * time.Millisecond, KeepAliveTimeout: 5 * time.Second})
	_, done := startStubborn(t.Context(), t, e, target)
	w.mute()
	if err := <-done; kind(t, err) != sshexec.Lost {
		t.Errorf("got %v, want lost", err)
	}
}

func TestConnectionIsKeptForTheNextRunAndReplacedWhenItDied(t *testing.T) {
	t.Parallel()
	w, s, e, target := wired(t, sshexec.Options{})
	for range 3 {
		if err := run(t, e, target); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(s.logged(), "Accepted publickey"); n != 1 {
		t.Errorf("%d logins for three runs, want one", n)
	}
	w.cut()
	if err := run(t, e, target); err != nil {
		t.Errorf("after the cut: %v", err)
	}
	if n := strings.Count(s.logged(), "Accepted publickey"); n != 2 {
		t.Errorf("%d logins, want a second one", n)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	s, e, target := setup(t, sshexec.Options{IdleTimeout: 20 * time.Millisecond})
	if err := run(t, e, target); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the connection is closed", func() bool { return strings.Contains(s.logged(), "Connection closed by") })
}

func TestManyRunsOnOneTargetSpreadOverConnections(t *testing.T) {
	t.Parallel()
	s, e, target := setup(t, sshexec.Options{})
	var runs sync.WaitGroup
	for range 12 { // more than one connection of sshd carries
		runs.Go(func() {
			if err := run(t, e, target); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if n := strings.Count(s.logged(), "Accepted publickey"); n < 1 || n > 3 {
		t.Errorf("%d logins, want at most three", n)
	}
}
