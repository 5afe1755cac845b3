// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"cmp"
	"fmt"
	"time"
)

// ActionKind is what an [Action] asks for.
type ActionKind string

// The kinds of action.
const (
	// Rest: nothing to do until Wake, or until something is seen.
	Rest ActionKind = "rest"
	// Shut: make sure that nothing real runs or starts on the agent: dirty is written and read back.
	Shut ActionKind = "shut"
	// Ungrant: give the agent back of which nothing was started, without our mark, and wait for another.
	Ungrant ActionKind = "ungrant"
	// MakeNode: make the node at the borrower, unless it is there.
	MakeNode ActionKind = "make node"
	// HandOver: start the program on the lender's agent.
	HandOver ActionKind = "hand over"
	// Mark: take the agent offline at the lender, with our mark.
	Mark ActionKind = "mark"
	// Unmark: lift our mark of an agent that nobody is going to clean.
	Unmark ActionKind = "unmark"
	// Attach: note that the borrower has the agent.
	Attach ActionKind = "attach"
	// End: begin the return, or take a waiting loan out of the queue, for Cause.
	End ActionKind = "end"
	// DropNode: delete the node at the borrower.
	DropNode ActionKind = "drop node"
	// Owe: go on without the borrower, which owes the deletion.
	Owe ActionKind = "owe"
	// Stop: end the program on the lender's agent.
	Stop ActionKind = "stop"
	// Release: the agent is not on loan any more, and due.
	Release ActionKind = "release"
	// Finish: the agent has been dealt with.
	Finish ActionKind = "finish"
)

// Action is one decision as data.
type Action struct {
	Kind   ActionKind
	Reason string
	Cause  Cause     // of End
	Kept   bool      // of Finish: the agent is still there
	Wake   time.Time // of Rest
}

// Next returns the one action that loan l needs at now.
func Next(l Loan, s Sight, p Policy, now time.Time) Action {
	act := next(l, s, p, now)
	if act.Kind == Rest {
		if most := now.Add(lookAgain); act.Wake.IsZero() || act.Wake.After(most) {
			act.Wake = most
		}
	}
	return act
}

func next(l Loan, s Sight, p Policy, now time.Time) Action {
	switch l.State {
	case Waiting:
		return waiting(l, now)
	case Granted, Attached:
		if act, over := ends(l, s, p, now); over {
			return act
		}
		if l.State == Granted {
			return granted(l, s)
		}
		return attached(l, s)
	case Returning:
		return returning(l, s, now)
	case Cleaned, Expired, Failed:
		if l.Node.Owing() {
			return Action{Kind: DropNode, Reason: "its node is still at the borrower"}
		}
	}
	return rest("it is over")
}

func rest(reason string) Action { return Action{Kind: Rest, Reason: reason} }

func end(cause Cause, reason string) Action {
	return Action{Kind: End, Cause: cause, Reason: reason}
}

func waiting(l Loan, now time.Time) Action {
	if l.Want.Patience <= 0 {
		return rest("waits for an agent")
	}
	until := l.Requested.Add(l.Want.Patience)
	if now.Before(until) {
		return Action{Kind: Rest, Reason: "waits for an agent", Wake: until}
	}
	return end(ByPatience, fmt.Sprintf("no agent was found within %s", l.Want.Patience))
}

// ends holds everything that ends a loan which has an agent, most certain first.
func ends(l Loan, s Sight, p Policy, now time.Time) (Action, bool) {
	at, cause, why := l.Ends()
	switch {
	case s.Lender.Gone:
		return end(ByLender, "the lender has no such agent any more"), true
	case !s.Lender.At.IsZero() && !s.Lender.Managed:
		return end(ByLender, "the agent was taken out of pitcrew's care"), true
	case s.Program.Stage == ProgramEnded && s.Program.Refused:
		return end(ByRefusal, s.Program.Says), true
	case s.Program.Stage == ProgramEnded:
		return end(cmp.Or(s.Program.By, ByAbort), cmp.Or(s.Program.Says, "its program on the agent ended")), true
	case !now.Before(at):
		return end(cause, why), true
	}
	if l.State == Granted {
		late := l.Lease.Attach > 0 && !now.Before(l.Granted.Add(l.Lease.Attach))
		reason := fmt.Sprintf("the borrower did not have it within %s", l.Lease.Attach)
		if s.Borrower.Problem != "" {
			reason += ": " + s.Borrower.Problem
		}
		return end(ByTimeout, reason), late
	}
	idle := time.Duration(0)
	if !l.IdleSince.IsZero() {
		idle = now.Sub(l.IdleSince)
	}
	switch {
	case l.Lease.Idle > 0 && idle >= l.Lease.Idle:
		return end(ByIdle, fmt.Sprintf("nothing has run on it for %s", l.Lease.Idle)), true
	case s.Wanted && l.Recallable(p, now):
		return end(ByRecall, "it is idle, and the lender is short of clean agents"), true
	case s.Borrower.Answers && s.Borrower.At.After(l.Attached) && !s.Borrower.There && !l.To.Own() && l.To.Kind == ToController:
		return end(ByDeletion, "its node is not at the borrower any more"), true
	}
	return Action{}, false
}

// Recallable reports whether nothing has run on the agent for so long that a lender who is short may have it back.
func (l Loan) Recallable(p Policy, now time.Time) bool {
	return p.Recall > 0 && !l.IdleSince.IsZero() && now.Sub(l.IdleSince) >= p.Recall
}

// granted takes an agent to the borrower, one step after the other.
func granted(l Loan, s Sight) Action {
	if l.Run.Shut.IsZero() {
		return Action{Kind: Shut, Reason: "nothing real may start on it"}
	}
	if act, yes := taken(l, s); yes {
		return act
	}
	switch {
	case !l.Held() && !l.Marked:
		return Action{Kind: Mark, Reason: "no build of ours holds it"}
	case !l.Held() && !l.Run.Begun() && !s.Lender.Marked && s.Lender.Kept == "":
		return rest("waits to see its offline mark")
	case l.To.Kind == ToHold:
		return Action{Kind: Attach, Reason: "kept for " + l.Borrower}
	case !l.Run.Begun() && l.To.Kind == ToController && !l.To.Own() && (!l.Node.Made || !s.Borrower.There):
		return Action{Kind: MakeNode, Reason: "the borrower has no node for it yet, or nobody has seen it"}
	case !l.Run.Begun():
		return Action{Kind: HandOver, Reason: "the program that holds the loan is started"}
	case l.Run.Handed.IsZero():
		return Action{Kind: HandOver, Reason: "its hand-over was not answered: it is looked for first"}
	case s.Program.Stage != ProgramRunning:
		return rest("waits for its program to start")
	case !l.Marked:
		return Action{Kind: Mark, Reason: "its program runs"}
	case l.To.Kind == ToSSH && s.Program.Started:
		return Action{Kind: Attach, Reason: "may log in as " + s.Program.Account}
	case s.Borrower.Online:
		return Action{Kind: Attach, Reason: "online at the borrower as " + l.Node.Name}
	}
	return rest("waits for it to come online at the borrower")
}

// taken waits for a look at the agent that is newer than the labels which keep builds out, and gives it back when
// somebody else came to it first, as long as nothing was started on it. The node at the borrower goes before that:
// the loan forgets it. Without it there is no other way, whatever is seen then.
func taken(l Loan, s Sight) (act Action, yes bool) {
	why := ""
	switch {
	case l.Run.Begun() || l.Marked && l.Held():
	case s.Lender.At.After(l.Run.Shut) && s.Lender.Real != "":
		why = "a build came first: " + s.Lender.Real
	case s.Lender.Kept != "" && !l.Marked:
		why = s.Lender.Kept
	case l.Node.Gone:
		why = "its node was deleted because somebody came first"
	case !s.Lender.At.After(l.Run.Shut):
		return rest("waits for a look that is newer than its labels"), true
	}
	switch {
	case why == "":
		return Action{}, false
	case l.Node.Owing():
		return Action{Kind: DropNode, Reason: why}, true
	}
	return Action{Kind: Ungrant, Reason: why}, true
}

// attached keeps the agent of the lender out of its own builds for as long as the borrower has it.
func attached(l Loan, s Sight) Action {
	if s.Lender.Answers && s.Lender.Present && !s.Lender.Marked && s.Lender.Kept == "" && s.Lender.At.After(l.Attached) {
		return Action{Kind: Mark, Reason: "somebody lifted our offline mark"}
	}
	at, _, why := l.Ends()
	return Action{Kind: Rest, Reason: "on loan until " + why, Wake: at}
}

// returning takes the agent from the borrower, proves that nothing of the loan lives, and waits until
// the agent is clean.
func returning(l Loan, s Sight, now time.Time) Action {
	if l.Node.Owing() {
		if act, wait := dropping(l, s, now); wait {
			return act
		}
	}
	if !s.Released {
		return parted(l, s, now)
	}
	switch {
	case s.Lender.Gone:
		return Action{Kind: Finish, Reason: "the lender has no such agent any more"}
	case s.Back:
		return Action{Kind: Finish, Kept: true, Reason: "the agent is clean again"}
	case abandoned(l, s) && pays(l, s):
		return Action{Kind: DropNode, Reason: "the borrower answers again, and the lender does not"}
	case abandoned(l, s):
		return Action{Kind: Unmark, Reason: "nobody is going to clean it"}
	case !s.Lender.At.IsZero() && !s.Lender.Managed:
		return Action{Kind: Finish, Kept: true, Reason: "the agent was taken out of pitcrew's care"}
	case l.Node.Owing():
		return Action{Kind: DropNode, Reason: "its node is still at the borrower"}
	}
	return rest("waits for the agent to be clean again")
}

// dropping deletes the node before anything else. It lets the return go on when the borrower does not answer in time.
func dropping(l Loan, s Sight, now time.Time) (act Action, wait bool) {
	switch {
	case l.Node.Owed:
		return Action{}, false
	case !now.Before(l.Since.Add(owing)):
		return Action{Kind: Owe, Reason: cmp.Or(s.Borrower.Problem, fmt.Sprintf("its node could not be deleted within %s", owing))}, true
	}
	return Action{Kind: DropNode, Reason: "the node goes before the agent is cleaned"}, true
}

// parted sees to it that the program has ended, and gives the agent back then.
func parted(l Loan, s Sight, now time.Time) Action {
	running := l.Run.Begun() && s.Program.Stage != ProgramEnded
	switch {
	case running && s.Lender.Gone:
		// Nothing can be learnt of it any more, and nothing can be cleaned. Its node is gone or owed.
	case pays(l, s) && (running || abandoned(l, s)):
		return Action{Kind: DropNode, Reason: "the borrower answers again, and the lender does not"}
	case running && s.Program.Stage == ProgramRunning && now.Before(l.Since.Add(parting)):
		return Action{Kind: Rest, Reason: "its program is given time to end", Wake: l.Since.Add(parting)}
	case running:
		return Action{Kind: Stop, Reason: "its program is ended"}
	case l.Run.Begun() && l.Run.Proof == "" && l.Node.Owing() && now.Before(l.Run.Ended.Add(unproved)):
		if s.Borrower.Answers {
			return Action{Kind: DropNode, Reason: "its program left no proof of its end, and the borrower answers again"}
		}
		return Action{Kind: Rest, Reason: "its program left no proof of its end, and the borrower does not answer", Wake: l.Run.Ended.Add(unproved)}
	}
	if abandoned(l, s) {
		return Action{Kind: Unmark, Reason: "nobody is going to clean it"}
	}
	return Action{Kind: Release, Reason: cmp.Or(l.Reason, "back from loan")}
}

// abandoned reports whether an agent has our mark that no cleaning is going to lift. The mark may be there
// although nobody answered when it was set.
func abandoned(l Loan, s Sight) bool {
	return (l.Marked || s.Lender.Marked) && s.Lender.Present && !s.Lender.Managed
}

// pays reports whether the borrower could delete the node that it owes while nothing can be done at the lender.
// A program whose node is deleted ends by itself.
func pays(l Loan, s Sight) bool {
	return l.Node.Owing() && s.Borrower.Answers && !s.Lender.Answers
}
