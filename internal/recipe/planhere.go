// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/carried"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// PlanHere writes to out what p would do on this machine, and does nothing of it: the program says which steps it would run, and
// below each that has a goal scrub says what it would do there, as far as the user who asks can see it.
func (p *Program) PlanHere(ctx context.Context, labels []string, depth Depth, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "sh", "-s", "--", "--plan", "--labels", strings.Join(labels, " "), "--depth", string(depth))
	var said, wrong bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(p.Text), &said, &wrong
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("plan recipe %s: %w: %s", p.Recipe, err, bytes.TrimSpace(wrong.Bytes()))
	}
	s, err := newSeer(p)
	if err != nil {
		return fmt.Errorf("plan recipe %s: %w", p.Recipe, err)
	}
	defer s.close()
	steps := p.Steps
	for line := range strings.Lines(said.String()) {
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
		i := slices.IndexFunc(steps, func(n StepName) bool {
			return strings.HasPrefix(line, fmt.Sprintf("run   %s: %s (", n.Phase, n.Name))
		})
		if i < 0 {
			continue
		}
		name := steps[i].Name
		steps = steps[i+1:]
		if err := s.tell(ctx, name, out); err != nil {
			return fmt.Errorf("plan step %q of recipe %s: %w", name, p.Recipe, err)
		}
	}
	return nil
}

// seer has scrub look at this machine.
type seer struct {
	dir     string // of the executable, "" if there is none for this machine
	agent   string
	planned map[string]spec.Spec
	limits  map[string]time.Duration
}

func newSeer(p *Program) (*seer, error) {
	s := &seer{agent: os.Getenv("NODE_NAME"), planned: map[string]spec.Spec{}, limits: p.limits}
	if s.agent == "" {
		s.agent, _ = os.Hostname()
	}
	for _, g := range p.goals {
		s.planned[g.Name] = g
	}
	platform := runtime.GOOS + "/" + runtime.GOARCH
	if len(p.goals) == 0 || !slices.Contains(carried.Platforms(), platform) {
		return s, nil
	}
	b, err := carried.For(platform)
	if err != nil {
		return nil, err
	}
	program, err := b.Unpack()
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "pitcrew-plan-"); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.program(), program, 0o700); err != nil { //nolint:gosec // it is to be run
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *seer) program() string { return filepath.Join(s.dir, "scrub") }

func (s *seer) close() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// tell writes what scrub says of a step's goal, indented. That a goal cannot be planned is told there too, and fails nothing.
func (s *seer) tell(ctx context.Context, step string, out io.Writer) error {
	goal, ok := s.planned[step]
	if !ok || s.dir == "" {
		return nil
	}
	text, err := goal.Encode()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, s.limits[step])
	defer cancel()
	cmd := exec.CommandContext(limited, s.program(), "plan", "-")
	cmd.Dir = s.dir // what it stands in stays
	cmd.Env = append(os.Environ(), "PITCREW_AGENT="+s.agent)
	cmd.Stdin = bytes.NewReader(text)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	said, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended && limited.Err() == nil {
		return fmt.Errorf("run scrub: %w; TMPDIR names another directory to run it from", err)
	}
	for line := range strings.Lines(string(said)) {
		if _, err := fmt.Fprintf(out, "      %s\n", strings.TrimSuffix(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}
