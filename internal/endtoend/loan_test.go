// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// lending makes the pool of a scene lend to the second controller, and to a borrower that makes its nodes itself.
const lending = `  loans: {max: 5, keepClean: 0, dir: %[1]s, attach: 90s}
borrowers:
- name: staging
  url: %[2]s/
  login: {user: %[3]s, token: "file:%[1]s/token2"}
  labels: [%[4]s-lent]
- name: others
`

// lends is a scene whose agents may be lent.
func lends(tb testing.TB) *scene {
	tb.Helper()
	s := newScene(tb)
	s.lends()
	return s
}

func (s *scene) lends() {
	s.Helper()
	s.write("token2", s.borrower.Token)
	s.more = fmt.Sprintf(lending, s.dir, s.borrower.URL, s.borrower.User, s.name)
}

// cleanAgent starts the daemon, and waits until the one agent of the scene is clean.
func (s *scene) cleanAgent() *testbed.Agent {
	s.Helper()
	a := s.agent("", "CLEANABLE")
	s.serve()
	s.awaitLabels(a, "CLEANABLE CLEAN")
	return a
}

// lent is a loan that the API tells of.
func (s *scene) lent(id string) api.Loan {
	s.Helper()
	l, err := s.daemon.Loan(s.ctx, id)
	s.must(err)
	return l
}

func (s *scene) awaitLoan(id, state string) api.Loan {
	s.Helper()
	var l api.Loan
	s.await("loan "+id+" "+state, func() bool {
		l = s.lent(id)
		return l.State == state
	})
	return l
}

// borrow asks for an agent as a person does, and waits until the borrower has it.
func (s *scene) borrow() api.Loan {
	s.Helper()
	id := strings.TrimSpace(s.pitcrew("loan", "request", "--borrower", "staging", "--for", "20m", "-o", "name"))
	return s.lent(id)
}

// nodeAt is the status of the question for a node at the borrower.
func (s *scene) nodeAt(l api.Loan) int {
	s.Helper()
	a, err := s.borrower.Send(s.ctx, testbed.Request{Method: "GET", Path: testbed.NodePath(l.Node) + "/api/json"})
	s.must(err)
	return a.Status
}

func (s *scene) online(l api.Loan) bool {
	s.Helper()
	return !testbed.Read[struct{ Offline bool }](s.ctx, s, s.borrower, testbed.NodePath(l.Node)+"/api/json?tree=offline").Offline
}

// leaver leaves a file and a process behind on the agent that it is built on.
const leaver = `#!/bin/sh -e
echo "$NODE_NAME" >%[1]s/was-here
BUILD_ID=dontKillMe setsid sh -c 'echo $$ >%[1]s/left; exec sleep 600' >/dev/null 2>&1 </dev/null &
while [ ! -s %[1]s/left ]; do sleep 0.1; done
`

func TestAnAgentIsLentBuildsThereAndComesBackClean(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	before := s.cleanups(a)

	l := s.borrow()
	if !s.online(l) {
		t.Error("it is not online at the borrower")
	}
	if got := s.labels(a); got != "CLEANABLE DIRTY" {
		t.Errorf("on loan it is labelled %q", got)
	}
	secret, err := borrower.Secret(s.ctx, l.Node)
	s.must(err)
	s.nowhere(secret, "the secret of the node")

	name := borrower.Unique("job")
	borrower.Job(s.ctx, s, name, fmt.Sprintf(realJob, escaped(s.name+"-lent"), escaped(fmt.Sprintf(leaver, s.dir))))
	borrower.Post(s.ctx, s, testbed.JobPath(name)+"/build?delay=0sec", nil)
	s.await("a build on the loan", func() bool {
		text, err := os.ReadFile(filepath.Join(s.dir, "was-here"))
		return err == nil && strings.TrimSpace(string(text)) == l.Node
	})
	s.await("its end", func() bool {
		b := testbed.Read[struct{ Result string }](s.ctx, s, borrower, testbed.JobPath(name)+"/1/api/json?tree=result")
		return b.Result != ""
	})

	s.pitcrew("loan", "return", l.ID, "--reason", "done")
	s.awaitLabels(a, "CLEANABLE CLEAN")
	l = s.awaitLoan(l.ID, "cleaned")
	if got := s.nodeAt(l); got != 404 {
		t.Errorf("its node at the borrower answers %d", got)
	}
	if n := s.cleanups(a) - before; n != 1 {
		t.Errorf("it was cleaned %d times since", n)
	}
	s.nowhere(secret, "the secret of the node")
	s.clear(l)
	if out := s.pitcrew("loan", "show", l.ID); !strings.Contains(out, "cleaned") || !strings.Contains(out, "returned") {
		t.Errorf("the command line says\n%s", out)
	}
}

// clear holds that nothing of a loan is left on the machine.
func (s *scene) clear(l api.Loan) {
	s.Helper()
	home, err := os.UserHomeDir()
	s.must(err)
	for _, dir := range []string{s.file("pitcrew-loan-" + l.ID), s.file("loans/pitcrew-loan-" + l.ID), filepath.Join(home, ".pitcrew-loans", l.ID)} {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			s.Errorf("left is %s: %v", dir, err)
		}
	}
	s.await("no process of the loan", func() bool { return len(bearing("PITCREW_LOAN="+l.ID)) == 0 })
}

// bearing are the processes with a variable in their environment.
func bearing(variable string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains("\x00"+string(text), "\x00"+variable+"\x00") {
			found = append(found, name)
		}
	}
	return found
}

// nowhere holds that a secret is in no process list, log, file of the daemon, job or build.
func (s *scene) nowhere(secret, what string) {
	s.Helper()
	look := func(where, text string) {
		if strings.Contains(text, secret) {
			s.Errorf("%s stands in %s", what, where)
		}
	}
	look("the daemon's log", s.daemon.log.String())
	lists, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range lists {
		text, _ := os.ReadFile(name) // it may have ended
		look("the process list", string(text))
	}
	s.must(filepath.WalkDir(filepath.Join(s.dir, "data"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		look(name, string(text))
		return err
	}))
	job := testbed.JobPath(s.name + "-loan-01")
	for _, page := range []string{"/config.xml", "/api/json?depth=2", "/1/api/json?depth=2", "/1/consoleText"} {
		look("the lender's "+page, s.controller.Get(s.ctx, s, job+page))
	}
	for e, err := range s.daemon.Events(s.ctx, api.EventQuery{}) {
		s.must(err)
		look("an event", fmt.Sprintf("%+v", e))
	}
}

// TestI9NoBuildOfTheLenderLandsOnALoan kills the lender's agent program during a loan: the agent is idle then, while the
// loan lives on, until pitcrew has ended it.
func TestI9NoBuildOfTheLenderLandsOnALoan(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	l := s.borrow()
	s.holds(a)
	byLabel, byName := s.job("CLEAN"), s.job(`"`+a.Name+`"`)
	one, two := s.schedule(byLabel), s.schedule(byName)
	a.Kill()
	a.WaitOnline(s.ctx, s)
	s.polled(a)
	s.await("the loan's end", func() bool { return s.lent(l.ID).State == "returning" })
	s.await("the cleanup's start", func() bool { return there(a, "begun") && s.life(a).State == "running" })
	if got := s.nodeAt(l); got != 404 {
		t.Errorf("its node at the borrower answers %d while it is cleaned", got)
	}
	if left := bearing("PITCREW_LOAN=" + l.ID); len(left) > 0 {
		t.Errorf("while it is cleaned, processes of the loan live: %q", left)
	}
	s.take(a, "hold")
	s.awaitLoan(l.ID, "cleaned")
	// A job that is tied to the agent by name waits for it, and begins when the mark is lifted for the cleanup: labels alone
	// cannot keep it off. One that asks for clean begins after that.
	released, clean := s.told(a, "loan.released", 1)[0].At, s.told(a, "cleanup.proved", 2)[0].At
	if at := s.build(byName, s.number(two)).started(); at.Before(released) {
		t.Errorf("the job that is tied to the agent began at %s, before it was back at %s", at, released)
	}
	if at := s.build(byLabel, s.number(one)).started(); at.Before(clean.Truncate(time.Millisecond)) {
		t.Errorf("the job that asks for clean began at %s, before the agent was proven clean at %s", at, clean)
	}
	s.clear(l)
}

func TestStoppingTheBuildEndsTheLoan(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	l := s.borrow()
	_, build, _ := strings.Cut(l.Build, "/job/") // before it stands what the controller takes for its root
	controller.Post(s.ctx, s, "/job/"+strings.TrimSuffix(build, "/")+"/stop", nil)
	l = s.awaitLoan(l.ID, "cleaned")
	if l.Cause != "aborted" {
		t.Errorf("it ended by %q: %s", l.Cause, l.Reason)
	}
	if lost := s.events(a, "loan.lost_contact"); len(lost) > 0 {
		t.Errorf("people are told: %s", lost[0].Reason)
	}
	s.clear(l)
}

// A term that ends while the agent is cleaned after its return changes nothing.
func TestALoanExpiresWhileItsAgentIsCleaned(t *testing.T) {
	t.Parallel()
	s := lends(t)
	a := s.cleanAgent()
	before := s.cleanups(a)
	l := s.borrow()
	s.holds(a)
	s.take(a, "begun")
	s.pitcrew("loan", "renew", l.ID, "--for", "3s")
	ends := time.Now().Add(3 * time.Second)
	s.pitcrew("loan", "return", l.ID)
	s.await("the cleanup's start", func() bool { return there(a, "begun") })
	s.await("the end of the term", func() bool { return time.Now().After(ends) })
	s.polled(a)
	if got := s.lent(l.ID); got.State != "returning" || s.labels(a) != "CLEANABLE DIRTY" {
		t.Errorf("while it is cleaned it is %s, and its agent is labelled %q", got.State, s.labels(a))
	}
	s.take(a, "hold")
	l = s.awaitLoan(l.ID, "cleaned")
	s.awaitLabels(a, "CLEANABLE CLEAN")
	if n := s.cleanups(a) - before; n != 1 || l.Cause != "returned" || s.nodeAt(l) != 404 {
		t.Errorf("it ended by %q, was cleaned %d times, and its node answers %d", l.Cause, n, s.nodeAt(l))
	}
	s.clear(l)
}

// TestABorrowerMakesItsNodeItself is the loan between two trust zones: the lender's daemon knows nothing of the borrower
// but an address, a name and a secret, and takes the latter by a token that is for nothing else.
func TestABorrowerMakesItsNodeItself(t *testing.T) {
	t.Parallel()
	s := lends(t)
	s.cleanAgent()
	node := borrower.Unique("own")
	borrower.Node(s.ctx, s, testbed.NodeSpec{Name: node, RemoteFS: "/tmp/" + node})
	secret, err := borrower.Secret(s.ctx, node)
	s.must(err)
	s.write("node.secret", secret+"\n")
	s.pitcrew("token", "create", "ci of others", "--role", "borrower", "--borrower", "others", "--file", filepath.Join(s.dir, "others.token"))
	as := func(arguments ...string) string {
		return s.pitcrewAs(filepath.Join(s.dir, "others.token"), arguments...)
	}
	id := strings.TrimSpace(as("loan", "request", "--url", borrower.URL+"/", "--node", node, "--secret-file", filepath.Join(s.dir, "node.secret"), "-o", "name"))
	l := s.lent(id)
	if !s.online(l) {
		t.Error("it is not online at the borrower")
	}
	s.nowhere(secret, "the secret of the node")
	if out := as("loan", "list", "-o", "name"); strings.TrimSpace(out) != id {
		t.Errorf("the borrower sees %q", out)
	}
	as("loan", "renew", id, "--for", "30m")
	as("loan", "return", id)
	s.awaitLoan(id, "cleaned")
	s.await("the node to be without its agent", func() bool { return !s.online(l) })
	s.clear(l)
}

// BenchmarkLoan measures how long it takes until the borrower has the agent, and from the end of the loan until the agent is
// clean again, less the time of the cleanup's program.
func BenchmarkLoan(b *testing.B) {
	s := lends(b)
	a := s.cleanAgent()
	var attach, back []time.Duration
	for range 7 {
		l := s.borrow()
		attach = append(attach, l.Attached.Sub(l.Requested))
		_, err := s.daemon.ReturnLoan(s.ctx, l.ID, "measured")
		s.must(err)
		ended := s.awaitLoan(l.ID, "cleaned")
		attempt := s.life(a).Attempts[0]
		back = append(back, ended.Ended.Sub(ended.Returned)-attempt.Ended.Sub(attempt.Started))
	}
	slices.Sort(attach)
	slices.Sort(back)
	b.ReportMetric(attach[len(attach)/2].Seconds(), "s-to-attach")
	b.ReportMetric(back[len(back)/2].Seconds(), "s-to-clean")
	b.ReportMetric(0, "ns/op") // one round has several loans
}
