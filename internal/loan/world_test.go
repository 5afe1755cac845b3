// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// truth is what really is, whoever knows it: it survives every daemon.
type truth struct {
	loan loan.Loan

	// The agent at the lender.
	exists, managed bool
	clean           bool // its labels say so
	mark            bool // it is offline with our mark
	kept            bool // it is offline by a person
	real            bool // a build that is not ours runs on it
	busy            bool // the build that runs our program is there, or waits for it

	// The program. It may outlive its build: the agent process at the lender may be killed under it.
	queued, alive bool
	stubborn      bool // nothing ends it for now

	nodes                    map[string]bool // that we made at the borrower
	lenderDead, borrowerDead bool

	// The store's row of the agent.
	onLoan, due, back bool
}

// world is one agent that is lent again and again, and the daemon that does it. The daemon is told what to do
// by [loan.Next] alone; what it knows beside the stored loan it forgets with every restart.
type world struct {
	reporter
	truth
	now, latest time.Time // the clock, and the latest that it ever showed
	sight       loan.Sight
	policy      loan.Policy
	selfLabel   bool // a job asks for the agent by its name, and nothing vetoes it
	grants      int64
	log         []string
	asked       map[loan.ActionKind]int // how often Next wanted what
}

func newWorld(t reporter, to loan.Target, lease loan.Lease) *world {
	return &world{
		reporter: t, now: base, latest: base, asked: map[loan.ActionKind]int{},
		truth: truth{
			loan:   loan.Loan{ID: "l1", Borrower: "lab", State: loan.Waiting, Since: base, Requested: base, To: to, Lease: lease},
			exists: true, managed: true, clean: true, nodes: map[string]bool{},
		},
	}
}

// Fatalf fails the test with the story so far.
func (w *world) Fatalf(format string, args ...any) {
	w.Helper()
	w.reporter.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(w.log, "\n"))
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8s %-9s ", w.now.Sub(base), w.loan.State)+fmt.Sprintf(format, args...))
}

// move changes the loan as its table allows, and holds that.
func (w *world) move(after loan.Loan, err error) {
	w.Helper()
	if err != nil {
		w.Fatalf("%v", err)
	}
	if after.State != w.loan.State && !loan.CanGo(w.loan.State, after.State) {
		w.Fatalf("went from %s to %s", w.loan.State, after.State)
	}
	w.loan = after
}

// pass lets time go by, or sets the clock.
func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	if w.now.After(w.latest) {
		w.latest = w.now
	}
}

// grant is what the daemon does with a waiting loan when its agent may be lent.
func (w *world) grant() {
	w.Helper()
	if w.loan.State != loan.Waiting || !w.exists || !w.managed || !w.clean || w.due || w.mark || w.kept || w.real || w.lenderDead {
		return
	}
	w.grants++
	node := loan.Node{}
	if w.loan.To.Kind == loan.ToController {
		node.Name = fmt.Sprintf("loan-%d", w.grants)
	}
	w.note("grant %d", w.grants)
	w.move(w.loan.Grant(linux3, w.grants, node, w.now))
	w.onLoan, w.back = true, false
	w.sight.Program, w.sight.Borrower = loan.Program{}, loan.Borrower{}
}

// holds is what must be true at any moment.
func (w *world) holds() {
	w.Helper()
	switch {
	case w.loan.Active() && w.onLoan && !w.loan.Run.Shut.IsZero() && w.clean:
		w.Fatalf("I9: on loan, and its labels say clean")
	case w.alive && w.exists && !w.onLoan:
		w.Fatalf("I9: the program lives, and the store has the agent as free")
	case w.alive && w.exists && w.clean:
		w.Fatalf("I9: the program lives, and its labels say clean")
	case w.loan.State == loan.Waiting && w.exists && w.mark:
		w.Fatalf("the loan has forgotten the agent, which keeps its mark")
	case w.loan.Over() && w.loan.Ended.IsZero() || w.loan.Reason == "" && w.loan.State != loan.Waiting:
		w.Fatalf("%s, ended %s (%s)", w.loan.State, w.loan.Ended, w.loan.Reason)
	}
	for name := range w.nodes {
		if name != w.loan.Node.Name || !w.loan.Node.Owing() {
			w.Fatalf("node %s is at the borrower, and nobody is going to delete it: %+v", name, w.loan.Node)
		}
	}
}

// build lets a real build try to start.
func (w *world) build() {
	w.Helper()
	if !w.exists || w.mark || w.kept || w.real || w.busy && w.alive || w.lenderDead || !w.clean && !w.selfLabel {
		return
	}
	w.note("a real build starts")
	if w.alive {
		w.Fatalf("I9: a real build starts beside the borrowed program")
	}
	w.real, w.clean, w.due = true, false, true
}

// start lets the build start that runs our program.
func (w *world) start() {
	offline := w.loan.Held() && (w.mark || w.kept) // which keeps a build off, and nobody who comes over SSH
	if w.queued && w.exists && !w.real && !offline && !w.lenderDead {
		w.note("its program starts")
		w.queued, w.alive = false, true
	}
}

// beCleaned is what becomes of an agent that is due and free.
func (w *world) beCleaned() {
	w.Helper()
	if w.onLoan || !w.exists || !w.managed || w.real || w.kept || !w.due || w.lenderDead {
		return
	}
	w.note("it is cleaned")
	if w.alive {
		w.Fatalf("I9: cleaned under a living program")
	}
	w.mark, w.clean, w.due, w.back = false, true, false, true
}

// settle lets the borrower answer again, and nobody else, and holds that a node which it owes is deleted.
func (w *world) settle() {
	w.Helper()
	w.note("the borrower answers, the lender does not")
	w.lenderDead, w.borrowerDead = true, false
	owed := w.loan.Node.Owed
	for range 20 {
		w.look()
		w.step(answered)
		w.holds()
		w.pass(10 * time.Second)
	}
	if owed && w.loan.Node.Owing() {
		w.Fatalf("the borrower answers, and still has %s", w.loan.Node.Name)
	}
}

// recover lets everything answer and every fault end, and holds that the loan comes to its end.
func (w *world) recover() {
	w.Helper()
	w.note("everything answers")
	w.lenderDead, w.borrowerDead, w.stubborn, w.kept = false, false, false, false
	if w.loan.State == loan.Waiting && (!w.exists || !w.managed) {
		w.exists, w.managed, w.mark, w.real, w.clean, w.due = true, true, false, false, true, false // another of the pool
	}
	// A lease lasts for as long as the clock was set back, and then its time.
	most := 200 + int((w.latest.Sub(w.now)+40*time.Minute)/(10*time.Second))
	for range most {
		w.real = false
		w.start()
		w.beCleaned()
		w.grant()
		w.look()
		before := w.truth
		before.nodes = maps.Clone(w.nodes)
		act := w.step(answered)
		w.holds()
		if act.Kind == loan.Rest {
			if w.loan.Over() {
				w.ended()
				return
			}
			w.pass(act.Wake.Sub(w.now))
		} else if diff := cmp.Diff(before, w.truth, cmp.AllowUnexported(truth{})); diff == "" {
			w.pass(10 * time.Second) // it failed: the engine backs off
		}
	}
	w.Fatalf("everything answers, and after %d steps the loan is %s", most, w.loan.State)
}

// ended holds what is true of a loan that is over, and of which nothing is left to do.
func (w *world) ended() {
	w.Helper()
	switch {
	case len(w.nodes) > 0:
		w.Fatalf("it is over, and the borrower still has %v", slices.Collect(maps.Keys(w.nodes)))
	case w.onLoan:
		w.Fatalf("it is over, and the agent is still on loan")
	case w.alive && w.exists:
		w.Fatalf("it is over, and its program lives")
	case w.exists && !w.managed && w.mark:
		w.Fatalf("it is over, and a withdrawn agent keeps our mark, which nobody is going to lift")
	case w.exists && w.managed && w.grants > 0 && !w.clean:
		w.Fatalf("it is over, and the agent is not clean")
	}
}
