// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// seen is what a daemon sees of a loan with which all is well at now.
func seen(l loan.Loan, now time.Time) loan.Sight {
	s := loan.Sight{
		Lender:   loan.Lender{At: now, Answers: true, Present: true, Managed: true, Marked: l.Marked},
		Borrower: loan.Borrower{At: now, Answers: true, There: l.Node.Made && !l.Node.Gone, Online: l.Run.Begun() && l.Node.Made && !l.Node.Gone},
	}
	if l.Run.Begun() {
		s.Program = loan.Program{Stage: loan.ProgramRunning, Account: "loan", Started: true}
	}
	return s
}

// decision is one case: what is otherwise than in a loan with which all is well, a minute after base, and
// what Next makes of it.
type decision struct {
	name   string
	state  loan.State
	with   func(*loan.Loan, *loan.Sight, *loan.Policy)
	want   loan.ActionKind
	cause  loan.Cause
	reason string
}

func (d decision) test(t *testing.T) {
	t.Helper()
	now := base.Add(time.Minute)
	l := loanIn(t, d.state)
	s, p := seen(l, now), loan.Policy{}
	if d.with != nil {
		d.with(&l, &s, &p)
	}
	act := loan.Next(l, s, p, now)
	if act.Kind != d.want || act.Cause != d.cause || !strings.Contains(act.Reason, d.reason) || act.Reason == "" {
		t.Errorf("got %s by %q (%s), want %s by %q (%s)", act.Kind, act.Cause, act.Reason, d.want, d.cause, d.reason)
	}
	if (act.Kind == loan.Rest) == act.Wake.IsZero() || act.Kind == loan.Rest && (!act.Wake.After(now) || act.Wake.After(now.Add(10*time.Second))) {
		t.Errorf("%s, and looks again %s later", act.Kind, act.Wake.Sub(now))
	}
}

// Changes that many cases need.
func shut(l *loan.Loan, _ *loan.Sight, _ *loan.Policy) { l.Run.Shut = base }

func made(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
	shut(l, s, p)
	l.Node.Made, s.Borrower.There = true, true
}

func begun(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
	made(l, s, p)
	l.Run.Intent = base
}

func handed(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
	begun(l, s, p)
	l.Run.Handed = base
	s.Program.Stage = loan.ProgramRunning
}

func marked(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
	handed(l, s, p)
	l.Marked, s.Lender.Marked = true, true
}

// and returns the changes one after the other.
func and(changes ...func(*loan.Loan, *loan.Sight, *loan.Policy)) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return func(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
		for _, change := range changes {
			change(l, s, p)
		}
	}
}

func onLoan(f func(*loan.Loan)) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return func(l *loan.Loan, _ *loan.Sight, _ *loan.Policy) { f(l) }
}

func onSight(f func(*loan.Sight)) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return func(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) { f(s) }
}

func to(target loan.Target) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return onLoan(func(l *loan.Loan) { l.To = target })
}

// blind is a daemon that has just started.
func blind(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) { *s = loan.Sight{} }

var (
	hold = loan.Target{Kind: loan.ToHold}
	ssh  = loan.Target{Kind: loan.ToSSH}
	own  = loan.Target{Kind: loan.ToController, URL: "https://lab.test/"}
)

// markSeen: the newest look shows our mark.
func markSeen(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) { s.Lender.Marked = true }

func TestNextOfALoanThatWaits(t *testing.T) {
	t.Parallel()
	tests := []decision{
		{"for as long as it takes", loan.Waiting, nil, loan.Rest, "", "waits for an agent"},
		{"as long as it would", loan.Waiting, onLoan(func(l *loan.Loan) { l.Want.Patience = 2*time.Minute + 1 }), loan.Rest, "", "waits for an agent"},
		{"and no longer", loan.Waiting, onLoan(func(l *loan.Loan) { l.Want.Patience = 2 * time.Minute }), loan.End, loan.ByPatience, "within 2m0s"},
		{"from its request, also after it was given back", loan.Waiting, onLoan(func(l *loan.Loan) { l.Want.Patience, l.Since = 2*time.Minute, base.Add(time.Minute) }), loan.End, loan.ByPatience, ""},
		{"whatever a sight says of others", loan.Waiting, onSight(func(s *loan.Sight) { s.Lender.Gone, s.Program.Stage = true, loan.ProgramEnded }), loan.Rest, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t) })
	}
}

// TestNextOnTheWayToTheBorrower goes through what comes before a loan is attached, step by step, for each
// kind of target.
func TestNextOnTheWayToTheBorrower(t *testing.T) {
	t.Parallel()
	tests := []decision{
		{"nothing real may start first of all", loan.Granted, nil, loan.Shut, "", ""},
		{"also for a hold", loan.Granted, to(hold), loan.Shut, "", ""},
		{"also when a build came first: what it leaves is dirty, too", loan.Granted, onSight(func(s *loan.Sight) { s.Lender.Real = "u" }), loan.Shut, "", ""},
		{"then it is looked at again: a build may have come between", loan.Granted, and(shut, onSight(func(s *loan.Sight) { s.Lender.At = base })), loan.Rest, "", "newer than its labels"},
		{"also before a hold", loan.Granted, and(shut, to(hold), onSight(func(s *loan.Sight) { s.Lender.At = base })), loan.Rest, "", "newer"},
		{"and before a login", loan.Granted, and(shut, to(ssh), onSight(func(s *loan.Sight) { s.Lender.At = base })), loan.Rest, "", "newer"},
		{"by a daemon that knows nothing, too", loan.Granted, and(shut, blind), loan.Rest, "", "newer"},
		{"and whoever restarts in between", loan.Granted, and(made, blind), loan.Rest, "", "newer"},
		{"then the node", loan.Granted, shut, loan.MakeNode, "", ""},
		{"a borrower that makes it itself has one", loan.Granted, and(shut, to(own)), loan.HandOver, "", ""},
		{"a person needs none", loan.Granted, and(shut, to(ssh), onLoan(func(l *loan.Loan) { l.Marked = true }), markSeen), loan.HandOver, "", ""},
		{"but nothing holds its executor: the mark comes first", loan.Granted, and(shut, to(ssh)), loan.Mark, "", "no build"},
		{"and is seen before anything starts", loan.Granted, and(shut, to(ssh), onLoan(func(l *loan.Loan) { l.Marked = true })), loan.Rest, "", "see its offline mark"},
		{"likewise over SSH", loan.Granted, and(shut, onLoan(func(l *loan.Loan) { l.Run.SSH = true })), loan.Mark, "", "no build"},
		{"which is made again when it was begun and never seen", loan.Granted, and(made, onSight(func(s *loan.Sight) { s.Borrower.There = false })), loan.MakeNode, "", "seen"},
		{"also when the borrower does not answer: the program needs it", loan.Granted, and(made, away), loan.MakeNode, "", "seen"},
		{"but not under a program that may have been started", loan.Granted, and(begun, away), loan.HandOver, "", "looked for first"},
		{"then the program", loan.Granted, made, loan.HandOver, "", "is started"},
		{"which is looked for when nobody answered", loan.Granted, begun, loan.HandOver, "", "looked for first"},
		{"whatever else was seen in between", loan.Granted, and(begun, onSight(func(s *loan.Sight) { s.Lender.Real, s.Lender.Kept = "u", "ann says so" })), loan.HandOver, "", "looked for first"},
		{"it is waited for", loan.Granted, and(handed, onSight(func(s *loan.Sight) { s.Program.Stage = loan.ProgramQueued })), loan.Rest, "", "program to start"},
		{"also by a daemon that knows nothing", loan.Granted, and(handed, blind), loan.Rest, "", "program to start"},
		{"the agent is marked as soon as it runs", loan.Granted, handed, loan.Mark, "", "program runs"},
		{"before anybody has it", loan.Granted, and(handed, onSight(func(s *loan.Sight) { s.Borrower.Online = true })), loan.Mark, "", ""},
		{"before a person logs in", loan.Granted, and(handed, to(ssh), onSight(func(s *loan.Sight) { s.Program.Started = true })), loan.Mark, "", ""},
		{"the borrower is waited for", loan.Granted, marked, loan.Rest, "", "come online"},
		{"and has it when it is online there", loan.Granted, and(marked, onSight(func(s *loan.Sight) { s.Borrower.Online = true })), loan.Attach, "", "online at the borrower as loan-l1"},
		{"likewise a node of its own", loan.Granted, and(marked, to(own), onSight(func(s *loan.Sight) { s.Borrower.Online = true })), loan.Attach, "", ""},
		{"a person waits for a login", loan.Granted, and(marked, to(ssh), onSight(func(s *loan.Sight) { s.Program.Started = false })), loan.Rest, "", ""},
		{"and has it when the program says so", loan.Granted, and(marked, to(ssh), onSight(func(s *loan.Sight) { s.Program.Started, s.Program.Account = true, "guest" })), loan.Attach, "", "as guest"},
		{"a program that started is no login where none was asked for", loan.Granted, and(marked, onSight(func(s *loan.Sight) { s.Program.Started = true })), loan.Rest, "", ""},
		{"a hold needs the mark alone", loan.Granted, and(shut, to(hold)), loan.Mark, "", "no build"},
		{"and nothing after it", loan.Granted, and(shut, to(hold), onLoan(func(l *loan.Loan) { l.Marked = true }), markSeen), loan.Attach, "", "kept for lab"},
		{"a build that came before the mark keeps the agent", loan.Granted, and(shut, to(hold), onLoan(func(l *loan.Loan) { l.Marked = true }), onSight(func(s *loan.Sight) { s.Lender.Real = "u" })), loan.Ungrant, "", "came first: u"},
		{"a person who marks it as well changes nothing", loan.Granted, and(shut, to(hold), onLoan(func(l *loan.Loan) { l.Marked = true }), onSight(func(s *loan.Sight) { s.Lender.Kept = "kept by ann" })), loan.Attach, "", "kept for lab"},
		{"what a build of ours holds is not given back as if nothing was started", loan.Granted, and(made, onLoan(func(l *loan.Loan) { l.Marked = true }), onSight(func(s *loan.Sight) { s.Lender.Real = "u" })), loan.HandOver, "", "is started"},
		{"a build that came first keeps the agent", loan.Granted, and(shut, onSight(func(s *loan.Sight) { s.Lender.Real = "u" })), loan.Ungrant, "", "came first: u"},
		{"before a hold, too", loan.Granted, and(shut, to(hold), onSight(func(s *loan.Sight) { s.Lender.Real = "u" })), loan.Ungrant, "", "came first"},
		{"but its node goes before that", loan.Granted, and(made, onSight(func(s *loan.Sight) { s.Lender.Real = "u" })), loan.DropNode, "", "came first: u"},
		{"then it goes, although the build has ended", loan.Granted, and(made, dropped), loan.Ungrant, "", "somebody came first"},
		{"a person who came first keeps the agent", loan.Granted, and(shut, onSight(func(s *loan.Sight) { s.Lender.Kept = "kept by ann" })), loan.Ungrant, "", "kept by ann"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t) })
	}
}

func TestNextWhileTheBorrowerHasIt(t *testing.T) {
	t.Parallel()
	tests := []decision{
		{"it rests", loan.Attached, nil, loan.Rest, "", "on loan until"},
		{"also when nothing is known", loan.Attached, blind, loan.Rest, "", ""},
		{"a mark that somebody lifted is set again", loan.Attached, onSight(func(s *loan.Sight) { s.Lender.Marked = false }), loan.Mark, "", "lifted"},
		{"not by a look from before it was set", loan.Attached, onSight(func(s *loan.Sight) { s.Lender.Marked, s.Lender.At = false, base }), loan.Rest, "", ""},
		{"not over a person's own", loan.Attached, onSight(func(s *loan.Sight) { s.Lender.Marked, s.Lender.Kept = false, "kept by ann" }), loan.Rest, "", ""},
		{"not of an agent that is missing in the list", loan.Attached, onSight(func(s *loan.Sight) { s.Lender.Marked, s.Lender.Present = false, false }), loan.Rest, "", ""},
		{"not by an old look", loan.Attached, onSight(func(s *loan.Sight) { s.Lender.Marked, s.Lender.Answers = false, false }), loan.Rest, "", ""},
		{"a lender that does not answer changes nothing", loan.Attached, onSight(func(s *loan.Sight) { s.Lender = loan.Lender{Managed: true} }), loan.Rest, "", ""},
		{"a node that is offline is not gone", loan.Attached, onSight(func(s *loan.Sight) { s.Borrower.Online = false }), loan.Rest, "", ""},
		{"nor one of a borrower that does not answer", loan.Attached, onSight(func(s *loan.Sight) { s.Borrower = loan.Borrower{At: s.Borrower.At, Problem: "no route"} }), loan.Rest, "", ""},
		{"nor one that was looked for before it was attached", loan.Attached, onSight(func(s *loan.Sight) { s.Borrower.There, s.Borrower.At = false, base }), loan.Rest, "", ""},
		{"nor a node of the borrower's own", loan.Attached, and(to(own), onSight(func(s *loan.Sight) { s.Borrower.There = false })), loan.Rest, "", ""},
		{"a hold has none", loan.Attached, and(to(hold), onSight(func(s *loan.Sight) { s.Borrower.There = false })), loan.Rest, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t) })
	}
}

// endings are what ends a loan that has an agent, each with the states in which it does.
var endings = []struct {
	decision
	only loan.State // "" = in both
}{
	{decision{"the agent is gone", "", onSight(func(s *loan.Sight) { s.Lender.Gone, s.Lender.Present = true, false }), loan.End, loan.ByLender, "no such agent"}, ""},
	{decision{"the agent was withdrawn", "", onSight(func(s *loan.Sight) { s.Lender.Managed = false }), loan.End, loan.ByLender, "taken out of"}, ""},
	{decision{"the program ended", "", onSight(func(s *loan.Sight) { s.Program = loan.Program{Stage: loan.ProgramEnded} }), loan.End, loan.ByAbort, "its program on the agent ended"}, ""},
	{decision{"the program ended and says why", "", onSight(func(s *loan.Sight) {
		s.Program = loan.Program{Stage: loan.ProgramEnded, Says: "aborted by ann"}
	}), loan.End, loan.ByAbort, "aborted by ann"}, ""},
	{decision{"the machine refused", "", onSight(func(s *loan.Sight) {
		s.Program = loan.Program{Stage: loan.ProgramEnded, Refused: true, Says: "no account for loans"}
	}), loan.End, loan.ByRefusal, "no account for loans"}, ""},
	{decision{"the term", "", onLoan(func(l *loan.Loan) { l.Until = base.Add(time.Minute) }), loan.End, loan.ByTerm, "term"}, ""},
	{decision{"the hard maximum", "", onLoan(func(l *loan.Loan) { l.Lease.Max = time.Minute }), loan.End, loan.ByTerm, "no loan may last longer"}, ""},
	{decision{"silence", "", onLoan(func(l *loan.Loan) { l.Lease.TTL = time.Minute }), loan.End, loan.BySilence, "no sign of life"}, loan.Attached},
	{decision{"not attached in time", "", onLoan(func(l *loan.Loan) { l.Lease.Attach = time.Minute }), loan.End, loan.ByTimeout, "within 1m0s"}, loan.Granted},
	{decision{"not attached in time, and why", "", and(onLoan(func(l *loan.Loan) { l.Lease.Attach = time.Minute }), onSight(func(s *loan.Sight) { s.Borrower.Problem = "no route" })), loan.End, loan.ByTimeout, "no route"}, loan.Granted},
	{decision{"idle", "", onLoan(func(l *loan.Loan) { l.Lease.Idle, l.IdleSince = time.Minute, base }), loan.End, loan.ByIdle, "nothing has run on it for 1m0s"}, loan.Attached},
	{decision{"called back", "", func(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
		p.Recall, s.Wanted, l.IdleSince = time.Minute, true, base
	}, loan.End, loan.ByRecall, "short of clean agents"}, loan.Attached},
	{decision{"its node was deleted", "", onSight(func(s *loan.Sight) { s.Borrower.There = false }), loan.End, loan.ByDeletion, "not at the borrower"}, loan.Attached},
}

// TestWhatEndsALoan takes every cause that Next can give in both states in which a loan has an agent.
func TestWhatEndsALoan(t *testing.T) {
	t.Parallel()
	given := []loan.Cause{loan.ByPatience, loan.ByReturn} // of a waiting loan; and of a person
	for _, e := range endings {
		given = append(given, e.cause)
		for _, state := range []loan.State{loan.Granted, loan.Attached} {
			d := e.decision
			d.state = state
			if e.only != "" && e.only != state {
				continue
			}
			t.Run(string(state)+"/"+d.name, func(t *testing.T) { t.Parallel(); d.test(t) })
		}
	}
	for _, c := range loan.Causes {
		if !slices.Contains(given, c) {
			t.Errorf("no case ends a loan by %q", c)
		}
	}
}

// TestWhatDoesNotEndALoan has for each ending the one thing that is missing.
func TestWhatDoesNotEndALoan(t *testing.T) {
	t.Parallel()
	tests := []decision{
		{"idle a nanosecond less", loan.Attached, onLoan(func(l *loan.Loan) { l.Lease.Idle, l.IdleSince = time.Minute, base.Add(1) }), loan.Rest, "", ""},
		{"idle without a limit", loan.Attached, onLoan(func(l *loan.Loan) { l.IdleSince = base.Add(-100 * time.Hour) }), loan.Rest, "", ""},
		{"a limit, and something runs", loan.Attached, onLoan(func(l *loan.Loan) { l.Lease.Idle = time.Minute }), loan.Rest, "", ""},
		{"idle, and the lender is not short", loan.Attached, func(l *loan.Loan, _ *loan.Sight, p *loan.Policy) { p.Recall, l.IdleSince = time.Minute, base }, loan.Rest, "", ""},
		{"idle and short, and nobody is called back", loan.Attached, func(l *loan.Loan, s *loan.Sight, _ *loan.Policy) { s.Wanted, l.IdleSince = true, base }, loan.Rest, "", ""},
		{"short, and something runs", loan.Attached, func(_ *loan.Loan, s *loan.Sight, p *loan.Policy) { p.Recall, s.Wanted = time.Nanosecond, true }, loan.Rest, "", ""},
		{"no limit to the attachment", loan.Granted, onLoan(func(l *loan.Loan) { l.Lease.Attach, l.Granted = 0, base.Add(-time.Hour) }), loan.Shut, "", ""},
		{"the limit to the attachment, once attached", loan.Attached, onLoan(func(l *loan.Loan) { l.Lease.Attach = time.Nanosecond }), loan.Rest, "", ""},
		{"an agent of which nothing was seen yet", loan.Granted, blind, loan.Shut, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t) })
	}
}

// owes says that the borrower did not answer in time.
func owes(l *loan.Loan, _ *loan.Sight, _ *loan.Policy) {
	l.Node.Owed, l.Since = true, base.Add(-time.Hour)
}

func dropped(l *loan.Loan, s *loan.Sight, _ *loan.Policy) {
	l.Node.Gone, s.Borrower.There, s.Borrower.Online = true, false, false
}

func dead(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) {
	s.Program = loan.Program{Stage: loan.ProgramEnded, Proof: "its process tree is gone"}
}

func away(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) {
	s.Borrower = loan.Borrower{Problem: "no route"}
}

func gone(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) { s.Lender.Gone, s.Lender.Present = true, false }

func withdrawn(_ *loan.Loan, s *loan.Sight, _ *loan.Policy) { s.Lender.Managed = false }

func released(l *loan.Loan, s *loan.Sight, p *loan.Policy) {
	dead(l, s, p)
	s.Released = true
}

// unproved lets a program have ended so long before now, and nothing says that nothing of it lives.
func unproved(ended time.Duration) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return onLoan(func(l *loan.Loan) { l.Run.Proof, l.Run.Ended = "", base.Add(time.Minute-ended) })
}

// since is how long before now the return began.
func since(d time.Duration) func(*loan.Loan, *loan.Sight, *loan.Policy) {
	return onLoan(func(l *loan.Loan) { l.Since = base.Add(time.Minute - d) })
}

func TestNextOnTheWayBack(t *testing.T) {
	t.Parallel()
	tests := []decision{
		{"the node goes first", loan.Returning, since(0), loan.DropNode, "", "before the agent is cleaned"},
		{"also when the program has ended", loan.Returning, and(since(0), dead), loan.DropNode, "", ""},
		{"also when the agent is gone", loan.Returning, and(since(0), gone), loan.DropNode, "", ""},
		{"for ten seconds", loan.Returning, and(since(10*time.Second-1), away), loan.DropNode, "", ""},
		{"then the borrower owes that", loan.Returning, and(since(10*time.Second), away), loan.Owe, "", "no route"},
		{"also where nobody knows why", loan.Returning, and(since(10*time.Second), blind), loan.Owe, "", "could not be deleted within 10s"},
		{"once", loan.Returning, and(owes, away), loan.Stop, "", ""},
		{"it pays while the lender does not answer", loan.Returning, and(owes, onSight(func(s *loan.Sight) { s.Lender.Answers = false })), loan.DropNode, "", "answers again"},
		{"also when a mark is all that is left to do there", loan.Returning, and(owes, dead, withdrawn, onSight(func(s *loan.Sight) { s.Lender.Answers = false })), loan.DropNode, "", "answers again"},
		{"and when that mark was seen only after it was given back", loan.Returning, and(owes, released, withdrawn, onSight(func(s *loan.Sight) { s.Lender.Answers = false })), loan.DropNode, "", "answers again"},
		{"the agent is given back without an answer of either", loan.Returning, and(owes, dead, onSight(func(s *loan.Sight) { s.Lender.Answers = false })), loan.Release, "", ""},
		{"when neither answers the program is ended as soon as that can be", loan.Returning, and(owes, away, onSight(func(s *loan.Sight) { s.Lender.Answers = false })), loan.Stop, "", ""},
		{"a borrower that answers and will not delete it keeps no lender from its agent", loan.Returning, owes, loan.Stop, "", ""},
		{"the program may end by itself", loan.Returning, and(since(3*time.Second-1), dropped), loan.Rest, "", "time to end"},
		{"for three seconds", loan.Returning, and(since(3*time.Second), dropped), loan.Stop, "", ""},
		{"one that is queued is not waited for", loan.Returning, and(since(0), dropped, onSight(func(s *loan.Sight) { s.Program.Stage = loan.ProgramQueued })), loan.Stop, "", ""},
		{"nor one of which nothing is known", loan.Returning, and(since(0), dropped, blind), loan.Stop, "", ""},
		{"a hand-over that nobody answered may have started one", loan.Returning, and(since(0), dropped, blind, onLoan(func(l *loan.Loan) { l.Run.Handed = time.Time{} })), loan.Stop, "", ""},
		{"the agent is given back when it has ended", loan.Returning, and(since(0), dropped, dead), loan.Release, "", "over"},
		{"also when the borrower owes the node", loan.Returning, and(owes, away, dead), loan.Release, "", "over"},
		{"without a proof of its end the borrower is waited for", loan.Returning, and(owes, away, dead, unproved(30*time.Second-1)), loan.Rest, "", "left no proof of its end, and the borrower does not answer"},
		{"for thirty seconds", loan.Returning, and(owes, away, dead, unproved(30*time.Second)), loan.Release, "", ""},
		{"and taken at its word as soon as it answers", loan.Returning, and(owes, dead, unproved(0)), loan.DropNode, "", "the borrower answers again"},
		{"without being waited for any longer", loan.Returning, and(owes, dead, unproved(30*time.Second)), loan.Release, "", ""},
		{"at once when there never was one", loan.Returning, and(since(0), dropped, onLoan(func(l *loan.Loan) { l.Run = loan.Run{} })), loan.Release, "", ""},
		{"without a node when none was made", loan.Returning, and(since(0), dead, onLoan(func(l *loan.Loan) { l.Node = loan.Node{Name: "mine"} })), loan.Release, "", ""},
		{"of an agent that is gone nothing can be learnt", loan.Returning, and(since(time.Hour), dropped, gone), loan.Release, "", ""},
		{"a withdrawn agent loses our mark first", loan.Returning, and(since(0), dropped, dead, withdrawn), loan.Unmark, "", "nobody is going to clean it"},
		{"when it has one", loan.Returning, and(since(0), dropped, dead, withdrawn, onLoan(func(l *loan.Loan) { l.Marked = false }), onSight(func(s *loan.Sight) { s.Lender.Marked = false })), loan.Release, "", ""},
		{"also when nobody said that it was set", loan.Returning, and(since(0), dropped, dead, withdrawn, onLoan(func(l *loan.Loan) { l.Marked = false })), loan.Unmark, "", "nobody is going to clean it"},
		{"and when that was seen only after it was given back", loan.Returning, and(dropped, released, withdrawn), loan.Unmark, "", "nobody is going to clean it"},
		{"not while the program runs", loan.Returning, and(since(time.Hour), dropped, withdrawn), loan.Stop, "", ""},
		{"it is clean again", loan.Returning, and(dropped, released, onSight(func(s *loan.Sight) { s.Back = true })), loan.Finish, "", "clean again"},
		{"and until then it waits", loan.Returning, and(dropped, released), loan.Rest, "", "to be clean again"},
		{"clean from before it was given back is not clean", loan.Returning, and(since(0), dropped, dead, onSight(func(s *loan.Sight) { s.Back = true })), loan.Release, "", ""},
		{"nobody waits for what is gone", loan.Returning, and(dropped, released, gone), loan.Finish, "", "no such agent"},
		{"nor for what was withdrawn", loan.Returning, and(dropped, released, withdrawn, onLoan(func(l *loan.Loan) { l.Marked = false }), onSight(func(s *loan.Sight) { s.Lender.Marked = false })), loan.Finish, "", "taken out"},
		{"a daemon that knows nothing does not give up", loan.Returning, and(dropped, blind, onSight(func(s *loan.Sight) { s.Released = true })), loan.Rest, "", ""},
		{"an owed node is tried meanwhile", loan.Returning, and(owes, released), loan.DropNode, "", "still at the borrower"},
		{"also after the loan is over", loan.Cleaned, onLoan(func(l *loan.Loan) { l.Node.Gone, l.Node.Owed = false, true }), loan.DropNode, "", "still at the borrower"},
		{"however it ended", loan.Failed, onLoan(func(l *loan.Loan) { l.Node = loan.Node{Name: "loan-l1", Made: true, Owed: true} }), loan.DropNode, "", "still at the borrower"},
		{"then there is nothing left to do", loan.Cleaned, blind, loan.Rest, "", "it is over"},
		{"nor after a wait in vain", loan.Expired, blind, loan.Rest, "", "it is over"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { t.Parallel(); tt.test(t) })
	}
}

// TestWhatBecameOfTheAgent holds what Finish says of it, which is how the loan ends.
func TestWhatBecameOfTheAgent(t *testing.T) {
	t.Parallel()
	now := base.Add(time.Minute)
	for name, tt := range map[string]struct {
		with func(*loan.Loan, *loan.Sight, *loan.Policy)
		kept bool
	}{
		"clean again":                 {onSight(func(s *loan.Sight) { s.Back = true }), true},
		"withdrawn":                   {and(withdrawn, onLoan(func(l *loan.Loan) { l.Marked = false }), onSight(func(s *loan.Sight) { s.Lender.Marked = false })), true},
		"gone":                        {gone, false},
		"gone, and clean before that": {and(gone, onSight(func(s *loan.Sight) { s.Back = true })), false},
	} {
		l := loanIn(t, loan.Returning)
		s, p := seen(l, now), loan.Policy{}
		and(dropped, released, tt.with)(&l, &s, &p)
		if act := loan.Next(l, s, p, now); act.Kind != loan.Finish || act.Kept != tt.kept {
			t.Errorf("%s: got %s, kept %t; want it finished, kept %t", name, act.Kind, act.Kept, tt.kept)
		}
	}
}
