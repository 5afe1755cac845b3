// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestASecondDaemonFromACopyTakesNoAgentFromABorrower starts a second daemon, in a process of its own, from a copy of the store of
// the first, for which the term of the loan is over. The first is killed in between, and goes on.
func TestASecondDaemonFromACopyTakesNoAgentFromABorrower(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	l := s.borrow()
	s.pitcrew("loan", "renew", l.ID, "--for", "5s")
	s.must(os.MkdirAll(s.file("copy"), 0o700))
	s.pitcrew("backup", s.file("copy/pitcrew.db"))
	s.pitcrew("loan", "renew", l.ID, "--for", "20m")

	first := s.daemon
	text, err := os.ReadFile(s.file("pitcrew.yaml"))
	s.must(err)
	rival := strings.NewReplacer("data: "+s.dir+"/data", "data: "+s.dir+"/copy", "owner: "+s.name, "owner: "+s.name+"-rival")
	s.write("rival.yaml", rival.Replace(string(text)))
	second := s.startFrom("rival.yaml")
	s.await("the second daemon to be refused", func() bool { return strings.Contains(second.log.String(), `"msg":"controller is not serviced"`) })
	copied, err := second.Loan(s.ctx, l.ID)
	s.must(err)
	s.await("the term in the copy to be long over", func() bool { return time.Since(copied.Ends) > 5*time.Second })
	_ = first.command.Process.Kill()
	<-first.ended
	s.startDaemon()
	if got := s.lent(l.ID); got.State != "attached" || !s.online(l) {
		t.Errorf("beside the second daemon the loan is %s: %s", got.State, got.Reason)
	}
	s.pitcrew("loan", "return", l.ID)
	s.awaitLoan(l.ID, "cleaned")
	s.awaitLabels(a, "CLEANABLE CLEAN")
	s.clear(l)
}
