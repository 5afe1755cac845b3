// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/client"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

func sweepOfDead(t *testing.T, e engine) {
	t.Helper()
	left := container.Leftovers{Engine: e.Socket, Dir: t.TempDir()}
	mine := start(t, named(t, e.spec()))
	living, dying := startOwner(t, e.spec()), startOwner(t, e.spec())
	before := e.has(t, "")
	dying.kill(t)
	if diff := cmp.Diff(before, e.has(t, "")); diff != "" {
		t.Fatalf("it went with its owner, so this proves nothing:\n%s", diff)
	}
	dead := strings.Split(container.Self("").String(), "/")
	dead[4] = "1" // another process has its number by now
	const alone = "of-a-container-that-was-never-made"
	_, err := e.client.VolumeCreate(t.Context(), client.VolumeCreateOptions{
		Name: alone, Labels: map[string]string{"io.github.pitcrew-ci.ephemeral.owner": strings.Join(dead, "/")},
	})
	if err != nil {
		t.Fatal(err)
	}
	removed, err := container.Sweep(t.Context(), left)
	slices.Sort(removed) // the container first
	if err != nil || len(removed) != 3 || !slices.Contains(removed, "volume "+alone) || removed[2] != strings.Replace(removed[0], "container", "volume", 1)+"-0" {
		t.Fatalf("removed %q, %v; want the one container, its volume and the one that is alone", removed, err)
	}
	after := e.has(t, "")
	if len(after) != len(before)-1 || strings.Contains(strings.Join(after, " "), strings.TrimPrefix(removed[0], "container ")) {
		t.Errorf("before %q, removed %q, after %q", before, removed, after)
	}
	serves(t, mine)
	conn, err := net.Dial("tcp", strings.TrimPrefix(living.url, "http://"))
	if err != nil {
		t.Errorf("the controller of a living owner is gone: %v", err)
	} else {
		conn.Close()
	}
	if removed, err := container.Sweep(t.Context(), left); err != nil || len(removed) != 0 {
		t.Errorf("the second sweep: %q, %v", removed, err)
	}
	living.kill(t)
	if removed, err := container.Sweep(t.Context(), left); err != nil || len(removed) != 2 {
		t.Errorf("a sweep after its death: %q, %v", removed, err)
	}
}

// leave makes a home as a dead owner leaves it, with a process that has survived.
func leave(t *testing.T, dir, owner string, survivor *exec.Cmd) string {
	t.Helper()
	home := filepath.Join(dir, "pitcrew-controller-left")
	self := strings.Split(container.Self("").String(), "/")
	record := map[string]string{"owner": owner}
	if survivor != nil {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", survivor.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		record["process"] = strings.Join([]string{self[0], self[1], self[2], strconv.Itoa(survivor.Process.Pid), after[19]}, "/")
	}
	text, err := json.Marshal(record)
	if err := errors.Join(err, os.Mkdir(home, 0o700), os.WriteFile(filepath.Join(home, "owner.json"), text, 0o600)); err != nil {
		t.Fatal(err)
	}
	return home
}

func TestSweepOfHomes(t *testing.T) {
	t.Parallel()
	self := strings.Split(container.Self("").String(), "/")
	owner := func(machine, boot, space, pid, start string) string {
		return strings.Join([]string{machine, boot, space, pid, start}, "/")
	}
	for name, f := range map[string]struct {
		owner     string
		bend      func(home string) error
		abandoned time.Duration
		goes      bool
	}{
		"another process has its number": {owner: owner(self[0], self[1], self[2], self[3], "1"), goes: true},
		"machine started anew":           {owner: owner(self[0], "another-boot", self[2], self[3], self[4]), goes: self[0] != ""},
		"living owner":                   {owner: strings.Join(self, "/")},
		"living owner, old":              {owner: strings.Join(self, "/"), abandoned: time.Nanosecond},
		"another machine":                {owner: owner("0000", "another-boot", self[2], "1", "1")},
		"another machine, abandoned":     {owner: owner("0000", "another-boot", self[2], "1", "1"), abandoned: time.Nanosecond, goes: true},
		"another machine, not so long":   {owner: owner("0000", "another-boot", self[2], "1", "1"), abandoned: time.Hour},
		"another PID namespace":          {owner: owner(self[0], self[1], "1", "1", "1")},
		"no owner":                       {owner: "somebody"},
		"open to others": {
			owner: owner(self[0], self[1], self[2], self[3], "1"),
			bend:  func(home string) error { return os.Chmod(home, 0o755) },
		},
		"a link": {
			owner: owner(self[0], self[1], self[2], self[3], "1"),
			bend: func(home string) error {
				return errors.Join(os.Rename(home, home+"-elsewhere"), os.Symlink(home+"-elsewhere", home), os.Chmod(home+"-elsewhere", 0o755))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			home := leave(t, dir, f.owner, nil)
			if f.bend != nil {
				if err := f.bend(home); err != nil {
					t.Fatal(err)
				}
			}
			removed, err := container.Sweep(t.Context(), container.Leftovers{Engine: "/no/such/socket", Dir: dir, Abandoned: f.abandoned})
			if !errors.Is(err, container.ErrNoEngine) {
				t.Error(err)
			}
			if _, err := os.Lstat(home); (len(removed) == 1) != f.goes || (err != nil) != f.goes {
				t.Errorf("removed %q, and then %v; want that it goes: %v", removed, err, f.goes)
			}
		})
	}
}

func TestSweepKillsWhatSurvived(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	survivor := exec.CommandContext(t.Context(), "sh", "-c", "sleep 1000 & wait")
	survivor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := survivor.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- survivor.Wait() }()
	self := strings.Split(container.Self("").String(), "/")
	home := leave(t, dir, strings.Join([]string{self[0], self[1], self[2], self[3], "1"}, "/"), survivor)
	removed, err := container.Sweep(t.Context(), container.Leftovers{Engine: "/no/such/socket", Dir: dir})
	if !errors.Is(err, container.ErrNoEngine) || len(removed) != 1 || removed[0] != "home "+home {
		t.Errorf("removed %q, %v", removed, err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("it ended with %v", err)
	}
	eventually(t, "its group is dead as well", func() bool { return errors.Is(syscall.Kill(-survivor.Process.Pid, 0), syscall.ESRCH) })
}
