// SPDX-License-Identifier: Apache-2.0

//go:build linux

package scrub_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// BenchmarkProcessSweep looks at a machine with 2,000 processes more than usual, none of which has to go. Beside it is
// the processor time of ps, which lists the same ones with their environment, measured in turn.
func BenchmarkProcessSweep(b *testing.B) {
	const crowd = 2000
	c := exec.Command("sh", "-c", "n=0; while [ $n -lt "+strconv.Itoa(crowd)+" ]; do sleep 600 & n=$((n+1)); done; echo; wait")
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	c.SysProcAttr = inOwnGroup()
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
	s := spec.Spec{
		Owned: spec.Ownership{Users: []string{"games"}, Paths: []string{"/srv/ci"}, Cgroups: []string{"/ci.slice"}},
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
	b.ReportMetric(float64(wall.Milliseconds())/float64(b.N), "ms/sweep")
	b.ReportMetric(float64(ours.Milliseconds())/float64(b.N), "cpu-ms/sweep")
	b.ReportMetric(float64(theirs.Milliseconds())/float64(b.N), "cpu-ms/ps")
	b.ReportMetric(float64(len(there)), "entries")
}
