// SPDX-License-Identifier: Apache-2.0

//go:build linux

package scrub_test

import (
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// BenchmarkProcessSweep looks at a machine with 2,000 processes more than usual, none of which has to go. Beside it is
// the processor time of ps, which lists the same ones with their arguments, measured in turn.
func BenchmarkProcessSweep(b *testing.B) {
	for _, c := range []struct{ of, user string }{
		{"others", "nobody"},
		{"the agent's user", "root"}, // whose directories and open files are looked at too
	} {
		b.Run(c.of, func(b *testing.B) { sweep(b, c.user) })
	}
}

func sweep(b *testing.B, owner string) {
	b.Helper()
	gather(b, 2000, owner)
	s := spec.Spec{
		Owned: spec.Ownership{SystemUsers: []string{"games"}, Paths: []string{"/srv/ci"}, Cgroups: []string{"/ci.slice"}},
		Goal:  spec.Goal{Processes: &spec.Processes{Cookies: true}},
	}
	step, err := scrub.New(s, scrub.Here{Agent: "bench", Controller: "http://ci.example"})
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs, wall time.Duration
	for b.Loop() {
		began, used := time.Now(), processorTime(b)
		if found, err := step.Look(b.Context()); err != nil || len(found) > 0 {
			b.Fatalf("found %v, %v", found, err)
		}
		wall += time.Since(began)
		ours += processorTime(b) - used
		ps := exec.Command("ps", "axeo", "pid,args")
		if err := ps.Run(); err != nil {
			b.Fatal(err)
		}
		theirs += ps.ProcessState.UserTime() + ps.ProcessState.SystemTime()
	}
	there, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(wall.Microseconds())/1000/float64(b.N), "ms/sweep")
	b.ReportMetric(float64(ours.Microseconds())/1000/float64(b.N), "cpu-ms/sweep")
	b.ReportMetric(float64(theirs.Microseconds())/1000/float64(b.N), "cpu-ms/ps")
	b.ReportMetric(float64(len(there)), "entries")
}

// gather starts processes of a user until the benchmark ends. They are not our children: what descends from us is not
// looked at closely.
func gather(b *testing.B, crowd int, owner string) {
	b.Helper()
	who, err := user.Lookup(owner)
	if err != nil {
		b.Fatal(err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command("sh", "-c", "(n=0; while [ $n -lt "+strconv.Itoa(crowd)+" ]; do sleep 600 & n=$((n+1)); done; echo; wait) &")
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.Dir = "/"
	c.SysProcAttr = inOwnGroup()
	c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
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
