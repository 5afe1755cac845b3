// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func onLoan(t *testing.T, now time.Time) hygiene.Agent {
	t.Helper()
	a, err := hygiene.Lend(agentIn(hygiene.Clean), hygiene.Loan{ID: "l1", Borrower: "staging", Since: now, Number: 8}, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestOnlyACleanAgentIsLent(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	for _, s := range hygiene.States {
		a, err := hygiene.Lend(agentIn(s), hygiene.Loan{ID: "l1"}, now)
		if wrong := (*hygiene.StateError)(nil); s == hygiene.Clean && err != nil || s != hygiene.Clean && !errors.As(err, &wrong) {
			t.Errorf("%s: %v", s, err)
		}
		if s != hygiene.Clean && a.Loan != nil {
			t.Errorf("%s: refused, and on loan all the same", s)
		}
	}
	if _, err := hygiene.Lend(onLoan(t, now), hygiene.Loan{ID: "l2"}, now); err == nil {
		t.Error("an agent that is on loan was lent again")
	}
}

// TestI9AnAgentOnLoanIsDirtyAndLeftAlone: nothing that is seen of it starts a cleanup or lifts our offline mark.
func TestI9AnAgentOnLoanIsDirtyAndLeftAlone(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	a := onLoan(t, now.Add(-time.Minute))
	if got := hygiene.Project(a, now); got != hygiene.ShowDirty {
		t.Errorf("shows %s, want dirty", got)
	}
	if a.NeedAll(); a.Need != hygiene.NeedCleanup {
		t.Errorf("needs %s after its return, want a whole cleanup", a.Need)
	}
	for name, bend := range map[string]func(*hygiene.Sighting){
		"idle":                 func(*hygiene.Sighting) {},
		"held by its build":    func(s *hygiene.Sighting) { s.Idle, s.Own = false, true },
		"marked by us":         func(s *hygiene.Sighting) { s.Offline, s.OfflineBy, s.Reached = true, hygiene.ByUs, true },
		"a real build got on":  func(s *hygiene.Sighting) { s.Idle, s.Real, s.RealURL = false, true, "u" },
		"its program was lost": func(s *hygiene.Sighting) { s.Offline, s.OfflineBy = true, hygiene.ByConnection },
		"awaited":              func(s *hygiene.Sighting) { s.Awaited, s.Offline, s.OfflineBy = true, true, hygiene.ByLoan },
		"monitor":              func(s *hygiene.Sighting) { s.Offline, s.OfflineBy, s.Reached = true, hygiene.ByMonitor, true },
		"gone from the list":   func(s *hygiene.Sighting) { s.Present = false },
	} {
		s := idle(hygiene.ShowDirty, now)
		bend(&s)
		if act := hygiene.Next(a, s, hygiene.Policy{}, now); act.Kind != hygiene.Rest || act.Write {
			t.Errorf("%s: %s (%s), want it left alone", name, act.Kind, act.Reason)
		} else if s.Present && !strings.Contains(act.Reason, "on loan to staging") {
			t.Errorf("%s: rests because %q", name, act.Reason)
		}
	}
	for _, shown := range []hygiene.Labels{hygiene.ShowClean, hygiene.ShowDue, hygiene.ShowDirty | hygiene.LabelClean} {
		act := hygiene.Next(a, idle(shown, now), hygiene.Policy{}, now)
		if act.Kind != hygiene.Relabel || act.Labels.Has(hygiene.LabelClean) || !act.Labels.Has(hygiene.LabelDirty) {
			t.Errorf("labelled %s: %s %s, want dirty written", shown, act.Kind, act.Labels)
		}
	}
}

func TestAnAgentThatIsBackIsDueForAWholeCleanup(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	a := onLoan(t, now.Add(-time.Minute)).Return("back from loan", now)
	if a.Loan != nil || a.State != hygiene.Due || a.Need != hygiene.NeedCleanup {
		t.Errorf("back: %s, needs %s, loan %v", a.State, a.Need, a.Loan)
	}
	later := now.Add(time.Second)
	if act := hygiene.Next(a, idle(hygiene.ShowDirty, later), hygiene.Policy{}, later); act.Kind != hygiene.Begin || act.Need != hygiene.NeedCleanup {
		t.Errorf("then %s (%s), want a cleanup", act.Kind, act.Reason)
	}
	away, err := onLoan(t, now).Leave("the label cleanable was removed", now)
	if err != nil || away.Loan == nil {
		t.Fatalf("an agent that leaves our care: %v, loan %v; want it still on loan", err, away.Loan)
	}
	if away = away.Return("back", now); away.Loan != nil || away.State != hygiene.Unmanaged {
		t.Errorf("back: %s, loan %v", away.State, away.Loan)
	}
}

func TestALoanIsWhatAnAgentIsDoing(t *testing.T) {
	t.Parallel()
	a, s := onLoan(t, epoch), idle(hygiene.ShowDirty, epoch)
	s.Idle, s.Own = false, true
	if got := a.Occupancy(s); got != hygiene.IsOnLoan {
		t.Errorf("occupancy of an agent on loan: %s", got)
	}
	if got := agentIn(hygiene.Due).Occupancy(s); got != hygiene.IsBusy {
		t.Errorf("occupancy of one that is not: %s", got)
	}
}

func TestAnAgentOfWhichALoanMayHaveHadRootIsCleanedDeeply(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	for name, tc := range map[string]struct{ asked, loan, want hygiene.Depth }{
		"an ordinary loan":                    {"", "", ""},
		"a loan that may have had root":       {"", hygiene.Deep, hygiene.Deep},
		"what a person asked for stays as is": {hygiene.Light, "", hygiene.Light},
	} {
		a := onLoan(t, now)
		a.Depth, a.Loan.Depth = tc.asked, tc.loan
		if back := a.Return("back", now); back.Depth != tc.want || back.Loan != nil {
			t.Errorf("%s: asked for depth %q, want %q", name, back.Depth, tc.want)
		}
	}
}
