// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// lendFaults are what may happen to loans at random; each is over when its function returns, or the one it returns was called.
var lendFaults = map[string]func(*lendRig, *rand.Rand) (end func()){
	"daemon": func(r *lendRig, _ *rand.Rand) func() { r.restart(); return nil },
	"lender": func(r *lendRig, _ *rand.Rand) func() { return r.down(r.jenkins) },
	"lender restarts": func(r *lendRig, _ *rand.Rand) func() {
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartNow))
		return nil
	},
	"borrower": func(r *lendRig, _ *rand.Rand) func() { return r.down(r.borrower) },
	"cut":      func(r *lendRig, _ *rand.Rand) func() { return r.borrower.Inject(jenkinstest.Fault{Refuse: true}) },
	"lost answers": func(r *lendRig, _ *rand.Rand) func() {
		return r.jenkins.Inject(jenkinstest.Fault{Lose: true, Probability: .3})
	},
	"borrower's lost answers": func(r *lendRig, _ *rand.Rand) func() {
		return r.borrower.Inject(jenkinstest.Fault{Lose: true, Probability: .3})
	},
	"agent": func(r *lendRig, x *rand.Rand) func() {
		name := fmt.Sprintf("linux-%d", x.IntN(len(r.spec.agents)))
		r.jenkins.Agent(name).Kill()
		return func() { _ = r.jenkins.Agent(name).Connect() }
	},
	"node": func(r *lendRig, x *rand.Rand) func() {
		fleet, _ := r.to.Fleet(r.t.Context()) // it may have been dead a moment ago
		for _, a := range fleet.Agents {
			if a.Name != "" && x.IntN(2) == 0 {
				_ = r.to.DeleteNode(r.t.Context(), a.Name)
			}
		}
		return nil
	},
}

// Whatever happens in whatever order: when it is over, all loans end, all agents are clean, nothing is left at the borrower.
func TestLoansEndInOrderAfterAnyRowOfFaults(t *testing.T) {
	takesLong(t)
	t.Parallel()
	seeds := uint64(6)
	if stride() == 1 {
		seeds = 100
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inLendRig(t, lendFleet(3, 0), func(r *lendRig) {
				x := rand.New(rand.NewPCG(seed, 1))
				r.takesFor(5 * time.Second)
				r.allClean()
				r.orphan()
				asked := r.requestMany("staging", 5)
				names := []string{"daemon", "lender", "lender restarts", "borrower", "cut", "lost answers", "borrower's lost answers", "agent", "node"}
				for range 8 {
					r.pass(time.Duration(x.IntN(40_000)) * time.Millisecond)
					what := names[x.IntN(len(names))]
					r.t.Logf("%s: %s", time.Now().Format(time.TimeOnly), what)
					end := lendFaults[what](r, x)
					r.pass(time.Duration(x.IntN(90_000)) * time.Millisecond)
					if x.IntN(3) == 0 {
						_, err := r.lender.Return(r.t.Context(), asked[x.IntN(len(asked))].ID, "ann", "enough")
						must(r.t, err)
					}
					if end != nil {
						end()
					}
				}
				for _, l := range asked {
					_, err := r.lender.Return(r.t.Context(), l.ID, "ann", "enough")
					must(r.t, err)
				}
				r.pass(2 * time.Minute) // until requests are not held back any more
				r.wait(90*time.Minute, "the end of all loans", func() bool { return len(r.count()) == 0 })
				r.allClean()
				for _, l := range asked {
					r.leftNothing(r.loan(l.ID))
				}
				r.peace()
			})
		})
	}
}
