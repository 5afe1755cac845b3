// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"syscall"
	"testing"
)

// TestALoanOverSSHWhoseProgramsAreAllKilledIsReturned has nobody left on the machine who could end the loan or remove its files.
func TestALoanOverSSHWhoseProgramsAreAllKilledIsReturned(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("  delivery: ssh\n")
	a := s.cleanAgent()
	l := s.borrow()
	s.leave(l)
	program := s.agentProgram(l)
	s.must(syscall.Kill(s.parent(program), syscall.SIGKILL))
	s.must(syscall.Kill(program, syscall.SIGKILL))
	s.pitcrew("loan", "return", l.ID)
	l = s.awaitLoan(l.ID, "cleaned")
	if got := s.nodeAt(l); got != 404 {
		t.Errorf("its node at the borrower answers %d", got)
	}
	s.told(a, "agent.clean", 2)
	if why := s.told(a, "cleanup.running", 2)[0].Reason; why != "runs over SSH" {
		t.Errorf("of its cleanup is told that it %s", why)
	}
	s.awaitLabels(a, "CLEANABLE CLEAN")
	s.clear(l)
}
