// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func somePolicy(t *rapid.T) rollout.Policy {
	rate := func(label string) float64 { return float64(rapid.IntRange(0, 100).Draw(t, label)) / 100 }
	p := rollout.Policy{
		RehearsalRequired: rapid.Bool().Draw(t, "rehearsal"),
		Plan: rollout.Plan{
			Canaries: rapid.IntRange(0, 4).Draw(t, "canaries"),
			Shares:   rapid.SampledFrom([][]int{nil, {100}, {10, 50, 100}, {1, 2, 30}}).Draw(t, "shares"),
		},
		MinCleanups: rapid.IntRange(0, 5).Draw(t, "min"), Soak: time.Duration(rapid.IntRange(0, 3).Draw(t, "soak")) * time.Hour,
		Baseline:       time.Duration(rapid.IntRange(0, 48).Draw(t, "baseline")) * time.Hour,
		MaxFailureRate: rate("max failure rate"), MaxRise: rate("max rise"), MaxBuildFailureRise: rate("max build rise"),
		OnFailure:   rapid.SampledFrom([]rollout.Response{"", rollout.RollBackOnFailure, rollout.PauseOnFailure}).Draw(t, "on failure"),
		BlameAgents: rapid.IntRange(0, 4).Draw(t, "blame"),
	}
	if rapid.Bool().Draw(t, "patient") {
		p.Patience = p.Soak + time.Duration(rapid.IntRange(1, 48).Draw(t, "patience"))*time.Hour
	}
	if err := p.Validate(); err != nil {
		t.Fatalf("%+v: %v", p, err)
	}
	return p
}

// pool is a pool through a random history.
type pool struct {
	r        rollout.Rollout
	p        rollout.Policy
	now      time.Time
	agents   []rollout.AgentID
	facts    map[rollout.AgentID]rollout.Agent
	evidence rollout.Evidence
}

func newPool(t *rapid.T, p rollout.Policy, agents []rollout.AgentID) *pool {
	w := &pool{p: p, now: base, agents: agents, facts: map[rollout.AgentID]rollout.Agent{}}
	for _, id := range agents {
		w.facts[id] = rollout.Agent{ID: id, Has: oldRev, Got: base.Add(-time.Hour)}
	}
	w.r = started(t, p, agents)
	return w
}

// clean ends a cleanup of an agent with the revision that it gets.
func (w *pool) clean(id rollout.AgentID, fails func(rollout.Revision) bool) {
	a := w.facts[id]
	a.Has, a.Got = w.r.RevisionFor(a), w.now
	w.facts[id] = a
	w.now = w.now.Add(time.Minute)
	w.evidence.Cleanups = append(w.evidence.Cleanups, rollout.Cleanup{Agent: id, Revision: a.Has, Failed: fails(a.Has), At: w.now})
	w.evidence.Builds = append(w.evidence.Builds, rollout.Build{Agent: id, Revision: a.Has, At: w.now})
}

// decide lets the evidence speak.
func (w *pool) decide(t *rapid.T) rollout.Decision {
	d := rollout.Next(w.r, w.evidence, w.p, w.now)
	if d.Reason == "" {
		t.Fatalf("%s, and not why", d.Verdict)
	}
	next, err := rollout.Apply(w.r, d, rollout.Order{Agents: w.agents, Now: w.now})
	if err != nil {
		t.Fatalf("%s (%s): %v", d.Verdict, d.Reason, err)
	}
	w.r = next
	return d
}

func (w *pool) given() map[rollout.AgentID]bool {
	got := map[rollout.AgentID]bool{}
	for id, a := range w.facts {
		if w.r.RevisionFor(a) == newRev {
			got[id] = true
		}
	}
	return got
}

// allowed is how many agents may get the new revision.
func (w *pool) allowed() int {
	stage := w.r.Stage
	if stage == rollout.Paused {
		stage = w.r.Before
	}
	canaries := min(max(w.r.Plan.Canaries, 1), len(w.agents))
	switch stage {
	case rollout.Canary:
		return canaries
	case rollout.Share:
		return max(canaries, (len(w.agents)*w.r.Percent()+99)/100)
	case rollout.Done:
		return len(w.agents)
	case rollout.Pinned, rollout.Rehearsing, rollout.Paused, rollout.RolledBack:
	}
	return 0
}

// TestRandomHistoriesKeepTheRules has a pool cleaned, decided about and commanded at random.
func TestRandomHistoriesKeepTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newPool(t, somePolicy(t), fleet(rapid.IntRange(1, 30).Draw(t, "agents")))
		sick := rapid.IntRange(0, 100).Draw(t, "failure percent")
		commands := []func(rollout.Rollout, rollout.Order) (rollout.Rollout, error){promote, rollout.Rollout.Pause, rollout.Rollout.Resume, rollout.Rollout.Rollback}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before, had := w.r, w.given()
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3, 4:
				w.clean(rapid.SampledFrom(w.agents).Draw(t, "agent"), func(rollout.Revision) bool { return rapid.IntRange(0, 99).Draw(t, "luck") < sick })
			case 5, 6:
				w.evidence.Rehearsal.Result = rapid.SampledFrom([]rollout.RehearsalResult{"", rollout.RehearsalPassed, rollout.RehearsalFailed}).Draw(t, "rehearsal")
				w.decide(t)
			case 7:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 12).Draw(t, "hours")) * time.Hour)
			case 8:
				next, err := rapid.SampledFrom(commands).Draw(t, "command")(w.r, rollout.Order{By: "ann", Agents: w.agents, Now: w.now})
				var refused *rollout.RefusedError
				if err != nil && !errors.As(err, &refused) {
					t.Fatalf("refused without a reason: %v", err)
				}
				w.r = next
			case 9:
				w.r, _ = w.r.Refit(w.agents, nil)
			}
			w.check(t, before, had)
		}
	})
}

// check holds what is true after each change.
func (w *pool) check(t *rapid.T, before rollout.Rollout, had map[rollout.AgentID]bool) {
	got := w.given()
	if len(got) > w.allowed() {
		t.Fatalf("%s: %d of %d agents get the new revision, %d may", w.r.Where(), len(got), len(w.agents), w.allowed())
	}
	changed := before.Stage != w.r.Stage || before.Step != w.r.Step
	if changed && !rollout.CanGo(before.Stage, w.r.Stage, w.r.By != "pitcrew") {
		t.Fatalf("went from %s to %s by %s", before.Where(), w.r.Where(), w.r.By)
	}
	if changed && (w.r.Reason == "" || !w.r.Since.Equal(w.now)) {
		t.Fatalf("%s since %s: %q", w.r.Where(), w.r.Since, w.r.Reason)
	}
	if w.r.Stage != rollout.RolledBack {
		for id, a := range w.facts {
			if a.Has == newRev && !got[id] {
				t.Fatalf("%s: %s had the new revision and falls back", w.r.Where(), id)
			}
			if w.r.Stage == rollout.Paused && got[id] && a.Has != newRev {
				t.Fatalf("%s: %s gets the new revision", w.r.Where(), id)
			}
			if had[id] && !got[id] && w.r.Stage != rollout.Paused {
				t.Fatalf("%s: %s was to get the new revision", w.r.Where(), id)
			}
		}
		back, err := w.r.Rollback(rollout.Order{By: "ann", Now: w.now})
		if err != nil || back.Stage != rollout.RolledBack || back.Pinned() != oldRev {
			t.Fatalf("%s cannot be rolled back: %v", w.r.Where(), err)
		}
		w := *w
		w.r = back
		if n := len(w.given()); n > 0 {
			t.Fatalf("%d agents get a revision that was rolled back", n)
		}
	} else if len(got) > 0 {
		t.Fatalf("%d agents get a revision that was rolled back", len(got))
	}
}

// round has each agent cleaned once, and an hour go by.
func (w *pool) round(t *rapid.T, fails func(rollout.Revision) bool) rollout.Decision {
	for _, id := range w.agents {
		w.clean(id, fails)
	}
	w.now = w.now.Add(time.Hour)
	return w.decide(t)
}

func TestARevisionThatAlwaysFailsPassesNoCanary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newPool(t, somePolicy(t), fleet(rapid.IntRange(1, 12).Draw(t, "agents")))
		w.evidence.Rehearsal.Result = rollout.RehearsalPassed
		oldFails := rapid.IntRange(0, 100).Draw(t, "old failure percent")
		for range 30 {
			d := w.round(t, func(v rollout.Revision) bool { return v == newRev || rapid.IntRange(0, 99).Draw(t, "luck") < oldFails })
			if w.r.Stage == rollout.Share || w.r.Stage == rollout.Done {
				t.Fatalf("got to %s: %s", w.r.Where(), d.Reason)
			}
		}
		if w.p.Patience > 0 && w.p.Patience < 24*time.Hour && w.r.Stage == rollout.Canary {
			t.Fatal("after 30 hours nobody has heard of it")
		}
	})
}

func TestAPerfectRevisionGetsEverywhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := somePolicy(t)
		if p.Patience > 0 {
			p.Patience += 12 * time.Hour // rounds take hours
		}
		w := newPool(t, p, fleet(rapid.IntRange(1, 12).Draw(t, "agents")))
		w.evidence.Rehearsal.Result = rollout.RehearsalPassed
		oldFails := rapid.IntRange(0, 100).Draw(t, "old failure percent")
		rounds := 0
		for w.r.Stage != rollout.Done {
			// A stage takes its rounds of soaking, and a cleanup of one canary for each that is wanted.
			if rounds++; rounds > 1+(2+len(p.Plan.Shares))*(4+5) {
				t.Fatalf("%s after %d rounds: %s", w.r.Where(), rounds, rollout.Next(w.r, w.evidence, w.p, w.now).Reason)
			}
			w.round(t, func(v rollout.Revision) bool { return v == oldRev && rapid.IntRange(0, 99).Draw(t, "luck") < oldFails })
			if w.r.Stage == rollout.Paused || w.r.Stage == rollout.RolledBack {
				t.Fatalf("%s: %s", w.r.Where(), w.r.Reason)
			}
		}
	})
}

func TestPatienceEndsEveryStageThatNothingTells(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := somePolicy(t)
		p.Patience = p.Soak + time.Hour
		w := newPool(t, p, fleet(rapid.IntRange(0, 5).Draw(t, "agents")))
		for looks := 0; w.r.Stage != rollout.Paused; looks++ {
			if d := w.decide(t); d.Verdict == rollout.Stay {
				if !d.NextLook.After(w.now) {
					t.Fatalf("looks again at %s, now is %s", d.NextLook, w.now)
				}
				w.now = d.NextLook
			}
			if looks > 100 {
				t.Fatalf("still %s: %s", w.r.Where(), w.r.Reason)
			}
		}
	})
}

// luck is a small generator of its own, so that the simulation below is the same each time.
type luck uint64

func (l *luck) under(percent float64) bool {
	*l = *l*6364136223846793005 + 1442695040888963407
	return float64(*l>>11)/(1<<53)*100 < percent
}

// TestAnEqualRevisionIsSeldomUndone measures what looking after each cleanup costs: how many rollouts of a revision that
// is as good as the old one, both failing now and then, are paused or rolled back in a stage of 200 cleanups. And how soon
// one that is bad is stopped.
func TestAnEqualRevisionIsSeldomUndone(t *testing.T) {
	t.Parallel()
	p := policy()
	p.Plan.Canaries, p.Soak = 20, 1000*time.Hour // it stays in this stage
	p.Patience = 0
	agents := fleet(40)
	seed := luck(1)
	undone := func(percent float64) (n, after int) {
		const runs, most = 30, 200
		for range runs {
			r := started(t, p, agents)
			var e rollout.Evidence
			for i := range 200 {
				e.Cleanups = append(e.Cleanups, rollout.Cleanup{Agent: agents[i%40], Revision: oldRev, Failed: seed.under(3), At: base.Add(time.Duration(i-300) * time.Minute)})
			}
			for i := range most {
				now := base.Add(time.Duration(i) * time.Minute)
				e.Cleanups = append(e.Cleanups, rollout.Cleanup{Agent: r.Canaries[i%20], Revision: newRev, Failed: seed.under(percent), At: now})
				if d := rollout.Next(r, e, p, now); d.Verdict != rollout.Stay {
					n++
					after += i + 1
					break
				}
			}
		}
		return n * 100 / runs, after / max(n, 1)
	}
	for _, c := range []struct {
		percent     float64
		least, most int // percent of the rollouts
		within      int // cleanups, on average
	}{{3, 0, 10, 200}, {50, 99, 100, 8}, {100, 100, 100, 3}} {
		n, after := undone(c.percent)
		t.Logf("fails %v%% of the time: %d%% of the rollouts are undone, after %d cleanups on average", c.percent, n, after)
		if n < c.least || n > c.most || after > c.within {
			t.Errorf("fails %v%% of the time, as the old one does 3%%: %d%% of the rollouts are undone, after %d cleanups on average; want %d%% to %d%%, after at most %d",
				c.percent, n, after, c.least, c.most, c.within)
		}
	}
}
