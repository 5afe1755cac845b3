// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func someTime(t *rapid.T, label string) time.Time {
	if rapid.IntRange(0, 4).Draw(t, label+" is set") == 0 {
		return time.Time{}
	}
	return base.Add(time.Duration(rapid.IntRange(-1200, 1200).Draw(t, label)) * time.Second)
}

func seconds(t *rapid.T, label string, most int) time.Duration {
	return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Second
}

func someTarget(t *rapid.T) loan.Target {
	return rapid.SampledFrom([]loan.Target{{Kind: loan.ToController, Controller: "lab"}, {Kind: loan.ToController, Controller: "lab"}, own, hold, ssh}).Draw(t, "target")
}

// anyLoan draws also what no life leads to: a stored row may be anything.
func anyLoan(t *rapid.T) loan.Loan {
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	l := loan.Loan{
		ID: "l1", Borrower: "lab", State: rapid.SampledFrom(loan.States).Draw(t, "state"), Reason: "some reason", To: someTarget(t),
		Since: someTime(t, "since"), Requested: someTime(t, "requested"), Granted: someTime(t, "granted"), Attached: someTime(t, "attached"),
		Renewed: someTime(t, "renewed"), Until: someTime(t, "until"), IdleSince: someTime(t, "idle since"), Marked: flag("marked"),
		Want:  loan.Want{Patience: seconds(t, "patience", 600)},
		Lease: loan.Lease{Term: seconds(t, "term", 600), Max: seconds(t, "max", 600), TTL: seconds(t, "ttl", 600), Idle: seconds(t, "idle", 600), Attach: seconds(t, "attach", 600)},
		Run:   loan.Run{Shut: someTime(t, "shut"), Intent: someTime(t, "intent"), Handed: someTime(t, "handed")},
		Node:  loan.Node{Name: "loan-l1", Made: flag("made"), Gone: flag("gone"), Owed: flag("owed")},
	}
	if l.To.Kind != loan.ToHold && !l.Run.Begun() {
		l.Marked = false // only a hold has its mark before anything else
	}
	return l
}

func anySight(t *rapid.T) loan.Sight {
	flag := func(label string) bool { return rapid.Bool().Draw(t, label) }
	seldom := func(label, what string) string { return rapid.SampledFrom([]string{"", "", "", what}).Draw(t, label) }
	return loan.Sight{
		Lender: loan.Lender{
			At: someTime(t, "lender at"), Answers: flag("lender answers"), Present: flag("present"), Gone: rapid.IntRange(0, 5).Draw(t, "gone") == 0,
			Managed: rapid.IntRange(0, 5).Draw(t, "managed") > 0, Real: seldom("real", "u"), Marked: flag("marked"), Kept: seldom("kept", "kept by ann"),
		},
		Program: loan.Program{
			Stage: rapid.SampledFrom([]loan.Stage{loan.ProgramNone, loan.ProgramQueued, loan.ProgramRunning, loan.ProgramRunning, loan.ProgramEnded}).Draw(t, "stage"),
			Says:  "says", Started: flag("started"),
		},
		Borrower: loan.Borrower{
			At: someTime(t, "borrower at"), Answers: flag("borrower answers"), Problem: seldom("problem", "no route"),
			There: flag("there"), Online: flag("online"),
		},
		Wanted: flag("wanted"), Released: flag("released"), Back: flag("back"),
	}
}

// wanted are the actions that a loan may need in each state.
var wanted = map[loan.State][]loan.ActionKind{
	loan.Waiting:   {loan.Rest, loan.End},
	loan.Granted:   {loan.Rest, loan.End, loan.Shut, loan.Ungrant, loan.MakeNode, loan.DropNode, loan.HandOver, loan.Mark, loan.Attach},
	loan.Attached:  {loan.Rest, loan.End, loan.Mark},
	loan.Returning: {loan.Rest, loan.DropNode, loan.Owe, loan.Stop, loan.Unmark, loan.Release, loan.Finish},
	loan.Cleaned:   {loan.Rest, loan.DropNode},
	loan.Expired:   {loan.Rest, loan.DropNode},
	loan.Failed:    {loan.Rest, loan.DropNode},
}

// TestNextKeepsTheRules draws any stored loan and any sight of it, and holds what Next promises.
func TestNextKeepsTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, s, p := anyLoan(t), anySight(t), loan.Policy{Recall: seconds(t, "recall", 600)}
		act := loan.Next(l, s, p, base)
		if again := loan.Next(l, s, p, base); !cmp.Equal(act, again) {
			t.Fatalf("the same facts gave %+v and %+v", act, again)
		}
		switch {
		case !slices.Contains(wanted[l.State], act.Kind):
			t.Fatalf("a loan that is %s needs no %s", l.State, act.Kind)
		case act.Reason == "":
			t.Fatalf("%+v does not say why", act)
		case act.Kind == loan.Rest && (!act.Wake.After(base) || act.Wake.After(base.Add(10*time.Second))):
			t.Fatalf("I6: nobody looks again in time: %+v", act)
		case (act.Kind == loan.End) != slices.Contains(loan.Causes, act.Cause):
			t.Fatalf("ends by %q: %+v", act.Cause, act)
		}
		obeys(t, l, s, act, base)
	})
}

// obeys holds the order of the steps of a loan, by what is stored and was seen alone.
func obeys(t reporter, l loan.Loan, s loan.Sight, act loan.Action, now time.Time) {
	t.Helper()
	begins := act.Kind == loan.MakeNode || act.Kind == loan.HandOver || act.Kind == loan.Mark
	switch {
	case begins && l.Run.Shut.IsZero() && l.State == loan.Granted:
		t.Fatalf("I9: %s before nothing real can start on it", act.Kind)
	case begins && l.State == loan.Granted && !l.Run.Begun() && !l.Marked && (!s.Lender.At.After(l.Run.Shut) || s.Lender.Real != "" || s.Lender.Kept != ""):
		t.Fatalf("I9: %s, and no look that is newer than its labels showed it free: shut %s, %+v", act.Kind, l.Run.Shut, s.Lender)
	case act.Kind == loan.HandOver && l.To.Kind == loan.ToHold:
		t.Fatal("a hold needs no program")
	case act.Kind == loan.HandOver && !l.Run.Begun() && l.To.Controller != "" && (!l.Node.Owing() || !s.Borrower.There):
		t.Fatalf("a program is started for a node that is not there: %+v", l.Node)
	case act.Kind == loan.Attach && !l.Marked:
		t.Fatal("I9: attached before it was marked")
	case act.Kind == loan.Attach && l.To.Kind != loan.ToHold && s.Program.Stage != loan.ProgramRunning:
		t.Fatal("attached, and its program does not run")
	case act.Kind == loan.Ungrant && (l.Run.Begun() || l.Marked && l.Held() || l.Node.Owing()):
		t.Fatalf("given back as if nothing was started: %+v %+v, marked %t", l.Run, l.Node, l.Marked)
	case act.Kind == loan.Release && l.Node.Owing() && !l.Node.Owed:
		t.Fatal("released before the node was deleted or owed")
	case act.Kind == loan.Release && l.Run.Begun() && s.Program.Stage != loan.ProgramEnded && !s.Lender.Gone:
		t.Fatal("I9: released while the program may run")
	case act.Kind == loan.Owe && now.Before(l.Since.Add(10*time.Second)):
		t.Fatal("the borrower was given no time")
	case act.Kind == loan.Finish && !s.Released:
		t.Fatal("finished before it was released")
	case (l.State == loan.Granted || l.State == loan.Attached) && over(l, now) && act.Kind != loan.End:
		t.Fatalf("I9: its lease is over, and Next says %s (%s)", act.Kind, act.Reason)
	}
}

// over says whether a lease is over by the clock, counted without the package.
func over(l loan.Loan, now time.Time) bool {
	return !now.Before(l.Until) ||
		l.Lease.Max > 0 && now.Sub(l.Granted) >= l.Lease.Max ||
		l.State == loan.Attached && l.Lease.TTL > 0 && now.Sub(l.Renewed) >= l.Lease.TTL ||
		l.State == loan.Granted && l.Lease.Attach > 0 && now.Sub(l.Granted) >= l.Lease.Attach
}

// reporter is what both kinds of test have.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}
