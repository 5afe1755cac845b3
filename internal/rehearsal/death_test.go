// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"fmt"
	"testing"
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
