// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Summary is what a demo has shown so far. Times are in milliseconds; a median without any value
// is 0.
type Summary struct {
	Seconds int `json:"seconds"`
	Agents  int `json:"agents"`
	Clean   int `json:"clean"`
	// RealBuilds is the number of builds that ended on the serviced controller.
	RealBuilds int `json:"real_builds"`
	// Contaminated is the number of real builds that started on an agent that was not proven clean,
	// counted from what really happened there.
	Contaminated    int `json:"contaminated"`
	Cleanups        int `json:"cleanups"`
	CleanupFailures int `json:"cleanup_failures"`
	Quarantined     int `json:"quarantined"`
	// UserBuildsFailedByCleaning is the number of users' builds that failed on the serviced
	// controller. Their own scripts never fail.
	UserBuildsFailedByCleaning int `json:"user_builds_failed_by_cleaning"`

	WaitOutOfBand int64 `json:"wait_ms_p50_out_of_band"`
	WaitInBand    int64 `json:"wait_ms_p50_in_band"`
	// TurnaroundOverhead is the median time from the end of a build to its agent being clean again,
	// without the time that the recipe ran.
	TurnaroundOverhead int64   `json:"turnaround_overhead_ms_p50"`
	RequestsPerCleanup float64 `json:"jenkins_requests_per_cleanup"`

	InBand InBand `json:"in_band"`
}

// InBand is what the same orders came to where each job cleans its agent itself.
type InBand struct {
	RealBuilds                 int `json:"real_builds"`
	UserBuildsFailedByCleaning int `json:"user_builds_failed_by_cleaning"`
}

func (s *show) summary(ctx context.Context) (Summary, error) {
	sum := Summary{Seconds: int(time.Since(s.began).Seconds()), Agents: s.Agents}
	journal := s.out.jenkins.Journal()
	sum.RealBuilds, sum.UserBuildsFailedByCleaning = s.out.ended()
	sum.InBand.RealBuilds, sum.InBand.UserBuildsFailedByCleaning = s.in.ended()
	sum.Contaminated = contaminated(journal)
	sum.WaitOutOfBand, sum.WaitInBand = median(s.out.waits()), median(s.in.waits())
	sum.TurnaroundOverhead = median(overheads(journal))
	agents, err := s.app.Store().Agents(ctx, "")
	if err != nil {
		return sum, err
	}
	for _, a := range agents {
		if a.Hygiene() == hygiene.IsClean {
			sum.Clean++
		}
		if a.Hygiene() == hygiene.IsQuarantined {
			sum.Quarantined++
		}
	}
	attempts, err := s.app.Store().Attempts(ctx, store.AttemptFilter{Limit: 100_000})
	if err != nil {
		return sum, err
	}
	for _, t := range attempts {
		if t.Outcome == hygiene.Cleaned || t.Outcome == hygiene.Failed {
			sum.Cleanups++
		}
		if t.Outcome == hygiene.Failed {
			sum.CleanupFailures++
		}
	}
	if sum.Cleanups > 0 {
		sum.RequestsPerCleanup = float64(s.out.requests.Load()*10/int64(sum.Cleanups)) / 10
	}
	return sum, nil
}

// ended counts the users' builds that ended, and those of them that failed.
func (t *track) ended() (builds, failed int) {
	for _, k := range kinds {
		for _, b := range t.jenkins.Builds("app-" + k.label) {
			if !b.Complete {
				continue
			}
			builds++
			if b.Result != "SUCCESS" {
				failed++
			}
		}
	}
	return builds, failed
}

// waits are the times from each order to the first line of its build, in milliseconds.
func (t *track) waits() []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []int64
	for _, p := range t.orders {
		text, err := os.ReadFile(filepath.Join(t.dir, "first", p.id))
		if err != nil {
			continue // it has not printed its first line yet
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			continue
		}
		out = append(out, time.Unix(0, ns).Sub(p.since).Milliseconds())
	}
	return out
}

func ours(job string) bool { return strings.HasPrefix(job, "pitcrew-") }

// contaminated counts the real builds that did not start as the first ones on a granted agent.
func contaminated(journal []jenkinstest.Entry) int {
	clean := map[string]bool{}
	n := 0
	for _, e := range journal {
		switch {
		case e.Kind == jenkinstest.EntryLabels && granted(e):
			clean[e.Agent] = true
		case e.Kind == jenkinstest.EntryBuildStart && !ours(e.Job):
			if !clean[e.Agent] {
				n++
			}
			clean[e.Agent] = false
		}
	}
	return n
}

func granted(e jenkinstest.Entry) bool {
	names := hygiene.DefaultNames
	before, after := names.Read(strings.Fields(e.Before)), names.Read(strings.Fields(e.Labels))
	return !before.Has(hygiene.LabelClean) && after == hygiene.ShowClean
}

// overheads are the times from a real build's end to its agent being clean again, without the time
// that cleanups ran in between, in milliseconds. Agents that failed a cleanup meanwhile waited for
// another reason and are left out.
func overheads(journal []jenkinstest.Entry) []int64 {
	type turn struct {
		ended, started time.Time
		ran            time.Duration
		runs           int
	}
	turns := map[string]*turn{}
	var out []int64
	for _, e := range journal {
		t := turns[e.Agent]
		switch {
		case e.Kind == jenkinstest.EntryBuildEnd && !ours(e.Job):
			turns[e.Agent] = &turn{ended: e.At}
		case t == nil:
		case e.Kind == jenkinstest.EntryBuildStart && ours(e.Job):
			t.started = e.At
			t.runs++
		case e.Kind == jenkinstest.EntryBuildEnd:
			t.ran += e.At.Sub(t.started)
		case e.Kind == jenkinstest.EntryLabels && granted(e):
			if t.runs == 1 {
				out = append(out, (e.At.Sub(t.ended) - t.ran).Milliseconds())
			}
			delete(turns, e.Agent)
		}
	}
	return out
}

func median(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}
