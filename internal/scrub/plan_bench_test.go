// SPDX-License-Identifier: Apache-2.0

//go:build linux

package scrub_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// BenchmarkPlan plans each kind of cleaning on this machine, as a process of the program itself: its start is part of what an
// agent pays for each step; and all of them in one process, as "scrub inspect" does. Beside it is the start of a program that does
// nothing, measured in turn. Nothing is owned that is here.
func BenchmarkPlan(b *testing.B) {
	program := built(b)
	owned := spec.Ownership{SystemUsers: []string{"games"}, Paths: []string{b.TempDir()}, Names: []string{"pitcrew-none-*"}, Labels: []string{"pitcrew-none"}}
	var all []spec.Spec
	for _, goal := range []spec.Goal{
		{Processes: &spec.Processes{Cookies: true}},
		{Containers: &spec.Containers{}},
		{VMs: &spec.VMs{}},
		{Network: &spec.Network{}},
		{Mounts: &spec.Mounts{}},
		{Loops: &spec.Loops{}},
		{Files: &spec.Files{Shared: []string{"/tmp", "/var/tmp", "/dev/shm"}}},
		{Packages: &spec.Packages{Older: 30 * 86400}},
		{Journal: &spec.Journal{Older: 30 * 86400}},
		{Logs: &spec.Logs{Paths: []string{"/var/log"}, Older: 30 * 86400}},
		{Users: &spec.Users{}},
		{Cron: &spec.Cron{}},
		{IPC: &spec.IPC{}},
		{Disk: &spec.Disk{Paths: []string{"/"}, BytesFree: 1}},
	} {
		s := spec.Spec{Version: spec.Version, Name: "plan", Owned: owned, Goal: goal}
		all = append(all, s)
		b.Run(string(s.Kind()), func(b *testing.B) { race(b, []spec.Spec{s}, program, "plan", "-") })
	}
	b.Run("all in one", func(b *testing.B) { race(b, all, program, "inspect", "-") })
}

// race starts a program with what it is to read, by turns with one that does nothing.
func race(b *testing.B, specs []spec.Spec, program ...string) {
	b.Helper()
	var in bytes.Buffer
	for _, s := range specs {
		if err := json.NewEncoder(&in).Encode(s); err != nil {
			b.Fatal(err)
		}
	}
	text := in.Bytes()
	var ours, theirs []time.Duration
	for range 15 {
		began := time.Now()
		plan := exec.Command(program[0], program[1:]...)
		plan.Stdin = bytes.NewReader(text)
		if out, err := plan.CombinedOutput(); err != nil && plan.ProcessState.ExitCode() != 3 { // 3: none here
			b.Fatalf("%v: %s", err, out)
		}
		ours = append(ours, time.Since(began))
		began = time.Now()
		if err := exec.Command("true").Run(); err != nil {
			b.Fatal(err)
		}
		theirs = append(theirs, time.Since(began))
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "ms/plan")
	b.ReportMetric(float64(theirs[len(theirs)/2].Microseconds())/1000, "ms/true")
	b.ReportMetric(resident(b, text, program...), "MB")
}

// resident is how much memory a program takes at most, in MB. The kernel counts what its parent has when it starts it
// without a copy of itself (as Go does), so somebody else has to.
func resident(b *testing.B, in []byte, program ...string) float64 {
	b.Helper()
	const fork = `import os, sys
if os.fork() == 0:
    os.dup2(2, 1)
    os.execv(sys.argv[1], sys.argv[1:])
print(os.wait4(-1, 0)[2].ru_maxrss)`
	c := exec.Command("python3", append([]string{"-c", fork}, program...)...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		b.Fatal(err)
	}
	kib, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib * 1024 / 1e6
}
