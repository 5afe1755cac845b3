// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

const (
	// startPatience bounds the start of one agent while others start on this machine.
	startPatience = 2 * time.Minute
	// look is the time between two looks at something that is waited for.
	look = 50 * time.Millisecond
	// restartDelay is what the supervisor waits before it starts a process again.
	restartDelay = 1500 * time.Millisecond
)

// Agent is a node of the controller with a process for it, and a supervisor that
// starts the process again when it ends, as systemd would.
type Agent struct {
	Name, Path string
	Dir        string // remoteFS, and the process's work directory

	controller *Controller
	java       string
	arguments  []string

	mu      sync.Mutex
	process *Process
	starts  int
	held    chan struct{} // not nil: nothing is started until it is closed
}

// Agent creates a node, starts its process and waits until it is online. Everything is
// gone at the end of the test. An empty RemoteFS is a new directory.
func (c *Controller) Agent(ctx context.Context, tb testing.TB, n NodeSpec) *Agent {
	tb.Helper()
	if n.RemoteFS == "" {
		n.RemoteFS = tb.TempDir()
	}
	a := &Agent{Name: n.Name, Path: NodePath(n.Name), Dir: n.RemoteFS, controller: c, java: n.Java}
	c.Node(ctx, tb, n)
	secret, err := c.Secret(ctx, n.Name)
	if err != nil {
		tb.Fatal(err)
	}
	files := tb.TempDir()
	file := filepath.Join(files, "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		tb.Fatal(err)
	}
	a.arguments = []string{"-url", cmp.Or(n.URL, c.URL) + "/", "-secret", "@" + file, "-name", n.Name, "-webSocket", "-workDir", a.Dir, "-noReconnect"}
	a.supervise(context.WithoutCancel(ctx), tb, files)
	a.WaitOnline(ctx, tb)
	return a
}

// supervise keeps a process running until the test ends.
func (a *Agent) supervise(ctx context.Context, tb testing.TB, files string) {
	tb.Helper()
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			a.mu.Lock()
			a.starts++
			log := filepath.Join(files, fmt.Sprintf("log%d", a.starts))
			p, err := StartJava(ctx, a.java, a.controller.jar, log, a.arguments...)
			a.process = p
			a.mu.Unlock()
			if err != nil {
				tb.Errorf("agent %s: %v", a.Name, err)
				return
			}
			<-p.Ended
			a.rest(ctx)
		}
	}()
	tb.Cleanup(func() {
		stop()
		a.Release()
		<-done
		endChildren(a.Name)
		if tb.Failed() {
			tb.Logf("agent %s, started %d times, said at last:\n%s", a.Name, a.starts, a.Output())
		}
	})
}

// rest waits before the next start.
func (a *Agent) rest(ctx context.Context) {
	a.mu.Lock()
	held := a.held
	a.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
	pause := time.NewTimer(restartDelay)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}

// Kill ends the process as a power loss would. It is started again unless it is held.
func (a *Agent) Kill() {
	a.mu.Lock()
	p := a.process
	a.mu.Unlock()
	if p != nil {
		p.Kill()
	}
}

// Hold keeps the supervisor from starting the process, until Release.
func (a *Agent) Hold() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held == nil {
		a.held = make(chan struct{})
	}
}

// Release ends Hold.
func (a *Agent) Release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held != nil {
		close(a.held)
		a.held = nil
	}
}

// Starts is how often the process was started.
func (a *Agent) Starts() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.starts
}

// Output is what the newest process has printed.
func (a *Agent) Output() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.process == nil {
		return "it was never started"
	}
	return a.process.Output()
}

// WaitOnline waits until the controller has the agent's connection.
func (a *Agent) WaitOnline(ctx context.Context, tb testing.TB) {
	tb.Helper()
	Await(ctx, tb, startPatience, "agent "+a.Name+" online", func() bool {
		var c struct{ Offline bool }
		err := a.controller.read(ctx, a.Path+"/api/json?tree=offline", &c)
		return err == nil && !c.Offline
	})
}

// Await looks again and again until ok; a test whose condition does not come true
// within limit ends.
func Await(ctx context.Context, tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			tb.Fatalf("still not after %s: %s", limit, what)
		case <-ticker.C:
		}
	}
}
