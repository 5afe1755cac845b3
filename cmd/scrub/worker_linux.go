// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
)

// asWorker makes scrub serve the worker of the process that starts it.
const asWorker = "--worker"

// The descriptors of a worker: where it reads requests, and where it writes the exit codes of steps after which it stays.
const workerRequests, workerReplies = 3, 4

// work does the steps that it is asked for, and returns the exit code of the last.
func work(dir string) int {
	unix.CloseOnExec(workerRequests)
	unix.CloseOnExec(workerReplies)
	// What a step has started and lost comes to us, so that it is seen.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) { // Linux before 3.4
		fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
		return wrong
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	requests, replies := os.NewFile(workerRequests, "requests"), os.NewFile(workerReplies, "replies")
	// What goes on in a worker that has nothing to do, of which the reader of requests is one.
	lines := readLines(requests)
	before := holdings()
	for line := range lines {
		r, err := parseRequest(line)
		if err != nil {
			fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
			return wrong
		}
		code := doStep(ctx, dir, r)
		if code != reached && code != absent || !before.still() {
			return code
		}
		if _, err := fmt.Fprintln(replies, code); err != nil {
			return code
		}
	}
	return reached
}

// doStep does one step in the place and with the environment that a process of its own would have for it.
func doStep(ctx context.Context, dir string, r request) int {
	step := filepath.Join(dir, r.step)
	c := command{mode: scrub.Do, file: filepath.Join(step, "script"), result: step, prefixed: true}
	if r.phase == "verify" {
		c.mode = scrub.Judge
	}
	if err := takeUp(step, r); err != nil {
		fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
		return wrong
	}
	code, err := c.do(ctx, nil, os.Stdout)
	if err != nil {
		fmt.Fprintf(os.Stderr, "scrub: %s\n", err)
	}
	return code
}

// takeUp goes to the step's directory. What there is to say of a worker that dies in the step becomes its tail.
func takeUp(step string, r request) error {
	files := filepath.Join(step, "files")
	tail, err := os.OpenFile(filepath.Join(step, "tail"), os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // below the directory that the program was told
	if err != nil {
		return err
	}
	defer tail.Close()
	return errors.Join(
		unix.Dup3(int(tail.Fd()), int(os.Stderr.Fd()), 0), os.Chdir(files),
		os.Setenv("PITCREW_STEP", r.name), os.Setenv("PITCREW_TRY", r.try),
		os.Setenv("PITCREW_PHASE", r.phase), os.Setenv("PITCREW_FILES", files),
	)
}

// holding is what a process has besides its memory.
type holding struct{ routines, files int }

func holdings() holding { return holding{runtime.NumGoroutine(), openFiles()} }

// still reports whether there is no more than before: nothing that goes on, nothing that is open, no child. Zombies that a step
// left are reaped. What is about to end gets a moment for it.
func (before holding) still() bool {
	for range 50 {
		if now := holdings(); now.routines <= before.routines && now.files <= before.files {
			return !children()
		}
		<-time.After(time.Millisecond)
	}
	return false
}

// openFiles counts open descriptors, but those of the runtime itself, which polls by them.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(to, "anon_inode:") {
			n++
		}
	}
	return n
}

// children reports whether a child lives.
func children() bool {
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case errors.Is(err, unix.EINTR), pid > 0:
		case err != nil:
			return false // there is none
		default:
			return true
		}
	}
}
