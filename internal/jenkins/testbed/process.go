// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Process is an agent.jar that a suite started.
type Process struct {
	Command *exec.Cmd
	Log     string        // file with its output
	Ended   chan struct{} // closed when it is gone
}

// StartJava runs the agent program jar with these arguments until ctx ends, or it is
// killed. Its output goes to the file log, its temporary files beside that.
func StartJava(ctx context.Context, java, jar, log string, arguments ...string) (*Process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("open log of an agent: %w", err)
	}
	defer out.Close()
	if java == "" {
		java = "java"
	}
	all := append([]string{
		"-Xmx64m", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + filepath.Dir(log), "-jar", jar,
	}, arguments...)
	p := &Process{Command: exec.CommandContext(ctx, java, all...), Log: log, Ended: make(chan struct{})}
	p.Command.Stdout, p.Command.Stderr = out, out
	p.Command.Env = environment()
	if err := p.Command.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w", err)
	}
	go func() {
		defer close(p.Ended)
		_ = p.Command.Wait() // the status is read from ProcessState
	}()
	return p, nil
}

// environment is ours without the controller's credentials, which every build on the
// agent would see.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PITCREW_") })
	return append(env, "LC_ALL=C.UTF-8") // else Java sends variables in ASCII
}

// Kill ends the process as a power loss would, and waits for its end.
func (p *Process) Kill() {
	_ = p.Command.Process.Kill() // ended already
	<-p.Ended
}

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.Ended:
		return false
	default:
		return true
	}
}

// Output is what it has printed.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
