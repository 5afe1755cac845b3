// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// base is the time around which everything happens.
var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	oldRev rollout.Revision = "old"
	newRev rollout.Revision = "new"
)

// fleet is n agents.
func fleet(n int) []rollout.AgentID {
	var ids []rollout.AgentID
	for i := range n {
		ids = append(ids, rollout.AgentID(fmt.Sprintf("ci/a%03d", i)))
	}
	return ids
}

func order(agents []rollout.AgentID) rollout.Order {
	return rollout.Order{By: "ann", Agents: agents, Now: base}
}

// policy is one that lets something through, and asks for little.
func policy() rollout.Policy {
	return rollout.Policy{
		Plan:        rollout.Plan{Canaries: 2, Shares: []int{10, 50, 100}},
		MinCleanups: 3, Soak: time.Hour, Patience: 72 * time.Hour, Baseline: 72 * time.Hour,
		MaxFailureRate: 0.1, MaxRise: 0.05, MaxBuildFailureRise: 0.1, Floor: 1,
	}
}

// started is a rollout of new in a pool of old.
func started(t interface{ Fatal(...any) }, p rollout.Policy, agents []rollout.AgentID) rollout.Rollout {
	r, err := rollout.Rollout{Pool: "el7", From: oldRev}.Start(newRev, "salt", p, order(agents))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// promote is by somebody who has seen how far it is.
func promote(r rollout.Rollout, o rollout.Order) (rollout.Rollout, error) {
	return r.Promote(r.Position(), o)
}

// at is a rollout that was promoted by hand until it got to a stage, and a share.
func at(t *testing.T, p rollout.Policy, agents []rollout.AgentID, stage rollout.Stage, step int) rollout.Rollout {
	t.Helper()
	r := started(t, p, agents)
	for r.Stage != stage || r.Step != step {
		var err error
		if r, err = promote(r, order(agents)); err != nil {
			t.Fatalf("on the way to %s: %v", stage, err)
		}
	}
	return r
}

// reached are the agents that are given new.
func reached(r rollout.Rollout, agents []rollout.AgentID) (got []rollout.AgentID) {
	for _, id := range agents {
		if r.RevisionFor(rollout.Agent{ID: id}) == newRev {
			got = append(got, id)
		}
	}
	return got
}

func TestEachStageReachesAsManyAsItShould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		agents, canaries int
		want             []int // rehearsing, canary, 10%, 50%, 100%, done
	}{
		{1, 1, []int{0, 1, 1, 1, 1, 1}},
		{5, 1, []int{0, 1, 1, 3, 5, 5}},
		{10, 2, []int{0, 2, 2, 5, 10, 10}},
		{200, 3, []int{0, 3, 20, 100, 200, 200}},
	} {
		p := policy()
		p.RehearsalRequired, p.Plan.Canaries = true, c.canaries
		agents := fleet(c.agents)
		r := started(t, p, agents)
		for i, want := range c.want {
			if i > 0 {
				var err error
				if r, err = promote(r, order(agents)); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(reached(r, agents)); got != want {
				t.Errorf("%s: %d of %d agents get the new revision, want %d", r.Where(), got, c.agents, want)
			}
		}
		if r.Stage != rollout.Done || r.Pinned() != newRev {
			t.Errorf("ends %s with %s pinned", r.Stage, r.Pinned())
		}
	}
}

func TestNamedCanariesComeFirst(t *testing.T) {
	t.Parallel()
	agents := fleet(20)
	for _, c := range []struct {
		named []rollout.AgentID
		count int
		want  int
	}{
		{[]rollout.AgentID{agents[3], agents[7]}, 0, 2},
		{[]rollout.AgentID{agents[3]}, 3, 3},
		{[]rollout.AgentID{agents[3], "ci/elsewhere"}, 2, 2},
		{[]rollout.AgentID{"ci/elsewhere"}, 0, 0}, // others were not meant to take the risk
	} {
		p := policy()
		p.Plan.Named, p.Plan.Canaries = c.named, c.count
		r := started(t, p, agents)
		if got := reached(r, agents); len(got) != c.want {
			t.Errorf("named %v, at least %d: %v get it, want %d", c.named, c.count, got, c.want)
		}
		for _, id := range c.named {
			if r.RevisionFor(rollout.Agent{ID: id}) != newRev {
				t.Errorf("named %v: %s does not get it", c.named, id)
			}
		}
	}
}

func TestSaltsChooseDifferentCanaries(t *testing.T) {
	t.Parallel()
	agents, p := fleet(50), policy()
	p.Plan.Canaries = 1
	chosen := map[rollout.AgentID]bool{}
	for i := range 100 {
		r, err := rollout.Rollout{Pool: "el7", From: oldRev}.Start(newRev, fmt.Sprint("salt ", i), p, order(agents))
		if err != nil {
			t.Fatal(err)
		}
		again, _ := rollout.Rollout{Pool: "el7", From: oldRev}.Start(newRev, fmt.Sprint("salt ", i), p, order(agents))
		if r.Canaries[0] != again.Canaries[0] {
			t.Fatalf("one salt chose %s and %s", r.Canaries[0], again.Canaries[0])
		}
		chosen[r.Canaries[0]] = true
	}
	// Of 50, a hundred fair draws leave out 50*(49/50)^100 = 6.6 on average.
	if len(chosen) < 35 {
		t.Errorf("a hundred rollouts made canaries of %d agents of 50 only", len(chosen))
	}
}

func TestCanariesThatLeftAreMadeUpFor(t *testing.T) {
	t.Parallel()
	agents, p := fleet(10), policy()
	p.Plan.Canaries = 1
	r := started(t, p, agents)
	gone := r.Canaries[0]
	var rest []rollout.AgentID
	for _, id := range agents {
		if id != gone {
			rest = append(rest, id)
		}
	}
	next, changed := r.Refit(rest, nil)
	if !changed || len(reached(next, rest)) != 1 {
		t.Errorf("without %s there are %d canaries, want another one", gone, len(reached(next, rest)))
	}
	if len(r.Canaries) != 1 {
		t.Error("the rollout that was refitted changed as well")
	}
	if next.RevisionFor(rollout.Agent{ID: gone}) != newRev {
		t.Error("a canary that comes back falls back")
	}
	if again, changed := next.Refit(rest, nil); changed {
		t.Errorf("refitted once more: %+v", again)
	}
}

func TestCanariesThatAreAwayAreMadeUpForByThoseThatAreNot(t *testing.T) {
	t.Parallel()
	agents, p := fleet(10), policy()
	p.Plan.Canaries = 2
	r := started(t, p, agents)
	out := map[rollout.AgentID]bool{r.Canaries[0]: true}
	for _, id := range agents[:6] {
		out[id] = true
	}
	next, _ := r.Refit(agents, out)
	here := 0
	for _, id := range next.Canaries {
		if !out[id] {
			here++
		}
	}
	if here != 2 || !slices.Equal(next.Canaries[:2], r.Canaries) {
		t.Errorf("of %v it made %v where %v are away", r.Canaries, next.Canaries, out)
	}
	if again, changed := next.Refit(agents, out); changed {
		t.Errorf("refitted once more: %+v", again)
	}
	for _, id := range agents {
		out[id] = true
	}
	if last, changed := next.Refit(agents, out); changed {
		t.Errorf("where all are away it made %v", last.Canaries)
	}
}

func TestSharesReachThoseThatJoin(t *testing.T) {
	t.Parallel()
	agents := fleet(4000)
	r := at(t, policy(), agents[:100], rollout.Share, 1)
	before := reached(r, agents[:100])
	got := len(reached(r, agents[100:]))
	if len(before) != 50 || got < 1400 || got > 2500 { // by the 50th of 100 places: 3 standard deviations are 15%
		t.Errorf("half of the pool: %d of 100, and %d of 3900 that joined", len(before), got)
	}
	all := at(t, policy(), agents[:100], rollout.Share, 2)
	if got := len(reached(all, agents)); got != 4000 {
		t.Errorf("all of the pool: %d of 4000", got)
	}
	left, changed := r.Refit(agents[100:110], nil)
	if n := len(reached(left, agents[100:110])); n < 5 || changed != (left.Bound > r.Bound) {
		t.Errorf("in a pool of ten others %d get it, want half", n)
	}
}

func TestPauseKeepsEachAgentWhereItIs(t *testing.T) {
	t.Parallel()
	agents := fleet(10)
	r := at(t, policy(), agents, rollout.Share, 1)
	in := reached(r, agents)[0]
	paused, err := r.Pause(order(nil))
	if err != nil {
		t.Fatal(err)
	}
	rolledBack, err := paused.Rollback(order(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		r    rollout.Rollout
		has  rollout.Revision
		got  time.Time
		want rollout.Revision
	}{
		{"has it", paused, newRev, base, newRev},
		{"has it not yet", paused, oldRev, base, oldRev},
		{"was never served", paused, "", time.Time{}, oldRev},
		{"had it in an earlier rollout of the same revision", paused, newRev, base.Add(-time.Hour), oldRev},
		{"has it, going on", r, newRev, base, newRev},
		{"has it not yet, going on", r, oldRev, base, newRev},
		{"has it, rolled back", rolledBack, newRev, base, oldRev},
	} {
		if got := c.r.RevisionFor(rollout.Agent{ID: in, Has: c.has, Got: c.got}); got != c.want {
			t.Errorf("%s: gets %s, want %s", c.name, got, c.want)
		}
	}
}

func TestClockThatWasSetBackStopsNoStage(t *testing.T) {
	t.Parallel()
	r := started(t, policy(), fleet(3))
	ahead := r
	ahead.Since, ahead.Started = base.Add(time.Hour), base.Add(time.Hour)
	if got := ahead.SetBack(base); !got.Since.Equal(base) || !got.Started.Equal(base) {
		t.Errorf("set back to %s, %s", got.Since, got.Started)
	}
	if got := r.SetBack(base.Add(time.Hour)); !got.Since.Equal(base) || !got.Started.Equal(base) {
		t.Errorf("times of the past were moved to %s, %s", got.Since, got.Started)
	}
}
