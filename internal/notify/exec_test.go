// SPDX-License-Identifier: Apache-2.0

//go:build unix

package notify_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/notify"
)

func command(script string, args ...string) *notify.Exec {
	return &notify.Exec{Command: append([]string{"sh", "-c", script}, args...), Source: "/pitcrew/main"}
}

func TestExecGivesEnvelopeAndVariables(t *testing.T) {
	// Not parallel: it sets a variable.
	t.Setenv("PITCREW_TEST_TOKEN", "c4nary")
	dir := t.TempDir()
	if err := command(`cat >"$0/body"; env >"$0/env"`, dir).Send(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(filepath.Join(dir, "body"))
	if err != nil {
		t.Fatal(err)
	}
	isEnvelope(t, body)
	env, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"PITCREW_NOTICE_ID=e1-7", "PITCREW_NOTICE_TYPE=agent.quarantined", "PITCREW_NOTICE_SUMMARY=el9-1 is quarantined",
		"PITCREW_NOTICE_CONTROLLER=ci", "PITCREW_NOTICE_AGENT=el9-1", "PITCREW_NOTICE_POOL=el9", "PATH=" + os.Getenv("PATH"),
	} {
		if !strings.Contains("\n"+string(env), "\n"+want+"\n") {
			t.Errorf("%s is not in its environment:\n%s", want, env)
		}
	}
	if strings.Contains(string(env), "c4nary") {
		t.Error("a variable of ours is in its environment")
	}
}

func TestExecExitStatusDecides(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		exec      *notify.Exec
		delivered bool
		permanent bool
		text      string
	}{
		{name: "0 takes it", exec: command("exit 0"), delivered: true},
		{name: "0 without a look at the notice", exec: command("exec <&-"), delivered: true},
		{name: "65 refuses it for good", exec: command("echo no such room >&2; exit 65"), permanent: true, text: "no such room"},
		{name: "1 means later", exec: command("echo no network >&2; exit 1"), text: "no network"},
		{name: "killed means later", exec: command("kill -KILL $$"), text: "killed"},
		{name: "a program that is not there means later", exec: &notify.Exec{Command: []string{"/nonexistent"}}, text: "/nonexistent"},
		{name: "no program at all", exec: &notify.Exec{}, permanent: true, text: "empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.exec.Send(t.Context(), notice())
			if tt.delivered {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refusal, _ := errors.AsType[*notify.Refusal](err)
			if permanent := refusal != nil && refusal.Permanent; err == nil || permanent != tt.permanent || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, permanent %t, want permanent %t and %q", err, permanent, tt.permanent, tt.text)
			}
		})
	}
}

func TestExecEndsTheWholeProcessGroup(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script string
		limit  bool
	}{
		"at its time limit":                    {script: `sleep 600 & echo $! >"$0.part"; mv "$0.part" "$0"; wait`, limit: true},
		"when we are stopped":                  {script: `sleep 600 & echo $! >"$0.part"; mv "$0.part" "$0"; wait`},
		"a child that does not listen to TERM": {script: `(trap '' TERM; exec sleep 600) & echo $! >"$0.part"; mv "$0.part" "$0"; wait`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			e := command(tt.script, file)
			e.Grace = 100 * time.Millisecond
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.limit {
				e.Timeout = 5 * time.Second
			}
			done := make(chan error, 1)
			go func() { done <- e.Send(ctx, notice()) }()
			var pid int
			eventually(t, func() bool {
				text, err := os.ReadFile(file)
				pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return err == nil
			})
			if !tt.limit {
				cancel()
			}
			if err := <-done; err == nil {
				t.Error("want an error")
			}
			eventually(t, func() bool { return gone(pid) })
		})
	}
}

// gone says whether the process has ended; whether somebody has collected it does not matter.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// eventually waits for a condition that nobody announces.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	limit := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatal("it does not come to pass")
		}
	}
}
