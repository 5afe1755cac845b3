// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// cannot checks that a goal is not reached and why.
func cannot(t *testing.T, s spec.Spec, why string) {
	t.Helper()
	step, err := scrub.New(s, scrub.Here{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := scrub.Reach(t.Context(), s.Kind(), step, scrub.Do)
	if r.State != spec.Unmet || !strings.Contains(r.Reason, why) {
		t.Errorf("%+v, %v; want it to say that it cannot look: %s", r, err, why)
	}
}

// TestNothingIsSeenWithoutItsSource: what cannot look does not say that there is nothing.
func TestNothingIsSeenWithoutItsSource(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	owned := spec.Ownership{Paths: []string{open(t)}, Names: []string{"ci-*"}}
	goals := map[string]spec.Goal{
		"processes": {Processes: &spec.Processes{}}, "containers": {Containers: &spec.Containers{}}, "network": {Network: &spec.Network{}},
		"mounts": {Mounts: &spec.Mounts{}}, "loops": {Loops: &spec.Loops{}}, "files": {Files: &spec.Files{}},
		"logs": {Logs: &spec.Logs{Paths: owned.Paths}}, "ipc": {IPC: &spec.IPC{}}, "users": {Users: &spec.Users{}},
		"modules": {Modules: &spec.Modules{Loaded: []string{"x"}}}, "sysctl": {Sysctl: &spec.Sysctl{}}, "mount": {Mount: &spec.Mount{}},
	}
	cover := func(dir string) {
		t.Helper()
		if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	uncover := func(dir string) {
		t.Helper()
		if err := unix.Unmount(dir, 0); err != nil {
			t.Fatal(err)
		}
	}
	cover("/sys")
	cannot(t, spec.Spec{Owned: owned, Goal: goals["loops"]}, "open /sys/class/block: no such file or directory; is sysfs mounted at /sys?")
	uncover("/sys")
	cover("/proc")
	for _, goal := range goals {
		cannot(t, spec.Spec{Owned: owned, Goal: goal}, "/proc does not show this process")
	}
	uncover("/proc")
	uncover("/proc") // below it is that of the machine
	if _, err := os.Readlink("/proc/self"); err == nil {
		cannot(t, spec.Spec{Owned: owned, Goal: goals["processes"]}, "another space of process numbers")
	}
}

func TestWhatIsNotReadableIsNotTakenForAbsent(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	if err := unix.Mount("none", "/var/spool", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	astray := func(dir string) { // of all errors, it leads to one that root gets as well
		t.Helper()
		if err := os.RemoveAll("/var/spool/cron"); err != nil {
			t.Fatal(err)
		}
		plant(t, filepath.Dir(dir), "x")
		if err := os.Symlink(filepath.Base(dir), dir); err != nil {
			t.Fatal(err)
		}
	}
	cron := spec.Spec{Owned: spec.Ownership{SystemUsers: []string{"games"}}, Goal: spec.Goal{Cron: &spec.Cron{}}}
	astray("/var/spool/cron/crontabs")
	cannot(t, cron, "cannot look for crontabs")
	astray("/var/spool/cron/atjobs")
	cannot(t, cron, "cannot look for jobs of at")
	cannot(t, spec.Spec{Goal: spec.Goal{Logs: &spec.Logs{Paths: []string{"/var/spool/cron/atjobs/log"}}}}, "cannot look for rotated logs")
}
