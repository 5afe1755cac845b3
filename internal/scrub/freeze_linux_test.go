// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// hierarchy is one of control groups that this machine can freeze.
type hierarchy struct {
	root string
	// word, in file, says that a group is frozen.
	file, word string
}

// hierarchies are those of version 2 and 1, as far as they are there: the first is.
func hierarchies(t *testing.T) []hierarchy {
	t.Helper()
	asRoot(t)
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var two, one []hierarchy
	for line := range strings.Lines(string(table)) {
		switch f := strings.Fields(line); {
		case f[2] == "cgroup2":
			two = append(two, hierarchy{f[1], "cgroup.events", "frozen 1\n"})
		case f[2] == "cgroup" && strings.HasSuffix(f[3], ",freezer"):
			one = append(one, hierarchy{f[1], "freezer.state", "FROZEN\n"})
		}
	}
	switch {
	case len(two) > 0:
	case os.Getenv("CI") != "":
		t.Fatal("control groups of version 2 are not mounted; mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
	default:
		t.Skip("control groups of version 2 are not mounted; CI runs this test")
	}
	return append(two, one...)
}

// group makes a control group, with one in it, and returns its path within the hierarchy.
func (h hierarchy) group(t *testing.T) string {
	t.Helper()
	group := fmt.Sprintf("/pitcrew-%s-%d", t.Name(), os.Getpid())
	if err := os.MkdirAll(h.root+group+"/in", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(syscall.Rmdir(h.root+group+"/in"), syscall.Rmdir(h.root+group)); err != nil {
			t.Error(err)
		}
	})
	return group
}

func (h hierarchy) frozen(t *testing.T, group string) bool {
	t.Helper()
	text, err := os.ReadFile(h.root + group + "/" + h.file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), h.word)
}

// inhabit starts a process in a control group.
func (h hierarchy) inhabit(t *testing.T, group, script string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", `echo $$ >"$0"; echo in; `+script, h.root+group+"/cgroup.procs")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.StdoutPipe()
	if err := errors.Join(err, c.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

func TestControlGroupsAreFrozenThatHoldNothingElse(t *testing.T) {
	t.Parallel()
	for _, h := range hierarchies(t) {
		group := h.group(t)
		for _, c := range []struct {
			name                string
			above, below, guard bool // whether there is a process in the group, in the one in it, and one that is to stay
		}{
			{name: "one that is empty"},
			{name: "one of a process that leaves", above: true},
			{name: "those of two", above: true, below: true},
			{name: "one that holds another's", above: true, guard: true},
		} {
			t.Run(h.file+": "+c.name, func(t *testing.T) {
				leaving := map[int]bool{}
				if c.above {
					leaving[h.inhabit(t, group, "exec sleep 600").Process.Pid] = true
				}
				if c.below {
					leaving[h.inhabit(t, group+"/in", "exec sleep 600").Process.Pid] = true
				}
				if c.guard {
					h.inhabit(t, group+"/in", "exec sleep 600")
				}
				thaw := scrub.Freeze([]string{group, "/not-there"}, leaving)
				want := len(leaving) > 0 && !c.guard
				for want && !h.frozen(t, group) { // the kernel takes a moment; the limit is that of the test
				}
				if !want && h.frozen(t, group) {
					t.Error("it was frozen")
				}
				thaw()
				for h.frozen(t, group) {
				}
			})
		}
	}
}

// A process that starts another and ends, over and over, is nowhere for long.
func TestWhatNeverStaysIsEndedInItsControlGroup(t *testing.T) {
	t.Parallel()
	h := hierarchies(t)[0]
	group := h.group(t)
	chain := filepath.Join(open(t), "chain")
	if err := os.WriteFile(chain, []byte("trap '' TERM\nsh "+chain+" &\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // where the test fails
		_ = os.WriteFile(h.root+group+"/cgroup.kill", []byte("1"), 0)
		for left, err := os.ReadFile(h.root + group + "/cgroup.procs"); err == nil && len(left) > 0; {
			left, err = os.ReadFile(h.root + group + "/cgroup.procs")
		}
	})
	// As long as one of them descends from this process it is no leftover.
	if err := h.inhabit(t, group, "(sh "+strconv.Quote(chain)+" >/dev/null 2>&1 &)").Wait(); err != nil {
		t.Fatal(err)
	}
	guard := h.inhabit(t, "", "exec sleep 600")
	s := spec.Spec{Owned: spec.Ownership{Cgroups: []string{group}}, Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	if r := do(t, s, scrub.Do); r.State != spec.Changed {
		t.Errorf("%s: %s", r.State, said(r))
	}
	left, err := os.ReadFile(h.root + group + "/cgroup.procs")
	if err != nil || len(left) > 0 || h.frozen(t, group) {
		t.Errorf("left in the group: %q, %v; frozen %t", left, err, h.frozen(t, group))
	}
	if err := guard.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process of another group: %v", err)
	}
}
