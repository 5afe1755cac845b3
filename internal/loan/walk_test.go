// SPDX-License-Identifier: Apache-2.0

package loan_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

func someLease(t *rapid.T) loan.Lease {
	minutes := func(label string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, label)) * time.Minute
	}
	return loan.Lease{Term: time.Minute + minutes("term", 9), Max: minutes("max", 20), TTL: minutes("ttl", 5), Idle: minutes("idle", 5), Attach: minutes("attach", 3)}
}

// tally counts what random walks came by, so that a test can tell whether it tested anything.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *tally) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[what]++
}

// TestALoanComesToItsEndWhateverHappens lets everything fail that can, in any order: requests are lost, or
// only their answers; lender and borrower die; the program dies, or does not die; the agent vanishes or is
// withdrawn; people meddle; the clock is set; and the daemon forgets everything that is not stored. After
// every step it holds what must always be true, and in the end, when everything answers again, that the loan
// is over, nothing is left at the borrower and the agent is clean.
func TestALoanComesToItsEndWhateverHappens(t *testing.T) {
	t.Parallel()
	var all tally
	rapid.Check(t, func(t *rapid.T) {
		all.count("walk")
		w := newWorld(t, someTarget(t), someLease(t))
		w.selfLabel = rapid.Bool().Draw(t, "self-label job")
		w.policy = loan.Policy{Recall: time.Duration(rapid.IntRange(0, 3).Draw(t, "recall")) * time.Minute}
		if rapid.IntRange(0, 3).Draw(t, "impatient") == 0 {
			w.loan.Want.Patience = time.Minute
		}
		// Faults should find a loan at any point of its life, also late ones.
		for range rapid.IntRange(0, 14).Draw(t, "smooth steps") {
			w.grant()
			w.look()
			w.step(answered)
			w.start()
		}
		moves := events(w)
		for name, daemon := range map[string]func(*rapid.T){
			"daemon": w.round, "daemon 2": w.round, "daemon 3": w.round, "daemon 4": w.round, "daemon 5": w.round, "daemon 6": w.round,
		} {
			moves[name] = func(t *rapid.T) {
				daemon(t)
				all.count(string(w.loan.State))
			}
		}
		moves[""] = func(*rapid.T) { w.holds() }
		t.Repeat(moves)
		if rapid.Bool().Draw(t, "borrower first") {
			w.settle()
		}
		w.recover()
		all.count(string(w.loan.State))
		for kind := range w.asked {
			all.count("want " + string(kind))
		}
	})
	t.Log(all.seen)
	// Fewer walks, as with -short, need not come everywhere. What is rare has a story or a case of its own.
	if all.seen["walk"] < 100 || t.Failed() {
		return
	}
	for _, s := range []loan.State{loan.Waiting, loan.Granted, loan.Attached, loan.Returning, loan.Cleaned, loan.Failed} {
		if all.seen[string(s)] == 0 {
			t.Errorf("no walk came by %s", s)
		}
	}
	for _, kind := range []loan.ActionKind{
		loan.Rest, loan.Shut, loan.MakeNode, loan.HandOver, loan.Mark, loan.Attach, loan.End, loan.DropNode, loan.Stop, loan.Release, loan.Finish,
	} {
		if all.seen["want "+string(kind)] == 0 {
			t.Errorf("no walk wanted %s", kind)
		}
	}
}

// round is one of the daemon's, with any fault, on what it saw last or sees now.
func (w *world) round(t *rapid.T) {
	t.Helper()
	if rapid.IntRange(0, 3).Draw(t, "looks") > 0 {
		w.look()
	}
	a := rapid.SampledFrom([]answer{answered, answered, answered, answered, refused, unanswered}).Draw(t, "request is")
	act := w.step(a)
	if a == answered && rapid.IntRange(0, 3).Draw(t, "twice") == 0 {
		w.twice(act)
	}
	if rapid.IntRange(0, 5).Draw(t, "restarts") == 0 {
		w.note("the daemon restarts")
		w.sight = loan.Sight{}
	}
}

// events are what befalls a loan from outside.
func events(w *world) map[string]func(*rapid.T) {
	event := func(name string, f func()) func(*rapid.T) {
		return func(*rapid.T) { w.note("%s", name); f() }
	}
	out := map[string]func(*rapid.T){
		"time passes": func(t *rapid.T) { w.pass(seconds(t, "for", 120)) },
		"the clock is set": func(t *rapid.T) {
			w.pass(time.Duration(rapid.IntRange(-600, 600).Draw(t, "by")) * time.Second)
			w.note("the clock was set")
		},
		"grant":            func(*rapid.T) { w.grant() },
		"a build comes":    func(*rapid.T) { w.build() },
		"a build comes 2":  func(*rapid.T) { w.build() },
		"a build ends":     func(*rapid.T) { w.real = false },
		"program starts":   func(*rapid.T) { w.start() },
		"program starts 2": func(*rapid.T) { w.start() },
		"cleaning":         func(*rapid.T) { w.beCleaned() },
		"renewal": func(t *rapid.T) {
			if l, err := w.loan.Renew(seconds(t, "longer", 600), w.now); err == nil {
				w.loan = l
			}
		},
		"idle": func(t *rapid.T) {
			if w.loan.State == loan.Attached {
				w.loan.Idles(rapid.Bool().Draw(t, "is"), w.now)
			}
			w.sight.Wanted = rapid.Bool().Draw(t, "wanted")
		},
		"return": func(t *rapid.T) {
			if rapid.IntRange(0, 2).Draw(t, "really") == 0 {
				w.note("somebody returns it")
				w.move(w.loan.Return(loan.ByReturn, "somebody said so", w.now))
			}
		},
		"lender dies":     event("the lender dies or comes back", func() { w.lenderDead = !w.lenderDead }),
		"borrower dies":   event("the borrower dies or comes back", func() { w.borrowerDead = !w.borrowerDead }),
		"program dies":    event("the program dies", w.endProgram),
		"program resists": event("nothing ends the program, or something does again", func() { w.stubborn = !w.stubborn }),
		"crash": func(*rapid.T) {
			// Before it is marked only its executor keeps builds out; that one moment nothing can cover.
			if w.mark && w.alive {
				w.note("the agent process at the lender is killed, and its program lives on")
				w.busy = false
			}
		},
		"mark is lifted": func(*rapid.T) {
			if w.busy || !w.alive {
				w.note("a person lifts our mark")
				w.mark = false
			}
		},
		"kept":      event("a person keeps the agent, or gives it back", func() { w.kept = !w.kept }),
		"node goes": event("somebody deletes the node", func() { w.dropNode() }),
		"agent goes": func(t *rapid.T) {
			switch rapid.IntRange(0, 5).Draw(t, "how") {
			case 0:
				w.note("the agent is deleted at the lender")
				w.exists, w.busy, w.queued, w.mark, w.real, w.clean = false, false, false, false, false, false
			case 1:
				w.note("the agent is withdrawn")
				w.managed, w.clean = false, false
			}
		},
	}
	return out
}
