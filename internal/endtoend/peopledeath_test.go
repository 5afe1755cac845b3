// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// enter logs in as a loan says and stays; a process in the background, which is not of the session any more, says that it is there.
func (s *scene) enter(l api.Loan) *exec.Cmd {
	s.Helper()
	there := filepath.Join(s.home(l), "there")
	c := exec.CommandContext(s.ctx, "ssh", s.toLogin(l, "setsid sh -c 'echo >there; exec sleep 600' >/dev/null 2>&1 </dev/null & exec sleep 600")...)
	s.must(c.Start())
	s.Cleanup(func() {
		_ = c.Process.Kill() // ended already
		_ = c.Wait()
	})
	s.await("a session", func() bool {
		_, err := os.Stat(there)
		return err == nil
	})
	return c
}

func (s *scene) home(l api.Loan) string {
	s.Helper()
	u, err := user.Lookup(l.Account)
	s.must(err)
	return u.HomeDir
}

// running are the living processes of the account of a loan. Some init may not have noticed yet that others have ended.
func (s *scene) running(l api.Loan) (all string) {
	s.Helper()
	out, err := exec.CommandContext(s.ctx, "ps", "-u", l.Account, "-o", "state=,pid=,args=").Output()
	if _, none := errors.AsType[*exec.ExitError](err); !none {
		s.must(err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "Z") {
			all += line
		}
	}
	return all
}

// TestAKillOfTheDaemonLetsNobodyStayLonger kills the daemon while a person is logged in to one agent and another is kept for one. Their
// terms end while it is dead.
func TestAKillOfTheDaemonLetsNobodyStayLonger(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("")
	one, two := s.agent("-a", "CLEANABLE"), s.agent("-b", "CLEANABLE")
	s.serve()
	s.awaitLabels(one, "CLEANABLE CLEAN")
	s.awaitLabels(two, "CLEANABLE CLEAN")
	before := []int{s.cleanups(one), s.cleanups(two)}
	s.personsKey()
	logged := s.lent(strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "others", "--to", "ssh", "--agent", one.Name, "--key", s.file("mine.pub"), "-o", "name")))
	kept := s.lent(strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "others", "--to", "hold", "--agent", two.Name, "-o", "name")))
	first := s.enter(logged)
	s.enter(logged)
	s.must(first.Process.Signal(syscall.SIGKILL)) // a session that ends ends no loan
	s.polled(one)
	if out, err := s.login(logged); err != nil {
		t.Errorf("after the end of a session nobody is let in: %q, %v", out, err)
	}
	for _, l := range []api.Loan{logged, kept} {
		s.pitcrew("loan", "renew", l.ID, "--for", "2s")
	}
	ends := time.Now().Add(2 * time.Second)
	_ = s.daemon.command.Process.Kill()
	<-s.daemon.ended
	for _, a := range []*testbed.Agent{one, two} {
		if got := s.labels(a); got != "CLEANABLE DIRTY" {
			t.Errorf("%s is labelled %q", a.Name, got)
		}
	}
	s.await("the end of the terms", func() bool { return time.Now().After(ends) })
	s.startDaemon()
	for _, l := range []api.Loan{logged, kept} {
		if l = s.awaitLoan(l.ID, "cleaned"); l.Cause != "expired" {
			t.Errorf("it ended by %q: %s", l.Cause, l.Reason)
		}
		s.clear(l)
	}
	if out, err := s.login(logged); err == nil {
		t.Errorf("after the loan the key is let in: %q", out)
	}
	if keys, err := os.ReadFile(filepath.Join(s.home(logged), ".ssh", "authorized_keys")); err != nil || strings.Contains(string(keys), logged.ID) {
		t.Errorf("the key is left: %q, %v", keys, err)
	}
	if left := s.running(logged); left != "" {
		t.Errorf("left is\n%s", left)
	}
	s.awaitLabels(one, "CLEANABLE CLEAN")
	s.awaitLabels(two, "CLEANABLE CLEAN")
	for i, n := range []int{s.cleanups(one), s.cleanups(two)} {
		if n -= before[i]; n != 1 {
			t.Errorf("agent %d was cleaned %d times since", i, n)
		}
	}
}
