// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/notify"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// exposed are the series whose names begin so, without that beginning.
func exposed(t *testing.T, m *metrics, beginning string) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	var ours []string
	for line := range strings.Lines(w.Body.String()) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), beginning); ok {
			ours = append(ours, rest)
		}
	}
	return strings.Join(ours, "; ")
}

func TestGaugesOfAGate(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	shown := func() string { return exposed(t, m, "pitcrew_gate_") }
	m.Gated("ci", reconcile.GateSight{Launched: 1, Status: &gate.Status{
		Head: gate.Head{Hook: "console"}, Failed: 2,
		Agents: map[string]gate.Agent{"a": {State: gate.Clean}, "b": {State: gate.Clean, Drift: "label"}, "c": {State: gate.Used}},
	}})
	want := `agents{controller="ci",state="claimed"} 0; agents{controller="ci",state="clean"} 1; agents{controller="ci",state="drifted"} 1; ` +
		`agents{controller="ci",state="held"} 0; agents{controller="ci",state="unknown"} 0; agents{controller="ci",state="used"} 1; ` +
		`at_boot{controller="ci"} 0; faults{controller="ci"} 2; launched_agents{controller="ci"} 1; up{controller="ci"} 1`
	if got := shown(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	m.Gated("ci", reconcile.GateSight{Lost: true})
	if got := shown(); got != `up{controller="ci"} 0` {
		t.Errorf("lost: %s", got)
	}
	m.Gated("ci", reconcile.GateSight{})
	if got := shown(); got != "" {
		t.Errorf("labels alone: %s", got)
	}
}

// TestWhatHappensIsCounted tells the metrics of one of each thing, and wants each in its own series.
func TestWhatHappensIsCounted(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	a := hygiene.Agent{ID: hygiene.AgentID{Controller: "ci", Name: "linux-7"}}
	began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ended := hygiene.Attempt{Agent: a.ID, Pool: "el7", Outcome: hygiene.Failed, Step: "disk", Depth: hygiene.Deep, Started: began}
	m.Ended(a, ended, 2*time.Second, 90*time.Second)
	m.Ended(a, hygiene.Attempt{Agent: a.ID, Pool: "el7", Outcome: hygiene.GivenBack}, time.Hour, 0) // it never ran
	m.Changed(hygiene.Event{Type: hygiene.EventContaminated, Agent: a.ID, Pool: "el7"})
	m.Swept("ci", time.Second, errors.New("503"))
	for _, loop := range []string{"observe", "decide", "contain", "listen"} {
		m.Beat("ci", loop, began)
	}
	m.Decided("ci", []reconcile.Decision{
		{Agent: a.ID, Pool: "el7", Hygiene: hygiene.IsDue, Occupancy: hygiene.IsBusy, Stuck: true},
		{Agent: hygiene.AgentID{Controller: "ci", Name: "linux-8"}, Pool: "el7", Hygiene: hygiene.IsDue, Occupancy: hygiene.IsBusy},
	})
	observed := m.observe("ci")
	observed(jenkins.Call{Op: "read fleet", Status: 200, BytesIn: 700, Duration: 3 * time.Second})
	observed(jenkins.Call{Op: "read fleet", Err: errors.New("connection reset")})
	m.delivered(notify.Delivery{Sink: "chat"})
	m.delivered(notify.Delivery{Sink: "chat", Err: errors.New("503")})
	m.delivered(notify.Delivery{Sink: "chat", Err: errors.New("422"), GivenUp: true})

	got := strings.Split(exposed(t, m, "pitcrew_"), "; ")
	got = slices.DeleteFunc(got, func(series string) bool { return strings.Contains(series, "_bucket{") })
	want := []string{
		`agents{controller="ci",hygiene="due",occupancy="busy",pool="el7"} 2`,
		`cleanup_duration_seconds_count{controller="ci",depth="deep",pool="el7"} 1`,
		`cleanup_duration_seconds_sum{controller="ci",depth="deep",pool="el7"} 90`,
		`cleanup_failed_steps_total{controller="ci",pool="el7",step="disk"} 1`,
		`cleanup_wait_seconds_count{controller="ci",pool="el7"} 1`,
		`cleanup_wait_seconds_sum{controller="ci",pool="el7"} 2`,
		`cleanups_total{controller="ci",outcome="failed",pool="el7"} 1`,
		`cleanups_total{controller="ci",outcome="given back",pool="el7"} 1`,
		`contaminated_builds_total{controller="ci",pool="el7"} 1`,
		`events_total{controller="ci",type="build.contaminated"} 1`,
		`jenkins_received_bytes_total{controller="ci",operation="read fleet"} 700`,
		`jenkins_request_duration_seconds_count{controller="ci",operation="read fleet"} 2`,
		`jenkins_request_duration_seconds_sum{controller="ci",operation="read fleet"} 3`,
		`jenkins_requests_total{controller="ci",operation="read fleet",status="200"} 1`,
		`jenkins_requests_total{controller="ci",operation="read fleet",status="none"} 1`,
		`loop_heartbeat_timestamp_seconds{controller="ci",loop="contain"} 1.7723664e+09`,
		`loop_heartbeat_timestamp_seconds{controller="ci",loop="decide"} 1.7723664e+09`,
		`loop_heartbeat_timestamp_seconds{controller="ci",loop="listen"} 1.7723664e+09`,
		`loop_heartbeat_timestamp_seconds{controller="ci",loop="observe"} 1.7723664e+09`,
		`notifications_total{result="failed",sink="chat"} 1`,
		`notifications_total{result="given up",sink="chat"} 1`,
		`notifications_total{result="ok",sink="chat"} 1`,
		`stuck_agents{controller="ci",pool="el7"} 1`,
		`sweeps_total{controller="ci",result="failed"} 1`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestLoansAreCountedByBorrowerStateAndCause(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Lent([]loan.Loan{{Borrower: "lab", State: loan.Waiting}, {Borrower: "lab", State: loan.Attached}, {Borrower: "lab", State: loan.Attached}})
	if got, want := exposed(t, m, "pitcrew_loans{"), `borrower="lab",state="attached"} 2; borrower="lab",state="waiting"} 1`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := exposed(t, m, "pitcrew_loans_ended_total"); !strings.Contains(got, `{borrower="lab",cause="not attached",state="failed"} 0`) || strings.Count(got, "borrower") != 21 {
		t.Errorf("before any is over is told %s", got)
	}
	m.Lent(nil)
	if got, want := exposed(t, m, "pitcrew_loans{"), `borrower="lab",state="attached"} 0; borrower="lab",state="waiting"} 0`; got != want {
		t.Errorf("of none is told %s, want %s", got, want)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m.Attached(loan.Loan{Borrower: "lab", State: loan.Attached, Granted: at, Attached: at.Add(2 * time.Second)})
	if got := exposed(t, m, "pitcrew_loan_attach_seconds_sum"); got != `{borrower="lab"} 2` {
		t.Errorf("while the borrower has the agent is told %s", got)
	}
	m.Returned(loan.Loan{
		Borrower: "lab", State: loan.Cleaned, Cause: loan.ByTerm,
		Granted: at, Attached: at.Add(2 * time.Second), Returned: at.Add(time.Hour), Ended: at.Add(time.Hour + 5*time.Second),
	})
	m.Returned(loan.Loan{Borrower: "lab", State: loan.Expired, Cause: loan.ByPatience, Ended: at}) // it never had an agent
	over := slices.DeleteFunc(strings.Split(exposed(t, m, "pitcrew_loans_ended_total"), "; "), func(s string) bool { return strings.HasSuffix(s, "} 0") })
	if diff := cmp.Diff([]string{`{borrower="lab",cause="expired",state="cleaned"} 1`, `{borrower="lab",cause="no agent",state="expired"} 1`}, over); diff != "" {
		t.Errorf("want -, got +\n%s", diff)
	}
	for series, want := range map[string]string{"attach": "2", "duration": "3603", "return": "5"} {
		name := "pitcrew_loan_" + series + "_seconds_"
		if got := exposed(t, m, name+"sum"); got != `{borrower="lab"} `+want {
			t.Errorf("%s: %s, want %s", series, got, want)
		}
		if got := exposed(t, m, name+"count"); got != `{borrower="lab"} 1` {
			t.Errorf("%s is counted %s", series, got)
		}
	}
}

// A scrape that comes between two words about the same agents, or a gate, sees all of them, as they were or as they are: an alert on agents that are
// missing would go off, and a sum would be wrong.
func TestAScrapeSeesAllOfThemAtAnyTime(t *testing.T) {
	t.Parallel()
	const many = 30
	m := newMetrics()
	var decisions [2][]reconcile.Decision
	var rollouts [2]rollout.Status
	var open [2][]loan.Loan
	for i := range many {
		name := hygiene.AgentID{Controller: "ci", Name: strconv.Itoa(i)}
		for turn := range 2 {
			h, at := hygiene.IsDue, rollout.Revision("old")
			if i%2 == turn {
				h, at = hygiene.IsClean, "new"
			}
			decisions[turn] = append(decisions[turn], reconcile.Decision{Agent: name, Pool: "el7", Hygiene: h, Occupancy: hygiene.IsIdle, Stuck: true})
			rollouts[turn].Agents = append(rollouts[turn].Agents, rollout.Standing{Has: at})
			open[turn] = append(open[turn], loan.Loan{Borrower: "lab" + strconv.Itoa((i+turn)%many), State: loan.Attached})
		}
	}
	for turn, stage := range []rollout.Stage{rollout.Canary, rollout.Share} {
		rollouts[turn].Rollout = rollout.Rollout{Pool: "el7", From: "old", To: "new", Stage: stage}
	}
	ledgers := [2]map[string]gate.Agent{{"a": {State: gate.Clean}, "b": {State: gate.Used}}, {"a": {State: gate.Used}, "b": {State: gate.Clean}}}
	tell := func(turn int) {
		m.Gated("ci", reconcile.GateSight{Status: &gate.Status{Agents: ledgers[turn]}})
		m.Gated("lost", reconcile.GateSight{Lost: true})
		m.Decided("ci", decisions[turn])
		m.Rolled(rollouts[turn])
		m.Lent(open[turn])
	}
	tell(0)
	ctx, stop := context.WithCancel(t.Context())
	var telling sync.WaitGroup
	telling.Go(func() {
		for turn := 1; ctx.Err() == nil; turn = 1 - turn {
			tell(turn)
		}
	})
	defer telling.Wait()
	defer stop()
	want := map[string]int{
		"gate_agents": 2, "gate_up": 1, // of ci; that of the other is 0, and is there
		"agents": many, "stuck_agents": many, "rollout_agents": many, "rollout_stage": 1, "loans": many,
	}
	for range 100 {
		got := map[string]int{}
		all := exposed(t, m, "pitcrew_")
		if !strings.Contains(all, `gate_up{controller="lost"} 0`) {
			t.Fatal("a scrape misses the gate that is lost")
		}
		for series := range strings.SplitSeq(all, "; ") {
			name, rest, _ := strings.Cut(series, "{")
			if _, ok := want[name]; ok {
				n, err := strconv.Atoi(rest[strings.LastIndex(rest, " ")+1:])
				if err != nil {
					t.Fatal(err)
				}
				got[name] += n
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("a scrape counts (-want +got):\n%s", diff)
		}
	}
}
