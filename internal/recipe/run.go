// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
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
	"syscall"
	"time"
)

// Runner runs a program on this machine, as a controller would on an agent's.
type Runner struct {
	// Shell is the shell to run it with; "" means sh.
	Shell string
	// Agent is whom the program is issued for, Labels are the labels that conditions see.
	Agent  string
	Labels []string
	// Phases is "all" or "verify"; "" means all.
	Phases string
	// Depth is how deep it cleans; "" means standard.
	Depth Depth
	// Reboot lets the program reboot this machine if a step asks for it.
	Reboot bool
	// Output receives the log as it comes; nil discards it. The report is left out.
	Output io.Writer
}

// Ran is what came of a run.
type Ran struct {
	Exit   int
	Report Report
}

// stopGrace is how long a program may take to end its step and clean up after a cancelled context.
const stopGrace = 30 * time.Second

// maxRunLog bounds what is kept of a log to find the report in.
const maxRunLog = maxReport + 1<<20

// Run runs p until it ends. A cancelled ctx asks the program to stop, which ends its step and removes what it
// unpacked. The error is a [*ReportError] if the program ended without a usable report.
func (r Runner) Run(ctx context.Context, p *Program) (Ran, error) {
	dir, err := os.MkdirTemp("", "pitcrew-run-")
	if err != nil {
		return Ran{}, fmt.Errorf("run recipe %s: %w", p.Recipe, err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program.sh")
	if err := os.WriteFile(file, p.Text, 0o600); err != nil {
		return Ran{}, fmt.Errorf("run recipe %s: %w", p.Recipe, err)
	}
	nonce := rand.Text()
	log := &runLog{out: r.Output}
	cmd := r.command(ctx, file, nonce)
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Run()
	log.flush()
	if ctx.Err() != nil {
		return Ran{}, fmt.Errorf("run recipe %s: %w", p.Recipe, context.Cause(ctx))
	}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return Ran{}, fmt.Errorf("run recipe %s: %w", p.Recipe, err)
	}
	ran := Ran{Exit: cmd.ProcessState.ExitCode()}
	if ran.Report, err = ParseReport(log.kept.Bytes(), 1, nonce); err != nil {
		return ran, err
	}
	return ran, p.Matches(ran.Report)
}

func (r Runner) command(ctx context.Context, file, nonce string) *exec.Cmd {
	shell, agent, phases := r.Shell, r.Agent, r.Phases
	if shell == "" {
		shell = "sh"
	}
	if agent == "" {
		agent, _ = os.Hostname()
	}
	if phases == "" {
		phases = "all"
	}
	args := []string{file, "--agent", agent, "--controller", "local", "--labels", strings.Join(r.Labels, " ")}
	if !r.Reboot {
		args = append(args, "--no-reboot")
	}
	cmd := exec.CommandContext(ctx, shell, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PITCREW_") }),
		"PITCREW_AGENT="+agent, "PITCREW_CONTROLLER=local", "PITCREW_ATTEMPT=1", "PITCREW_NONCE="+nonce, "PITCREW_PHASES="+phases,
		"PITCREW_DEPTH="+string(r.Depth))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	return cmd
}

// runLog passes a log on line by line, without the report, and keeps its end.
type runLog struct {
	out     io.Writer
	kept    bytes.Buffer
	partial []byte
	report  bool
	failed  error
}

func (l *runLog) Write(b []byte) (int, error) {
	l.kept.Write(b)
	if extra := l.kept.Len() - maxRunLog; extra > 0 {
		l.kept.Next(extra)
	}
	l.partial = append(l.partial, b...)
	for {
		i := bytes.IndexByte(l.partial, '\n')
		if i < 0 {
			break
		}
		l.line(l.partial[:i+1])
		l.partial = l.partial[i+1:]
	}
	return len(b), l.failed
}

func (l *runLog) flush() {
	l.line(l.partial)
	l.partial = nil
}

func (l *runLog) line(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte(beginSentinel)):
		l.report = true
	case bytes.HasPrefix(line, []byte(endSentinel)):
		l.report = false
	case !l.report && l.out != nil && l.failed == nil && len(line) > 0:
		_, l.failed = l.out.Write(line)
	}
}
