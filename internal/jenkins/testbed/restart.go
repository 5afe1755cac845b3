// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// Signal is how the controller's process is ended.
type Signal string

// The signals.
const (
	Term Signal = "TERM" // it ends in an orderly way, and saves its queue
	Kill Signal = "KILL"
)

// ErrLasting says that the controller's process cannot be ended from here.
var ErrLasting = errors.New(envRestartCommand + " names no command that restarts the controller")

// CanRestart reports whether [Controller.Restart] works.
func (c *Controller) CanRestart() bool { return c.fake != nil || c.restart != "" }

// Restart ends the controller's process and returns when it answers again.
func (c *Controller) Restart(ctx context.Context, s Signal) error {
	if c.fake != nil {
		mode := jenkinstest.RestartNow
		if s == Kill {
			mode = jenkinstest.RestartCrash
		}
		return c.fake.Restart(ctx, mode)
	}
	if c.restart == "" {
		return ErrLasting
	}
	// By a shell, so that the variable may hold arguments as well.
	run := exec.CommandContext(ctx, "/bin/sh", "-c", c.restart+` "$1"`, "restart", string(s))
	run.Env = environment()
	// Into a file: a pipe would be read until the controller itself is gone, which has it from the command that started it.
	log, err := os.CreateTemp(c.dir, "restart-")
	if err != nil {
		return fmt.Errorf("restart the controller by %s: %w", s, err)
	}
	defer os.Remove(log.Name())
	defer log.Close()
	run.Stdout, run.Stderr = log, log
	if err := run.Run(); err != nil {
		said, _ := os.ReadFile(log.Name()) // that it failed matters more than what it said
		return fmt.Errorf("restart the controller by %s: %w: %s", s, err, strings.TrimSpace(string(said)))
	}
	return nil
}
