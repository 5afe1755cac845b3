// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// child is a process. Here it does not die with us.
type child struct {
	process process
	ended   chan struct{} // closed when it is gone and its output was taken
	how     error         // valid after that
	run     *os.Process
}

func startChild(c *exec.Cmd) (*child, error) {
	if err := c.Start(); err != nil {
		return nil, err
	}
	ch := &child{process: self(), ended: make(chan struct{}), run: c.Process}
	ch.process.pid = c.Process.Pid
	go func() {
		defer close(ch.ended)
		_ = c.Wait()
		ch.how = fmt.Errorf("java ended with %s", c.ProcessState)
	}()
	return ch, nil
}

func (ch *child) wait() error {
	<-ch.ended
	return ch.how
}

func (ch *child) kill() { _ = ch.run.Kill() }

// killGroup is never called: no process is known well enough here.
func killGroup(context.Context, process) error { return nil }
