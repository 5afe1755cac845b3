// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"bytes"
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// rehearsalWires are those of a rehearsal. The daemon and its Jenkins have none between them: it tells the agent where that is, and no more.
type rehearsalWires struct {
	*wires
	toDaemon, toJenkins *wire // from the rehearsal
}

// cutRehearsal is a rehearsal that runs while one of its wires is cut.
type cutRehearsal struct {
	*rehearser
	wires   *rehearsalWires
	command *exec.Cmd
	out     bytes.Buffer
	said    *journal
	ended   chan error
	loan    string
}

// rehearsalTTL is the shortest that a rehearsal may have.
const rehearsalTTL = 10 * time.Second

// rehearsalCut is a cut while the candidate is at work, and what comes of it.
type rehearsalCut struct {
	name      string
	of        func(*rehearsalWires) *wire
	noticed   bool                // connections are torn, not silent
	meanwhile func(*cutRehearsal) // returns when all was done that can be done before it is mended
	reasons   []string            // one of which is told by a rehearsal that does not come to its end; none = it passes
	long      bool                // left to the long run
}

func ofDaemon(w *rehearsalWires) *wire  { return w.toDaemon }
func ofJenkins(w *rehearsalWires) *wire { return w.toJenkins }
func ofLender(w *rehearsalWires) *wire  { return w.daemonToLender }
func ofAgent(w *rehearsalWires) *wire   { return w.agentToLender }
func ofProgram(w *rehearsalWires) *wire { return w.agentToBorrower }

// goesOn lets the candidate go on, and returns when the rehearsal waits for the agent to be clean.
func (c *cutRehearsal) goesOn() {
	c.goOn()
	c.await("the agent's return", func() bool { return strings.Contains(c.said.String(), ": comes back clean: begins") })
	c.await("the loan to be called back", func() bool { return c.lent(c.loan).State == "returning" })
	c.isUnclean()
}

// isUnclean holds that the agent is offered to nobody.
func (c *cutRehearsal) isUnclean() {
	if state, labels := c.lent(c.loan).State, c.labels(c.agent); state != "returning" || labels != "CLEANABLE el7 DIRTY" {
		c.Errorf("while nobody can clean it the loan is %s, and its agent is labelled %q", state, labels)
	}
}

func (c *cutRehearsal) goOn() { c.must(os.Remove(c.file("hold"))) }

// cleaned returns when the agent was cleaned.
func (c *cutRehearsal) cleaned() {
	if l := c.awaitLoan(c.loan, "cleaned"); c.hasProgram(l) {
		c.Error("when the loan is over its agent program lives")
	}
}

// lasts returns when the cut has lasted for so long; the loan must live on.
func (c *cutRehearsal) lasts(d time.Duration) {
	over := time.Now().Add(d)
	c.await("a cut of "+d.String(), func() bool { return time.Now().After(over) })
	if l := c.lent(c.loan); l.State != "attached" {
		c.Errorf("after a cut of %s the loan is %s: %s", d, l.State, l.Reason)
	}
}

const (
	noLender     = "the lender cannot be told that this lives"
	noController = "the controller does not answer"
	noAgent      = "the agent has gone away"
	loanOver     = "the loan ended in the middle"
)

var rehearsalCuts = []rehearsalCut{
	{name: "the rehearsal and the daemon, torn", of: ofDaemon, noticed: true, meanwhile: (*cutRehearsal).cleaned, reasons: []string{noLender, loanOver}},
	{name: "the rehearsal and the daemon, silent", of: ofDaemon, meanwhile: (*cutRehearsal).cleaned, reasons: []string{noLender, loanOver}},
	{name: "the rehearsal and its Jenkins, torn", of: ofJenkins, noticed: true, meanwhile: (*cutRehearsal).cleaned, reasons: []string{noController}},
	{name: "the rehearsal and its Jenkins, silent", of: ofJenkins, meanwhile: (*cutRehearsal).cleaned, reasons: []string{noController}},
	{name: "the daemon and the lender, torn", of: ofLender, noticed: true, meanwhile: (*cutRehearsal).goesOn},
	{name: "the daemon and the lender, silent", of: ofLender, meanwhile: (*cutRehearsal).goesOn},
	{name: "the agent and the lender, torn", of: ofAgent, noticed: true, meanwhile: func(c *cutRehearsal) {
		c.await("the end of the loan to be told", func() bool { return strings.Contains(c.said.String(), ": broken") })
		c.await("its agent program to end", func() bool { return !c.hasProgram(c.lent(c.loan)) })
		c.isUnclean()
	}, reasons: []string{loanOver, noAgent}},
	{name: "the agent and the lender, silent", of: ofAgent, meanwhile: (*cutRehearsal).goesOn},
	{name: "the agent and the rehearsal's Jenkins, torn", of: ofProgram, noticed: true, meanwhile: (*cutRehearsal).cleaned, reasons: []string{loanOver, noAgent}},
	{name: "the agent and the rehearsal's Jenkins, silent", of: ofProgram, meanwhile: func(c *cutRehearsal) {
		c.goOn()
		c.lasts(rehearsalTTL)
	}},
	{name: "the rehearsal and the daemon, torn for a moment", of: ofDaemon, noticed: true, long: true, meanwhile: func(c *cutRehearsal) { c.lasts(rehearsalTTL / 3) }},
	{name: "the rehearsal and its Jenkins, silent for longer than the TTL", of: ofJenkins, long: true, meanwhile: func(c *cutRehearsal) { c.lasts(rehearsalTTL * 3 / 2) }},
}

// TestACutBetweenAnyTwoOfARehearsalLosesNothing cuts one wire of a rehearsal whose candidate is at work, and mends it when what can be done
// without it was done. The candidate is not blamed, and everything is returned. A usual run cuts each wire in one way, PITCREW_LONG=1 in both.
func TestACutBetweenAnyTwoOfARehearsalLosesNothing(t *testing.T) {
	t.Parallel()
	for i, cut := range rehearsalCuts {
		if os.Getenv("PITCREW_LONG") == "" && (cut.long || (i/2+i)%2 == 0) {
			continue // each wire is cut in one of the two ways
		}
		t.Run(cut.name, func(t *testing.T) {
			t.Parallel()
			c := newCutRehearsal(t)
			c.said, c.ended = c.awaitRun(c.command)
			c.whileCut(cut.of(c.wires), cut.noticed, func() { cut.meanwhile(c) })
			c.isTold(len(cut.reasons) == 0, cut.reasons)
		})
	}
}

// TestACutBetweenAnyTwoWhileARehearsalBorrowsLosesNothing cuts each wire when the agent is asked for, for as long as a TTL.
func TestACutBetweenAnyTwoWhileARehearsalBorrowsLosesNothing(t *testing.T) {
	t.Parallel()
	if os.Getenv("PITCREW_LONG") == "" {
		t.Skip("PITCREW_LONG=1 runs it")
	}
	for _, cut := range rehearsalCuts {
		if cut.long {
			continue // the wire has been cut before
		}
		t.Run(cut.name, func(t *testing.T) {
			t.Parallel()
			c := newCutRehearsal(t)
			c.said = c.until(c.command, " is asked for")
			c.ended = make(chan error, 1)
			go func() { c.ended <- c.command.Wait() }()
			c.whileCut(cut.of(c.wires), cut.noticed, func() {
				over := time.Now().Add(rehearsalTTL)
				c.await("a cut of a TTL", func() bool { return time.Now().After(over) })
			})
			c.isTold(c.command.ProcessState.Success(), []string{"borrow ", noLender, noController, noAgent, loanOver})
		})
	}
}

// newCutRehearsal is one that has not begun.
func newCutRehearsal(t *testing.T) *cutRehearsal {
	t.Helper()
	s := lends(t)
	s.owned(0o700)
	lent, a := s.wired(" el7")
	w := &rehearsalWires{wires: lent, toDaemon: s.wire("http://" + s.daemon.address()), toJenkins: s.wire(s.borrower.URL)}
	c := &cutRehearsal{rehearser: s.rehearserOn(a), wires: w}
	c.command = c.commandAt([]string{
		"--controller-url", w.toJenkins.url, "--advertise-url", w.agentToBorrower.url,
		"--controller-user", c.borrower.User, "--controller-token-file", c.file("controller.token"),
	}, wipes, furnish, "--server", w.toDaemon.url, "--ttl", rehearsalTTL.String(), "--timeout", "5s",
		"--junit", c.file("junit.xml"), "--report", c.file("report.html"), "-o", "json")
	c.command.Stdout = &c.out
	return c
}

// whileCut cuts a wire of a rehearsal that has its loan, does what is to be done meanwhile, mends it, and waits for the end: nothing is left
// then, and a build that wants a clean agent has come after the proof that it is.
func (c *cutRehearsal) whileCut(w *wire, noticed bool, meanwhile func()) {
	c.Helper()
	before := c.cleanups(c.agent)
	loans, err := c.daemon.Loans(c.ctx, "", true, 1)
	c.must(err)
	c.loan = loans[0].ID
	job := c.job("CLEAN")
	item := c.schedule(job)
	began := time.Now()
	if noticed {
		w.tear()
	} else {
		w.silence()
	}
	meanwhile()
	c.Logf("it was cut for %s", time.Since(began).Round(time.Second))
	w.mend()
	_ = os.Remove(c.file("hold")) // it may have gone on before
	c.await("the end of the rehearsal", func() bool {
		select {
		case <-c.ended:
			return true
		default:
			return false
		}
	})
	c.Logf("it took %s since the cut", time.Since(began).Round(time.Second))
	c.leavesNothing()
	c.isStory()
	if n := c.cleanups(c.agent) - before; n < 1 {
		c.Errorf("it was cleaned %d times since", n)
	}
	proved := c.provedSince()
	if b := c.finish(job, c.number(item)); b.Result != "SUCCESS" || b.started().Before(proved) {
		c.Errorf("the agent was proved clean at %s, and a build that waited for that is %+v", proved, b)
	}
	if got := c.contaminated(); len(got) > 0 {
		c.Errorf("contaminated are %v", got)
	}
}

// isTold holds that code, words and reports say the same, and what is true.
func (c *cutRehearsal) isTold(passes bool, reasons []string) {
	c.Helper()
	want, code := "passed", 0
	if !passes {
		want, code = "broken", 1
	}
	said, out := c.said.String(), c.out.Bytes()
	var result rehearsed
	if err := json.Unmarshal(out, &result); err != nil {
		c.Fatalf("it reports %v: %s\n%s", err, out, said)
	}
	if got := c.command.ProcessState.ExitCode(); got != code || result.Verdict != want {
		c.Errorf("it ended with %d, and says %s: want %d, %s\n%s", got, result.Verdict, code, want, said)
	}
	reason := ""
	for _, a := range result.Agents {
		for _, one := range a.Cases {
			if one.Verdict == "failed" {
				c.Errorf("the candidate is blamed: %s: %s", one.Name, one.Reason)
			}
			if one.Verdict == "broken" && reason == "" {
				reason = one.Reason
			}
		}
	}
	known := func(r string) bool { return strings.Contains(reason, r) }
	if !passes && !slices.ContainsFunc(reasons, known) || passes && reason != "" {
		c.Errorf("its reason is %q, want one of %q", reason, reasons)
	}
	c.Logf("it ended with %d: %s", c.command.ProcessState.ExitCode(), reason)
	if strings.Contains(said, "left behind") {
		c.Errorf("all could be taken back, and it said\n%s", said)
	}
	for file, verdict := range map[string]string{c.file("junit.xml"): "<error message=", c.file("report.html"): `<span class="badge broken">broken</span>`} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(html.UnescapeString(string(text)), reason) || strings.Contains(string(text), verdict) != (code != 0) {
			c.Errorf("%s, with the reason %q: %v\n%.3000s", file, reason, err, text)
		}
	}
	for _, secret := range []string{c.token, c.borrower.Token} {
		if strings.Contains(string(out)+said, secret) {
			c.Error("a secret was shown")
		}
	}
}

// isStory holds that the events tell the loan from its beginning to its end.
func (c *cutRehearsal) isStory() {
	c.Helper()
	var story []string
	for _, e := range slices.Backward(c.events(c.agent)) {
		if e.Data["loan"] == c.loan {
			story = append(story, e.Type)
		}
	}
	if n := len(story); n < 3 || story[0] != "loan.granted" || story[n-1] != "loan.cleaned" || !slices.Contains(story, "loan.returning") {
		c.Errorf("it is told by %v", story)
	}
}

// provedSince is when the agent was proved clean after its return, for the first time.
func (c *cutRehearsal) provedSince() (at time.Time) {
	c.Helper()
	l := c.lent(c.loan)
	for _, e := range c.told(c.agent, "cleanup.proved", 2) { // the newest first
		if e.At.After(l.Returned) {
			at = e.At.Truncate(time.Millisecond)
		}
	}
	if at.IsZero() {
		c.Errorf("it was not proved clean since %s", l.Returned)
	}
	return at
}
