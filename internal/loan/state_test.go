// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// base is the time at which everything in these tests was granted or attached.
var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var linux3 = loan.Agent{Controller: "ci", Name: "linux-3"}

// loanIn returns a loan of linux-3 to the controller lab which has come as far as state by the usual way.
func loanIn(t *testing.T, state loan.State) loan.Loan {
	t.Helper()
	l := loan.Loan{
		ID: "l1", Request: "r1", Borrower: "lab", By: "ann", State: loan.Waiting, Since: base.Add(-time.Minute), Requested: base.Add(-time.Minute),
		To:    loan.Target{Kind: loan.ToController, Controller: "lab"},
		Lease: loan.Lease{Term: time.Hour, Max: 8 * time.Hour, Attach: 5 * time.Minute},
	}
	step := func(to loan.Loan, err error) {
		t.Helper()
		must(t, err)
		l = to
	}
	if state == loan.Expired {
		step(l.Return(loan.ByPatience, "no agent", base))
		return l
	}
	for l.State != state {
		switch l.State {
		case loan.Waiting:
			step(l.Grant(linux3, 7, loan.Node{Name: "loan-l1"}, base))
		case loan.Granted:
			l.Run.Shut, l.Run.Intent, l.Run.Handed, l.Node.Made, l.Marked = base, base, base, true, true
			step(l.Attach("online", base))
		case loan.Attached:
			step(l.Return(loan.ByTerm, "over", base))
		case loan.Returning:
			l.Node.Gone, l.Run.Ended = true, base
			step(l.Finish(state == loan.Cleaned, "clean again", base))
		case loan.Cleaned, loan.Expired, loan.Failed:
			t.Fatalf("no way to %s from %s", state, l.State)
		}
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// moves are all changes of a loan's state that the package offers, with where each leads.
var moves = []struct {
	name string
	to   func(loan.Loan) loan.State
	make func(loan.Loan, time.Time) (loan.Loan, error)
}{
	{"grant", always(loan.Granted), func(l loan.Loan, now time.Time) (loan.Loan, error) {
		return l.Grant(linux3, 8, loan.Node{Name: "loan-l1"}, now)
	}},
	{"ungrant", always(loan.Waiting), func(l loan.Loan, now time.Time) (loan.Loan, error) { return l.Ungrant("a build came first", now) }},
	{"attach", always(loan.Attached), func(l loan.Loan, now time.Time) (loan.Loan, error) { return l.Attach("online", now) }},
	{"finish", func(l loan.Loan) loan.State {
		if l.Attached.IsZero() {
			return loan.Failed
		}
		return loan.Cleaned
	}, func(l loan.Loan, now time.Time) (loan.Loan, error) { return l.Finish(true, "clean again", now) }},
	{"finish without the agent", always(loan.Failed), func(l loan.Loan, now time.Time) (loan.Loan, error) { return l.Finish(false, "gone", now) }},
}

func always(s loan.State) func(loan.Loan) loan.State { return func(loan.Loan) loan.State { return s } }

// TestEveryMoveFromEveryState holds each move to the table: it takes its edge, or changes nothing and says why.
func TestEveryMoveFromEveryState(t *testing.T) {
	t.Parallel()
	now := base.Add(time.Minute)
	for _, from := range loan.States {
		for _, move := range moves {
			t.Run(string(from)+"/"+move.name, func(t *testing.T) {
				t.Parallel()
				before := loanIn(t, from)
				want := move.to(before)
				after, err := move.make(before, now)
				if !loan.CanGo(from, want) {
					var refused *loan.StateError
					if !errors.As(err, &refused) || refused.From != from || refused.To != want || refused.Loan != "l1" || !strings.Contains(err.Error(), string(from)) {
						t.Fatalf("got %v, want a refusal of the way from %s to %s", err, from, want)
					}
					if diff := cmp.Diff(before, after); diff != "" {
						t.Fatalf("refused, and changed:\n%s", diff)
					}
					return
				}
				must(t, err)
				if after.State != want || !after.Since.Equal(now) || after.Reason == "" {
					t.Errorf("got %s since %s (%s), want %s since %s and a reason", after.State, after.Since, after.Reason, want, now)
				}
				if after.Over() != !after.Ended.IsZero() {
					t.Errorf("%s, and ended at %s", after.State, after.Ended)
				}
			})
		}
	}
}

// TestReturnInEveryState ends a loan from wherever it is, for every cause, twice.
func TestReturnInEveryState(t *testing.T) {
	t.Parallel()
	now := base.Add(time.Minute)
	for _, from := range loan.States {
		for _, cause := range loan.Causes {
			want := loan.Returning
			switch {
			case from == loan.Waiting && cause == loan.ByPatience:
				want = loan.Expired
			case from == loan.Waiting:
				want = loan.Failed
			case from == loan.Returning || from.Final():
				want = from
			}
			before := loanIn(t, from)
			once, err := before.Return(cause, "said so", now)
			must(t, err)
			if once.State != want {
				t.Errorf("%s, %s: got %s, want %s", from, cause, once.State, want)
			}
			if want == from {
				if diff := cmp.Diff(before, once); diff != "" {
					t.Errorf("%s, %s: a loan that is over was changed:\n%s", from, cause, diff)
				}
			} else if once.Cause != cause || once.Reason != "said so" || !once.Since.Equal(now) {
				t.Errorf("%s, %s: got %s (%s) since %s", from, cause, once.Cause, once.Reason, once.Since)
			}
			twice, err := once.Return(loan.ByReturn, "again", now.Add(time.Hour))
			must(t, err)
			if diff := cmp.Diff(once, twice); diff != "" {
				t.Errorf("%s, %s: a second return changed:\n%s", from, cause, diff)
			}
		}
	}
}

// TestTheTableItself holds what must be true of any table: nothing leaves a final state, every other
// state is left and reached, and a loan that has an agent ends in no other way than by bringing it back.
func TestTheTableItself(t *testing.T) {
	t.Parallel()
	for _, s := range loan.States {
		out := slices.ContainsFunc(loan.Edges, func(e loan.Edge) bool { return e.From == s })
		in := s == loan.Waiting || slices.ContainsFunc(loan.Edges, func(e loan.Edge) bool { return e.To == s })
		if out == s.Final() || !in {
			t.Errorf("%s: final %t, left %t, reached %t", s, s.Final(), out, in)
		}
	}
	for _, e := range loan.Edges {
		switch {
		case !slices.Contains(loan.States, e.From) || !slices.Contains(loan.States, e.To) || e.Why == "":
			t.Errorf("%+v: want states of the list, and why", e)
		case (e.From == loan.Granted || e.From == loan.Attached) && e.To.Final():
			t.Errorf("I9: from %s to %s without a return", e.From, e.To)
		}
	}
}

func TestGrantBeginsAnew(t *testing.T) {
	t.Parallel()
	l := loanIn(t, loan.Granted)
	l.Run.Shut, l.Node.Made, l.Node.Gone, l.Node.Dir = base, true, true, "/loan"
	l, err := l.Ungrant("a build came first", base.Add(time.Minute))
	must(t, err)
	if l.Agent != (loan.Agent{}) || l.Run != (loan.Run{}) || l.Node != (loan.Node{}) || l.Marked || !l.Granted.IsZero() || !l.Until.IsZero() {
		t.Errorf("ungranted, and keeps %+v %+v %+v marked %t granted %s until %s", l.Agent, l.Run, l.Node, l.Marked, l.Granted, l.Until)
	}
	if !l.Requested.Equal(base.Add(-time.Minute)) {
		t.Errorf("requested %s: it lost its place in the queue", l.Requested)
	}
	now := base.Add(time.Hour)
	l, err = l.Grant(loan.Agent{Controller: "ci", Name: "linux-4"}, 9, loan.Node{Name: "loan-l1-2"}, now)
	must(t, err)
	if l.Run != (loan.Run{Number: 9}) || l.Node.Name != "loan-l1-2" || !l.Granted.Equal(now) || !l.Renewed.Equal(now) || !l.Until.Equal(now.Add(time.Hour)) {
		t.Errorf("got %+v %+v granted %s renewed %s until %s", l.Run, l.Node, l.Granted, l.Renewed, l.Until)
	}
}

// TestUngrantKeepsTheNameThatTheBorrowerChose: it has made the node itself, and told its secret with it.
func TestUngrantKeepsTheNameThatTheBorrowerChose(t *testing.T) {
	t.Parallel()
	l := loanIn(t, loan.Granted)
	l.To = loan.Target{Kind: loan.ToController, URL: "https://lab.test/"}
	l.Node = loan.Node{Name: "mine", Dir: "/loan"}
	l, err := l.Ungrant("a build came first", base)
	must(t, err)
	if l.Node != (loan.Node{Name: "mine"}) {
		t.Errorf("got %+v, want the name alone", l.Node)
	}
}

func TestWhatALoanIs(t *testing.T) {
	t.Parallel()
	active := []loan.State{loan.Granted, loan.Attached, loan.Returning}
	for _, s := range loan.States {
		l := loanIn(t, s)
		if l.Active() != slices.Contains(active, s) || l.Over() != s.Final() {
			t.Errorf("%s: active %t, over %t", s, l.Active(), l.Over())
		}
	}
	for _, tt := range []struct {
		target loan.Target
		own    bool
	}{
		{loan.Target{Kind: loan.ToController}, true},
		{loan.Target{Kind: loan.ToController, Controller: "lab"}, false},
		{loan.Target{Kind: loan.ToHold}, false},
		{loan.Target{Kind: loan.ToSSH}, false},
	} {
		if got := tt.target.Own(); got != tt.own {
			t.Errorf("%+v: own %t, want %t", tt.target, got, tt.own)
		}
	}
	for node, owing := range map[loan.Node]bool{{}: false, {Made: true}: true, {Made: true, Owed: true}: true, {Made: true, Gone: true}: false, {Made: true, Owed: true, Gone: true}: false} {
		if node.Owing() != owing {
			t.Errorf("%+v: owing %t, want %t", node, node.Owing(), owing)
		}
	}
}
