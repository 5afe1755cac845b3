// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestASwappedFileIsNeverRunAsRoot has a process of the program's own user put its own in the place of everything that the
// program has unpacked, by name and in place, and try the same with what root has, while steps are raised.
func TestASwappedFileIsNeverRunAsRoot(t *testing.T) {
	t.Parallel()
	m := ordinary(t, "dash", everything)
	won := t.TempDir() // only root can write here, if it finds the way
	var steps strings.Builder
	for i := range 4 { // the pipe of the first is replaced as well, so that it hangs
		fmt.Fprintf(&steps, "  - {name: s%d, as: root, timeout: %ds, carry: [tool], run: ./tool}\n", i, 2+60*min(i, 1))
	}
	p := compiled(t, "version: 1\nname: swapped\nplaces: [/var/tmp]\nclean:\n"+steps.String()+
		"  - {name: goal, as: root, timeout: 60s, disk: {paths: [/], inodesFree: 1}}\nverify:\n  - {name: ok, run: 'true'}\n",
		File{Path: "tool", Content: []byte("#!/bin/sh\n: >" + won + "/true.$$\n"), Executable: true})
	s := swapper{dir: m.tmp, evil: []byte("#!/bin/sh\n: >" + won + "/won.$$\n"), end: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- s.run() }()
	refused, raised := 0, 0
	for range 20 {
		if s.count.Load() >= 10_000 && refused > 0 && raised > 0 {
			break
		}
		res := m.run(t, p, issued())
		refused += strings.Count(res.out, "was changed before root had it")
		if found, _ := filepath.Glob(won + "/won.*"); len(found) > 0 {
			t.Fatalf("root ran what another had put there\n%s", res.out)
		}
		ran, _ := filepath.Glob(won + "/true.*")
		raised = len(ran)
	}
	close(s.end)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.count.Load() < 10_000 || refused == 0 {
		t.Errorf("%d swaps, %d refused: that proves nothing", s.count.Load(), refused)
	}
	if raised == 0 {
		t.Errorf("no step was raised at all, %d were refused", refused)
	}
	t.Logf("%d swaps, %d refused, %d raised", s.count.Load(), refused, raised)
}

// swapper replaces files of a program with the rights of its user.
type swapper struct {
	dir   string
	evil  []byte
	count atomic.Int64
	end   chan struct{}
}

// run swaps until end is closed. It keeps its thread, whose rights are not given back.
func (s *swapper) run() error {
	dir, err := os.Open(s.dir) // what leads there is closed to that user
	if err != nil {
		return err
	}
	defer dir.Close()
	runtime.LockOSThread()
	if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
		return err
	}
	for {
		select {
		case <-s.end:
			return nil
		default:
		}
		at := fmt.Sprintf("/proc/self/fd/%d/", dir.Fd())
		if running, _ := filepath.Glob(at + "pitcrew.*/lib/step"); len(running) == 0 {
			continue // what is changed while the program unpacks ends it
		}
		for _, pattern := range []string{"pitcrew.*/[0-9]*/script", "pitcrew.*/[0-9]*/files/tool", "pitcrew.*/scrub", "pitcrew.*/lib/scrub.gz", "pitcrew.*/1/raised/in", "pitcrew-root.*/*", "pitcrew-root.*"} {
			found, _ := filepath.Glob(at + pattern)
			for _, file := range found {
				if !strings.HasSuffix(file, ".bad") {
					s.swap(file)
				}
			}
		}
	}
}

// swap exchanges file with evil, many times, and leaves evil there every other time; a small file it also writes into.
func (s *swapper) swap(file string) {
	bad := file + ".bad"
	if _, err := os.Lstat(bad); err != nil && os.WriteFile(bad, s.evil, 0o700) != nil {
		return
	}
	for range 51 {
		if unix.Renameat2(unix.AT_FDCWD, bad, unix.AT_FDCWD, file, unix.RENAME_EXCHANGE) != nil {
			return
		}
		s.count.Add(1)
	}
	if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() > 4096 {
		return
	}
	if content, err := os.ReadFile(file); err == nil {
		_ = os.WriteFile(file, s.evil, 0o700)
		_ = os.WriteFile(file, content, 0o700)
	}
}
