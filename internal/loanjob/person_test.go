// SPDX-License-Identifier: Apache-2.0

package loanjob_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

const somebodysKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMHUTjGl1G7jOZHBB1gIv5BbCRdtDFnDdAfWFxR0k2Ar somebody@example.org"

// asPerson runs the program for a loan to a person.
func (l *loan) asPerson(t *testing.T, p *place, verb string, who loanjob.Person) (loanjob.Console, int) {
	t.Helper()
	input, err := who.Input(l.secrets)
	if err != nil {
		t.Fatal(err)
	}
	l.out = &output{}
	l.start(t, p, input, nil, verb)
	exit := l.exit(t)
	return l.console(t), exit
}

func TestAPersonsKeyIsLetInAndOut(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		shell, before string
		uid           int
	}{
		{"dash", "", 0}, {"busybox", "ssh-ed25519 AAAAowner owner's # key\nssh-rsa BBBB without an end", 0}, {"bash", "# none yet\n", agentUID},
	} {
		t.Run(m.shell, func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, m.shell, "")
			withAccounts(t, p, m.uid, "pitcrewagent ALL=(pitcrewloan) NOPASSWD: ALL\n")
			keys := filepath.Join(p.loanHome, ".ssh", "authorized_keys")
			if m.before != "" {
				err := errors.Join(os.Mkdir(filepath.Dir(keys), 0o700), os.WriteFile(keys, []byte(m.before), 0o600))
				if err = errors.Join(err, os.Chown(filepath.Dir(keys), p.loanUID, p.loanUID), os.Chown(keys, p.loanUID, p.loanUID)); err != nil {
					t.Fatal(err)
				}
			}
			who := loanjob.Person{
				Agent: l.order.Agent, Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: "pitcrewloan", Key: somebodysKey, Limit: time.Hour,
			}
			older := sleeper(t, p)
			for range 2 { // let in already is success, and the line is there once
				c, exit := l.asPerson(t, p, "grant-ssh", who)
				until, err := time.ParseInLocation("20060102150405", c.Granted, time.Local)
				if left := time.Until(until); exit != 0 || err != nil || left < 50*time.Minute || left > time.Hour {
					t.Errorf("grant: exit status %d, %+v, %v", exit, c, err)
				}
				whole := strings.TrimSuffix(m.before, "\n")
				if whole != "" {
					whole += "\n"
				}
				want := whole + `restrict,pty,expiry-time="` + c.Granted + `" ` + strings.TrimSuffix(somebodysKey, " somebody@example.org") + " pitcrew-loan-" + l.order.Loan + "\n"
				if text, err := os.ReadFile(keys); string(text) != want || err != nil {
					t.Errorf("keys, %v:\n%swant:\n%s", err, text, want)
				}
			}
			if info, err := os.Stat(keys); err != nil || info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != uint32(p.loanUID) {
				t.Errorf("keys: %v, %v", info, err)
			}
			since := sleeper(t, p)
			for range 2 {
				if c, exit := l.asPerson(t, p, "revoke-ssh", who); exit != 0 || c.Ended == nil || c.Ended.Left != 0 {
					t.Errorf("revoke: exit status %d, %+v", exit, c)
				}
			}
			if text, err := os.ReadFile(keys); strings.TrimSuffix(string(text), "\n") != strings.TrimSuffix(m.before, "\n") || err != nil {
				t.Errorf("keys afterwards, %v:\n%s", err, text)
			}
			if syscall.Kill(older, 0) != nil {
				t.Error("a process from before the loan was ended")
			}
			if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", since)); len(text) > 0 && !strings.Contains(string(text), ") Z ") {
				t.Errorf("a process of the loan lives: %s", text)
			}
			l.nothingLeft(t, p)
		})
	}
}

// letIn is what somebody does who wants to come back: a key without an end, two other ways in, and one who lets him in again.
const letIn = `cd "$1/.ssh" && echo "ssh-ed25519 AAAAother for ever" >>authorized_keys && cp authorized_keys authorized_keys2 && echo "id" >rc && chmod 500 . && echo x
trap 'chmod 700 "$1/.ssh"; echo "ssh-ed25519 AAAAother for ever" >>"$1/.ssh/authorized_keys"; exit' TERM
while :; do sleep 0.1; done`

// asLoan runs a shell text as the loan's account until the test ends, and returns when it has said something.
func asLoan(t *testing.T, p *place, text string) {
	t.Helper()
	id := fmt.Sprint(p.loanUID)
	cmd := exec.Command("setpriv", "--reuid", id, "--regid", id, "--clear-groups", "sh", "-c", text, "sh", p.loanHome)
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// wantKeys compares all that lets somebody in with what did before the loan.
func wantKeys(t *testing.T, p *place, before string) {
	t.Helper()
	dir := filepath.Join(p.loanHome, ".ssh")
	text, err := os.ReadFile(filepath.Join(dir, "authorized_keys"))
	if string(text) != before || err != nil {
		t.Errorf("keys afterwards, %v:\n%s", err, text)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("beside them there is %v, %v", all, err)
	}
}

func (p *place) haveKeys(t *testing.T, text string) {
	t.Helper()
	dir := filepath.Join(p.loanHome, ".ssh")
	keys := filepath.Join(dir, "authorized_keys")
	err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(keys, []byte(text), 0o600), os.Chown(dir, p.loanUID, p.loanUID), os.Chown(keys, p.loanUID, p.loanUID))
	if err != nil {
		t.Fatal(err)
	}
}

// The agent is somebody else's when the loan is over: who was let in must not have let in anybody for longer.
func TestAPersonLetsNobodyInForLonger(t *testing.T) {
	t.Parallel()
	for shell, uid := range map[string]int{"dash": 0, "busybox": 0, "bash": agentUID} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			l, p := pretend(t, shell, "")
			withAccounts(t, p, uid, "pitcrewagent ALL=(pitcrewloan) NOPASSWD: ALL\n")
			const before = "ssh-ed25519 AAAAowner owner's\n"
			p.haveKeys(t, before)
			who := loanjob.Person{
				Agent: l.order.Agent, Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: "pitcrewloan", Key: somebodysKey, Limit: time.Hour,
			}
			if c, exit := l.asPerson(t, p, "grant-ssh", who); exit != 0 || c.Granted == "" {
				t.Fatalf("grant: exit status %d, %+v", exit, c)
			}
			asLoan(t, p, letIn)
			if c, exit := l.asPerson(t, p, "revoke-ssh", who); exit != 0 || c.Ended == nil || c.Ended.Left != 0 {
				t.Errorf("revoke: exit status %d, %+v", exit, c)
			}
			wantKeys(t, p, before)
			l.nothingLeft(t, p)
		})
	}
}

// Agents of one machine may be lent as one account. Of another loan nothing is ended, and a second person is not let in: whose a login is
// nobody could tell.
func TestTheEndOfAPersonsLoanEndsNothingOfAnother(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		shell string
		uid   int
	}{{"dash", 0}, {"busybox", 0}, {"bash", agentUID}} {
		t.Run(m.shell, func(t *testing.T) {
			t.Parallel()
			other, p := pretend(t, m.shell, "setsid sleep 304 &\n"+connects)
			srv := withAccounts(t, p, m.uid, "pitcrewagent ALL=(pitcrewloan) NOPASSWD: ALL\n")
			l, _ := pretend(t, m.shell, "")
			who := loanjob.Person{Agent: l.order.Agent, Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: "pitcrewloan", Key: somebodysKey, Limit: time.Hour}
			if c, exit := l.asPerson(t, p, "grant-ssh", who); exit != 0 {
				t.Fatalf("grant: exit status %d, %+v", exit, c)
			}
			other.order.Dir, other.order.User, other.order.Isolation = filepath.Join(srv, "work"), "pitcrewloan", loanjob.Required
			other.hold(t, p, jar)
			other.connected(t)
			lasting := func() (all []string) { // without what the program waits by
				for _, line := range other.left(t) {
					if !strings.HasPrefix(line, "sleep 0.2") {
						all = append(all, line)
					}
				}
				return all
			}
			before := lasting()

			second := who
			second.Loan, second.Agent = "another", "another agent"
			if c, exit := l.asAnother(t, p, "grant-ssh", second); exit != 78 || !strings.Contains(c.Refusal, "is lent to another person here, by loan "+who.Loan) {
				t.Errorf("a second person: exit status %d, %+v", exit, c)
			}
			person := sleeper(t, p)
			if c, exit := l.asPerson(t, p, "revoke-ssh", who); exit != 0 || c.Ended == nil || c.Ended.Left != 0 {
				t.Errorf("revoke: exit status %d, %+v", exit, c)
			}
			if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", person)); len(text) > 0 && !strings.Contains(string(text), ") Z ") {
				t.Errorf("a process of the person lives: %s", text)
			}
			if after := lasting(); len(before) < 2 || len(after) < len(before) {
				t.Errorf("of the other loan, %v lived before the end of the person's, and %v after it", before, after)
			}
			if c, exit := l.asAnother(t, p, "grant-ssh", second); exit != 0 {
				t.Errorf("a second person after the first: exit status %d, %+v", exit, c)
			}
			if _, exit := l.asAnother(t, p, "revoke-ssh", second); exit != 0 {
				t.Errorf("revoke: exit status %d", exit)
			}
			if _, exit := l.asAnother(t, p, "grant-ssh", second); exit != 0 {
				t.Errorf("the second person again: exit status %d", exit)
			}
			other.stop(t)
			other.exit(t)
			if text, err := os.ReadFile(filepath.Join(p.loanHome, ".ssh", "authorized_keys")); !strings.HasSuffix(string(text), "pitcrew-loan-another\n") || strings.Contains(string(text), who.Loan) || err != nil {
				t.Errorf("the end of another loan left of the person's keys %q, %v", text, err)
			}
			if _, exit := l.asAnother(t, p, "revoke-ssh", second); exit != 0 {
				t.Errorf("revoke: exit status %d", exit)
			}
			other.wantEnd(t, p, loanjob.Stopped, 0)
		})
	}
}

// asAnother is asPerson for a loan that is none of l, and leaves l alone.
func (l *loan) asAnother(t *testing.T, p *place, verb string, who loanjob.Person) (loanjob.Console, int) {
	t.Helper()
	apart := &loan{secrets: l.secrets}
	return apart.asPerson(t, p, verb, who)
}

// Where somebody else keeps the keys of the account, nothing is in the way of a loan, and nothing is taken for the loan's.
func TestKeysThatSomebodyElseKeepsAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, replaced := range []bool{false, true} {
		l, p := pretend(t, "dash", connects)
		srv := withAccounts(t, p, 0, "")
		dir := filepath.Join(p.loanHome, ".ssh")
		keys := filepath.Join(dir, "authorized_keys")
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(keys, []byte("# ours\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
		l.order.Dir, l.order.User, l.order.Isolation = filepath.Join(srv, "work"), "pitcrewloan", loanjob.Required
		l.hold(t, p, jar)
		l.connected(t)
		left := 0
		if replaced {
			left, keys = 1, filepath.Join(p.loanHome, "away", "authorized_keys")
			asLoan(t, p, `cd "$1" && mv .ssh away && mkdir .ssh && echo "ssh-ed25519 AAAAother for ever" >.ssh/authorized_keys && echo x`)
		}
		l.stop(t)
		l.exit(t)
		if c := l.console(t); c.Started == nil || c.Ended == nil || c.Ended.Left != left {
			t.Errorf("replaced %t: started %+v, ended %+v", replaced, c.Started, c.Ended)
		}
		if text, err := os.ReadFile(keys); string(text) != "# ours\n" || err != nil {
			t.Errorf("replaced %t: %q, %v", replaced, text, err)
		}
	}
}

// sleeper is a process of the loan's account.
func sleeper(t *testing.T, p *place) (pid int) {
	t.Helper()
	id := fmt.Sprint(p.loanUID)
	cmd := exec.Command("setpriv", "--reuid", id, "--regid", id, "--clear-groups", "sh", "-c", `trap "" TERM; echo x; exec sleep 303`)
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func TestAPersonGetsNoAccountButOneOfItsOwn(t *testing.T) {
	t.Parallel()
	for user, words := range map[string]string{"root": "root is root", "pitcrewagent": "the account of the agent itself", "nobody-of-that-name": "no account nobody-of-that-name"} {
		l, p := pretend(t, "dash", "")
		withAccounts(t, p, agentUID, "pitcrewagent ALL=(ALL) NOPASSWD: ALL\n")
		who := loanjob.Person{Agent: "a", Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: user, Key: somebodysKey, Limit: time.Hour}
		if c, exit := l.asPerson(t, p, "grant-ssh", who); exit != 78 || !strings.Contains(c.Refusal, words) {
			t.Errorf("%s: exit status %d, %+v", user, exit, c)
		}
		l.nothingLeft(t, p)
	}
}

// What sshd cannot read as a time would let nobody in, and say so to nobody.
func TestWhereNoDateCanBeComputedNoKeyIsLetIn(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"exit 1", "echo @12345678901234"} {
		l, p := pretend(t, "dash", "")
		withAccounts(t, p, 0, "")
		date := "#!/bin/sh\nPATH=/usr/bin:/bin\n[ \"$1\" != +%s ] || exec date +%s\n" + answer + "\n"
		if err := os.WriteFile(filepath.Join(filepath.Dir(p.shell), "date"), []byte(date), 0o755); err != nil {
			t.Fatal(err)
		}
		who := loanjob.Person{Agent: "a", Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: "pitcrewloan", Key: somebodysKey, Limit: time.Hour}
		if c, exit := l.asPerson(t, p, "grant-ssh", who); exit != 78 || !strings.Contains(c.Refusal, "no way to compute a date") {
			t.Errorf("%s: exit status %d, %+v", answer, exit, c)
		}
		if _, err := os.Stat(filepath.Join(p.loanHome, ".ssh")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: keys: %v", answer, err)
		}
	}
}

// A link would have the account's file, or another's, written elsewhere.
func TestKeysThatAreALinkAreLeftAlone(t *testing.T) {
	t.Parallel()
	l, p := pretend(t, "dash", "")
	srv := withAccounts(t, p, 0, "")
	theirs := filepath.Join(srv, "theirs")
	err := errors.Join(os.WriteFile(theirs, []byte("# theirs\n"), 0o666), os.Mkdir(filepath.Join(p.loanHome, ".ssh"), 0o777),
		os.Chmod(filepath.Join(p.loanHome, ".ssh"), 0o777), os.Symlink(theirs, filepath.Join(p.loanHome, ".ssh", "authorized_keys")))
	if err != nil {
		t.Fatal(err)
	}
	who := loanjob.Person{Agent: "a", Controller: "lender", Attempt: 7, Loan: l.order.Loan, User: "pitcrewloan", Key: somebodysKey, Limit: time.Hour}
	if c, exit := l.asPerson(t, p, "grant-ssh", who); exit != 74 || c.Failure == nil || !strings.Contains(c.Failure.Reason, "a link is in the way") {
		t.Errorf("exit status %d, %+v", exit, c)
	}
	if text, err := os.ReadFile(theirs); string(text) != "# theirs\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestWhatIsNoKeyIsRefusedBefore(t *testing.T) {
	t.Parallel()
	s := loanjob.Secrets{Nonce: someNonce}
	good := loanjob.Person{Agent: "a", Controller: "c", Attempt: 1, Loan: "l", User: "u", Key: somebodysKey, Limit: time.Hour}
	if _, err := good.Input(s); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*loanjob.Person){
		"options":    func(p *loanjob.Person) { p.Key = `command="id" ` + p.Key },
		"two lines":  func(p *loanjob.Person) { p.Key += "\nssh-rsa AAAA" },
		"unknown":    func(p *loanjob.Person) { p.Key = "ssh-dss AAAA me" },
		"nothing":    func(p *loanjob.Person) { p.Key = "" },
		"no account": func(p *loanjob.Person) { p.User = "" },
		"no limit":   func(p *loanjob.Person) { p.Limit = 0 },
		"no loan":    func(p *loanjob.Person) { p.Loan = "" },
	} {
		p := good
		change(&p)
		if _, err := p.Input(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
