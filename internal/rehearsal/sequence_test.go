// SPDX-License-Identifier: Apache-2.0

package rehearsal_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// cases tells what became of each case, in their order.
func cases(r *report.Report) string {
	var all []string
	for _, c := range r.Agents[0].Cases {
		all = append(all, c.Name+": "+string(c.Verdict))
	}
	return strings.Join(all, "\n")
}

func reasons(r *report.Report) string {
	var all []string
	for _, c := range r.Agents[0].Cases {
		all = append(all, c.Reason)
	}
	return strings.Join(all, "\n")
}

const allPassed = `production recipe: passed
on the agent as it is: passed
again at once: passed
after a mess: passed
after a run that was stopped: passed
after a run that was killed: passed
comes back clean: passed`

func TestAGoodCandidatePassesEverything(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Passed || cases(result) != allPassed {
			w.t.Errorf("%v, %s\n%s\n%s", err, result.Verdict, cases(result), reasons(result))
		}
		if w.ask.TTL != 2*time.Minute || w.ask.CA != "ours" || !strings.HasPrefix(w.ask.Node, "pitcrew-rehearsal-") || w.renews == 0 {
			w.t.Errorf("asked for was %+v, renewed %d times", w.ask, w.renews)
		}
		if a := result.Agents[0]; !a.Compared || len(a.Differences) > 0 || a.Against.Revision != w.production.Revision {
			w.t.Errorf("the result is %+v", a)
		}
		if result.Overhead <= 0 || result.Overhead >= result.Duration {
			w.t.Errorf("of %s %s are overhead", result.Duration, result.Overhead)
		}
		for _, line := range append(w.said, reasons(result)) {
			if w.ask.Secret == "" || strings.Contains(line, w.ask.Secret) {
				w.t.Errorf("the secret of the node was told: %s", line)
			}
		}
	})
}

func TestEachFaultOfACandidateIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		bend   func(w *workshop)
		failed string // the case
		reason string
	}{
		"it fails": {func(w *workshop) {
			w.bend = func(_ int, r *recipe.Report) {
				r.Outcome, r.Verified, r.Reason = recipe.Failed, false, "sweep"
				r.Steps[0].Outcome = recipe.StepFailed
			}
		}, "on the agent as it is", "it ended failed: sweep"},
		"its second run changes something": {func(w *workshop) { w.marks = func(int) int { return 1 } }, "again at once", "marks"},
		"it leaves a mess":                 {func(w *workshop) { w.leaves = true }, "after a mess", "files-tree"},
		"it does not recover": {func(w *workshop) {
			w.bend = func(run int, r *recipe.Report) {
				if run == 5 { // the fourth was stopped
					r.Outcome, r.Verified, r.Reason = recipe.Failed, false, "stale lock"
					r.Steps[0].Outcome = recipe.StepFailed
				}
			}
		}, "after a run that was stopped", "stale lock"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				tc.bend(w)
				result, err := w.rehearse(w.t.Context())
				if err != nil || result.Verdict != report.Failed {
					w.t.Errorf("%v, %s", err, result.Verdict)
				}
				if got := cases(result); strings.Count(got, "failed") != 1 || !strings.Contains(got, tc.failed+": failed") || !strings.Contains(reasons(result), tc.reason) {
					w.t.Errorf("found was\n%s\n%s", got, reasons(result))
				}
			})
		})
	}
}

func TestWhatDiffersFromProductionIsShownAndFailsNothing(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		w.marks = func(run int) int { return map[int]int{1: 7}[run] }
		result, err := w.rehearse(w.t.Context())
		if err != nil || cases(result) != allPassed || len(result.Agents[0].Differences) != 1 || result.Agents[0].Differences[0].Key != "marks" {
			w.t.Errorf("%v: %+v\n%s", err, result.Agents[0].Differences, cases(result))
		}
	})
}

// What production takes away is not known where it does not clean.
func TestAMessIsHeldAgainstNobodyWhereProductionDoesNotClean(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		w.unable, w.leaves = true, true
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Passed || !strings.Contains(cases(result), "after a mess: skipped") || !strings.Contains(reasons(result), "the candidate left files-tree") {
			w.t.Errorf("%v, %s\n%s\n%s", err, result.Verdict, cases(result), reasons(result))
		}
	})
}

// A pool that lends nothing, or is not at the revision that was named, is told before anything is asked for.
func TestNothingIsBorrowedWhereNothingCanBeComparedWith(t *testing.T) {
	t.Parallel()
	for name, wish := range map[string]rehearsal.Wish{"of a pool that was named": {Pools: []string{"el8"}}, "of any": {}} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				w.wish, w.unknown = wish, errors.New("there is no such pool")
				began := time.Now()
				result, err := w.rehearse(w.t.Context())
				if !errors.Is(err, w.unknown) || len(result.Agents) > 0 || w.ask.Node != "" || time.Since(began) > time.Second {
					w.t.Errorf("after %s: %v, %+v, asked for was %+v", time.Since(began), err, result, w.ask)
				}
			})
		})
	}
}

func TestWhoWaitsForAnAgentIsToldSo(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		w.wish.Agents = "el8"
		_, err := w.rehearse(w.t.Context())
		if !errors.Is(err, rehearsal.ErrNothing) || len(w.said) != 1 || !strings.HasPrefix(w.said[0], "waits up to 10m0s for an agent: none is offered") {
			w.t.Errorf("%v; it said %q", err, w.said)
		}
	})
}

func TestWhoWaitsForAnAgentWaitsForTheDaemonAsWell(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		back    time.Duration // after which the desk answers again
		nothing bool          // is offered, says the end
		took    time.Duration // at most
	}{
		"it restarts": {time.Minute, true, 11 * time.Minute}, "it does not come back": {time.Hour, false, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				w.wish.Agents = "el8"
				began := time.Now()
				w.after(10*time.Second, func() { w.leave(true) })
				w.after(tc.back, func() { w.leave(false) })
				_, err := w.rehearse(w.t.Context())
				if took := time.Since(began); err == nil || errors.Is(err, rehearsal.ErrNothing) != tc.nothing || took > tc.took {
					w.t.Errorf("after %s: %v", took, err)
				}
				time.Sleep(2 * time.Hour) // the desk answers again for what is looked at now
			})
		})
	}
}

func TestWhatThePoolIgnoresMakesNoDifference(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		w.marks, w.ignore = func(int) int { return 1 }, state.Ignore{Facts: []string{"mar*"}}
		result, err := w.rehearse(w.t.Context())
		if err != nil || cases(result) != allPassed || len(result.Agents[0].Differences) > 0 {
			w.t.Errorf("%v: %+v\n%s", err, result.Agents[0].Differences, cases(result))
		}
	})
}

func TestAnInterruptedRehearsalReturnsEverything(t *testing.T) {
	for name, after := range map[string]time.Duration{
		"while it borrows": 2 * time.Second, "in the first run": 8 * time.Second, "in a run of the candidate": 25 * time.Second, "later": 45 * time.Second, "after the mess": 60 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				ctx, cancel := context.WithTimeout(w.t.Context(), after)
				defer cancel()
				began := time.Now()
				result, err := w.rehearse(ctx)
				if !errors.Is(err, context.DeadlineExceeded) || result.Verdict == report.Passed && strings.Contains(cases(result), "broken") {
					w.t.Errorf("%v: %s", err, cases(result))
				}
				if took := time.Since(began) - after; took > 20*time.Second {
					w.t.Errorf("to return everything took %s", took)
				}
			})
		})
	}
}

// What the controller is just making when it ends is not there yet for whoever takes it back too soon.
func TestAnInterruptionWhileSomethingIsMadeReturnsThatToo(t *testing.T) {
	t.Parallel()
	for name, making := range map[string]jenkinstest.Fault{
		"the node": {Path: "/computer/doCreateItem"}, "the first job": {Path: "/createItem"}, "a later job": {Path: "/createItem", Skip: 5},
	} {
		t.Run(name, func(t *testing.T) {
			inWorkshop(t, func(w *workshop) {
				ctx, cancel := context.WithCancel(w.t.Context())
				defer cancel()
				making.Count, making.Before = 1, func(*http.Request) {
					cancel()
					time.Sleep(time.Second) // of the controller's, which goes on without the client
				}
				defer w.server.Inject(making)()
				if result, err := w.rehearse(ctx); !errors.Is(err, context.Canceled) {
					w.t.Errorf("%v: %s", err, cases(result))
				}
			})
		})
	}
}

// A build that is just ending keeps its node for a moment, in which nobody may take it for something that stays.
func TestANodeThatABuildKeepsIsDeletedAMomentLater(t *testing.T) { //nolint:paralleltest // inWorkshop says it
	inWorkshop(t, func(w *workshop) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 25*time.Second)
		defer cancel()
		w.server.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/computer/*/doDelete", Count: 3, Drop: true})
		if result, err := w.rehearse(ctx); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(reasons(result), "left behind") {
			w.t.Errorf("%v: %s", err, reasons(result))
		}
	})
}

func TestALoanThatEndsInTheMiddleIsNoFaultOfTheCandidate(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		go func() {
			time.Sleep(30 * time.Second)
			w.mu.Lock()
			w.loan.Cause = loan.ByRecall
			w.mu.Unlock()
			w.turn(loan.Cleaned, "the agent is clean again") // before anybody looks
		}()
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Broken || !strings.Contains(reasons(result), "the loan ended in the middle (called back): the agent is clean again") {
			w.t.Errorf("%v, %s\n%s\n%s", err, result.Verdict, cases(result), reasons(result))
		}
	})
}

// A whole rehearsal is many cleanups: it may take longer than what a pool lends for when nobody says how long.
func TestARehearsalIsNotCutShortByTheUsualTerm(t *testing.T) {
	inWorkshop(t, func(w *workshop) {
		w.takes, w.term = time.Minute, 3*time.Minute
		result, err := w.rehearse(w.t.Context())
		if err != nil || result.Verdict != report.Passed {
			w.t.Errorf("%s, %v:\n%s\n%s", result.Verdict, err, cases(result), reasons(result))
		}
	})
}
