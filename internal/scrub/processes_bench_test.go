// SPDX-License-Identifier: Apache-2.0

//go:build linux

package scrub_test

import (
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// BenchmarkProcessSweep looks at a machine with 2,000 processes more than usual, none of which has to go, by turns with two others: ps,
// which reads the state and the arguments of each, and a plain walk that reads the state alone. Medians of fifteen turns.
func BenchmarkProcessSweep(b *testing.B) {
	const crowd = "nobody"
	gather(b, 2000, crowd)
	for _, c := range []struct {
		of, agent string
		cgroups   []string
	}{
		{"others", "root", nil},
		{"the agent's user", crowd, nil}, // whose directories and open files are looked at too
		{"others, with owned control groups", "root", []string{"/ci.slice"}},
	} {
		b.Run(c.of, func(b *testing.B) {
			b.Setenv("SUDO_UID", strconv.FormatUint(uint64(uidOf(b, c.agent)), 10))
			sweep(b, c.cgroups)
		})
	}
}

func sweep(b *testing.B, cgroups []string) {
	b.Helper()
	s := spec.Spec{
		Owned: spec.Ownership{SystemUsers: []string{"games"}, Paths: []string{"/srv/ci"}, Cgroups: cgroups},
		Goal:  spec.Goal{Processes: &spec.Processes{Cookies: true}},
	}
	step, err := scrub.New(s, scrub.Here{Agent: "bench", Controller: "http://ci.example"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		took := map[string][]time.Duration{}
		note := func(what string, d time.Duration) { took[what] = append(took[what], d) }
		for range 15 {
			began, used := time.Now(), processorTime(b)
			if found, err := step.Look(b.Context()); err != nil || len(found) > 0 {
				b.Fatalf("found %v, %v", found, err)
			}
			note("ms/sweep", time.Since(began))
			note("cpu-ms/sweep", processorTime(b)-used)
			ps := exec.Command("ps", "-A", "-o", "pid,uid,args")
			if err := ps.Run(); err != nil {
				b.Fatal(err)
			}
			note("cpu-ms/ps", ps.ProcessState.UserTime()+ps.ProcessState.SystemTime())
			used = processorTime(b)
			plainWalk(b)
			note("cpu-ms/walk", processorTime(b)-used)
		}
		for what, all := range took {
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, what)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// plainWalk reads the state of every process as one writes it down first.
func plainWalk(b *testing.B) {
	b.Helper()
	there, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
	}
	for _, entry := range there {
		if _, err := strconv.Atoi(entry.Name()); err == nil {
			_, _ = os.ReadFile("/proc/" + entry.Name() + "/stat") // gone meanwhile
		}
	}
}

// gather starts processes of a user until the benchmark ends. They are not our children: what descends from us is not
// looked at closely.
func gather(b *testing.B, crowd int, owner string) {
	b.Helper()
	uid := uidOf(b, owner)
	c := exec.Command("sh", "-c", "(n=0; while [ $n -lt "+strconv.Itoa(crowd)+" ]; do sleep 600 & n=$((n+1)); done; echo; wait) &")
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.Dir = "/"
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil { // what our caller left open is none of theirs
		b.Fatal(err)
	}
	c.SysProcAttr = inOwnGroup()
	c.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		endGroup(c.Process.Pid)
		_ = c.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}
