// SPDX-License-Identifier: Apache-2.0

package mess

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// without returns all makers but those of a kind: the container has a test of its own.
func without(kind Kind) []Maker {
	return slices.DeleteFunc(All(), func(m Maker) bool { return m.Kind == kind })
}

func named(names ...string) []Maker {
	return slices.DeleteFunc(All(), func(m Maker) bool { return !slices.Contains(names, m.Name) })
}

func TestWhatIsMadeIsUndoneInEveryShell(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			g := newGround(t, shell, without(Containers))
			for name, l := range g.run(t, "make") {
				lacking := shell == "busybox" && name == "ipc-sysv" // it has no ipcmk
				if l.State != Made && !lacking {
					t.Errorf("%s", l)
				}
			}
			if n := len(sleepers(t)); n != 5 {
				t.Errorf("%d processes run, want 5", n)
			}
			for name, l := range g.run(t, "undo") {
				if l.State != Removed && (shell != "busybox" || name != "ipc-sysv") {
					t.Errorf("%s", l)
				}
			}
			if left := g.remains(t); len(left) > 0 {
				t.Errorf("remains: %q", left)
			}
			for _, l := range g.run(t, "undo") {
				if l.State != Gone {
					t.Errorf("again: %s", l)
				}
			}
		})
	}
}

func TestWithoutRootTheRestIsMade(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", without(Containers))
	setpriv := need(t, "setpriv", "util-linux")
	g.shell = append([]string{setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"}, g.shell...)
	for name, l := range g.run(t, "make") {
		needsRoot := slices.Contains([]string{"mount-tmpfs", "mount-busy", "loop"}, name)
		if (l.State == Skipped) != needsRoot || needsRoot && l.Detail != "needs root" {
			t.Errorf("%s", l)
		}
	}
	for name, l := range g.run(t, "undo") {
		if made := !slices.Contains([]string{"mount-tmpfs", "mount-busy", "loop"}, name); made != (l.State == Removed) {
			t.Errorf("%s", l)
		}
	}
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("remains: %q", left)
	}
}

func TestTheMessCanBelongToAnother(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", without(Containers))
	g.env = []string{"MESS_USER=nobody"}
	for _, l := range g.run(t, "make") {
		if l.State != Made {
			t.Errorf("%s", l)
		}
	}
	out, err := exec.Command("find", g.dir, g.tmp, "-mindepth", "1", "-uid", "0").Output()
	if err != nil || strings.Contains(strings.Join(strings.Split(string(out), "mount"), ""), "files-") {
		t.Errorf("root owns:\n%s (%v)", out, err)
	}
	for _, p := range sleepers(t) {
		info, err := os.Stat("/proc/" + strings.TrimPrefix(p, "process "))
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Errorf("%s is not nobody's (%v)", p, err)
		}
	}
	g.run(t, "undo")
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("remains: %q", left)
	}
}

func TestWhatTheCandidateRemovedIsGone(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", without(Containers))
	g.run(t, "make")
	clean := `for p in $(pgrep -xf "sleep ` + life + `"); do kill -9 $p; done
		for m in $(grep '^mess-' /proc/self/mounts | cut -d' ' -f2); do umount $m; done
		for l in $(losetup --list --noheadings --raw -O NAME,BACK-FILE | grep " ` + g.dir + `/" | cut -d' ' -f1); do losetup -d $l; done
		rm -rf ` + g.dir + ` ` + g.tmp + ` /dev/shm/mess-*
		ipcrm -a`
	if out, err := exec.Command("sh", "-c", clean).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, l := range g.run(t, "undo") {
		if l.State != Gone {
			t.Errorf("%s", l)
		}
	}
}

func TestAKillOfMakeAtAnyPointIsUndone(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	// Each round kills it a bit later; the last one comes to its end.
	for after := 1; ; after += 2 {
		g := newGround(t, "dash", named("files-links", "process-open", "mount-busy", "loop", "ipc-sysv", "disk-full"))
		c := g.command(t, "make")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		var err error
		tick := time.NewTicker(200 * time.Microsecond)
		for running := true; running; {
			select {
			case err = <-ended:
				running = false
			case <-tick.C:
				text, readErr := os.ReadFile(g.ledger)
				if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
					t.Fatal(readErr)
				}
				if lines := bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\nentry")); lines >= after {
					_ = c.Process.Kill()
				}
			}
		}
		tick.Stop()
		for _, l := range g.run(t, "undo") {
			if l.State == Left {
				t.Errorf("killed after %d lines: %s", after, l)
			}
		}
		if left := g.remains(t); len(left) > 0 {
			t.Errorf("killed after %d lines: remains %q", after, left)
		}
		if err == nil {
			if after < 20 {
				t.Errorf("it was never killed")
			}
			return
		}
	}
}

func TestUndoEndsAMakeThatStillRuns(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	g := newGround(t, "dash", without(Containers))
	c := g.command(t, "make")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		text, _ := os.ReadFile(g.ledger)
		if bytes.Contains(text, []byte("made files-names")) {
			break
		}
		<-tick.C
	}
	g.run(t, "undo")
	if err := <-ended; err == nil {
		t.Error("make has come to its end")
	}
	if left := g.remains(t); len(left) > 0 {
		t.Errorf("remains: %q", left)
	}
}

func TestASmallFileSystemIsFilled(t *testing.T) {
	if !ownNamespaces(t) {
		return
	}
	for name, c := range map[string]struct {
		size string
		want int64 // KiB that stay free, at most
	}{"small": {"size=8m", 300}, "large": {"size=900m", 900 << 10}} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t, "dash", named("disk-full"))
			if err := syscall.Mount("tmpfs", g.dir, "tmpfs", 0, c.size); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Unmount(g.dir, 0) }()
			if l := g.run(t, "make")["disk-full"]; l.State != Made {
				t.Fatalf("%s", l)
			}
			var fs syscall.Statfs_t
			if err := syscall.Statfs(g.dir, &fs); err != nil {
				t.Fatal(err)
			}
			free := int64(fs.Bavail) * fs.Bsize >> 10
			info, err := os.Stat(filepath.Join(g.dir, "mess-"+testID+"-disk-full", "full"))
			if err != nil || free > c.want || name == "large" && info.Size() != 2048<<10 {
				t.Errorf("%d KiB are free, the file is %+v, %v", free, info, err)
			}
			if l := g.run(t, "undo")["disk-full"]; l.State != Removed {
				t.Errorf("%s", l)
			}
		})
	}
}
