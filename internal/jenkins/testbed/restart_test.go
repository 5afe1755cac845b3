// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// restarter is a Controller whose restart command is this shell script.
func restarter(t *testing.T, script string) *Controller {
	t.Helper()
	file := filepath.Join(t.TempDir(), "restart")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Controller{restart: "sh " + file}
}

func TestARestartDoesNotWaitForTheControllerItStarted(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pid")
	c := restarter(t, `sleep 300 & echo $! >`+pids+`; [ "$1" = TERM ]`) // which has the command's output as its own
	t.Cleanup(func() {
		text, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			t.Errorf("what was started is gone: %v", err)
		}
	})
	done := make(chan error, 1)
	go func() { done <- c.Restart(context.WithoutCancel(t.Context()), Term) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the command is over, and it is still waited for")
	}
}

func TestARestartThatFailsSaysWhatTheCommandSaid(t *testing.T) {
	t.Parallel()
	err := restarter(t, `echo "no such $1" >&2; exit 3`).Restart(t.Context(), Kill)
	if err == nil || !strings.Contains(err.Error(), "restart the controller by KILL: exit status 3: no such KILL") {
		t.Errorf("it says %v", err)
	}
}
