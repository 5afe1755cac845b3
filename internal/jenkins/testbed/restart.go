// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

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
	run.Env = withoutSecrets(os.Environ())
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
	if err := c.answers(ctx); err != nil {
		return fmt.Errorf("restart the controller by %s: %w", s, err)
	}
	return nil
}

// withoutSecrets is an environment for the command that starts the controller, which every build on its built-in node sees. The
// other variables of ours may tell the command where that is.
func withoutSecrets(env []string) []string {
	return slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{envToken, envPassword, secondToken}, name)
	})
}

// bootPatience bounds the time from the end of a restart's command until Jenkins itself answers.
const bootPatience = 5 * time.Minute

// answers waits until it is Jenkins that answers: before that its port is closed, or it says that it is getting ready.
func (c *Controller) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for said := errors.New("no word"); ; {
		a, err := c.Send(ctx, Request{Method: http.MethodGet, Path: "/api/json?tree=useSecurity"})
		switch {
		case err == nil && a.Status == http.StatusOK:
			return nil
		case err == nil:
			said = fmt.Errorf("status %d: %s", a.Status, a.Excerpt())
		case ctx.Err() == nil:
			said = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the command is over, and Jenkins does not answer: %w", said)
		case <-ticker.C:
		}
	}
}
