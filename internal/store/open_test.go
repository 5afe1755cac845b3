// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func TestWhatWasStoredIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pit crew?#%.db") // characters that mean something in a URL
	s := open(t, path)
	change(t, s, a1, t0, to(hygiene.Due, t0))
	change(t, s, a1, t0, func(c *store.Change) ([]hygiene.Event, error) {
		c.Agent.Depth = hygiene.Deep
		return nil, nil
	})
	epoch, starts := s.Epoch(), s.Starts()
	if epoch == "" || starts != 1 || s.Path() != path {
		t.Errorf("first open: got epoch %q, start %d, path %s", epoch, starts, s.Path())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	s = open(t, path)
	if s.Epoch() != epoch || s.Starts() != 2 {
		t.Errorf("second open: got epoch %s, start %d, want %s and 2", s.Epoch(), s.Starts(), epoch)
	}
	if a, _, err := s.Agent(t.Context(), a1); err != nil || a.State != hygiene.Due || a.Depth != hygiene.Deep {
		t.Errorf("agent: got %+v, %v", a, err)
	}
}

func TestDatabaseIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	change(t, open(t, filepath.Join(dir, "pitcrew.db")), a1, t0, to(hygiene.Due, t0))
	for _, e := range entries(t, dir) {
		if info, err := os.Stat(filepath.Join(dir, e)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v: others may read it", e, info.Mode(), err)
		}
	}
}

func TestSecondDaemonIsToldWhoHoldsTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	cmd := child(t, "hold", path)
	lines, kill := start(t, cmd)
	if !lines.Scan() {
		t.Fatal("the first daemon did not start")
	}
	_, err := store.Open(t.Context(), store.Options{Path: path})
	host, _ := os.Hostname()
	var locked *store.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want it locked", err)
	}
	want := store.LockedError{Path: path, Owner: "the other daemon", PID: cmd.Process.Pid, Host: host, Since: t0}
	if diff := cmp.Diff(want, *locked); diff != "" {
		t.Errorf("locked (-want +got):\n%s", diff)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("in use by the other daemon, process %d on %s", cmd.Process.Pid, host)) {
		t.Errorf("error %q does not say who", err)
	}
	kill()
	open(t, path) // the lock of a dead owner is no lock
}

func TestSameProcessDoesNotOpenTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	s := open(t, path)
	var locked *store.LockedError
	if _, err := store.Open(t.Context(), store.Options{Path: path}); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("got %v, want it locked by this process", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}

func TestFileThatIsNotUsableIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  error
		says  string
	}{
		{"text", scribble, store.ErrForeign, "give another path"},
		{"a page of garbage in the middle", garble, store.ErrCorrupt, "start from the newest backup"},
		{"cut off", halve, store.ErrCorrupt, "start from the newest backup"},
		{"somebody else's database", replace, store.ErrForeign, "give another path"},
		{"a newer schema", outdate, store.ErrNewer, "schema 9999, this program knows "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "pitcrew.db")
			filled(t, path)
			tc.spoil(t, path)
			before := read(t, path)
			_, err := store.Open(t.Context(), store.Options{Path: path})
			var unusable *store.FileError
			if !errors.Is(err, tc.want) || !errors.As(err, &unusable) || unusable.Path != path {
				t.Fatalf("got %v, want %v", err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not say %q about %s", err, tc.says, path)
			}
			if !bytes.Equal(before, read(t, path)) {
				t.Error("the file was written to")
			}
		})
	}
}

func TestEmptyFileIsANewDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	write(t, path, nil)
	if s := open(t, path); s.Starts() != 1 {
		t.Errorf("got start %d, want 1", s.Starts())
	}
}

func TestMissingDirectoryIsNotCreated(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "pitcrew.db")
	_, err := store.Open(t.Context(), store.Options{Path: path})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want that %s does not exist", err, path)
	}
}

func TestFullDiskLosesOnlyTheChangeThatFailed(t *testing.T) {
	t.Parallel()
	onOwnDisk(t, "2m", func(run, dir string) string { return "fill=" + run })
}

func TestReadOnlyDiskIsExplained(t *testing.T) {
	t.Parallel()
	onOwnDisk(t, "8m", func(run, dir string) string {
		return "create=" + run + " && mount -o remount,ro " + dir + " && readonly=" + run
	})
}

func TestReadOnlyFileIsExplained(t *testing.T) {
	t.Parallel()
	onOwnDisk(t, "8m", func(run, dir string) string {
		file := dir + "/pitcrew.db"
		return "create=" + run + " && mount --bind " + file + " " + file + " && mount -o remount,ro,bind " + file + " && readonly=" + run
	})
}

// onOwnDisk runs children on a small file system of their own, in a private mount namespace. The
// script names each child's role before the command that runs it.
func onOwnDisk(t *testing.T, size string, script func(run, dir string) string) {
	t.Helper()
	dir := t.TempDir()
	mount := fmt.Sprintf("mount -t tmpfs -o size=%s tmpfs %s", size, dir)
	unshare := []string{"unshare", "--mount"}
	if os.Getuid() != 0 {
		unshare = append(unshare, "--map-root-user")
	}
	if out, err := exec.CommandContext(t.Context(), unshare[0], append(unshare[1:], "sh", "-c", mount)...).CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no mount namespace can be had: %v: %s", err, out)
		}
		t.Skipf("needs a mount namespace: %v: %s; CI runs this test", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	line := mount + " && " + script(fmt.Sprintf("%s %s/pitcrew.db", self, dir), dir)
	for role := range children {
		line = strings.ReplaceAll(line, role+"=", childRole+"="+role+" ")
	}
	if out, err := exec.CommandContext(t.Context(), unshare[0], append(unshare[1:], "sh", "-c", line)...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestCrashLosesNoCommittedChange kills a writing process again and again at any moment.
func TestCrashLosesNoCommittedChange(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pitcrew.db")
	rounds, seen := 12, 0
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		lines, kill := start(t, child(t, "crash", path))
		told := 0
		for range 5 + 7*round {
			if !lines.Scan() {
				t.Fatalf("round %d: the writer ended by itself", round)
			}
			told, _ = strconv.Atoi(lines.Text())
		}
		kill()
		seen = whole(t, path, told, seen)
	}
}

// whole checks that nothing that was told is missing, and that no change is there by half. It
// returns the number of the last change; the first seen were checked before.
func whole(t *testing.T, path string, told, seen int) int {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	defer s.Close()
	a, attempt, err := s.Agent(t.Context(), a1)
	if err != nil {
		t.Fatal(err)
	}
	n := a.Failures
	if n < told {
		t.Errorf("change %d is missing; the last is %d", told, n)
	}
	if a.Version != int64(n) || a.Attempt != int64(n/2) {
		t.Errorf("after change %d: got version %d and attempt %d", n, a.Version, a.Attempt)
	}
	if attempt != nil && attempt.Ended.IsZero() != a.State.InProgress() {
		t.Errorf("after change %d: the agent is %s, its attempt ended at %v", n, a.State, attempt.Ended)
	}
	events, err := s.Events(t.Context(), store.EventFilter{After: int64(2 * seen), Limit: 10 * n})
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2*(n-seen) {
		t.Errorf("after changes %d to %d: got %d events, want two of each", seen+1, n, len(events))
	}
	for i, e := range events {
		if want := strconv.Itoa(seen + i/2 + 1); e.Data["n"] != want || e.ID != int64(2*seen+i+1) {
			t.Fatalf("event %d is of change %s, want %s", e.ID, e.Data["n"], want)
		}
	}
	return n
}

// filled writes a database of many pages.
func filled(t *testing.T, path string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		change(t, s, hygiene.AgentID{Controller: "ci", Name: fmt.Sprintf("agent-%d", i)}, t0, to(hygiene.Due, t0))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func garble(t *testing.T, path string) {
	t.Helper()
	text := read(t, path)
	middle := len(text) / 2 / 4096 * 4096
	for i := middle; i < middle+8192; i++ {
		text[i] = 0xa5
	}
	write(t, path, text)
}

func scribble(t *testing.T, path string) {
	t.Helper()
	write(t, path, []byte(strings.Repeat("not a database\n", 500)))
}

func halve(t *testing.T, path string) {
	t.Helper()
	text := read(t, path)
	write(t, path, text[:len(text)/2])
}

func replace(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	execute(t, path, "CREATE TABLE bookmarks (url TEXT)")
}

func outdate(t *testing.T, path string) {
	t.Helper()
	execute(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
}

func execute(tb testing.TB, path, statement string) {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(tb.Context(), statement); err != nil {
		tb.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}
