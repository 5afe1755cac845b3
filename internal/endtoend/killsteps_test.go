// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

// mortals is a scene whose parts are killed while its agent is lent.
type mortals struct {
	*scene
	wires  *wires
	agent  *testbed.Agent
	waits  string // a job of people that wants a clean agent
	loan   string // that is under way
	blames int    // builds that are called contaminated
}

// loanStep is a step of a loan, known by a request.
type loanStep struct {
	name       string
	of         func(*wires) *wire
	line       string // of the request; "" = none
	back       bool   // the loan's return comes first
	hasProgram bool   // the agent program runs
	byBuild    bool   // only where a build holds the agent
}

const grant = "the agent becomes clean"

// steps are those of a loan, from its first to the agent's being clean again.
var steps = []loanStep{
	{name: "the agent becomes dirty", of: toLender, line: `POST .*/computer/[^/]+/config\.xml$`},
	{name: "the node is made", of: toBorrower, line: `POST .*/computer/doCreateItem$`},
	{name: "the job is made", of: toLender, line: `POST .*/createItem\?name=.*-loan-`, byBuild: true},
	{name: "the secret is read", of: toBorrower, line: `GET .*/jenkins-agent\.jnlp$`},
	{name: "the build is asked for", of: toLender, line: `POST .*-loan-\d+/buildWithParameters`, byBuild: true},
	{name: "the agent is marked", of: toLender, line: `POST .*/changeOfflineCause$`},
	{name: "the agent program starts", of: byAgent, line: `GET .*/login$`, hasProgram: true},
	{name: "the agent program connects", of: byAgent, line: `GET .*/wsagents/$`, hasProgram: true},
	{name: "the borrower has it", hasProgram: true},
	{name: "the node is deleted", of: toBorrower, line: `POST .*/doDelete$`, back: true},
	{name: "the mark is lifted", of: toLender, line: `POST .*/toggleOffline`, back: true},
	{name: "the cleanup is asked for", of: toLender, line: `POST .*-slot-\d+/buildWithParameters`, back: true, byBuild: true},
	{name: grant, of: toLender, line: `POST .*/computer/[^/]+/config\.xml$`, back: true},
}

func toLender(w *wires) *wire   { return w.daemonToLender }
func toBorrower(w *wires) *wire { return w.daemonToBorrower }
func byAgent(w *wires) *wire    { return w.agentToBorrower }

// victim is killed at every step. Revive, if not nil, does what a service manager does.
type victim struct {
	name         string
	kill, revive func(*mortals)
	isProgram    bool // it is there at few steps
	spares       bool // its death ends no loan
	isLenders    bool // nor that of one, where no build holds the agent
}

var victims = []victim{
	{
		name: "the daemon",
		kill: func(m *mortals) {
			_ = m.daemon.command.Process.Kill() // it lives: nobody else ends it
			<-m.daemon.ended
		},
		revive: func(m *mortals) { m.startDaemon() },
		spares: true,
	},
	{name: "the lender", kill: func(m *mortals) { m.must(m.controller.Restart(m.ctx, testbed.Kill)) }, isLenders: true},
	{name: "the borrower", kill: func(m *mortals) { m.must(m.borrower.Restart(m.ctx, testbed.Kill)) }},
	{
		name: "the lender's agent",
		kill: func(m *mortals) { // a build that begins on it before Jenkins has noticed would fail by the kill, not by us
			m.agent.Hold()
			m.agent.Kill()
			m.await("Jenkins to notice", func() bool {
				return testbed.Read[struct{ Offline bool }](m.ctx, m, m.controller, m.agent.Path+"/api/json?tree=offline").Offline
			})
			m.agent.Release()
		},
		isLenders: true,
	},
	{
		name:      "the borrowed agent program",
		kill:      func(m *mortals) { m.must(syscall.Kill(m.agentProgram(api.Loan{ID: m.loan}), syscall.SIGKILL)) },
		isProgram: true,
	},
}

// TestAKillAtEveryStepOfALoan kills one that has a part in loans after the other, each at steps of a loan of its own of which every one
// has its turn: before a request passes or before its answer does. PITCREW_LONG=1 kills each at every step, and does both.
func TestAKillAtEveryStepOfALoan(t *testing.T) {
	for i, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			m := &mortals{scene: mortal(t)}
			m.lends()
			m.dies(v, i, steps, 2)
		})
	}
}

// TestAKillAtEveryStepOfALoanOverSSH is the same where no build holds the agent: neither the lender nor its agent is needed for the loan.
func TestAKillAtEveryStepOfALoanOverSSH(t *testing.T) {
	direct := slices.DeleteFunc(slices.Clone(steps), func(s loanStep) bool { return s.byBuild })
	for i, v := range victims {
		t.Run(v.name, func(t *testing.T) {
			m := &mortals{scene: mortal(t)}
			m.lends()
			m.overSSH("  delivery: ssh\n")
			v.spares = v.spares || v.isLenders
			m.dies(v, i, direct, 3)
		})
	}
}

// What builds and cleanups leave in the directory of a scene, wherever they run.
const (
	usedAnywhere = `#!/bin/sh -e
state=clean
[ ! -e %[1]s/mess ] || state=messy
echo "$state" >>%[1]s/used
echo mess >%[1]s/mess
`
	cleanedAnywhere = `  - name: anywhere
    run: |
      rm -f %[1]s/mess
      echo "$PITCREW_ATTEMPT" >>%[1]s/swept
      date +%%s >%[1]s/time
`
)

// lines counts those of a file in the directory of the scene.
func (m *mortals) lines(file string) int {
	m.Helper()
	text, err := os.ReadFile(m.file(file))
	if !os.IsNotExist(err) {
		m.must(err)
	}
	return strings.Count(string(text), "\n")
}

// dies kills a victim at steps of loans, in a usual run at one of so many. Which ones these are, and which have an answer, differs from
// victim to victim.
func (m *mortals) dies(v victim, number int, steps []loanStep, stride int) {
	m.Helper()
	m.steps = fmt.Sprintf(cleanedAnywhere, m.dir)
	m.wires, m.agent = m.wired("")
	m.waits = m.controller.Unique("waits")
	m.controller.Job(m.ctx, m, m.waits, fmt.Sprintf(realJob, m.clean, escaped(fmt.Sprintf(usedAnywhere, m.dir))))
	for i, s := range steps {
		long, turn := os.Getenv("PITCREW_LONG") != "", number+i
		if v.isProgram && !s.hasProgram || !long && turn%stride != 0 {
			continue
		}
		odd := turn/stride%2 != 0
		m.killed(v, s, odd)
		if long && s.line != "" {
			m.killed(v, s, !odd)
		}
	}
	if used, err := os.ReadFile(m.file("used")); err != nil || strings.Contains(string(used), "messy") {
		m.Errorf("builds met the mess of others, %v:\n%s", err, used)
	}
}

// mortal is a scene at controllers of its own, which may be killed beside other tests.
func mortal(t *testing.T) *scene {
	t.Helper()
	switch {
	case testing.Short():
		t.Skip("mostly waits for other programs; left to the longer run")
	case absent != nil:
		t.Skip(absent)
	case controller.Real && !controller.CanRestart():
		t.Skip("the controllers are not ours to kill")
	case !controller.Real:
		t.Parallel()
	}
	own := func(c *testbed.Controller, err error) *testbed.Controller {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	lender := own(testbed.Open(t.Context(), "pck"))
	return sceneAt(t, 5*sceneLimit, lender, own(testbed.OpenSecond(t.Context(), lender, "pckb")))
}

// killed lends the agent, kills a victim at a step, and holds that the loan ends, that nothing of it is left, and that the agent has had
// no build until it was proved clean.
func (m *mortals) killed(v victim, s loanStep, answered bool) {
	m.Helper()
	m.Logf("at the step: %s, answered %t", s.name, answered)
	m.await("an agent to lend", func() bool { return m.labels(m.agent) == "CLEANABLE CLEAN" && m.lines("mess") == 0 })
	before := m.lines("swept")
	_, err := m.controller.Send(m.ctx, testbed.Request{Method: "POST", Path: testbed.JobPath(m.name+"-loan-01") + "/doDelete"})
	m.must(err) // so that each loan makes it
	sprung, on := make(chan struct{}), make(chan struct{})
	t := &trap{line: regexp.MustCompile(s.line), answered: answered, spring: func() {
		close(sprung)
		<-on
	}}
	if s.line != "" && !s.back {
		s.of(m.wires).set(t)
	}
	m.loan = m.ask("--borrower", "staging", "--for", "20m")
	if s.line == "" || s.back {
		m.awaitLoan(m.loan, "attached")
	}
	if s.back {
		s.of(m.wires).set(t)
		m.pitcrew("loan", "return", m.loan)
	}
	if s.line != "" {
		m.await("the step", func() bool {
			select {
			case <-sprung:
				return true
			default:
				return false
			}
		})
	}
	v.kill(m)
	close(on)
	if v.revive != nil {
		v.revive(m)
	}
	item := m.schedule(m.waits)
	ends := v.isProgram || !v.spares && s.line == "" // a program that only begins to start may find its borrower alive again
	var l api.Loan
	over := func() bool { return l.State == "cleaned" || l.State == "failed" || l.State == "expired" }
	m.await("what becomes of the loan", func() bool {
		l = m.lent(m.loan)
		return l.State == "attached" && !ends || over()
	})
	if !over() {
		m.pitcrew("loan", "return", m.loan)
	} else if v.spares && !s.back {
		m.Errorf("it ended by itself, by %q: %s", l.Cause, l.Reason)
	}
	m.await("the end of the loan", func() bool {
		l = m.lent(m.loan)
		return over() && !l.NodeLeft
	})
	m.Logf("it ended by %q: %s", l.Cause, l.Reason)
	if l.Node != "" && m.nodeAt(l) != 404 {
		m.Errorf("its node at the borrower answers %d", m.nodeAt(l))
	}
	m.clear(l)
	b := m.finish(m.waits, m.number(item))
	if b.Result != "SUCCESS" {
		m.Errorf("a build that waited for the agent is %+v", b)
	}
	m.polled(m.agent)
	m.awaitLabels(m.agent, "CLEANABLE CLEAN")
	m.toldWell(l, b, before)
	got := m.contaminated()
	if unheard := v.spares && s.name == grant; len(got) > m.blames && !unheard { // its store never called clean what a build has used by now
		m.Errorf("contaminated are %v", got)
	}
	m.blames = len(got)
}

// toldWell holds that the events tell the story of a loan, and of a cleanup after it, before any build.
func (m *mortals) toldWell(l api.Loan, b built, before int) {
	m.Helper()
	var story []string
	var proved time.Time // for the first time since
	for _, e := range m.events(m.agent) {
		if e.Data["loan"] == l.ID {
			story = append(story, e.Type)
		}
		if e.Type == "cleanup.proved" && !slices.Contains(story, "loan.returning") && !slices.Contains(story, "loan.granted") {
			proved = e.At
		}
	}
	slices.Reverse(story)
	if proved.IsZero() || m.lines("swept") == before {
		m.Errorf("it was not cleaned since; the loan is told by %v", story)
	}
	if at := b.started(); m.under == nil && at.After(l.Granted) && at.Before(proved.Truncate(time.Millisecond)) {
		m.Errorf("a build began at %s; the agent was lent at %s and proved clean at %s", at, l.Granted, proved)
	}
	if n := len(story); n < 3 || story[0] != "loan.granted" || story[n-1] != "loan.cleaned" && story[n-1] != "loan.failed" {
		m.Errorf("it is told by %v", story)
	}
}
