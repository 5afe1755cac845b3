// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestNewEpochTrustsNoAgent(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx := t.Context()
	for _, state := range hygiene.States {
		id := hygiene.AgentID{Controller: "ci", Name: string(state)}
		bring(t, s, id, state)
		change(t, s, id, t0, func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.Need, c.Agent.Failures, c.Agent.Epoch = hygiene.NeedVerify, 2, s.Epoch()
			return nil, nil
		})
	}
	if err := s.SaveController(ctx, store.Controller{ID: "ci"}); err != nil {
		t.Fatal(err)
	}
	slot := store.Slot{Controller: "ci", Job: "j", Digest: "sha256:1", Content: "sha256:2", Pending: "sha256:3", Refused: "edited", Agent: "running", Attempt: 1}
	if err := s.SaveSlot(ctx, slot); err != nil {
		t.Fatal(err)
	}
	newest, err := s.Events(ctx, store.EventFilter{Newest: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	epoch, now := s.Epoch(), t0.Add(time.Hour)
	if err := s.NewEpoch(ctx, "an old copy", now); err != nil {
		t.Fatal(err)
	}
	if s.Epoch() == epoch || s.Epoch() == "" {
		t.Errorf("epoch %q, was %q", s.Epoch(), epoch)
	}
	distrusted(t, s, now)
	events, err := s.Events(ctx, store.EventFilter{After: newest[0].ID})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s %s-%s %s", e.Type, e.Subject, e.Before, e.After, e.Reason))
	}
	want := []string{
		"store.epoch store - an old copy",
		"cleanup.lost ci/claimed claimed-due an old copy",
		"agent.due ci/clean clean-due an old copy",
		"agent.due ci/due due-due an old copy",
		"cleanup.lost ci/granting granting-due an old copy",
		"cleanup.lost ci/reconnecting reconnecting-due an old copy",
		"cleanup.lost ci/running running-due an old copy",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	slot.Digest, slot.Content, slot.Pending = "", "", "" // nobody knows yet whether its build is gone, but it may carry another program by now
	if slots, err := s.Slots(ctx, "ci"); err != nil || !slices.Equal(slots, []store.Slot{slot}) {
		t.Errorf("slots: got %+v, %v, want %+v", slots, err, slot)
	}
}

// distrusted checks that every managed agent is due for a whole cleanup and no attempt is open.
func distrusted(t *testing.T, s *store.Store, now time.Time) {
	t.Helper()
	agents, err := s.Agents(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range agents {
		if a.ID.Name == "unmanaged" {
			if a.Managed() {
				t.Errorf("%s: got %s", a.ID, a.State)
			}
			continue
		}
		if a.State != hygiene.Due || a.Need != hygiene.NeedCleanup || a.Epoch == s.Epoch() {
			t.Errorf("%s: got %s, need %s, epoch %s", a.ID, a.State, a.Need, a.Epoch)
		}
		_, attempt, err := s.Agent(t.Context(), a.ID)
		if err != nil {
			t.Fatal(err)
		}
		if attempt != nil && attempt.Ended.Equal(now) && attempt.Outcome != hygiene.Lost {
			t.Errorf("%s: its attempt ended %q", a.ID, attempt.Outcome)
		}
	}
	if open, err := s.Attempts(t.Context(), store.AttemptFilter{Open: true}); err != nil || len(open) > 0 {
		t.Errorf("open attempts: got %v, %v", open, err)
	}
}

func TestBackupIsTakenWhileChangesGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "pitcrew.db"))
	for i := range 500 {
		change(t, s, hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%d", i)}, t0, to(hygiene.Due, t0))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	began := make(chan struct{})
	go func() {
		n := 0
		for ctx.Err() == nil {
			if _, err := writeNext(context.WithoutCancel(ctx), s); err != nil {
				t.Errorf("change %d during the backup: %v", n+1, err)
				break
			}
			if n++; n == 10 {
				close(began)
			}
		}
		ended <- n
	}()
	<-began
	copied := filepath.Join(dir, "backup.db")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	cancel()
	total := <-ended
	want := []string{"backup.db", "pitcrew.db", "pitcrew.db-shm", "pitcrew.db-wal", "pitcrew.db.lock"}
	if diff := cmp.Diff(want, entries(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the copy: %v, %v", info.Mode(), err)
	}
	restored(t, s, copied, total)
}

// restored opens a backup: a whole moment of the original, which nobody believes any more.
func restored(t *testing.T, original *store.Store, path string, total int) {
	t.Helper()
	now := t0.Add(48 * time.Hour)
	b, err := store.Open(t.Context(), store.Options{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	epoch := b.Epoch()
	if epoch == original.Epoch() || b.Starts() != original.Starts()+1 {
		t.Errorf("epoch %s of %s, start %d", epoch, original.Epoch(), b.Starts())
	}
	distrusted(t, b, now)
	a, _, err := b.Agent(t.Context(), a1)
	if err != nil || a.Failures < 10 || a.Failures > total {
		t.Errorf("got %d changes, %v, want 10 to %d", a.Failures, err, total)
	}
	if events, err := b.Events(t.Context(), store.EventFilter{Agent: a1, Limit: 1 << 20}); err != nil || len(events) != 2*a.Failures+1 {
		t.Errorf("got %d events, %v, of %d changes and a new epoch", len(events), err, a.Failures)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if b = open(t, path); b.Epoch() != epoch {
		t.Errorf("opened again: epoch %s, want %s", b.Epoch(), epoch)
	}
}

func TestBackupOverwritesNothingAndLeavesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	write(t, taken, []byte("precious"))
	if err := s.Backup(t.Context(), taken); !errors.Is(err, store.ErrExists) || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v, want that it exists", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Backup(ctx, filepath.Join(dir, "cancelled")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	if err := s.Backup(t.Context(), filepath.Join(dir, "missing", "b")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the directory does not exist", err)
	}
	if diff := cmp.Diff([]string{"taken"}, entries(t, dir)); diff != "" || string(read(t, taken)) != "precious" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
