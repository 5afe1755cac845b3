// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"testing"
	"time"
)

// gated is the sighting of an idle agent that its controller's gate has as clean by attempt 7.
func gated(now time.Time, change func(*Sighting)) Sighting {
	s := Sighting{At: now, Present: true, Idle: true, Labels: ShowClean, Gate: Gate{Mode: GateUp, State: LedgerClean, Attempt: 7}}
	if change != nil {
		change(&s)
	}
	return s
}

func TestWhatTheGateSaysOfACleanAgent(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := Agent{ID: AgentID{"ci", "a"}, State: Clean, Since: now.Add(-time.Hour), Attempt: 7, Version: 1}
	for name, c := range map[string]struct {
		change func(*Sighting)
		kind   Kind
		need   Need
		write  bool
	}{
		"clean":                                        {nil, Rest, "", false},
		"about to be used":                             {func(s *Sighting) { s.Gate.Drift, s.Idle, s.Hidden = "busy", false, true }, Rest, "", false},
		"used, and the build is over already":          {func(s *Sighting) { s.Gate.State, s.Gate.Item, s.Labels = LedgerUsed, 9, ShowDue }, Unclean, NeedCleanup, false},
		"used, and the label could not be saved":       {func(s *Sighting) { s.Gate.State, s.Gate.Item = LedgerUsed, 9 }, Unclean, NeedCleanup, true},
		"a restart has emptied the ledger":             {func(s *Sighting) { s.Gate = Gate{Mode: GateUp, State: LedgerUnknown} }, Unclean, NeedVerify, true},
		"and it was not there from the start":          {func(s *Sighting) { s.Gate = Gate{Mode: GateUp, State: LedgerUnknown, Away: true} }, Unclean, NeedCleanup, true},
		"a build was the last thing before that":       {func(s *Sighting) { s.Gate, s.Labels = Gate{Mode: GateUp, State: LedgerUnknown}, ShowDue }, Unclean, NeedCleanup, false},
		"a person, and then its connection":            {func(s *Sighting) { s.Gate.Drift, s.Labels = "connection", ShowDue }, Unclean, NeedCleanup, false},
		"given up when its connection was lost":        {func(s *Sighting) { s.Gate.State, s.Gate.Why = LedgerUnknown, "offline" }, Unclean, NeedVerify, true},
		"another connection, which nobody told":        {func(s *Sighting) { s.Gate.Drift = "connection" }, Unclean, NeedVerify, true},
		"other executors":                              {func(s *Sighting) { s.Gate.Drift = "executors" }, Unclean, NeedCleanup, true},
		"granted for another attempt":                  {func(s *Sighting) { s.Gate.Attempt = 8 }, Unclean, NeedCleanup, true},
		"claimed by nobody we know":                    {func(s *Sighting) { s.Gate.State, s.Labels = LedgerClaimed, ShowDirty }, Unclean, NeedCleanup, false},
		"a person took clean off":                      {func(s *Sighting) { s.Gate.Drift, s.Labels = "label", ShowDue }, Unclean, NeedCleanup, false},
		"the gate is lost":                             {func(s *Sighting) { s.Gate = Gate{Mode: GateLost, Problem: "404"} }, Unclean, NeedVerify, true},
		"the gate is lost, and nothing refuses builds": {func(s *Sighting) { s.Gate = Gate{Mode: GateLost, Away: true} }, Unclean, NeedCleanup, true},
		"the gate is lost, and it was used":            {func(s *Sighting) { s.Gate = Gate{Mode: GateLost}; s.Real = true }, Unclean, NeedCleanup, true},
		"the gate is lost, something is starting":      {func(s *Sighting) { s.Gate = Gate{Mode: GateLost}; s.Idle, s.Hidden = false, true }, Rest, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			act := Next(a, gated(now, c.change), Policy{HiddenAfter: time.Minute}, now)
			if act.Kind != c.kind || act.Need != c.need || act.Write != c.write {
				t.Errorf("got %+v, want %s %s, write %t", act, c.kind, c.need, c.write)
			}
		})
	}
}

func TestWhatTheGateSaysOfOthers(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	due := Agent{ID: AgentID{"ci", "a"}, State: Due, Since: now.Add(-time.Hour), Attempt: 7, Version: 1}
	if act := Next(due, gated(now, func(s *Sighting) { s.Labels = ShowDue }), Policy{}, now); act.Kind != Relabel || act.Labels != ShowDue || !act.Write {
		t.Errorf("due, and open in the ledger: %+v", act)
	}
	lost := gated(now, func(s *Sighting) { s.Gate, s.Labels = Gate{Mode: GateLost, Problem: "404"}, ShowDue })
	if act := Next(due, lost, Policy{}, now); act.Kind != Rest || act.Reason != "the gate is lost: 404" || act.Wake.IsZero() {
		t.Errorf("due, while the gate is lost: %+v", act)
	}
	lost.Labels = ShowDirty
	if reason, ok := MayStart(lost, Policy{}); ok || reason != "the gate was lost: 404" {
		t.Errorf("claimed: %q %t", reason, ok)
	}
	granting := Agent{ID: due.ID, State: Granting, Since: now.Add(-time.Minute), Attempt: 7, Version: 1}
	proven := Attempt{Number: 7, Proved: now.Add(-time.Second)}
	if ready, _ := MayGrant(granting, proven, lost, Policy{}, now); ready != GrantWait {
		t.Errorf("proven: %s", ready)
	}
	if ready, _ := MayGrant(granting, proven, lost, Policy{Limits: Limits{Grant: time.Millisecond}}, now); ready != GrantNever {
		t.Errorf("proven, for too long: %s", ready)
	}
}

func TestWhatTheGateHoldsOfAgentsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		labels Labels
		change func(*Sighting)
		kind   Kind
		write  bool
	}{
		"nothing":                           {0, nil, Rest, false},
		"nothing, and a label of a team's":  {LabelClean, nil, Rest, false},
		"an entry":                          {0, func(s *Sighting) { s.Gate.Listed = true }, Withdraw, false},
		"an entry, and a label":             {LabelClean, func(s *Sighting) { s.Gate.Listed = true }, Withdraw, true},
		"an entry, while something starts":  {LabelClean, func(s *Sighting) { s.Gate.Listed, s.Idle, s.Hidden = true, false, true }, Withdraw, false},
		"an entry, of one that is labelled": {ShowDue, func(s *Sighting) { s.Gate.Listed = true }, Adopt, false},
		"an entry, of one that is refused":  {0, func(s *Sighting) { s.Gate.Listed, s.Refused = true, "made by a cloud" }, Rest, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, a := range []Agent{{ID: AgentID{"ci", "a"}}, {ID: AgentID{"ci", "a"}, State: Unmanaged, Attempt: 7, Version: 1}} {
				s := gated(now, c.change)
				s.Labels, s.Gate.State = c.labels, LedgerUnknown
				if act := Next(a, s, Policy{}, now); act.Kind != c.kind || act.Write != c.write {
					t.Errorf("of one that is %q: got %+v, want %s, write %t", a.State, act, c.kind, c.write)
				}
			}
		})
	}
}
