// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// deaths are what may die under a rehearsal. Back brings what has to be there to take everything back; it is nil for what comes
// back by itself, and goes on without harm.
var deaths = map[string]func(w *workshop) (back func()){
	"the daemon restarts": func(w *workshop) func() {
		w.leave(true)
		w.after(30*time.Second, func() { w.leave(false) })
		return nil
	},
	"the controller is cut off": func(w *workshop) func() {
		w.after(20*time.Second, w.server.Inject(jenkinstest.Fault{Refuse: true}))
		return nil
	},
	"the daemon is dead":         func(w *workshop) func() { w.leave(true); return func() { w.leave(false) } },
	"the controller is dead":     func(w *workshop) func() { return w.server.Inject(jenkinstest.Fault{Refuse: true}) },
	"the borrowed agent is dead": func(w *workshop) func() { w.agentDies(); return func() {} },
	"the loan is called back":    callBack,
}

func callBack(w *workshop) func() {
	if l, err := w.Show(w.t.Context(), ""); err == nil && l.ID != "" && !l.State.Final() {
		w.turn(loan.Returning, "called back")
		w.agentDies()
	}
	return func() {}
}

func (w *workshop) after(d time.Duration, do func()) { time.AfterFunc(d, do) }

func (w *workshop) agentDies() {
	if a := w.server.Agent(w.node()); a != nil {
		a.Kill()
	}
}

// Whatever dies at whatever moment: the candidate is not blamed, the rehearsal ends soon, and once what has to take it back is there
// again nothing is left.
func TestWhateverDiesUnderARehearsalIsNoFaultOfTheCandidate(t *testing.T) {
	t.Parallel()
	const whole, step = 90 * time.Second, 7 * time.Second
	for name, die := range deaths {
		for at := time.Second; at < whole; at += step {
			t.Run(fmt.Sprintf("%s after %s", name, at), func(t *testing.T) {
				inWorkshop(t, func(w *workshop) {
					var back func()
					hit := make(chan struct{})
					w.after(at, func() { back = die(w); close(hit) })
					began := time.Now()
					result, err := w.rehearse(w.t.Context())
					took := time.Since(began)
					<-hit
					if result.Verdict == report.Failed {
						w.t.Errorf("the candidate is blamed: %v\n%s\n%s", err, cases(result), reasons(result))
					}
					if took > at+10*time.Minute {
						w.t.Errorf("it took %s", took)
					}
					if back != nil {
						back()
						time.Sleep(2 * time.Minute) // until requests are not held back any more
					}
					if err := w.undo.Run(w.t.Context()); err != nil {
						w.t.Error(err)
					}
				})
			})
		}
	}
}

// recalled is what a rehearsal says of a loan after [workshop.recall].
const recalled = "the loan ended in the middle (called back): another needs it"

func (w *workshop) recall() {
	w.mu.Lock()
	w.loan.Cause = loan.ByRecall
	w.mu.Unlock()
	w.turn(loan.Returning, "another needs it")
}

// Why an agent has gone its lender knows. Who of lender and controller sees it first, and what is done on the agent then, must not decide
// what a person is told.
func TestTheEndOfALoanIsToldWhoeverSeesItFirst(t *testing.T) {
	t.Parallel()
	const first, whole, step = 6 * time.Second, 90 * time.Second, 2 * time.Second
	for at := first; at < whole; at += step {
		for name, later := range map[string]time.Duration{"the lender": 0, "the controller": 3 * time.Second} {
			t.Run(fmt.Sprintf("%s after %s", name, at), func(t *testing.T) {
				inWorkshop(t, func(w *workshop) {
					w.looks = 2 * time.Second
					w.after(at, w.agentDies)
					w.after(at+later, w.recall)
					result, err := w.rehearse(w.t.Context())
					if err != nil || result.Verdict != report.Broken {
						w.t.Errorf("it is %s, %v", result.Verdict, err)
					}
					for _, c := range result.Agents[0].Cases {
						if c.Verdict == report.Broken && !strings.HasSuffix(c.Reason, recalled) {
							w.t.Errorf("%s: %s", c.Name, c.Reason)
						}
					}
				})
			})
		}
	}
}

// A lender that is away when the agent goes is waited for, as long as it may be away at all. One that knows nothing is not.
func TestAnAgentThatGoesBehindItsLendersBackIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	for reason, away := range map[string]time.Duration{
		"the agent has gone away": 0, recalled: time.Minute, "the lender cannot be told that this lives": time.Hour,
	} {
		t.Run(reason, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				const at = 20 * time.Second
				w.after(at, func() { w.leave(away > 0); w.agentDies() })
				w.after(at+away, func() {
					w.leave(false)
					if away > 0 {
						w.recall()
					}
				})
				result, err := w.rehearse(w.t.Context())
				if result.Verdict != report.Broken || !strings.Contains(reasons(result), reason) {
					w.t.Errorf("it is %s, %v: %s", result.Verdict, err, reasons(result))
				}
				time.Sleep(time.Hour) // the lender is back for what is left
				if err := w.undo.Run(w.t.Context()); err != nil {
					w.t.Error(err)
				}
			})
		})
	}
}

// A controller that keeps requests waiting for longer than the TTL is no reason for the lender to believe that nobody wants the loan:
// neither while a program runs, nor before the agent has been seen there.
func TestASilentControllerCostsNoLoan(t *testing.T) {
	t.Parallel()
	const ttl = 10 * time.Second
	for _, at := range []time.Duration{4 * time.Second, 20 * time.Second} {
		t.Run(at.String(), func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				w.ttl = ttl
				w.after(at, func() {
					mend := w.server.Inject(jenkinstest.Fault{Latency: 2 * ttl})
					w.after(5*time.Second, mend)
				})
				if result, err := w.rehearse(w.t.Context()); err != nil || result.Verdict != report.Passed {
					w.t.Errorf("it is %s, %v: %s", result.Verdict, err, reasons(result))
				}
			})
		})
	}
}

// A cut that is shorter than the TTL costs nothing, whichever request it meets first, whether the controller has served that or not, or
// serves it when nobody waits for the answer any more. No run is begun twice.
func TestAShortCutCostsNothing(t *testing.T) {
	t.Parallel()
	cuts := map[string]jenkinstest.Fault{"not served": {Refuse: true}, "served": {Lose: true}, "served late": {Latency: 40 * time.Second}, "not let through": {Status: 502}}
	for _, path := range []string{
		"/createItem", "/job/*/build*", "/queue/item/*/api/json", "/job/*/*/api/json", "/job/*/*/consoleText", "/job/*/*/stop", "/computer/*/api/json",
	} {
		for nth := 0; nth < 16; nth += 5 {
			for name, cut := range cuts {
				t.Run(fmt.Sprintf("%s, %s, %d", path, name, nth), func(t *testing.T) {
					inWorkshop(t, func(w *workshop) {
						cut.Path, cut.Skip, cut.Count = path, nth, 1
						cut.Before = func(*http.Request) { w.after(45*time.Second, w.server.Inject(jenkinstest.Fault{Refuse: true})) }
						w.after(7*time.Second, func() { w.server.Inject(cut) }) // the agent is here
						result, err := w.rehearse(w.t.Context())
						if err != nil || result.Verdict != report.Passed || w.runs > usualRuns {
							w.t.Errorf("it is %s with %d runs, %v: %s\n%s", result.Verdict, w.runs, err, cases(result), reasons(result))
						}
					})
				})
			}
		}
	}
}

// usualRuns of the candidate make a rehearsal.
const usualRuns = 7

// It ends a rehearsal once it has been silent for a TTL, as soon as a request has told so.
func TestAControllerThatIsSilentForGoodEndsTheRehearsal(t *testing.T) { //nolint:paralleltest // inWorkshop says it
	const ttl, request, stop, run = 10 * time.Second, 30 * time.Second, 30 * time.Second, 10 * time.Second
	inWorkshop(t, func(w *workshop) {
		w.ttl = ttl
		mends := make(chan func(), 1)
		w.after(20*time.Second, func() { mends <- w.server.Inject(jenkinstest.Fault{Latency: time.Hour}) })
		result, err := w.rehearse(w.t.Context())
		var died time.Duration
		for _, c := range result.Agents[0].Cases {
			if strings.Contains(c.Reason, "the controller does not answer") {
				died += c.Duration
			}
		}
		if most := run + ttl/6 + max(ttl, request) + stop; err == nil || result.Verdict != report.Broken || died == 0 || died > most {
			w.t.Errorf("it is %s after %s of at most %s, %v: %s", result.Verdict, died, most, err, reasons(result))
		}
		mend := <-mends
		mend()
		time.Sleep(2 * time.Minute) // until requests are not held back any more
		if err := w.undo.Run(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	})
}

// mortal is a controller that dies once.
type mortal struct{ done chan struct{} }

func (m *mortal) Done() <-chan struct{} { return m.done }

func (m *mortal) Err() error {
	select {
	case <-m.done:
		return errors.New("container pitcrew-1 ended with exit code 137\nits log ends with:\nhelp")
	default:
		return nil
	}
}

// A controller that is there for the rehearsal alone takes along what was made at it. The rehearsal ends at once then, says how it died,
// and has nothing to take back there.
func TestAControllerOfOurOwnThatDiesEndsTheRehearsal(t *testing.T) {
	t.Parallel()
	const whole, step = 70 * time.Second, 7 * time.Second
	for at := time.Second; at < whole; at += step {
		t.Run(at.String(), func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				w.mortal = &mortal{done: make(chan struct{})}
				var back func()
				hit := make(chan struct{})
				w.after(at, func() {
					back = w.server.Inject(jenkinstest.Fault{Refuse: true})
					close(w.mortal.done)
					w.agentDies()
					close(hit)
				})
				began := time.Now()
				result, err := w.rehearse(w.t.Context())
				if took := time.Since(began); err != nil || took > at+30*time.Second {
					w.t.Errorf("after %s: %v", took, err)
				}
				<-hit
				said := strings.Join(w.said, "\n")
				if result.Verdict == report.Failed || strings.Contains(said+reasons(result), "left behind") || !strings.Contains(said, "exit code 137") {
					w.t.Errorf("it is %s: %s\n%s", result.Verdict, reasons(result), said)
				}
				synctest.Wait() // a request that it had taken before its death may still be at work
				back()
				w.sweep()
			})
		})
	}
}

// sweep removes what the death of a real controller would have taken along.
func (w *workshop) sweep() {
	for j, err := range w.client.Jobs(w.t.Context()) {
		if err = errors.Join(err, w.client.DeleteJob(w.t.Context(), j.FullName)); err != nil {
			w.t.Error(err)
		}
	}
	for w.client.DeleteNode(w.t.Context(), w.node()) != nil {
		time.Sleep(time.Second) // a build that ends keeps it for a moment
	}
}
