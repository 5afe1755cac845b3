// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tool is an external program of the machine. It is run by its path and without a shell, in a process group of its own,
// with nothing on its standard input, and its words are those of the locale C.
type tool struct {
	path string
	env  []string // beyond what every tool sees
}

// with returns t with more variables in its environment, each as NAME=value.
func (t tool) with(env ...string) tool {
	t.env = env
	return t
}

// toolPlaces are where tools are looked for. The PATH that we were started with may name directories of the agent's user.
var toolPlaces = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"}

// tool finds a program by its name. The error is an Absent one if there is none.
func (h Here) tool(name string) (tool, error) {
	for _, dir := range h.places() {
		at := filepath.Join(dir, name)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return tool{path: at}, nil
		}
	}
	return tool{}, Absent{fmt.Sprintf("there is no %s here", name)}
}

func (h Here) places() []string {
	if h.Tools != nil {
		return h.Tools
	}
	return toolPlaces
}

// Exit is how a tool failed.
type Exit struct {
	Tool string
	Code int    // its exit code, -1 if a signal ended it
	Said string // the end of what it said, on one line
	Text string // all that it said, errors first
}

func (e Exit) Error() string {
	text := fmt.Sprintf("%s: exit code %d", e.Tool, e.Code)
	if e.Code < 0 {
		text = e.Tool + ": ended by a signal"
	}
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}

// run runs the tool to its end and returns its output. The error is an Exit if the tool failed. When ctx ends its whole
// process group is ended, TERM before KILL.
func (t tool) run(ctx context.Context, args ...string) ([]byte, error) {
	return t.feed(ctx, nil, args...)
}

// said is run for a tool that says on its standard error what is wanted.
func (t tool) said(ctx context.Context, args ...string) (string, error) {
	_, text, err := t.do(ctx, nil, args...)
	return string(text), err
}

// feed is run with an input.
func (t tool) feed(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	out, _, err := t.do(ctx, input, args...)
	return out, err
}

func (t tool) do(ctx context.Context, input []byte, args ...string) (stdout, stderr []byte, err error) {
	if ctx.Err() != nil {
		return nil, nil, stopped(ctx)
	}
	name := filepath.Base(t.path)
	c := exec.CommandContext(context.WithoutCancel(ctx), t.path, args...) //nolint:gosec // a program of the machine by its path; no shell reads the words, and each has its place
	c.Dir, c.Env = "/", append(toolEnvironment(), t.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.WaitDelay = parting // what a daemon that it started holds open is not waited for
	var out, said bounded
	c.Stdout, c.Stderr = &out, &said
	if input != nil {
		c.Stdin = bytes.NewReader(input)
	}
	if err := c.Start(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	endGroup(ctx, c.Process.Pid)
	err = c.Wait()
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return out.kept, said.kept, fmt.Errorf("%s: %w", name, stopped(ctx))
	case failed:
		all := slices.Concat(said.kept, out.kept)
		return out.kept, said.kept, Exit{name, exit.ExitCode(), oneLine(all), string(all)}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return out.kept, said.kept, fmt.Errorf("%s: %w", name, err)
	case out.lost:
		return out.kept, said.kept, fmt.Errorf("%s: it says more than %d bytes", name, maxOutput)
	}
	return out.kept, said.kept, nil
}

// endGroup returns when the process has ended; when ctx ends before, it ends the whole group. The process is not reaped
// meanwhile, so that its number cannot be another group's.
func endGroup(ctx context.Context, pid int) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		}
	}()
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	_ = unix.Kill(-pid, unix.SIGTERM) // it may have ended meanwhile
	select {
	case <-exited:
	case <-time.After(parting / 2):
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	<-exited
}

// toolEnvironment is what a tool sees: proxies and the home of whoever runs us, and nothing else.
func toolEnvironment() []string {
	env := []string{"LC_ALL=C", "PATH=" + strings.Join(toolPlaces, ":")}
	for _, name := range []string{"HOME", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// maxOutput bounds what is kept of the output of a tool.
const maxOutput = 4 << 20

// bounded keeps the beginning of what is written to it.
type bounded struct {
	kept []byte
	lost bool
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), maxOutput-len(b.kept))
	b.kept = append(b.kept, p[:n]...)
	b.lost = b.lost || n < len(p)
	return len(p), nil
}

// oneLine is the end of what a tool said, as it may stand in a report.
func oneLine(text []byte) string {
	const most = 300
	words := strings.Join(strings.Fields(string(text)), " ")
	if len(words) > most {
		words = "..." + words[len(words)-most:]
	}
	return shown(strings.ToValidUTF8(words, "?"))
}
