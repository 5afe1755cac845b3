// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// overSSH makes the pool of a scene reach its machine, which is this one, over SSH, and lend as an account of its own.
func (s *scene) overSSH(more string) (account string) {
	s.Helper()
	port, account := s.sshd(), s.lendsAs()
	s.more = fmt.Sprintf("  ssh: {user: root, host: 127.0.0.1, port: %d, key: \"file:%s/client\", knownHosts: %[2]s/known_hosts, hosts: {%s: 127.0.0.1}}\n%s",
		port, s.dir, s.name, more) + s.more
	return account
}

// lendsAs makes the pool of a scene lend as an account of its own.
func (s *scene) lendsAs() (account string) {
	s.Helper()
	account = s.account()
	s.more = strings.Replace(s.more, "loans: {", "loans: {account: "+account+", ", 1)
	s.must(os.Chmod(s.dir, 0o711))
	s.must(os.MkdirAll(filepath.Join(s.dir, "loans"), 0o777))
	s.must(os.Chmod(filepath.Join(s.dir, "loans"), 0o777))
	s.more = strings.Replace(s.more, "dir: "+s.dir+",", "dir: "+s.dir+"/loans,", 1)
	for dir := filepath.Dir(s.dir); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		s.must(os.Chmod(dir, 0o711)) // the account has to get there
	}
	return account
}

func TestALoanOverSSHIsHeldByNoBuildAndItsMarkComesFirst(t *testing.T) {
	t.Parallel()
	s := lends(t)
	account := s.overSSH("  delivery: ssh\n")
	a := s.cleanAgent()
	l := s.borrow()
	if !s.online(l) {
		t.Error("it is not online at the borrower")
	}
	if l.Build != "" || l.Account != account || !l.Isolated {
		t.Errorf("it is held by build %q and runs as %q, isolated %t", l.Build, l.Account, l.Isolated)
	}
	s.stopDaemon(s.daemon) // the loan goes on without it
	if !s.online(l) {
		t.Error("without the daemon it is not online any more")
	}
	s.more = strings.Replace(s.more, "  loans: {", "  # {", 1) // nor does it need a pool that still lends to come back
	s.configure()
	s.startDaemon()
	s.pitcrew("loan", "return", l.ID)
	l = s.awaitLoan(l.ID, "cleaned")
	if got := s.nodeAt(l); got != 404 {
		t.Errorf("its node at the borrower answers %d", got)
	}
	s.awaitLabels(a, "CLEANABLE CLEAN")
	s.clear(l)
}

// Its start takes until the borrower has the agent, which here is never.
func TestALoanOverSSHThatIsReturnedWhileItStartsComesBackAtOnce(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("  delivery: ssh\n")
	a := s.cleanAgent()
	loans, err := s.daemon.RequestLoans(s.ctx, api.LoanRequest{
		Borrower: "others", To: api.LoanTarget{Kind: "controller", URL: borrower.URL}, Node: s.name + "-ghost", Secret: strings.Repeat("0", 64),
	})
	s.must(err)
	l := loans[0]
	s.await("its program", func() bool {
		left, err := filepath.Glob(filepath.Join(s.dir, "loans", "pitcrew-loan-"+l.ID, "*"))
		return err == nil && len(left) > 0
	})
	s.pitcrew("loan", "return", l.ID)
	returned := time.Now()
	l = s.awaitLoan(l.ID, "failed")
	if took := time.Since(returned); took > 40*time.Second { // it would have started for 90
		t.Errorf("it came back after %s: %s", took, l.Reason)
	}
	s.awaitLabels(a, "CLEANABLE CLEAN")
	s.clear(l)
}

// The borrower shows the node offline long before the program would be asked again whether it lives.
func TestALoanOverSSHWhoseAgentProgramIsKilledEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("  delivery: ssh\n")
	a := s.cleanAgent()
	l := s.borrow()
	program := s.agentProgram(l)
	s.await("the program being asked whether it lives", func() bool { return time.Since(l.Attached) > 3*time.Second }) // next time half a minute later
	killed := time.Now()
	s.must(syscall.Kill(program, syscall.SIGKILL))
	l = s.awaitLoan(l.ID, "cleaned")
	if took := l.Returned.Sub(killed); l.Cause != "aborted" || took > 25*time.Second {
		t.Errorf("it ended by %q (%s), %s after its program was killed", l.Cause, l.Reason, took)
	}
	s.awaitLabels(a, "CLEANABLE CLEAN")
	s.clear(l)
}

// What a daemon has lent over SSH comes back, too, when its configuration says no more how the machines are reached.
func TestALoanOverSSHWhosePoolIsGoneIsEnded(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.overSSH("  delivery: ssh\n")
	one, two := s.agent("-a", "CLEANABLE"), s.agent("-b", "CLEANABLE")
	s.more = strings.Replace(s.more, "hosts: {"+s.name+": 127.0.0.1}", fmt.Sprintf("hosts: {%s: 127.0.0.1, %s: 127.0.0.1}", one.Name, two.Name), 1)
	s.serve()
	s.awaitLabels(one, "CLEANABLE CLEAN")
	s.awaitLabels(two, "CLEANABLE CLEAN")
	s.personsKey()
	there := s.awaitLoan(s.ask("--borrower", "staging", "--agent", one.Name), "attached")
	logged := s.lent(strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "others", "--to", "ssh", "--agent", two.Name, "--key", s.file("mine.pub"), "-o", "name")))
	s.stopDaemon(s.daemon)
	whole, err := os.ReadFile(s.file("pitcrew.yaml"))
	s.must(err)
	var without strings.Builder
	for line := range strings.Lines(strings.Replace(string(whole), "- name: main\n  recipe: main\n", "- name: spare\n  agents: nowhere\n  recipe: main\n", 1)) {
		if word := strings.TrimSpace(line); !strings.HasPrefix(word, "ssh:") && !strings.HasPrefix(word, "delivery:") && !strings.HasPrefix(word, "loans:") {
			without.WriteString(line)
		}
	}
	s.write("pitcrew.yaml", without.String())
	s.startDaemon()
	for _, l := range []api.Loan{there, logged} {
		s.pitcrew("loan", "return", l.ID)
	}
	s.goneThere(there)
	s.await("nobody to be let in", func() bool { _, err := s.login(logged); return err != nil })
	s.isDirty(there, one)
	s.isDirty(logged, two)
	s.stopDaemon(s.daemon)
	s.write("pitcrew.yaml", string(whole))
	s.startDaemon()
	for _, l := range []api.Loan{there, logged} {
		s.clear(s.awaitLoan(l.ID, "cleaned"))
	}
	s.awaitLabels(one, "CLEANABLE CLEAN")
	s.awaitLabels(two, "CLEANABLE CLEAN")
}

func TestAPersonGetsALoginForAsLongAsTheLoanLasts(t *testing.T) {
	t.Parallel()
	s := lends(t)
	account := s.overSSH("")
	a := s.cleanAgent()
	s.personsKey()
	id := strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "others", "--to", "ssh", "--key", s.file("mine.pub"), "-o", "name"))
	l := s.lent(id)
	if out, err := s.login(l); err != nil || strings.TrimSpace(out) != account {
		t.Errorf("logged in at %s: %q, %v; want %s", l.Login, out, err, account)
	}
	if got := s.labels(a); got != "CLEANABLE DIRTY" {
		t.Errorf("meanwhile it is labelled %q", got)
	}
	s.pitcrew("loan", "return", id)
	s.awaitLoan(id, "cleaned")
	if out, err := s.login(l); err == nil {
		t.Errorf("after the loan the key is let in: %q", out)
	}
}

func TestAnAgentIsKeptForAPerson(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	before := s.cleanups(a)
	id := strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "others", "--to", "hold", "--agent", a.Name, "-o", "name"))
	if got := s.labels(a); got != "CLEANABLE DIRTY" {
		t.Errorf("meanwhile it is labelled %q", got)
	}
	if out := s.pitcrew("agents"); !strings.Contains(out, "on loan to others") {
		t.Errorf("the command line says\n%s", out)
	}
	s.pitcrew("loan", "return", id)
	s.awaitLoan(id, "cleaned")
	if n := s.cleanups(a) - before; n != 1 {
		t.Errorf("it was cleaned %d times since", n)
	}
}

// personsKey makes the key pair of a person, in the files mine and mine.pub.
func (s *scene) personsKey() {
	s.Helper()
	private, public := s.key()
	s.write("mine", private)
	s.write("mine.pub", string(ssh.MarshalAuthorizedKey(public)))
}

// login logs in as a loan says, and asks who that is.
func (s *scene) login(l api.Loan) (string, error) {
	s.Helper()
	out, err := exec.CommandContext(s.ctx, "ssh", s.toLogin(l, "whoami")...).Output()
	return string(out), err
}

// toLogin are the arguments of ssh to run a command as a loan says.
func (s *scene) toLogin(l api.Loan, command string) []string {
	return []string{
		"-F", "none", "-i", s.file("mine"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + s.file("known_hosts"), "ssh://" + l.Login, command,
	}
}
