// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

const pollTree = "computer[displayName,idle,offline,temporarilyOffline,offlineCauseReason,assignedLabels[name],executors[idle,currentExecutable[url,number]]]"

// fleetBench is a controller with n online agents.
func fleetBench(tb testing.TB, n int, opts Options) *Jenkins {
	tb.Helper()
	opts.Security = Security{Users: []User{admin}}
	j, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	for i := range n {
		if _, err := j.AddAgent(AgentSpec{Name: fmt.Sprintf("linux-%04d", i), Labels: "cleanable linux el7"}); err != nil {
			tb.Fatal(err)
		}
	}
	return j
}

func request(tb testing.TB, j *Jenkins, method, path string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, "http://ci.example"+path, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	req.SetBasicAuth("ada", "11aa")
	resp, err := j.Transport().RoundTrip(req)
	if err != nil || resp.StatusCode >= 400 {
		tb.Fatal(err, resp)
	}
	_ = resp.Body.Close()
}

// BenchmarkPoll is one listing of a thousand agents.
func BenchmarkPoll(b *testing.B) {
	j := fleetBench(b, 1000, Options{})
	defer j.Close()
	path := "/computer/api/json" + query(pollTree)
	b.ReportAllocs()
	for b.Loop() {
		request(b, j, "GET", path)
	}
}

// BenchmarkLabelEdit is one read and one write of a node among a thousand, with items
// waiting for labels that nobody has.
func BenchmarkLabelEdit(b *testing.B) {
	j := fleetBench(b, 1000, Options{})
	defer j.Close()
	for i := range 200 {
		if err := j.CreateFreeStyle(JobSpec{Name: fmt.Sprint("j", i), Label: fmt.Sprintf("clean && never%d", i%20)}); err != nil {
			b.Fatal(err)
		}
		if _, err := j.Schedule(fmt.Sprint("j", i), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		j.SaveLabels(fmt.Sprintf("linux-%04d", i%1000), []string{"cleanable clean", "cleanable dirty", "cleanable"}[i%3], "bench")
	}
}

// BenchmarkBuild is the life of one build on a fleet of a thousand, in virtual time.
func BenchmarkBuild(b *testing.B) {
	b.ReportAllocs()
	// A benchmark cannot run in a bubble of its own testing.T, so this is real time with
	// steps that end at once.
	j := fleetBench(b, 1000, Options{})
	defer j.Close()
	for i := range 1000 {
		if err := j.CreateFreeStyle(JobSpec{Name: fmt.Sprint("j", i), Label: fmt.Sprintf("linux-%04d", i), KeepBuilds: 5}); err != nil {
			b.Fatal(err)
		}
	}
	for i := 0; b.Loop(); i++ {
		if _, err := j.Schedule(fmt.Sprint("j", i%1000), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestThousandAgentsAllJobsAreBuilt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const agents, rounds = 1000, 5
		var starts int
		opts := Options{Execute: holding, JournalLimit: 100, OnEntry: func(e Entry) {
			if e.Kind == EntryBuildStart {
				starts++
			}
		}}
		j := fleetBench(t, agents, opts)
		defer j.Close()
		for i := range agents {
			if err := j.CreateFreeStyle(JobSpec{Name: fmt.Sprint("j", i), Label: "linux", KeepBuilds: 2}); err != nil {
				t.Fatal(err)
			}
		}
		for range rounds {
			for i := range agents {
				if _, err := j.Schedule(fmt.Sprint("j", i), nil); err != nil {
					t.Fatal(err)
				}
			}
			pass(180 * minute)
		}
		if starts != agents*rounds || j.QueueLength() != 0 {
			t.Errorf("%d builds started, %d items left", starts, j.QueueLength())
		}
		if n := len(j.Journal()); n > 100 {
			t.Errorf("journal kept %d entries", n)
		}
	})
}

// BenchmarkGate is one maintenance run with a hundred items that a thousand unclean agents could take but for the gate, and one
// status of the gate.
func BenchmarkGate(b *testing.B) {
	j := fleetBench(b, 1000, Options{})
	defer j.Close()
	j.InstallGate(GateOptions{})
	for i := range 100 {
		if err := j.CreateFreeStyle(JobSpec{Name: fmt.Sprint("j", i), Label: "linux"}); err != nil {
			b.Fatal(err)
		}
		if _, err := j.Schedule(fmt.Sprint("j", i), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("maintain", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			j.mu.Lock()
			j.maintain(time.Now())
			j.mu.Unlock()
		}
	})
	b.Run("status", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			request(b, j, "GET", "/pitcrew-gate/status")
		}
	})
}
