// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a process that dies with us, and leads a process group that dies with it.
type child struct {
	process process
	ended   chan struct{} // closed when it is gone and its output was taken
	how     error         // valid after that

	mu     sync.Mutex // guards reaped
	reaped bool       // or about to be: its number can be another one's
}

// startChild starts c. The kernel kills a child with a death signal when the thread ends that started it, not the process (prctl(2)), and the Go
// runtime may end a thread. So the thread is kept for as long as the child lives.
func startChild(c *exec.Cmd) (*child, error) {
	ch := &child{ended: make(chan struct{})}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := c.Start(); err != nil {
			started <- err
			return
		}
		ch.process = self()
		ch.process.pid = c.Process.Pid
		ch.process.start, _ = startOf(c.Process.Pid)
		started <- nil
		ch.reap(c)
		close(ch.ended)
	}()
	return ch, <-started
}

// reap waits until the child has ended, kills what it leaves behind in its group while the group cannot be another one's yet, and takes its status.
func (ch *child) reap(c *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	ch.mu.Lock()
	_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
	ch.reaped = true
	ch.mu.Unlock()
	err := c.Wait()
	if c.ProcessState != nil {
		ch.how = fmt.Errorf("java ended with %s", c.ProcessState)
		return
	}
	ch.how = fmt.Errorf("wait for java: %w", err)
}

func (ch *child) wait() error {
	<-ch.ended
	return ch.how
}

func (ch *child) kill() {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.reaped {
		_ = unix.Kill(-ch.process.pid, unix.SIGKILL)
	}
}

// killGroup kills a process of somebody who is dead, and its group, and returns when it is gone.
func killGroup(ctx context.Context, p process) error {
	s, err := readStat(p.pid)
	if err != nil || s.start != p.start {
		return nil // gone in the meantime
	}
	target := p.pid
	if s.group == p.pid {
		target = -p.pid
	}
	if err := unix.Kill(target, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		if start, runs := startOf(p.pid); !runs || start != p.start {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kill process %d: it is still there: %w", p.pid, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
