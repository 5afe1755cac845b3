// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// base is the time around which everything is drawn.
var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func someTime(t *rapid.T, label string) time.Time {
	if rapid.IntRange(0, 4).Draw(t, label+" is set") == 0 {
		return time.Time{}
	}
	return base.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, label)) * time.Second)
}

func someAgent(t *rapid.T) hygiene.Agent {
	a := hygiene.Agent{
		ID:    hygiene.AgentID{Controller: "ci", Name: rapid.SampledFrom([]string{"a", "b", "c (old)"}).Draw(t, "name")},
		State: rapid.SampledFrom(hygiene.States).Draw(t, "state"), Since: someTime(t, "since"),
		Need: rapid.SampledFrom([]hygiene.Need{"", hygiene.NeedCleanup, hygiene.NeedVerify}).Draw(t, "need"), Reason: "some reason",
		Attempt: int64(rapid.IntRange(0, 5).Draw(t, "attempt")), Failures: rapid.IntRange(0, 4).Draw(t, "failures"),
		NextLook: someTime(t, "next look"), LastServed: someTime(t, "last served"), LastCleaned: someTime(t, "last cleaned"),
		LabelsAt: someTime(t, "labels at"), Settled: rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "settled"),
		Depth: rapid.SampledFrom([]hygiene.Depth{"", hygiene.Light, hygiene.Deep}).Draw(t, "depth"),
	}
	if rapid.Bool().Draw(t, "quarantined") {
		a.Quarantine = &hygiene.Quarantine{Reason: "bad", Since: base, NextLook: someTime(t, "quarantine look"), By: "pitcrew"}
	}
	if rapid.IntRange(0, 3).Draw(t, "held") == 0 {
		a.Hold = &hygiene.Hold{Reason: "mine", By: "ann", Since: base, Expires: someTime(t, "hold expires")}
	}
	return a
}

func someSighting(t *rapid.T) hygiene.Sighting {
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	s := hygiene.Sighting{
		At: base.Add(time.Duration(rapid.IntRange(-7200, 7200).Draw(t, "at")) * time.Second), Session: rapid.SampledFrom([]string{"s1", "s2"}).Draw(t, "session"),
		SessionSince: someTime(t, "session since"), Present: rapid.IntRange(0, 5).Draw(t, "present") > 0, Gone: rapid.IntRange(0, 9).Draw(t, "gone") == 0,
		BuiltIn: rapid.IntRange(0, 9).Draw(t, "built-in") == 0, Labels: hygiene.Labels(rapid.IntRange(0, 7).Draw(t, "labels")),
		Idle: flag("idle"), BusyFor: time.Duration(rapid.IntRange(0, 300).Draw(t, "busy for")) * time.Second,
		Launchable: flag("launchable"), Awaited: rapid.IntRange(0, 5).Draw(t, "awaited") == 0, Quiet: flag("quiet"),
		Unfit: rapid.SampledFrom([]string{"", "", "", "two executors"}).Draw(t, "unfit"),
	}
	if !s.Idle {
		s.Real, s.Own, s.Hidden = flag("real"), flag("own"), flag("hidden")
	}
	if s.Real {
		s.RealURL = "http://ci.test/job/app/1/"
	}
	s.OfflineBy = rapid.SampledFrom([]hygiene.OfflineBy{
		hygiene.OnlineNow, hygiene.OnlineNow, hygiene.ByConnection, hygiene.ByDemand, hygiene.ByMonitor, hygiene.ByPerson, hygiene.ByUs,
	}).Draw(t, "offline by")
	s.Offline = s.OfflineBy != hygiene.OnlineNow
	s.Reached = !s.Offline || flag("reached")
	neighbour := func(label string) string { return rapid.SampledFrom([]string{"", "", "other"}).Draw(t, label) }
	s.Neighbour = hygiene.Neighbours{Real: neighbour("real neighbour"), Unseen: neighbour("unseen neighbour"), Cleaning: neighbour("cleaning neighbour"), Clean: slices.DeleteFunc([]string{neighbour("clean neighbour")}, func(name string) bool { return name == "" }), Waiting: neighbour("waiting neighbour")}
	return s
}

func somePolicy(t *rapid.T) hygiene.Policy {
	return hygiene.Policy{
		Pool: "p", Recipe: "r", Revision: "1", Delivery: rapid.SampledFrom([]hygiene.Delivery{hygiene.ByJob, hygiene.BySSH}).Draw(t, "delivery"),
		Disjoint: rapid.Bool().Draw(t, "disjoint"), Paused: rapid.SampledFrom([]string{"", "", "paused"}).Draw(t, "paused"),
		Backoff:         hygiene.Backoff{First: time.Minute, Max: time.Hour},
		QuarantineAfter: rapid.IntRange(0, 3).Draw(t, "quarantine after"), QuarantineLook: time.Hour,
		TTL: time.Duration(rapid.IntRange(0, 2).Draw(t, "ttl")) * time.Hour, Settle: 5 * time.Minute, HiddenAfter: time.Minute,
		OnDemand: rapid.Bool().Draw(t, "on demand"),
		Monitor:  rapid.SampledFrom([]hygiene.MonitorPolicy{hygiene.MonitorLeave, hygiene.MonitorLift, hygiene.MonitorSSH}).Draw(t, "monitor"),
		Limits:   hygiene.Limits{Grant: 10 * time.Minute},
	}
}

// TestNextKeepsTheRules draws any stored agent and any sighting, and holds what Next promises.
func TestNextKeepsTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, s, p := someAgent(t), someSighting(t), somePolicy(t)
		act := hygiene.Next(a, s, p, base)
		if act.Agent != a.ID || act.Reason == "" && act.Kind != hygiene.Begin {
			t.Fatalf("%+v says not whose it is, or why", act)
		}
		if act.Write {
			writes(t, a, s, act)
		}
		if a.Managed() && a.State != hygiene.Clean && act.Kind == hygiene.Rest && act.Wake.IsZero() && !s.BuiltIn {
			t.Fatalf("I6: nobody looks again: %+v", act)
		}
		if a.State.InProgress() && !slices.Contains([]hygiene.Kind{hygiene.Drive, hygiene.Relabel, hygiene.Withdraw, hygiene.Forget}, act.Kind) && !s.BuiltIn {
			t.Fatalf("an attempt owns the agent, and Next wants %s", act.Kind)
		}
		if act.Kind == hygiene.Begin {
			begins(t, a, s, p)
		}
		if again := hygiene.Next(a, s, p, base); !cmp.Equal(again, act) {
			t.Fatalf("the same facts gave %+v and %+v", act, again)
		}
	})
}

// writes holds I8, and that no one but Grant gives clean.
func writes(t *rapid.T, a hygiene.Agent, s hygiene.Sighting, act hygiene.Action) {
	switch {
	case s.BuiltIn || !s.Present:
		t.Fatalf("writes to an agent that it may not write to: %+v", act)
	case act.Labels.Has(hygiene.LabelClean):
		t.Fatalf("Next gives clean: %+v", act)
	case !s.Labels.Has(hygiene.LabelCleanable) && (act.Kind != hygiene.Withdraw || act.Labels != 0 || !a.Managed()):
		t.Fatalf("I8: writes %s to an agent that is not cleanable: %+v", act.Labels, act)
	case s.Labels.Has(hygiene.LabelCleanable) && !act.Labels.Has(hygiene.LabelCleanable):
		t.Fatalf("I8: takes cleanable off: %+v", act)
	case !s.Idle && s.Hidden && !s.Real && !s.Own:
		t.Fatalf("writes while something is starting: %+v", act)
	}
}

// begins holds I4.
// graceOf is how long an agent rests after a restart.
func graceOf(s hygiene.Sighting, p hygiene.Policy) time.Duration {
	if s.Quiet {
		return p.Settle / 5
	}
	return p.Settle
}

func begins(t *rapid.T, a hygiene.Agent, s hygiene.Sighting, p hygiene.Policy) {
	switch {
	case a.State != hygiene.Due:
		t.Fatalf("I3: begins on an agent that is %s", a.State)
	case !s.Idle:
		t.Fatal("I4: begins beside a build")
	case s.Offline && s.OfflineBy == hygiene.ByPerson:
		t.Fatal("I4: begins on an agent that a person took offline")
	case a.Held(base) != nil:
		t.Fatal("I4: begins on a held agent")
	case s.Awaited || !s.SessionSince.IsZero() && a.Settled != s.Session && base.Sub(s.SessionSince) < graceOf(s, p):
		t.Fatal("I4: begins before the restarted controller has settled")
	case !p.Disjoint && (s.Neighbour.Real != "" || s.Neighbour.Cleaning != "" || s.Neighbour.Unseen != ""):
		t.Fatal("I4: begins beside a neighbour")
	case p.Paused != "" || base.Before(a.NextLook) || s.Unfit != "":
		t.Fatal("begins although it is paused, backing off or unfit")
	case !s.At.After(a.LabelsAt) || !s.At.After(a.Since):
		t.Fatal("begins on an old look")
	}
}

// life is an agent through random decisions, verdicts and grants.
type life struct {
	agent   hygiene.Agent
	attempt hygiene.Attempt
	now     time.Time
	proved  bool // by the current attempt
}

// TestLivesNeverLeaveTheTable drives agents through any verdicts, good, bad, stale and forged.
func TestLivesNeverLeaveTheTable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &life{agent: hygiene.Agent{ID: hygiene.AgentID{Controller: "ci", Name: "a"}, State: hygiene.Due, Need: hygiene.NeedCleanup}, now: base}
		p := somePolicy(t)
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			before := l.agent
			l.now = l.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "later")) * time.Second)
			l.step(t, p)
			if before.State != l.agent.State && !hygiene.CanGo(before.State, l.agent.State) {
				t.Fatalf("went from %s to %s", before.State, l.agent.State)
			}
			if l.agent.State == hygiene.Clean && before.State != hygiene.Clean && !l.proved {
				t.Fatal("I2: clean without a proof of the current attempt")
			}
			if l.agent.Attempt < before.Attempt || l.agent.Attempt > before.Attempt+1 {
				t.Fatalf("attempt %d follows %d", l.agent.Attempt, before.Attempt)
			}
			if l.agent.Managed() && l.agent.State == hygiene.Due && hygiene.Project(l.agent, l.now).Has(hygiene.LabelClean) {
				t.Fatal("a due agent shows clean")
			}
		}
	})
}

func (l *life) step(t *rapid.T, p hygiene.Policy) {
	switch l.agent.State {
	case hygiene.Due:
		a, attempt, err := hygiene.Claim(l.agent, p, "s1", fmt.Sprintf("nonce %d", l.agent.Attempt+1), l.now)
		if err != nil {
			t.Fatal(err)
		}
		l.agent, l.attempt, l.proved = a, attempt, false
	case hygiene.Claimed, hygiene.Reconnecting:
		if rapid.IntRange(0, 4).Draw(t, "given back") == 0 {
			l.judge(t, hygiene.Verdict{Outcome: rapid.SampledFrom([]hygiene.Outcome{hygiene.GivenBack, hygiene.Lost}).Draw(t, "how")}, p)
			return
		}
		l.agent, _ = l.agent.To(hygiene.Running, "handed over", l.now)
	case hygiene.Running:
		l.judge(t, l.verdict(t), p)
	case hygiene.Granting:
		l.grant(t, p)
	case hygiene.Clean:
		l.agent, _ = l.agent.To(hygiene.Due, "used", l.now)
	case hygiene.Unmanaged:
	}
}

func (l *life) verdict(t *rapid.T) hygiene.Verdict {
	return hygiene.Verdict{
		Number: l.attempt.Number + int64(rapid.SampledFrom([]int{0, 0, 0, -1, 1}).Draw(t, "number")),
		Nonce:  rapid.SampledFrom([]string{l.attempt.Nonce, l.attempt.Nonce, l.attempt.Nonce, "", "guessed"}).Draw(t, "nonce"),
		On:     rapid.SampledFrom([]string{"a", "a", "a", "b"}).Draw(t, "on"),
		Outcome: rapid.SampledFrom([]hygiene.Outcome{
			hygiene.Cleaned, hygiene.Cleaned, hygiene.Failed, hygiene.Reconnect, hygiene.Reboot, hygiene.Lost,
		}).Draw(t, "outcome"),
		Verified: rapid.Bool().Draw(t, "verified"), Permanent: rapid.IntRange(0, 5).Draw(t, "permanent") == 0, Reason: "because",
	}
}

// judge holds that a report which is not the attempt's changes nothing (I2), and what a failure
// leads to.
func (l *life) judge(t *rapid.T, v hygiene.Verdict, p hygiene.Policy) {
	if l.agent.State != hygiene.Running && v.Outcome != hygiene.Lost && v.Outcome != hygiene.GivenBack {
		return
	}
	genuine := v.Number == l.attempt.Number && v.Nonce == l.attempt.Nonce && v.On == l.agent.ID.Name
	a, attempt, err := hygiene.Judge(l.agent, l.attempt, v, p, l.now)
	if err != nil {
		if !errors.Is(err, hygiene.ErrStale) {
			t.Fatal(err)
		}
		if cmp.Diff(l.agent, a) != "" || attempt != l.attempt {
			t.Fatal("I2: a stale verdict changed something")
		}
		// Nobody else will end this attempt: its own conclusion does.
		v = hygiene.Verdict{Outcome: hygiene.Failed, Reason: "no report"}
		if a, attempt, err = hygiene.Judge(l.agent, l.attempt, v, p, l.now); err != nil {
			t.Fatal(err)
		}
	}
	if a.State == hygiene.Granting && (!genuine || v.Outcome != hygiene.Cleaned || !v.Verified) {
		t.Fatalf("I2: %+v was taken for a proof of attempt %d", v, l.attempt.Number)
	}
	l.proved = a.State == hygiene.Granting
	if a.State == hygiene.Due {
		l.ended(t, a, attempt, p)
	}
	l.agent, l.attempt = a, attempt
}

// ended holds what is true of every attempt that did not succeed.
func (l *life) ended(t *rapid.T, a hygiene.Agent, attempt hygiene.Attempt, p hygiene.Policy) {
	switch {
	case attempt.Ended.IsZero() || attempt.Outcome == hygiene.Cleaned:
		t.Fatalf("due, and the attempt is %+v", attempt)
	case attempt.Outcome == hygiene.Failed && a.NextLook.Before(l.now):
		t.Fatalf("failed, and the next look is in the past: %s", a.NextLook)
	case a.NextLook.Sub(l.now) > max(p.Backoff.Max*5/4, p.QuarantineLook):
		t.Fatalf("I6: the next look is %s away", a.NextLook.Sub(l.now))
	case attempt.Outcome != hygiene.Failed && a.Failures != l.agent.Failures:
		t.Fatalf("%s counts as a failure", attempt.Outcome)
	case p.QuarantineAfter > 0 && a.Failures >= p.QuarantineAfter && attempt.Outcome == hygiene.Failed && a.Quarantine == nil && attempt.Need == hygiene.NeedCleanup:
		t.Fatalf("%d failures and no quarantine", a.Failures)
	}
	if _, _, err := hygiene.Grant(a, attempt, "e", l.now); err == nil {
		t.Fatal("I5: an attempt that failed was granted")
	}
}

func (l *life) grant(t *rapid.T, p hygiene.Policy) {
	s := someSighting(t)
	s.At = l.now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "look")) * time.Second)
	ready, _ := hygiene.MayGrant(l.agent, l.attempt, s, p, l.now)
	if ready == hygiene.GrantNow {
		if s.Real || !s.Idle || s.Unfit != "" || s.Offline && !s.Reached || !s.At.After(l.attempt.Proved) || s.Session != l.attempt.Session {
			t.Fatalf("I2: may be granted now, and was seen as %+v", s)
		}
		a, attempt, err := hygiene.Grant(l.agent, l.attempt, "e", l.now)
		if err != nil {
			t.Fatal(err)
		}
		l.agent, l.attempt = a, attempt
		return
	}
	if ready == hygiene.GrantNever {
		a, attempt, err := hygiene.End(l.agent, l.attempt, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "never"}, p, l.now)
		if err != nil {
			t.Fatal(err)
		}
		l.agent, l.attempt, l.proved = a, attempt, false
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.IntRange(1, 3600).Draw(t, "first")) * time.Second
		b := hygiene.Backoff{First: first, Max: first * time.Duration(rapid.IntRange(1, 1000).Draw(t, "max"))}
		n, seed := rapid.IntRange(1, 200).Draw(t, "failures"), rapid.String().Draw(t, "seed")
		d := b.After(n, seed)
		if d < first*3/4 || d > b.Max*5/4 {
			t.Fatalf("%s after %d failures, want between %s and %s", d, n, first*3/4, b.Max*5/4)
		}
		if again := b.After(n, seed); again != d {
			t.Fatalf("%s, then %s", d, again)
		}
	})
}

// TestScheduleRespectsTheCaps draws candidates, demands, caps and what runs already.
func TestScheduleRespectsTheCaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		candidates, demands := someCandidates(t), []hygiene.Demand{{Label: "x", Want: rapid.IntRange(0, 5).Draw(t, "want")}}
		limit := func(label string) int { return rapid.IntRange(0, 6).Draw(t, label) }
		caps := hygiene.Caps{Controller: limit("controller"), Pool: map[string]int{"p": limit("p"), "q": limit("q")}, Domain: map[string]int{"d": limit("d")}, Spare: map[string]int{"p": limit("spare p"), "q": limit("spare q")}}
		load := hygiene.Load{Controller: limit("load"), Pool: map[string]int{"p": limit("load p")}, Domain: map[string]int{"d": limit("load d")}, Failing: limit("failing")}
		choices := hygiene.Schedule(candidates, demands, caps, load)
		if len(choices) != len(candidates) {
			t.Fatalf("%d choices about %d candidates", len(choices), len(candidates))
		}
		counted(t, candidates, choices, caps, load)
	})
}

func someCandidates(t *rapid.T) []hygiene.Candidate {
	var out []hygiene.Candidate
	for i := range rapid.IntRange(0, 15).Draw(t, "candidates") {
		c := hygiene.Candidate{
			Agent: hygiene.Agent{
				ID: hygiene.AgentID{Controller: "ci", Name: fmt.Sprint(i)}, Pool: rapid.SampledFrom([]string{"p", "q"}).Draw(t, "pool"),
				Failures: rapid.IntRange(0, 2).Draw(t, "failures"), LastServed: someTime(t, "served"),
			},
			Domain: rapid.SampledFrom([]string{"", "d"}).Draw(t, "domain"),
		}
		c.Action = hygiene.Action{Kind: rapid.SampledFrom([]hygiene.Kind{hygiene.Begin, hygiene.Begin, hygiene.Refresh, hygiene.Launch}).Draw(t, "kind"), Agent: c.Agent.ID}
		if rapid.Bool().Draw(t, "serves") {
			c.Serves = []int{0}
		}
		out = append(out, c)
	}
	return out
}

// counted adds up what was chosen.
func counted(t *rapid.T, candidates []hygiene.Candidate, choices []hygiene.Choice, caps hygiene.Caps, load hygiene.Load) {
	over := func(what string, before, chosen, limit int) {
		if limit > 0 && chosen > 0 && before+chosen > limit {
			t.Fatalf("%s: %d run, %d chosen, cap %d", what, before, chosen, limit)
		}
	}
	var all int
	pools, domains, refreshed := map[string]int{}, map[string]int{}, map[string]int{}
	for _, choice := range choices {
		i := slices.IndexFunc(candidates, func(c hygiene.Candidate) bool { return c.Agent.ID == choice.Action.Agent })
		if choice.Reason == "" {
			t.Fatalf("no reason: %+v", choice)
		}
		if !choice.Chosen || choice.Action.Kind == hygiene.Launch {
			continue
		}
		all++
		pools[candidates[i].Agent.Pool]++
		domains[candidates[i].Domain]++
		if choice.Action.Kind == hygiene.Refresh {
			refreshed[candidates[i].Agent.Pool]++
		}
	}
	over("controller", load.Controller, all, caps.Controller)
	over("pool p", load.Pool["p"], pools["p"], caps.Pool["p"])
	over("pool q", 0, pools["q"], caps.Pool["q"])
	over("domain", load.Domain["d"], domains["d"], caps.Domain["d"])
	for pool, n := range refreshed {
		if n > caps.Spare[pool] {
			t.Fatalf("%d refreshes in %s, %d to spare", n, pool, caps.Spare[pool])
		}
	}
}

// TestEveryCandidateIsServedInTheEnd repeats scheduling with one place until each had its turn,
// however many agents fail all the time.
func TestEveryCandidateIsServedInTheEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		candidates := someCandidates(t)
		for i := range candidates {
			candidates[i].Action.Kind, candidates[i].Domain, candidates[i].Serves = hygiene.Begin, "", nil
		}
		served := map[string]bool{}
		for round := range 2*len(candidates) + 2 {
			// A served agent is used at once, so it is due again; a failing one backs off for a while.
			for _, choice := range hygiene.Schedule(slices.DeleteFunc(slices.Clone(candidates), func(c hygiene.Candidate) bool {
				return c.Agent.Failures > 0 && served[c.Agent.ID.Name]
			}), nil, hygiene.Caps{Controller: 2}, hygiene.Load{}) {
				if !choice.Chosen {
					continue
				}
				served[choice.Action.Agent.Name] = true
				i := slices.IndexFunc(candidates, func(c hygiene.Candidate) bool { return c.Agent.ID == choice.Action.Agent })
				candidates[i].Agent.LastServed = base.Add(time.Duration(round+3) * time.Hour)
			}
		}
		for _, c := range candidates {
			healthy := !slices.ContainsFunc(candidates, func(o hygiene.Candidate) bool { return o.Agent.Failures > 0 })
			if !served[c.Agent.ID.Name] && (c.Agent.Failures == 0 || healthy) {
				t.Fatalf("%s was never served", c.Agent.ID.Name)
			}
		}
	})
}
