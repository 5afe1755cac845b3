// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// candidate is an agent of pool p that was last served `served` minutes after the epoch.
func candidate(name string, served int, with ...func(*hygiene.Candidate)) hygiene.Candidate {
	aid := hygiene.AgentID{Controller: "ci", Name: name}
	c := hygiene.Candidate{
		Action: hygiene.Action{Kind: hygiene.Begin, Agent: aid},
		Agent:  hygiene.Agent{ID: aid, Pool: "p", LastServed: epoch.Add(time.Duration(served) * time.Minute)},
	}
	for _, f := range with {
		f(&c)
	}
	return c
}

func failed(c *hygiene.Candidate)  { c.Agent.Failures = 1 }
func refresh(c *hygiene.Candidate) { c.Action.Kind = hygiene.Refresh }
func launch(c *hygiene.Candidate)  { c.Action.Kind = hygiene.Launch }
func serves(d ...int) func(*hygiene.Candidate) {
	return func(c *hygiene.Candidate) { c.Serves = d }
}

func domain(d string) func(*hygiene.Candidate) { return func(c *hygiene.Candidate) { c.Domain = d } }

func TestSchedule(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		candidates []hygiene.Candidate
		demands    []hygiene.Demand
		caps       hygiene.Caps
		load       hygiene.Load
		want       []string
		reason     string // of the first that waits
	}{
		{name: "least recently served first", candidates: []hygiene.Candidate{candidate("b", 2), candidate("a", 3), candidate("c", 1)}, want: []string{"c", "b", "a"}},
		{name: "the controller's cap counts what runs", candidates: []hygiene.Candidate{candidate("a", 1), candidate("b", 2), candidate("c", 3)}, caps: hygiene.Caps{Controller: 4}, load: hygiene.Load{Controller: 2}, want: []string{"a", "b"}, reason: "controller's cap"},
		{name: "the pool's cap", candidates: []hygiene.Candidate{candidate("a", 1), candidate("b", 2)}, caps: hygiene.Caps{Pool: map[string]int{"p": 1}}, want: []string{"a"}, reason: "pool's cap"},
		{name: "the failure domain's cap", candidates: []hygiene.Candidate{candidate("a", 1, domain("rack-1")), candidate("b", 2, domain("rack-1")), candidate("c", 3, domain("rack-2"))}, caps: hygiene.Caps{Domain: map[string]int{"rack-1": 1, "rack-2": 1}}, want: []string{"a", "c"}, reason: "rack-1"},
		{name: "demand goes before turn", candidates: []hygiene.Candidate{candidate("a", 1), candidate("b", 2, serves(0))}, demands: []hygiene.Demand{{Label: "el8", Want: 1}}, caps: hygiene.Caps{Controller: 1}, want: []string{"b"}},
		{name: "one agent serves one queued build only", candidates: []hygiene.Candidate{candidate("a", 1, serves(0)), candidate("b", 2, serves(0)), candidate("c", 0)}, demands: []hygiene.Demand{{Label: "el8", Want: 1}}, caps: hygiene.Caps{Controller: 2}, want: []string{"a", "c"}},
		{name: "the shorter label is served first", candidates: []hygiene.Candidate{candidate("a", 1, serves(0, 1)), candidate("b", 2, serves(0))}, demands: []hygiene.Demand{{Label: "el7", Want: 1}, {Label: "el8", Want: 3}}, want: []string{"a", "b"}},
		{name: "failing agents come after healthy ones", candidates: []hygiene.Candidate{candidate("sick", 0, failed), candidate("a", 5)}, caps: hygiene.Caps{Controller: 1}, want: []string{"a"}, reason: "controller's cap"},
		{name: "failing agents come after healthy ones that nobody wants", candidates: []hygiene.Candidate{candidate("sick", 0, failed, serves(0)), candidate("a", 5)}, demands: []hygiene.Demand{{Label: "el8", Want: 9}}, caps: hygiene.Caps{Controller: 1}, want: []string{"a"}, reason: "controller's cap"},
		{name: "failing agents never hold more than half the places", candidates: []hygiene.Candidate{candidate("s1", 0, failed), candidate("s2", 0, failed)}, caps: hygiene.Caps{Controller: 4}, load: hygiene.Load{Controller: 1, Failing: 1}, want: []string{"s1"}, reason: "half of the places"},
		{name: "a lone failing agent is still served with a cap of one", candidates: []hygiene.Candidate{candidate("sick", 0, failed)}, caps: hygiene.Caps{Controller: 1}, want: []string{"sick"}},
		{name: "a refresh stops at the capacity floor", candidates: []hygiene.Candidate{candidate("a", 1, refresh), candidate("b", 2, refresh)}, caps: hygiene.Caps{Spare: map[string]int{"p": 1}}, want: []string{"a"}, reason: "capacity floor"},
		{name: "a launch needs demand, and takes no place", candidates: []hygiene.Candidate{candidate("a", 1, launch), candidate("b", 2, launch, serves(0))}, demands: []hygiene.Demand{{Label: "el8", Want: 2}}, caps: hygiene.Caps{Controller: 1}, load: hygiene.Load{Controller: 1}, want: []string{"b"}, reason: "does not want it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			choices := hygiene.Schedule(tt.candidates, tt.demands, tt.caps, tt.load)
			var got []string
			reason := ""
			for _, c := range choices {
				if c.Chosen {
					got = append(got, c.Action.Agent.Name)
				} else if reason == "" {
					reason = c.Reason
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("chosen (-want +got):\n%s", diff)
			}
			if !strings.Contains(reason, tt.reason) {
				t.Errorf("first refusal is %q, want %q", reason, tt.reason)
			}
			if len(choices) != len(tt.candidates) {
				t.Errorf("%d answers for %d candidates", len(choices), len(tt.candidates))
			}
		})
	}
}

// TestNobodyStarves runs many rounds with one place and one failing agent among the healthy.
func TestNobodyStarves(t *testing.T) {
	t.Parallel()
	agents := make([]hygiene.Candidate, 10)
	for i := range agents {
		agents[i] = candidate(fmt.Sprintf("a%d", i), 0)
	}
	failed(&agents[3])
	served := map[string]int{}
	for round := range 100 {
		healthyDue := agents
		if round%20 == 19 { // the healthy are all busy
			healthyDue = agents[3:4]
		}
		for _, c := range hygiene.Schedule(healthyDue, nil, hygiene.Caps{Controller: 1}, hygiene.Load{}) {
			if c.Chosen {
				i := slices.IndexFunc(agents, func(x hygiene.Candidate) bool { return x.Agent.ID == c.Action.Agent })
				agents[i].Agent.LastServed = epoch.Add(time.Duration(round+1) * time.Minute)
				served[c.Action.Agent.Name]++
			}
		}
	}
	for _, a := range agents {
		if served[a.Agent.ID.Name] == 0 {
			t.Errorf("%s was never served: %v", a.Agent.ID.Name, served)
		}
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	policy := hygiene.BreakerPolicy{Agents: 3, Failures: 4, Within: time.Hour}
	now := epoch.Add(24 * time.Hour)
	end := func(agent string, minutesAgo int, fails bool) hygiene.Ended {
		at := now.Add(-time.Duration(minutesAgo) * time.Minute)
		return hygiene.Ended{Agent: hygiene.AgentID{Controller: "ci", Name: agent}, Revision: "r1", Step: "packages", Failed: fails, At: at, Claimed: at.Add(-time.Minute)}
	}
	bad := []hygiene.Ended{end("a", 20, true), end("b", 15, true), end("c", 10, true), end("a", 5, true)}
	healthy := make([]hygiene.Ended, 20)
	for i := range healthy {
		healthy[i] = end(fmt.Sprint(i), 8, false)
	}
	tests := []struct {
		name  string
		b     hygiene.Breaker
		ended []hygiene.Ended
		rev   string
		want  hygiene.BreakerState
	}{
		{"failures over different agents open it", hygiene.Breaker{}, bad, "r1", hygiene.BreakerOpen},
		{"another revision is not stopped", hygiene.Breaker{}, bad, "r2", hygiene.BreakerClosed},
		{"one sick agent does not open it", hygiene.Breaker{}, []hygiene.Ended{end("a", 4, true), end("a", 3, true), end("a", 2, true), end("a", 1, true), end("a", 0, true)}, "r1", hygiene.BreakerClosed},
		{"a busy pool's successes do not hide them", hygiene.Breaker{}, append(slices.Clone(healthy), bad...), "r1", hygiene.BreakerOpen},
		{"one that was cleaned since does not count", hygiene.Breaker{}, append(slices.Clone(bad), end("b", 3, false)), "r1", hygiene.BreakerClosed},
		{"one that was cleaned before does", hygiene.Breaker{}, append([]hygiene.Ended{end("b", 30, false)}, bad...), "r1", hygiene.BreakerOpen},
		{"old failures do not", hygiene.Breaker{}, []hygiene.Ended{end("a", 70, true), end("b", 65, true), end("c", 62, true), end("a", 61, true)}, "r1", hygiene.BreakerClosed},
		{"what was before a resume does not count", hygiene.Breaker{Since: now.Add(-12 * time.Minute)}, bad, "r1", hygiene.BreakerClosed},
		{"a success claimed before it opened does not close it", hygiene.Breaker{Opened: now.Add(-4 * time.Minute)}, append(slices.Clone(bad), end("d", 3, false)), "r1", hygiene.BreakerOpen},
		{"a success of a trial closes it", hygiene.Breaker{Opened: now.Add(-5 * time.Minute)}, append(slices.Clone(bad), end("d", 1, false)), "r1", hygiene.BreakerClosed},
		{"half a window after the last failure a trial may start", hygiene.Breaker{Opened: now.Add(-2 * time.Hour)}, []hygiene.Ended{end("a", 130, true), end("b", 31, true)}, "r1", hygiene.BreakerTrial},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, reason := hygiene.Trip(tt.b, tt.ended, tt.rev, policy, now)
			if got != tt.want {
				t.Errorf("got %s (%s), want %s", got, reason, tt.want)
			}
			if got == hygiene.BreakerOpen && !strings.Contains(reason, `step "packages"`) {
				t.Errorf("reason %q does not name the step", reason)
			}
		})
	}
	if _, reason := hygiene.Trip(hygiene.Breaker{Opened: now.Add(-2 * time.Minute)}, append(slices.Clone(bad), end("b", 1, false)), "r1", policy, now); !strings.HasPrefix(reason, "4 failures on 3 agents") {
		t.Errorf("open, and then one of them was cleaned by an attempt of before: %q", reason)
	}
	if got, _ := hygiene.Trip(hygiene.Breaker{}, bad, "r1", hygiene.BreakerPolicy{}, now); got != hygiene.BreakerClosed {
		t.Errorf("without a policy: %s", got)
	}
}

func TestDeadMan(t *testing.T) {
	t.Parallel()
	now := epoch.Add(100 * time.Hour)
	for _, tt := range []struct {
		name             string
		waiting, cleaned time.Time
		want             bool
	}{
		{"a quiet pool is not dead", time.Time{}, epoch, false},
		{"somebody waits and none was cleaned", epoch, time.Time{}, true},
		{"somebody waits, but others are cleaned", epoch, now.Add(-time.Hour), false},
		{"somebody waits only since now", now, epoch, false},
	} {
		if got := hygiene.Dead(tt.waiting, tt.cleaned, 24*time.Hour, now); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := hygiene.DefaultNames
	tokens := []string{"el7", "clean", "x86_64", "cleanable"}
	if got := n.Apply(tokens, hygiene.ShowDirty); !slices.Equal(got, []string{"el7", "x86_64", "cleanable", "dirty"}) {
		t.Errorf("got %v: foreign labels must keep their place", got)
	}
	if got := n.Apply(tokens, n.Read(tokens)); !slices.Equal(got, tokens) {
		t.Errorf("applying what is there changed it to %v", got)
	}
	for _, bad := range []hygiene.Names{
		{},
		{Cleanable: "a", Dirty: "a", Clean: "b"},
		{Cleanable: "a b", Dirty: "c", Clean: "d"},
		{Cleanable: "a&&b", Dirty: "c", Clean: "d"},
		{Cleanable: "ci/cleanable", Dirty: "c", Clean: "d"},
		{Cleanable: "a", Dirty: "c;", Clean: "d"},
		{Cleanable: "a", Dirty: "c", Clean: ".."},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v accepted", bad)
		}
	}
	if err := (hygiene.Names{Cleanable: "ci-cleanable", Dirty: "ci:größe", Clean: "ci.clean%"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestAgentIDReadsBack(t *testing.T) {
	t.Parallel()
	aid := hygiene.AgentID{Controller: "ci", Name: "odd (name)"}
	if got, err := hygiene.ParseAgentID(aid.String()); err != nil || got != aid {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "ci", "/x", "ci/"} {
		if _, err := hygiene.ParseAgentID(bad); err == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}
