// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
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
	if out, err := run.CombinedOutput(); err != nil {
		return fmt.Errorf("restart the controller by %s: %w: %s", s, err, strings.TrimSpace(string(out)))
	}
	return nil
}
