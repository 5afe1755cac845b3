// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// LocalLink is the connection of an agent that lives in this process: a directory and
// real processes. It is also what an agent program of its own uses to run steps.
type LocalLink struct {
	// Temp is the agent's temporary directory, where scripts are written.
	Temp string
	// Leak bounds how long a background process that holds the output delays the end
	// of a step.
	Leak time.Duration
	// Track is told the process group of each step that starts.
	Track func(pgid int)

	done chan struct{}
	once sync.Once
}

// NewLocalLink returns a connected link whose scripts go to the directory temp.
func NewLocalLink(temp string) *LocalLink {
	return &LocalLink{Temp: temp, Leak: defaultLeak, done: make(chan struct{})}
}

const defaultLeak = 2 * time.Second

// Done is closed when the connection is over.
func (l *LocalLink) Done() <-chan struct{} { return l.done }

// Close ends the connection. Running processes are left alone: the children of a dead
// agent survive it.
func (l *LocalLink) Close(string) { l.once.Do(func() { close(l.done) }) }

// Reap kills the processes that carry all the cookies.
func (l *LocalLink) Reap(_ context.Context, cookies map[string]string) error {
	return killByEnvironment(cookies, syscall.SIGTERM)
}

// Run runs a step as hudson.tasks.CommandInterpreter does.
func (l *LocalLink) Run(ctx context.Context, s Step) StepResult {
	script, err := l.prepare(s)
	if err != nil {
		return StepResult{Err: err}
	}
	defer os.Remove(script) // removed by the step itself
	args := s.Args
	if len(args) == 0 {
		args = []string{"/bin/sh", "-xe"}
	}
	args = append(slices.Clip(args), script)
	fmt.Fprintf(s.Out, "[%s] $ %s\n", filepath.Base(s.Workspace), strings.Join(args, " "))
	return l.wait(ctx, s, args)
}

// prepare makes the workspace and writes the script.
func (l *LocalLink) prepare(s Step) (string, error) {
	for _, dir := range []string{s.Workspace, l.Temp} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return "", fmt.Errorf("prepare step: %w", err)
		}
	}
	for _, f := range s.Files {
		target := filepath.Join(s.Workspace, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			return "", fmt.Errorf("place file parameter: %w", err)
		}
		if info, err := os.Stat(target); err == nil && !info.IsDir() {
			_ = os.Remove(target) // writing fails then as well
		}
		if err := os.WriteFile(target, f.Data, 0o644); err != nil { //nolint:gosec // as Jenkins does
			return "", fmt.Errorf("place file parameter: %w", err)
		}
	}
	f, err := os.CreateTemp(l.Temp, "jenkins*.sh")
	if err != nil {
		return "", fmt.Errorf("write script: %w", err)
	}
	_, err = f.WriteString(s.Script)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", fmt.Errorf("write script: %w", err)
	}
	return f.Name(), nil
}

// wait starts the command and waits for its end, an interrupt or the loss of the
// connection. An interrupted command is told to end, and not waited for.
func (l *LocalLink) wait(ctx context.Context, s Step, args []string) StepResult {
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // the point of it; ended below
	out := &tap{w: s.Out}
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Workspace, out, out
	cookie := map[string]string{"HUDSON_COOKIE": rand.Text()} // finds what has left the tree (hudson.Proc.LocalProc)
	cmd.Env = mergeEnv(mergeEnv(os.Environ(), s.Env), cookie)
	cmd.WaitDelay = l.Leak
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return StepResult{Err: fmt.Errorf("start %s: %w", args[0], err)}
	}
	if l.Track != nil {
		l.Track(cmd.Process.Pid)
	}
	ended := make(chan StepResult, 1)
	go func() { ended <- exitStatus(waitForOutput(cmd, s)) }()
	select {
	case result := <-ended:
		return result
	case <-ctx.Done():
		out.close()
		err := errors.Join(killTree(cmd.Process.Pid, syscall.SIGTERM), killByEnvironment(cookie, syscall.SIGTERM))
		return StepResult{Exit: 128 + int(syscall.SIGTERM), Err: err}
	case <-l.done:
		out.close()
		return StepResult{Err: ErrLinkLost}
	}
}

// tap is the way of a step's output to the console, which a lost connection closes.
type tap struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return len(p), nil
	}
	return t.w.Write(p)
}

func (t *tap) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// waitForOutput waits for the command; output held open by a background process is
// given up after the delay.
func waitForOutput(cmd *exec.Cmd, s Step) error {
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		fmt.Fprintln(s.Out, "Process leaked file descriptors. See https://www.jenkins.io/redirect/troubleshooting/process-leaked-file-descriptors for more information")
		return nil
	}
	return err
}

func exitStatus(err error) StepResult {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return StepResult{}
	case errors.As(err, &exit) && exit.Exited():
		return StepResult{Exit: exit.ExitCode()}
	case errors.As(err, &exit):
		return StepResult{Exit: 128 + int(exit.Sys().(syscall.WaitStatus).Signal())}
	default:
		return StepResult{Err: err}
	}
}

// mergeEnv overrides variables of the agent's process.
func mergeEnv(base []string, extra map[string]string) []string {
	env := make([]string, 0, len(base)+len(extra))
	for _, kv := range base {
		if name, _, _ := strings.Cut(kv, "="); extra[name] == "" {
			env = append(env, kv)
		}
	}
	for _, k := range sortedKeys(extra) {
		env = append(env, k+"="+extra[k])
	}
	return env
}

// newLink makes the link of a simulated or local agent.
func (j *Jenkins) newLink(name string) AgentLink {
	if j.opts.Execute != nil || j.opts.Dir == "" {
		return newSimulatedLink(j.opts.Execute)
	}
	dir := name
	if dir == "" {
		dir = builtInLabel
	}
	l := NewLocalLink(filepath.Join(j.opts.Dir, "agents", dir, "tmp"))
	if leak := j.timing().LeakedOutput; leak > 0 {
		l.Leak = leak
	}
	return l
}

// killStrays ends what real steps left behind, wherever it escaped to: processes
// with our cookie, and those that run inside our directory.
func (j *Jenkins) killStrays() {
	if j.opts.Dir == "" || j.opts.Execute != nil {
		return
	}
	if err := killByEnvironment(map[string]string{"JENKINS_SERVER_COOKIE": j.cookie}, syscall.SIGKILL); err != nil {
		j.log.Warn("strays are left", "err", err)
	}
	if err := killBelow(j.opts.Dir); err != nil {
		j.log.Warn("strays are left", "err", err)
	}
}
