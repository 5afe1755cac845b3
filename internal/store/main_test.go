// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// childRole, in the environment, makes this test binary another process of a test.
const childRole = "PITCREW_TEST_STORE_CHILD"

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		if err := children[role](context.Background(), os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var children = map[string]func(ctx context.Context, path string) error{
	"hold":     childHolds,
	"crash":    childWrites,
	"fill":     childFillsDisk,
	"create":   childCreates,
	"readonly": childMeetsReadOnly,
}

// child prepares another process with the role; it is killed when the test ends.
func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, path)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// start returns the child's output, line by line, and kill, which is SIGKILL and waits.
func start(t *testing.T, cmd *exec.Cmd) (lines *bufio.Scanner, kill func()) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // open for as long as the child is to live
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = in.Close()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return bufio.NewScanner(out), kill
}

// childHolds opens the database, says so, and holds it until its input ends.
func childHolds(ctx context.Context, path string) error {
	s, err := store.Open(ctx, store.Options{Path: path, Owner: "the other daemon", Now: t0})
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return s.Close()
}

// childWrites makes one change after the other and tells the number of each once it is committed.
func childWrites(ctx context.Context, path string) error {
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return err
	}
	for {
		n, err := writeNext(ctx, s)
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
}

// writeNext counts in the agent's failures; each change has two events and one of an attempt.
func writeNext(ctx context.Context, s *store.Store) (n int, err error) {
	err = s.Change(ctx, a1, t0, func(c *store.Change) (events []hygiene.Event, err error) {
		step := to(hygiene.Due, t0)
		switch {
		case c.Agent.State == hygiene.Due:
			step = claim("nonce", t0)
		case c.Attempt != nil:
			c.Attempt.Ended, c.Attempt.Outcome = t0, hygiene.GivenBack
		}
		events, err = step(c)
		c.Agent.Failures++
		n = c.Agent.Failures
		number := map[string]string{"n": fmt.Sprint(n)}
		events[0].Data = number
		return append(events, hygiene.Event{Type: hygiene.EventMarked, Data: number}), err
	})
	return n, err
}

// childFillsDisk is run where path is on a small disk of its own.
func childFillsDisk(ctx context.Context, path string) error {
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := writeNext(ctx, s); err != nil {
		return err
	}
	filler := filepath.Join(filepath.Dir(path), "filler")
	if err := fill(filler); err != nil {
		return err
	}
	committed := 1
	for committed < 10_000 {
		if _, err = writeNext(ctx, s); err != nil {
			break
		}
		committed++
	}
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "free some space") {
		return fmt.Errorf("on a full disk: got %w, want the disk full and what to do", err)
	}
	now := time.Now()
	at, said := s.Fault(now)
	if _, later := s.Fault(now.Add(time.Hour)); !errors.Is(said, store.ErrFull) || at.IsZero() || at.After(now) || later != nil {
		return fmt.Errorf("on a full disk: the store says %w of %s now and %w in an hour, want that the disk is full, and nothing", said, at, later)
	}
	if err := s.Backup(ctx, path+".backup"); !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("backup on a full disk: got %w, want the disk full", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*backup*")); len(left) > 0 {
		return fmt.Errorf("a failed backup left %v", left)
	}
	if a, _, err := s.Agent(ctx, a1); err != nil || a.Failures != committed {
		return fmt.Errorf("after the failure: got %d changes, %w, want %d", a.Failures, err, committed)
	}
	if err := os.Remove(filler); err != nil {
		return err
	}
	if n, err := writeNext(ctx, s); err != nil || n != committed+1 {
		return fmt.Errorf("with space again: got change %d, %w, want %d", n, err, committed+1)
	}
	_, err = s.Fault(time.Now())
	return err
}

func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = f.Write(make([]byte, 1<<10))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.Close()
}

func childCreates(ctx context.Context, path string) error {
	s, err := store.Open(ctx, store.Options{Path: path})
	if err != nil {
		return err
	}
	return s.Close()
}

func childMeetsReadOnly(ctx context.Context, path string) error {
	_, err := store.Open(ctx, store.Options{Path: path})
	if !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), "mounted read-only") {
		return fmt.Errorf("on a read-only disk: got %w, want that and what to do", err)
	}
	return nil
}

var (
	t0     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a1     = hygiene.AgentID{Controller: "ci", Name: "el7-1"}
	a2     = hygiene.AgentID{Controller: "ci", Name: "el7-2"}
	policy = hygiene.Policy{Pool: "el7", Recipe: "el7", Revision: "r1", Delivery: hygiene.ByJob}
)
