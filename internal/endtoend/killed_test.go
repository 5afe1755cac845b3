// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// TestABorrowerThatIsKilledHasNoNodeOfALoanLeft has a borrower of its own, which nobody else needs.
func TestABorrowerThatIsKilledHasNoNodeOfALoanLeft(t *testing.T) {
	t.Parallel()
	s := lends(t)
	mortal, err := testbed.Open(s.ctx, "pce2k")
	s.must(err)
	t.Cleanup(func() { s.must(mortal.Close(context.WithoutCancel(s.ctx))) })
	if mortal.Real {
		t.Skip("the controller is not ours to kill")
	}
	s.lendsTo("mortal", mortal.URL, mortal.Token)
	a := s.cleanAgent()
	before := s.cleanups(a)
	l := s.awaitLoan(s.ask("--borrower", "mortal"), "attached")
	s.must(mortal.Restart(s.ctx, testbed.Kill))
	l = s.awaitLoan(l.ID, "cleaned")
	s.await("nothing to be owed", func() bool { return !s.lent(l.ID).NodeLeft })
	if answer, err := mortal.Send(s.ctx, testbed.Request{Method: "GET", Path: testbed.NodePath(l.Node) + "/api/json"}); err != nil || answer.Status != 404 {
		t.Errorf("its node at the borrower answers %d, %v", answer.Status, err)
	}
	s.awaitLabels(a, "CLEANABLE CLEAN")
	if n := s.cleanups(a) - before; n != 1 {
		t.Errorf("it was cleaned %d times since", n)
	}
	s.clear(l)
}

// TestI9NoBuildLandsOnALoanWhoseLenderIsKilled is no parallel test: it disturbs all others.
func TestI9NoBuildLandsOnALoanWhoseLenderIsKilled(t *testing.T) { //nolint:paralleltest // see above
	s := lends(t)
	if !controller.CanRestart() {
		t.Skip("the controller is not ours to kill")
	}
	a := s.cleanAgent()
	l := s.borrow()
	s.leave(l)
	job := s.job("CLEAN")
	s.must(controller.Restart(s.ctx, testbed.Kill))
	item := s.schedule(job) // what was in the queue is lost
	a.WaitOnline(s.ctx, t)
	l = s.awaitLoan(l.ID, "cleaned")
	if got := s.nodeAt(l); got != 404 {
		t.Errorf("its node at the borrower answers %d", got)
	}
	s.clear(l)
	proofs := s.told(a, "cleanup.proved", 2) // the newest first: one more may have followed the build
	proved := proofs[len(proofs)-2].At.Truncate(time.Millisecond)
	if b := s.finish(job, s.number(item)); b.Result != "SUCCESS" || b.started().Before(proved) {
		t.Errorf("the agent was proved clean at %s, and a build that waited for that is %+v", proved, b)
	}
	if got := s.contaminated(); len(got) > 0 {
		t.Errorf("contaminated are %v", got)
	}
}
