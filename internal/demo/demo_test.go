// SPDX-License-Identifier: Apache-2.0

//go:build linux

package demo

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// options are those of a demo whose first build lets a process escape.
func options(t *testing.T) Options {
	t.Helper()
	o := Options{Agents: 10, For: 10 * time.Minute, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
	for trace(o.Seed, plannedFleet(o.Agents))().mess != "process" {
		o.Seed++
	}
	return o
}

// openShow makes a show whose directory goes with the test.
func openShow(t *testing.T, o Options) *show {
	t.Helper()
	s, err := newShow(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leaveNothing(s.dir, s.cookie); err != nil {
			t.Error(err)
		}
		wantNothingLeft(t, s.dir)
	})
	return s
}

func TestTheSummaryIsWhatHappened(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := options(t)
	ticks, where, page := 0, Where{}, ""
	o.Begun = func(w Where) { where = w }
	o.Tick = func(sum Summary) {
		if missing(page, o.Agents) != "" {
			page = opened(t, where.Page)
		}
		if ticks++; ticks >= 20 && sum.RealBuilds > 0 && sum.InBand.RealBuilds > 0 && sum.CleanupFailures > 0 && sum.Cleanups > sum.CleanupFailures {
			cancel()
		}
	}
	s := openShow(t, o)
	sum, err := s.run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Seconds < 20 || sum.Agents != 10 || ticks == 0 {
		t.Errorf("got %d s, %d agents, %d ticks, want at least 20 s, 10 agents and some ticks", sum.Seconds, sum.Agents, ticks)
	}
	if sum.RealBuilds == 0 || sum.InBand.RealBuilds == 0 || sum.Cleanups == 0 || sum.RequestsPerCleanup == nil || sum.WaitInBand == nil {
		t.Fatalf("nothing happened: %+v", sum)
	}
	if *sum.WaitInBand < 1500 {
		t.Errorf("median wait in band: got %d ms, want at least the recipe's own 1.5 s", *sum.WaitInBand)
	}
	if name := missing(page, o.Agents); name != "" {
		t.Errorf("the page whose address is told shows no agent %s:\n%s", name, page)
	}
	wantSameOrders(t, s)
	wantJournal(t, s, sum)
	wantAttempts(t, s, sum)
}

// missing is the first agent of the fleet that a page does not show, "" if it shows all.
func missing(page string, agents int) string {
	for _, a := range plannedFleet(agents) {
		if !strings.Contains(page, a.name) {
			return a.name
		}
	}
	return ""
}

// opened is what a person's browser gets, who has no token.
func opened(t *testing.T, page string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Errorf("open the page: %v", err)
		return ""
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if kind := answer.Header.Get("Content-Type"); err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the page is answered %s, %s, %v", answer.Status, kind, err)
	}
	return string(text)
}

// wantSameOrders compares what both controllers were asked for.
func wantSameOrders(t *testing.T, s *show) {
	t.Helper()
	names := func(orders []*placed) (out []order) {
		for _, p := range orders {
			out = append(out, p.order)
		}
		return out
	}
	out, in := names(s.out.orders), names(s.in.orders)
	if diff := cmp.Diff(out, in, cmp.AllowUnexported(order{})); diff != "" || len(out) == 0 {
		t.Errorf("%d orders; out of band (-), in band (+):\n%s", len(out), diff)
	}
}

// wantJournal counts the journals in another way than the ledgers do. The summary was taken a
// moment before the end.
func wantJournal(t *testing.T, s *show, sum Summary) {
	t.Helper()
	for _, tr := range []*track{s.out, s.in} {
		journal, counted := tr.jenkins.Journal(), tr.ledger.read()
		ended, failed := 0, 0
		for _, e := range journal {
			if e.Kind == jenkinstest.EntryBuildEnd && !strings.HasPrefix(e.Job, "pitcrew") {
				ended++
				if e.Result != "SUCCESS" {
					failed++
				}
			}
		}
		if counted.builds != ended || counted.failed != failed {
			t.Errorf("%s: counted %d builds, %d failed; the journal has %d and %d", tr.dir, counted.builds, counted.failed, ended, failed)
		}
	}
	if got := s.out.ledger.read(); sum.RealBuilds > got.builds || sum.Contaminated > got.contaminated || sum.UserBuildsFailedByCleaning > 0 {
		t.Errorf("got %+v, want at most what the ledger has, and no failed build: %+v", sum, got)
	}
}

// wantAttempts compares the numbers of cleanups with the daemon's own records.
func wantAttempts(t *testing.T, s *show, sum Summary) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Path: filepath.Join(s.dir, "data", "pitcrew.db"), Owner: "demo", Logger: s.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	attempts, err := st.Attempts(t.Context(), store.AttemptFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want := map[hygiene.Outcome]int{}
	for _, a := range attempts {
		want[a.Outcome]++
	}
	if err := s.cleanups.learn(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	if got := s.cleanups; got.cleaned != want[hygiene.Cleaned] || got.failed != want[hygiene.Failed] {
		t.Errorf("got %d cleaned and %d failed, the attempts say %v", got.cleaned, got.failed, want)
	}
	if sum.CleanupFailures == 0 || sum.Cleanups > s.cleanups.cleaned+s.cleanups.failed {
		t.Errorf("got %d cleanups, %d failed; want some failures and at most %+v", sum.Cleanups, sum.CleanupFailures, s.cleanups)
	}
}

func TestTheSummaryHasTheDocumentedKeys(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Summary{})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"agents", "real_builds", "contaminated", "cleanups", "cleanup_failures", "quarantined", "user_builds_failed_by_cleaning",
		"wait_ms_p50_out_of_band", "wait_ms_p50_in_band", "turnaround_overhead_ms_p50", "jenkins_requests_per_cleanup",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestNothingIsLeftWhenTheDemo(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	t.Run("is interrupted while a process of a build is at large", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		o, dir, escaped := options(t), "", false
		o.Begun = func(w Where) { dir = w.Dir }
		o.Tick = func(Summary) {
			if escaped = escapees(t, dir) > 0; escaped {
				cancel()
			}
		}
		if _, err := Run(ctx, o); err != nil || !escaped {
			t.Errorf("error %v, a process escaped: %t; want none, true", err, escaped)
		}
		wantNothingLeft(t, dir)
	})
	t.Run("is interrupted before it begins", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if sum, err := Run(ctx, options(t)); err != nil || sum.Agents != 10 {
			t.Errorf("got %+v, %v, want an empty summary", sum, err)
		}
	})
	t.Run("finds its port taken", func(t *testing.T) {
		t.Parallel()
		o := options(t)
		o.Listen = taken.Addr().String()
		o.Begun = func(w Where) { t.Errorf("it began: %+v", w) }
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "address already in use; choose another address") {
			t.Errorf("got error %v, want that the address is in use", err)
		}
	})
	t.Run("cannot place an order", func(t *testing.T) {
		t.Parallel()
		o, dir := options(t), ""
		s := openShow(t, o)
		s.Begun = func(w Where) { dir = w.Dir; deleteJobs(t, s.in) }
		if _, err := s.run(t.Context()); err == nil || !strings.Contains(err.Error(), "place order-0001") || dir == "" {
			t.Errorf("got error %v, want that the first order cannot be placed", err)
		}
	})
}

func deleteJobs(t *testing.T, tr *track) {
	t.Helper()
	for _, k := range kinds {
		for _, project := range projects {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.url+"job/"+jobName(project, k.label)+"/doDelete", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth(userName, tr.token)
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Body.Close(); answer.StatusCode >= 400 {
				t.Fatalf("delete job: %s", answer.Status)
			}
		}
	}
}

func TestOptionsThatCannotBeShownAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"no agent":            {func(o *Options) { o.Agents = 0 }, "0 agents: want 1 to 200"},
		"too many agents":     {func(o *Options) { o.Agents = 500 }, "500 agents: want 1 to 200"},
		"a negative time":     {func(o *Options) { o.For = -5 * time.Second }, "for -5s: want a time above zero"},
		"an address for all":  {func(o *Options) { o.Listen = "0.0.0.0:8080" }, "want an address of this machine only"},
		"every address":       {func(o *Options) { o.Listen = ":8080" }, "want an address of this machine only"},
		"no port":             {func(o *Options) { o.Listen = "127.0.0.1" }, "missing port"},
		"a name of elsewhere": {func(o *Options) { o.Listen = "ci.example.org:80" }, "want an address of this machine only"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t)
			tt.change(&o)
			if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q", err, tt.want)
			}
		})
	}
	for _, listen := range []string{"", "127.0.0.1:0", "127.0.0.2:80", "[::1]:8080", "localhost:8080"} {
		if err := checkListen(listen); err != nil {
			t.Errorf("listen on %q: %v", listen, err)
		}
	}
}
