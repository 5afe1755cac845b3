// SPDX-License-Identifier: Apache-2.0

package scrub_test

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

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
)

// script writes a program of the shell.
func script(t *testing.T, dir, name, text string) {
	t.Helper()
	// A process that another test starts meanwhile would hold the file open for writing until it executes, and nobody could execute this one.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestToolsAreTheMachinesAndTheirFailureIsWhatTheySaid(t *testing.T) {
	t.Setenv("LC_ALL", "de_DE")
	t.Setenv("SECRET", "x")
	dir := t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	script(t, dir, "only-here", "")
	script(t, dir, "says", `read -r line; printf '%s|%s|%s|%s' "$LC_ALL" "${SECRET-none}" "$line" "$*"`)
	script(t, dir, "fails", "echo one; echo two >&2; exit 7")
	script(t, dir, "dies", "kill -KILL $$")
	script(t, dir, "daemon", "sleep 100 & echo $!")
	script(t, dir, "talks", "head -c 5000000 /dev/zero")
	if _, err := scrub.RunTool(t.Context(), nil, "only-here"); err == nil || err.Error() != "there is no only-here here" {
		t.Errorf("a tool in the PATH of whoever starts us: %v", err)
	}
	here := []string{dir}
	if out, err := scrub.RunTool(t.Context(), here, "says", "a b", "*"); string(out) != "C|none||a b *" || err != nil {
		t.Errorf("it says %q, %v", out, err)
	}
	for name, want := range map[string]string{
		"fails": "fails: exit code 7: two one", "dies": "dies: ended by a signal", "talks": "talks: it says more than 4194304 bytes",
	} {
		if _, err := scrub.RunTool(t.Context(), here, name); err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
	out, err := scrub.RunTool(t.Context(), here, "daemon")
	if err != nil {
		t.Errorf("a tool that leaves a daemon: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
		t.Errorf("what it leaves does not live on: %v", err)
	}
}

func TestAToolThatIgnoresItsEndIsEndedWithAllItStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script(t, dir, "hangs", "trap '' TERM; mkfifo "+dir+"/pipe; (trap '' TERM; exec 3<>"+dir+"/lock; : >"+dir+"/ready; read -r x <"+dir+"/pipe) & wait; read -r x <"+dir+"/pipe")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := scrub.RunTool(ctx, []string{dir}, "hangs")
		done <- err
	}()
	until(t, func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
	cancel()
	select {
	case err := <-done:
		if err == nil || err.Error() != "hangs: stopped: canceled" {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it is still waited for")
	}
	until(t, func() bool { return len(holding(t, dir+"/lock")) == 0 })
}

// holding are the processes that have a file open.
func holding(t *testing.T, file string) []string {
	t.Helper()
	var all []string
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && to == file {
			all = append(all, link)
		}
	}
	return all
}

// until waits for a condition.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("what is waited for does not come")
		}
	}
}
