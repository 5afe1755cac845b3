// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"maps"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// answer is what becomes of a request.
type answer string

const (
	answered   answer = "answered"
	refused    answer = "refused"    // or lost on its way there: nothing happened
	unanswered answer = "unanswered" // it happened, and nobody says so
)

// look sees what answers.
func (w *world) look() {
	w.lookAtLender()
	w.lookAtBorrower()
}

func (w *world) lookAtLender() {
	if w.lenderDead {
		w.sight.Lender.Answers = false
		return
	}
	l := loan.Lender{At: w.now, Answers: true, Present: w.exists, Gone: !w.exists, Managed: w.managed, Marked: w.exists && w.mark}
	if w.real {
		l.Real = "u"
	}
	if w.kept {
		l.Kept = "kept by ann"
	}
	w.sight.Lender = l
	w.lookAtProgram()
}

// lookAtProgram sees how far the program is. Ended means that it is known not to live.
func (w *world) lookAtProgram() {
	switch {
	case !w.exists:
	case w.alive:
		w.sight.Program = loan.Program{Stage: loan.ProgramRunning, Account: "guest", Started: true}
	case w.queued:
		w.sight.Program = loan.Program{Stage: loan.ProgramQueued}
	case !w.loan.Run.Handed.IsZero():
		w.sight.Program = loan.Program{Stage: loan.ProgramEnded, Says: "it ended", Proof: "its process tree is gone"}
	}
}

func (w *world) lookAtBorrower() {
	if w.borrowerDead {
		w.sight.Borrower = loan.Borrower{At: w.sight.Borrower.At, Problem: "no route"}
		return
	}
	there := w.nodes[w.loan.Node.Name] || w.loan.To.Own()
	w.sight.Borrower = loan.Borrower{At: w.now, Answers: true, There: there, Online: there && w.alive}
}

// decide asks Next, and holds what each of its answers may not be.
func (w *world) decide() loan.Action {
	w.Helper()
	w.sight.Released, w.sight.Back = !w.onLoan, w.back
	act := loan.Next(w.loan, w.sight, w.policy, w.now)
	obeys(w, w.loan, w.sight, act, w.now)
	switch {
	case act.Kind == loan.HandOver && w.clean:
		w.Fatalf("I9: handed over, and its labels say clean")
	case act.Kind == loan.Release && w.alive && w.exists:
		w.Fatalf("I9: released under a living program")
	case act.Kind == loan.Release && w.nodes[w.loan.Node.Name] && !w.loan.Node.Owed:
		w.Fatalf("released, and node %s is neither gone nor owed", w.loan.Node.Name)
	}
	return act
}

// step is one round of the daemon: decide, act, record.
func (w *world) step(a answer) loan.Action {
	w.Helper()
	if loan.Ahead(w.loan, w.now) {
		w.loan = loan.SetBack(w.loan, w.now)
	}
	act := w.decide()
	w.asked[act.Kind]++
	w.note("%s (%s), %s", act.Kind, act.Reason, a)
	w.do(act, a)
	w.pass(100 * time.Millisecond)
	return act
}

// do carries out an action as an honest daemon does: what might happen is stored before it is asked for, and
// what did happen when somebody says so.
func (w *world) do(act loan.Action, a answer) {
	w.Helper()
	if w.stored(act, a) {
		return
	}
	lender, borrower := !w.lenderDead && w.exists && a != refused, !w.borrowerDead && a != refused
	switch act.Kind {
	case loan.Shut:
		if lender {
			w.clean = false
			if a == answered {
				w.loan.Run.Shut = w.now
			}
		}
	case loan.MakeNode:
		w.loan.Node.Made = true
		if borrower {
			w.nodes[w.loan.Node.Name] = true
		}
	case loan.HandOver:
		w.handOver(lender, a)
	case loan.Mark:
		// A person's own mark is left to him.
		if lender && !w.kept {
			w.mark = true
			if a == answered {
				w.loan.Marked = true
			}
		}
	case loan.Unmark:
		if lender {
			w.mark = false
			if a == answered {
				w.loan.Marked = false
			}
		}
	case loan.DropNode:
		if borrower {
			w.dropNode()
			w.loan.Node.Gone = a == answered
		}
	case loan.Stop:
		if lender {
			w.queued = false
			w.endProgram()
			if a == answered && !w.alive {
				w.sight.Program, w.loan.Run.Ended = loan.Program{Stage: loan.ProgramEnded, Proof: "its process tree is gone"}, w.now
			}
		}
	case loan.Rest, loan.Ungrant, loan.Attach, loan.End, loan.Owe, loan.Release, loan.Finish:
	}
}

// stored does what is a transaction of the store alone: it happens or it does not, and the store knows.
func (w *world) stored(act loan.Action, a answer) bool {
	w.Helper()
	if a == refused {
		return act.Kind == loan.Rest
	}
	switch act.Kind {
	case loan.Ungrant:
		if !w.loan.Held() && w.exists && w.lenderDead {
			return true
		}
		w.mark = w.mark && w.loan.Held()
		w.move(w.loan.Ungrant(act.Reason, w.now))
		w.onLoan, w.due, w.back = false, true, false
	case loan.Attach:
		w.move(w.loan.Attach(act.Reason, w.now))
	case loan.End:
		w.move(w.loan.Return(act.Cause, act.Reason, w.now))
	case loan.Owe:
		w.loan.Node.Owed = true
	case loan.Release:
		w.onLoan, w.due, w.back = false, true, false
	case loan.Finish:
		w.move(w.loan.Finish(act.Kept, act.Reason, w.now))
	case loan.Rest, loan.Shut, loan.MakeNode, loan.HandOver, loan.Mark, loan.Unmark, loan.DropNode, loan.Stop:
		return act.Kind == loan.Rest
	}
	return true
}

// handOver starts the program, unless one is found that was started for this loan before. It needs the secret
// of the node, and the borrower has that.
func (w *world) handOver(lender bool, a answer) {
	if w.loan.To.Controller != "" && (w.borrowerDead || !w.nodes[w.loan.Node.Name]) {
		return
	}
	w.loan.Run.Intent = w.now
	if lender {
		if !w.queued && !w.alive {
			w.queued, w.busy = true, true
		}
		if a == answered {
			w.loan.Run.Handed = w.now
		}
	}
}

// dropNode deletes the node, whereupon its program ends, for it does not reconnect.
func (w *world) dropNode() {
	delete(w.nodes, w.loan.Node.Name)
	w.endProgram()
}

func (w *world) endProgram() {
	if !w.stubborn {
		w.alive = false
	}
	w.busy = w.queued || w.busy && w.alive
}

// twice does an action that was done already, as a daemon does that died before it could write that down, and
// holds that nothing comes of it.
func (w *world) twice(act loan.Action) {
	w.Helper()
	before := w.truth
	before.nodes = maps.Clone(w.nodes)
	again, isMove := map[loan.ActionKind]func() (loan.Loan, error){
		loan.Ungrant: func() (loan.Loan, error) { return w.loan.Ungrant(act.Reason, w.now) },
		loan.Attach:  func() (loan.Loan, error) { return w.loan.Attach(act.Reason, w.now) },
		loan.Finish:  func() (loan.Loan, error) { return w.loan.Finish(act.Kept, act.Reason, w.now) },
	}[act.Kind]
	if isMove {
		after, err := again()
		if err == nil {
			w.Fatalf("%s, done twice, is no error", act.Kind)
		}
		w.loan = after
	} else {
		w.do(act, answered)
	}
	if diff := cmp.Diff(before.timeless(), w.timeless(), cmp.AllowUnexported(truth{})); diff != "" {
		w.Fatalf("%s, done twice, changed:\n%s", act.Kind, diff)
	}
}

// timeless returns what is true without when the steps of the program were.
func (tr truth) timeless() truth {
	for _, at := range []*time.Time{&tr.loan.Run.Shut, &tr.loan.Run.Intent, &tr.loan.Run.Handed, &tr.loan.Run.Ended} {
		if !at.IsZero() {
			*at = base
		}
	}
	return tr
}
