// SPDX-License-Identifier: Apache-2.0

package scrub

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/mountinfo"
)

// freeze has the kernel hold owned control groups still: what is frozen starts nothing, not even in the instant in which it
// is looked at. Only those are that hold nothing but processes in leaving, groups below them included: an agent may live
// in one, or this program. It returns what lets them go on. Where the kernel does not freeze (cgroup-v2 before Linux 5.2,
// a cgroup-v1 without that controller) stopping the processes one by one has to do.
func freeze(owned []string, leaving map[int]bool) (thaw func()) {
	var frozen []func()
	for _, f := range freezers() {
		for _, group := range owned {
			dir := filepath.Join(f.root, group)
			if holdsOnly(dir, leaving) && f.write(dir, f.on) == nil {
				frozen = append(frozen, func() { _ = f.write(dir, f.off) })
			}
		}
	}
	return func() {
		for _, thaw := range frozen {
			thaw()
		}
	}
}

// freezer is a hierarchy of control groups that can be frozen: by what is written to which file (Documentation/admin-guide
// of the kernel: cgroup-v2.rst, cgroup-v1/freezer-subsystem.rst).
type freezer struct{ root, file, on, off string }

func (f freezer) write(dir, word string) error {
	return os.WriteFile(filepath.Join(dir, f.file), []byte(word), 0) // never made: there are no other files than the kernel's
}

// freezers returns those that are mounted whole, so that the paths of /proc/PID/cgroup are theirs.
func freezers() []freezer {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	all, err := mountinfo.Parse(text)
	if err != nil {
		return nil
	}
	var found []freezer
	for _, m := range all {
		_, v1 := m.Option("freezer")
		switch {
		case m.Root != "/":
		case m.Type == "cgroup2":
			found = append(found, freezer{m.Point, "cgroup.freeze", "1", "0"})
		case m.Type == "cgroup" && v1:
			found = append(found, freezer{m.Point, "freezer.state", "FROZEN", "THAWED"})
		}
	}
	return found
}

// holdsOnly reports whether a control group and those below it hold processes, and only those.
func holdsOnly(dir string, leaving map[int]bool) bool {
	some := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // a file system of the kernel, without links
		for line := range bytes.Lines(text) {
			pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
			if err != nil || !leaving[pid] { // 0 is one of another process number space
				return errors.New("holds another")
			}
			some = true
		}
		return err
	})
	return some && err == nil
}
