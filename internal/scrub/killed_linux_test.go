// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// litter is what builds leave in an owned directory, $O, and what others have beside it.
const litter = `
for d in "$O" "$X"; do
	mkdir -p "$d/ws/a/b/c" "$d/ws/m" "$d/log"
	for i in 1 2 3 4 5 6 7 8 9; do echo x >"$d/ws/a/$i"; echo x >"$d/ws/a/b/$i"; echo x >"$d/ws/a/b/c/$i"; done
	ln -s "$X/ws" "$d/ws/link"
	for i in 1 2 3; do mount -t tmpfs t "$d/ws/m"; mkdir -p "$d/ws/m/n"; mount -t tmpfs t "$d/ws/m/n"; echo x >"$d/ws/m/n/f"; done
	for i in 1 2 3; do truncate -s 1M "$d/$i.img"; losetup --find "$d/$i.img"; done
	for i in 1 2 3; do (cd "$d/ws/a" && exec setsid sleep 600 >/dev/null 2>&1) & done
done
`

// cleaning is what a recipe would do about it, in the order of a recipe.
func cleaning(p plot) []spec.Spec {
	owned := spec.Ownership{Paths: []string{p.owned}}
	return []spec.Spec{
		{Owned: owned, Goal: spec.Goal{Processes: &spec.Processes{}}},
		{Owned: owned, Goal: spec.Goal{Mounts: &spec.Mounts{}}},
		{Owned: owned, Goal: spec.Goal{Loops: &spec.Loops{}}},
		{Owned: owned, Goal: spec.Goal{Files: &spec.Files{}}},
	}
}

// scene is what there is in a directory, read by other means than those of the code under test.
func scene(t *testing.T, dir string) map[string]string {
	t.Helper()
	there := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != dir {
			there[path] = d.Type().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range mounted(t) {
		if strings.HasPrefix(point, dir+"/") {
			there["mounts at "+point] += "."
		}
	}
	for _, file := range attached(t, dir) {
		there["device of "+file] += "."
	}
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if cwd, _ := os.Readlink(link); strings.HasPrefix(cwd, dir+"/") {
			there["processes in "+cwd] += "."
		}
	}
	return there
}

// clean cleans the plot in dir and says how long each step took. A budget makes it a step's number and a time in
// nanoseconds: the process is killed when the step has taken so long, or the next ones, if it ends before.
func clean(t *testing.T, dir, budget string) {
	t.Helper()
	number, nanoseconds := -1, int64(0)
	if budget != "" {
		if _, err := fmt.Sscan(budget, &number, &nanoseconds); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range cleaning(plot{owned: filepath.Join(dir, "ci"), other: filepath.Join(dir, "other")}) {
		if i == number {
			killMyself(t, nanoseconds)
		}
		began := time.Now()
		if r := do(t, s, scrub.Do); r.State == spec.Unmet {
			t.Errorf("%s: %s", s.Kind(), said(r))
		}
		fmt.Println("took", time.Since(began).Nanoseconds())
	}
}

// killMyself has the kernel kill this process after so many nanoseconds: no code of ours has to get its turn for it.
func killMyself(t *testing.T, after int64) {
	t.Helper()
	event := struct { // struct sigevent of sigevent(3type)
		value          uint64
		signal, notify int32
		_              [48]byte
	}{signal: int32(unix.SIGKILL)}
	var id int32
	if _, _, errno := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id))); errno != 0 {
		t.Fatal(errno)
	}
	when := [2]unix.Timespec{1: unix.NsecToTimespec(after)}
	if _, _, errno := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0, uintptr(unsafe.Pointer(&when)), 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// TestWhateverAKilledRunHasLeftTheNextOneFinishes kills runs of several steps at random moments, until one comes to its end.
// The end is that of a run that nothing disturbed: nothing of what is owned, and everything of what is not.
func TestWhateverAKilledRunHasLeftTheNextOneFinishes(t *testing.T) {
	if dir := os.Getenv("SCRUB_TEST_CLEAN"); dir != "" {
		clean(t, dir, os.Getenv("SCRUB_TEST_BUDGET"))
		return
	}
	if testing.Short() {
		t.Skip("mostly runs other programs; left to the longer run")
	}
	if !ownNamespaces(t) {
		return
	}
	random := rand.New(rand.NewPCG(20, 26))
	var took []int64 // by step, of a run that nothing disturbed
	kills, states := 0, map[int]int{}
	// How long a step takes on a busy machine is not what it took before: rounds are added until enough was tried.
	for round := 0; round < 40 && (round < 5 || kills < 8 || len(states) < 3); round++ {
		p := newPlot(t)
		p.run(t, litter)
		guard, start := scene(t, p.other), scene(t, p.owned)
		if len(start) < 40 || len(guard) != len(start) {
			t.Fatalf("planted %d and %d things", len(start), len(guard))
		}
		for try := range 6 {
			budget := ""
			if round > 0 && try < 5 {
				step := random.IntN(len(took))
				budget = fmt.Sprint(step, " ", 1+random.Int64N(took[step]))
			}
			c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$")
			c.Env = append(os.Environ(), "SCRUB_TEST_CLEAN="+filepath.Dir(p.owned), "SCRUB_TEST_BUDGET="+budget)
			out, err := c.CombinedOutput()
			if err == nil {
				if round == 0 {
					took = durations(t, string(out))
				}
				break
			}
			if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL || budget == "" {
				t.Fatalf("round %d, run %d: %v\n%s", round, try, err, out)
			}
			kills++
			states[len(scene(t, p.owned))]++
		}
		if left := scene(t, p.owned); len(left) > 0 {
			t.Errorf("round %d: left %q", round, slices.Sorted(maps.Keys(left)))
		}
		if diff := cmp.Diff(guard, scene(t, p.other)); diff != "" {
			t.Errorf("round %d: what is not owned has changed (-before +after):\n%s", round, diff)
		}
	}
	if kills < 8 || len(states) < 3 {
		t.Errorf("%d kills, after which so many things were left: %v; nothing was tried", kills, states)
	}
	t.Logf("%d kills, after which so many things were left: %v", kills, states)
}

// durations reads what clean has said.
func durations(t *testing.T, out string) []int64 {
	t.Helper()
	var took []int64
	for line := range strings.Lines(out) {
		var nanoseconds int64
		if _, err := fmt.Sscanf(line, "took %d", &nanoseconds); err == nil && nanoseconds > 0 {
			took = append(took, nanoseconds)
		}
	}
	if len(took) != len(cleaning(plot{})) {
		t.Fatalf("an undisturbed run says it took %v: %s", took, out)
	}
	return took
}
