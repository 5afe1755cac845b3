// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// TestTheEndOfALoanEndsNothingOfItsTwins has four agents of one owner on one machine. Three are lent as one account: to a person, and as
// two nodes of a controller. The fourth works for its own controller meanwhile. Each end ends what is its own, and no more.
func TestTheEndOfALoanEndsNothingOfItsTwins(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("")
	var agents []*testbed.Agent
	for _, tail := range []string{"-person", "-first", "-second", "-own"} {
		agents = append(agents, s.agent(tail, "CLEANABLE"))
	}
	s.serve()
	for _, a := range agents {
		s.awaitLabels(a, "CLEANABLE CLEAN")
	}
	s.personsKey()
	loans := []api.Loan{s.awaitLoan(s.ask("--borrower", "others", "--to", "ssh", "--key", s.file("mine.pub"), "--agent", agents[0].Name), "attached")}
	for _, a := range agents[1:3] {
		l := s.awaitLoan(s.ask("--borrower", "staging", "--agent", a.Name), "attached")
		s.leave(l)
		loans = append(loans, l)
	}
	s.enter(loans[0])
	job := s.job(`"` + agents[3].Name + `"`)
	s.put(agents[3], "hold-build")
	build := s.number(s.schedule(job))

	for i, l := range loans {
		lives := map[string]int{}
		for _, other := range loans[i+1:] {
			lives[other.ID] = len(bearing("PITCREW_LOAN=" + other.ID))
		}
		s.pitcrew("loan", "return", l.ID)
		s.awaitLoan(l.ID, "cleaned")
		s.clear(l)
		for _, other := range loans[i+1:] {
			if n := len(bearing("PITCREW_LOAN=" + other.ID)); n < lives[other.ID] || n < 2 || s.lent(other.ID).State != "attached" {
				t.Errorf("of the loan of %s, %d processes lived before the end of that of %s, and %d after it: %+v", other.Agent, lives[other.ID], l.Agent, n, s.lent(other.ID))
			}
		}
	}
	if left := s.running(loans[0]); left != "" {
		t.Errorf("left is\n%s", left)
	}
	s.take(agents[3], "hold-build")
	if b := s.finish(job, build); b.Result != "SUCCESS" {
		t.Errorf("the build on the agent that was not lent is %+v", b)
	}
}
