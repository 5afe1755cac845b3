// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestASecondDaemonFromACopyTakesNoAgentFromABorrower starts a second daemon, in a process of its own, from a copy of the store of
// the first, for which the term of the loan is over. The first is killed in between, and goes on.
func TestASecondDaemonFromACopyTakesNoAgentFromABorrower(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	l := s.borrow()
	s.must(os.MkdirAll(s.file("copy"), 0o700))
	s.pitcrew("backup", s.file("copy/pitcrew.db"))
	s.overdue(s.file("copy/pitcrew.db"), l.ID)

	first := s.daemon
	text, err := os.ReadFile(s.file("pitcrew.yaml"))
	s.must(err)
	rival := strings.NewReplacer("data: "+s.dir+"/data", "data: "+s.dir+"/copy", "owner: "+s.name, "owner: "+s.name+"-rival")
	s.write("rival.yaml", rival.Replace(string(text)))
	second := s.startFrom("rival.yaml")
	s.await("the second daemon to be refused", func() bool { return strings.Contains(second.log.String(), `"msg":"controller is not serviced"`) })
	copied, err := second.Loan(s.ctx, l.ID)
	s.must(err)
	if time.Since(copied.Ends) < time.Minute {
		t.Errorf("in the copy its term ends %s", copied.Ends)
	}
	refused := time.Now()
	s.await("the second daemon to have had time for what it must not do", func() bool { return time.Since(refused) > 5*time.Second })
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

// overdue makes the term of a loan be long over in a store that no daemon has.
func (s *scene) overdue(path, id string) {
	s.Helper()
	db, err := store.Open(s.ctx, store.Options{Path: path, Owner: s.name})
	s.must(err)
	l, err := db.Loan(s.ctx, id)
	s.must(err)
	l.Until = time.Now().Add(-time.Hour)
	s.must(errors.Join(db.SaveLoan(s.ctx, l), db.Close()))
}
