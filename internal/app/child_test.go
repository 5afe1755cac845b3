// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	ossignal "os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// The environment by which this test binary is told to be a daemon.
const (
	childConfig = "PITCREW_TEST_DAEMON"   // path of the configuration
	childDeath  = "PITCREW_TEST_DEATH_AT" // number of the event at whose commit it kills itself
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		if err := serveAsChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// serveAsChild is the daemon as `pitcrew serve` runs it. It prints each committed event.
func serveAsChild(path string) error {
	ctx, stop := ossignal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	holder, err := config.NewHolder(path)
	if err != nil {
		return err
	}
	a, err := app.New(ctx, app.Options{Config: holder, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	death, _ := strconv.ParseInt(os.Getenv(childDeath), 10, 64)
	told := make(chan struct{})
	go func() {
		defer close(told)
		tellEvents(a.Store(), death)
	}()
	fmt.Println("serves", a.Addr())
	err = a.Run(ctx) // closes the store, which ends the telling
	<-told
	return err
}

// tellEvents prints the events as they are committed, and kills the process at the one with the
// number death.
func tellEvents(s *store.Store, death int64) {
	news, stop := s.WatchEvents()
	defer stop()
	var last int64
	for {
		events, err := s.Events(context.Background(), store.EventFilter{After: last, Limit: 1000})
		if err != nil {
			return
		}
		for _, e := range events {
			last = e.ID
			if death > 0 && last >= death {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			fmt.Println("event", e.ID, e.Type)
		}
		if _, open := <-news; !open {
			return
		}
	}
}

// child is a daemon in a process of its own.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed once it is gone
	news  *signal

	mu     sync.Mutex
	out    []string // lines of its standard output
	stderr bytes.Buffer
}

// startChild starts a daemon for the site.
func (s *site) startChild(env ...string) *child {
	s.t.Helper()
	exe, err := os.Executable()
	must(s.t, err)
	c := &child{t: s.t, cmd: exec.Command(exe), ended: make(chan struct{}), news: newSignal()}
	c.cmd.Env = append(append(os.Environ(), childConfig+"="+s.path("pitcrew.yaml")), env...)
	c.cmd.Stderr = lockedWriter{&c.mu, &c.stderr}
	stdout, err := c.cmd.StdoutPipe()
	must(s.t, err)
	must(s.t, c.cmd.Start())
	go c.follow(stdout)
	s.t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
		if s.t.Failed() {
			s.t.Logf("the daemon said:\n%s", c.said())
		}
	})
	return c
}

func (c *child) follow(stdout io.Reader) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		c.mu.Lock()
		c.out = append(c.out, lines.Text())
		c.mu.Unlock()
		c.news.raise()
	}
	_ = c.cmd.Wait()
	close(c.ended)
	c.news.raise() // after which nobody is woken again
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.out, "\n") + "\n" + c.stderr.String()
}

// kill ends the process as a power cut does, and returns when it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// end stops the daemon as a service manager does; it must end well.
func (c *child) end() {
	c.t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	<-c.ended
	if !c.cmd.ProcessState.Success() {
		c.t.Errorf("the daemon ended with %s:\n%s", c.cmd.ProcessState, c.said())
	}
}

func (c *child) gone() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// dies waits for the daemon's death.
func (c *child) dies() {
	c.t.Helper()
	c.news.await(c.t, "the daemon's death", c.gone)
}

// serves waits until the daemon does.
func (c *child) serves() {
	c.t.Helper()
	c.news.await(c.t, "the daemon serving", func() bool { return c.gone() || strings.Contains(c.said(), "serves ") })
}

// count is how many events of a type the daemon has told of. It begins with those of its predecessors.
func (c *child) count(kind hygiene.EventType) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.out {
		if strings.HasPrefix(l, "event ") && strings.HasSuffix(l, " "+string(kind)) {
			n++
		}
	}
	return n
}

// committed waits until the daemon has told of an event of this type.
func (c *child) committed(kind hygiene.EventType) {
	c.t.Helper()
	c.news.await(c.t, string(kind), func() bool {
		if c.count(kind) > 0 {
			return true
		}
		if c.gone() {
			c.t.Errorf("the daemon ended before %s: %s", kind, c.said())
			return true
		}
		return false
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
