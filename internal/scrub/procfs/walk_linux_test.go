// SPDX-License-Identifier: Apache-2.0

package procfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/procfs"
)

// fakeProc is a /proc of files.
type fakeProc struct {
	*testing.T
	root procfs.Root
}

func (f fakeProc) process(pid int) {
	f.Helper()
	dir := filepath.Join(string(f.root), strconv.Itoa(pid))
	f.must(os.Mkdir(dir, 0o755))
	f.must(os.WriteFile(dir+"/stat", fmt.Appendf(nil, "%d (sh) S 1 1 1 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 100 0 0 0\n", pid), 0o600))
}

// forks has the machine tell how many it has started; "" = it does not tell.
func (f fakeProc) forks(line string) {
	f.Helper()
	f.must(os.WriteFile(string(f.root)+"/stat", []byte("cpu  1 2 3\nintr 4 5\n"+line+"\nprocs_running 1\n"), 0o600))
}

func (f fakeProc) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// A process that is started while others are looked at is seen, unless the machine says that there can be none.
func TestAWalkListsAgainUnlessNothingCanHaveStarted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string // it has started so many
		seen          bool
	}{
		"more were started":              {"processes 500", "processes 501", true},
		"none was":                       {"processes 500", "processes 500", false}, // so that it cannot be there
		"it does not say":                {"", "", true},
		"it says nothing that can be so": {"processes 0", "processes 0", true},
		"fewer than there are":           {"processes 2", "processes 2", true},
		"it says no number":              {"processes many", "processes many", true},
	} {
		for _, listed := range []bool{false, true} {
			f := fakeProc{t, procfs.Root(t.TempDir())}
			for pid := 1; pid <= 3; pid++ {
				f.process(pid)
			}
			f.forks(c.before)
			var known procfs.Listing
			if listed {
				var err error
				known, err = f.root.List()
				f.must(err)
			}
			var seen []int
			f.must(f.root.Walk(known, func(s procfs.Stat) {
				if seen = append(seen, s.PID); s.PID == 2 {
					f.process(9)
					f.forks(c.after)
				}
			}))
			slices.Sort(seen)
			if want := map[bool][]int{false: {1, 2, 3}, true: {1, 2, 3, 9}}[c.seen]; !slices.Equal(seen, want) {
				t.Errorf("%s, listed before: %t: seen are %v, want %v", name, listed, seen, want)
			}
		}
	}
}

// The machine that this runs on counts what it starts.
func TestEveryProcessThatIsStartedDuringAWalkIsSeen(t *testing.T) { //nolint:paralleltest // what others start would have the list read again in any case
	for range 20 {
		listing, err := procfs.Machine.List()
		if err != nil {
			t.Fatal(err)
		}
		pid := startSleep(t)
		var found atomic.Bool
		err = procfs.Machine.Walk(listing, func(s procfs.Stat) {
			if s.PID == pid {
				found.Store(true)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !found.Load() {
			t.Fatalf("process %d was started after the list, and is not seen", pid)
		}
	}
}

// startSleep starts a process until the test ends.
func startSleep(t *testing.T) (pid int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sleep", "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // it was killed
	return c.Process.Pid
}
