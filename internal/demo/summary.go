// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Summary is what a demo has shown so far. Times are in milliseconds; what there is no value for is
// nil, since 0 would be praise. What JSON leaves out is for the text alone: the keys are an interface, and few.
type Summary struct {
	Seconds int `json:"-"`
	Agents  int `json:"agents"`
	Clean   int `json:"-"`
	// RealBuilds is the number of builds that ended on the serviced controller.
	RealBuilds int `json:"real_builds"`
	// Contaminated is the number of real builds that started on an agent that was not proven clean,
	// counted from what really happened there.
	Contaminated int `json:"contaminated"`
	// Cleanups is the number of attempts that ended in a clean agent or failed; the latter are
	// CleanupFailures. Quarantined agents are those of now.
	Cleanups        int `json:"cleanups"`
	CleanupFailures int `json:"cleanup_failures"`
	Quarantined     int `json:"quarantined"`
	// UserBuildsFailedByCleaning is the number of users' builds that failed on the serviced
	// controller. Their own scripts never fail.
	UserBuildsFailedByCleaning int `json:"user_builds_failed_by_cleaning"`

	// The waits are from an order to the first line of its build's own script. Orders that still
	// wait count with the time so far, orders whose build was failed before that line not at all.
	WaitOutOfBand *int64 `json:"wait_ms_p50_out_of_band"`
	WaitInBand    *int64 `json:"wait_ms_p50_in_band"`
	// TurnaroundOverhead is the median time from the end of a build to its agent being clean again,
	// without the time that the cleanup's own build took.
	TurnaroundOverhead *int64 `json:"turnaround_overhead_ms_p50"`
	// RequestsPerCleanup does not count the two requests of each poll.
	RequestsPerCleanup *float64 `json:"jenkins_requests_per_cleanup"`

	InBand InBand `json:"-"`
}

// fewBuilds is the least number of builds from which a median says something.
const fewBuilds = 5

// Few reports whether too little has happened on one of the controllers for a comparison.
func (s *Summary) Few() bool { return min(s.RealBuilds, s.InBand.RealBuilds) < fewBuilds }

// InBand is what the same orders came to where each job cleans its agent itself.
type InBand struct {
	RealBuilds                 int
	UserBuildsFailedByCleaning int
}

func (s *show) summary(ctx context.Context) (Summary, error) {
	now := time.Now()
	out, in := s.out.ledger.read(), s.in.ledger.read()
	sum := Summary{
		Seconds: int(now.Sub(s.began).Round(time.Second).Seconds()), Agents: s.Agents,
		RealBuilds: out.builds, Contaminated: out.contaminated, UserBuildsFailedByCleaning: out.failed,
		WaitOutOfBand: median(s.out.waits(now)), WaitInBand: median(s.in.waits(now)),
		TurnaroundOverhead: median(out.overheads),
		InBand:             InBand{RealBuilds: in.builds, UserBuildsFailedByCleaning: in.failed},
	}
	agents, err := s.app.Store().Agents(ctx, "")
	if err != nil {
		return sum, err
	}
	for _, a := range agents {
		switch a.Hygiene() { //nolint:exhaustive // the others are not shown
		case hygiene.IsClean:
			sum.Clean++
		case hygiene.IsQuarantined:
			sum.Quarantined++
		}
	}
	if err := s.cleanups.learn(ctx, s.app.Store()); err != nil {
		return sum, err
	}
	sum.Cleanups, sum.CleanupFailures = s.cleanups.cleaned+s.cleanups.failed, s.cleanups.failed
	if sum.Cleanups > 0 {
		sum.RequestsPerCleanup = new(float64(s.out.requests.Load()*10/int64(sum.Cleanups)) / 10)
	}
	return sum, nil
}

// cleanups counts how attempts ended, from the events up to the last one that was read.
type cleanups struct {
	last            int64
	cleaned, failed int
}

// learn reads the events that are new.
func (c *cleanups) learn(ctx context.Context, st *store.Store) error {
	const page = 500
	for {
		events, err := st.Events(ctx, store.EventFilter{
			After: c.last, Types: []hygiene.EventType{hygiene.EventGranted, hygiene.EventFailed}, Limit: page,
		})
		if err != nil {
			return err
		}
		for _, e := range events {
			c.last = e.ID
			if e.Type == hygiene.EventFailed {
				c.failed++
			} else {
				c.cleaned++
			}
		}
		if len(events) < page {
			return nil
		}
	}
}
