// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// BenchmarkHundredLoans lends a hundred agents at once, two hundred JVMs on this machine, and has them all back. It measures
// how long it takes until the borrower has the last, and until the last is clean again.
func BenchmarkHundredLoans(b *testing.B) {
	if os.Getenv("PITCREW_LONG") == "" {
		b.Skip("takes minutes: set PITCREW_LONG=1")
	}
	const agents = 100
	s := lends(b)
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(b.Context(), 30*time.Minute)
	b.Cleanup(cancel)
	all := make([]*testbed.Agent, agents)
	for i := range all {
		all[i] = s.agent(fmt.Sprintf("-%03d", i), "CLEANABLE")
	}
	s.configure()
	file := filepath.Join(s.dir, "pitcrew.yaml")
	text, err := os.ReadFile(file)
	s.must(err)
	bounds := strings.NewReplacer("maxCleanups: 2", "maxCleanups: 20", "max: 5,", fmt.Sprintf("max: %d,", agents), "attach: 90s", "attach: 15m")
	s.must(os.WriteFile(file, []byte(bounds.Replace(string(text))), 0o600))
	b.Cleanup(s.removeJobs)
	s.startDaemon()
	s.eventually("all agents clean", func() bool {
		clean := 0
		for a, err := range s.daemon.Agents(s.ctx, api.AgentQuery{}) {
			s.must(err)
			if a.State == "clean" {
				clean++
			}
		}
		return clean == agents
	})
	for b.Loop() {
		asked := time.Now()
		loans, err := s.daemon.RequestLoans(s.ctx, api.LoanRequest{Borrower: "staging", Count: agents, For: "1h"})
		s.must(err)
		in := func(state string) bool {
			now, err := s.daemon.Loans(s.ctx, "staging", true, agents)
			s.must(err)
			for _, l := range now {
				if l.State == "failed" {
					s.Fatalf("loan %s failed: %s", l.ID, l.Reason)
				}
			}
			return !slices.ContainsFunc(now, func(l api.Loan) bool { return l.State != state })
		}
		s.eventually("all attached", func() bool { return in("attached") })
		b.ReportMetric(time.Since(asked).Seconds(), "s-to-attach-all")
		given := time.Now()
		for _, l := range loans {
			_, err := s.daemon.ReturnLoan(s.ctx, l.ID, "measured")
			s.must(err)
		}
		s.eventually("all cleaned", func() bool { return in("cleaned") })
		b.ReportMetric(time.Since(given).Seconds(), "s-to-clean-all")
		for _, l := range loans {
			s.clear(l)
		}
	}
	b.ReportMetric(0, "ns/op") // its parts are what counts
}

// eventually waits for what many agents on few cores take their time for.
func (s *scene) eventually(what string, ok func() bool) {
	s.Helper()
	testbed.Await(s.ctx, s, 15*time.Minute, what, ok)
}
