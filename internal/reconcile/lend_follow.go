// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// maxLoanLog bounds what is read of a loan's console: the program's own words are few, those of the borrowed program are
// passed on.
const maxLoanLog = 4 << 20

// follow learns how far the program is that holds the loan.
func (l *Lender) follow(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	if c == nil || run.Handed.IsZero() || !run.Ended.IsZero() || one.Over() {
		return nil
	}
	if !one.Held() {
		return l.followSSH(ctx, c, one)
	}
	if run.Build == 0 {
		if err := l.followQueued(ctx, c, one); err != nil || run.Build == 0 {
			return err
		}
	}
	if one.State == loan.Attached && c.holds(one) {
		return nil // the polls tell when it has ended
	}
	build, err := c.Jenkins.BuildInfo(ctx, run.Job, run.Build)
	if jenkins.IsNotFound(err) {
		return l.ended(ctx, one, "its build was deleted", loanjob.Console{})
	}
	if err != nil || build.Building && one.State != loan.Granted {
		return err
	}
	text, _, err := c.Jenkins.ConsoleText(ctx, run.Job, run.Build, maxLoanLog)
	if err != nil && !jenkins.IsNotFound(err) {
		return err
	}
	console, err := loanjob.ReadConsole(text, run.Nonce)
	switch {
	case err != nil && build.Building:
		return err // it proves nothing, least of all that the program has ended
	case err != nil:
		return l.ended(ctx, one, "its console is not to be trusted: "+err.Error(), loanjob.Console{})
	case !build.Building:
		if e := console.Ended; e != nil && e.Reason == loanjob.AgentEnded && build.Aborted() {
			e.Reason = loanjob.Stopped // Jenkins ends the processes of a build that is stopped in any order
		}
		run.Stopped = build.Aborted() && console.Ended == nil
		says := fmt.Sprintf("its build ended %s", build.Result)
		if console == (loanjob.Console{}) {
			says += " before its program said a word: its console tells why" // the machine had no room for it, perhaps
		}
		return l.ended(ctx, one, says, console)
	}
	if (console.Started != nil) == (run.Account != "") && console.Connected == run.Connected && console.Trouble == run.Trouble {
		return nil
	}
	learn(run, console)
	return l.save(ctx, one, time.Now())
}

// holds reports whether the newest look shows the build that holds a loan.
func (c *Crew) holds(one *loan.Loan) bool {
	if c == nil {
		return false
	}
	look, run := c.look.Load(), &one.Run
	return look != nil && look.At.After(run.Handed) && look.Session == run.Session && slices.ContainsFunc(look.Agents[one.Agent.Name].Running, func(e jenkins.Executable) bool {
		return e.Job == run.Job && e.Number == run.Build
	})
}

// followQueued learns which build the queued item became.
func (l *Lender) followQueued(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	item, err := c.Jenkins.QueueItem(ctx, run.QueueID)
	switch {
	case jenkins.IsNotFound(err):
		found, err := l.findHanded(ctx, c, one)
		if err != nil || found {
			return err
		}
		return l.ended(ctx, one, "the controller lost its queued build", loanjob.Console{Refusal: "never started"})
	case err != nil:
		return err
	case item.Cancelled:
		return l.ended(ctx, one, "its queued build was cancelled", loanjob.Console{Refusal: "never started"})
	case item.Executable == nil:
		return nil
	}
	run.Build, run.URL = item.Executable.Number, item.Executable.URL
	return l.save(ctx, one, time.Now())
}

// ended stores that the program has ended, and what it said last.
func (l *Lender) ended(ctx context.Context, one *loan.Loan, says string, console loanjob.Console) error {
	run := &one.Run
	run.Ended, run.Says = time.Now(), says
	learn(run, console)
	switch e := console.Ended; {
	case console.Refusal != "":
		run.Refused, run.Says, run.Proof = true, says+": "+console.Refusal, "nothing was started"
	case console.Failure != nil:
		run.Refused, run.Says, run.Proof = true, "it could not be set up: "+console.Failure.Reason, "what it had set up was undone"
	case e != nil:
		run.Says, run.EndedBy = endingOf(e, run.Trouble)
		if e.Left > 0 {
			run.Says += fmt.Sprintf("; %d of its processes could not be ended", e.Left)
		} else {
			run.Proof = "the program looked: nothing of the loan is left"
		}
	case console.Started != nil && run.Stopped:
		run.Says, run.EndedBy = endings[loanjob.Stopped], endedBy[loanjob.Stopped]
	case console.Started != nil:
		run.Says = says + " without its program's last word"
	}
	return l.save(ctx, one, run.Ended)
}

// endingOf says for people why a program ended, and what ended the loan with it. trouble is what its agent program printed.
func endingOf(e *loanjob.Ended, trouble string) (says string, by loan.Cause) {
	const signalled, signals = 128, 64 // shells add the number of the signal
	switch n := e.Code - signalled; {
	case e.Reason == loanjob.AgentEnded && n > 0 && n <= signals:
		return fmt.Sprintf("its agent program was ended by signal %d on the agent's machine", n), loan.ByAbort
	case e.Reason == loanjob.NotConnected:
		return endings[e.Reason] + said(trouble), endedBy[e.Reason]
	}
	return endings[e.Reason], endedBy[e.Reason]
}

// said quotes what an agent program printed.
func said(trouble string) string {
	if trouble == "" {
		return ""
	}
	return fmt.Sprintf(": its agent program said %q", trouble)
}

// endings says for people why a program ended.
var endings = map[loanjob.Reason]string{
	loanjob.Stopped: "its build was stopped", loanjob.AgentEnded: "the borrower let it go: the node was deleted or disconnected, or the borrower died",
	loanjob.NotConnected: "it never connected to the borrower", loanjob.LenderGone: "the lender's agent ended",
	loanjob.LimitReached: "it reached its limit", loanjob.Asked: "it was told to end",
}

// endedBy are the causes behind the reasons of a program.
var endedBy = map[loanjob.Reason]loan.Cause{
	loanjob.Stopped: loan.ByAbort, loanjob.AgentEnded: loan.ByDeletion, loanjob.NotConnected: loan.ByTimeout,
	loanjob.LenderGone: loan.ByAbort, loanjob.LimitReached: loan.ByTerm, loanjob.Asked: loan.ByReturn,
}

// learn takes over what the program has told of itself.
func learn(run *loan.Run, console loanjob.Console) {
	if console.Started != nil {
		run.Account, run.Isolated = console.Started.User, console.Started.Isolated
	}
	run.Connected = run.Connected || console.Connected
	run.Trouble = console.Trouble
}

// stop ends the program on the lender's agent, or takes it out of the queue.
func (l *Lender) stop(ctx context.Context, c *Crew, one *loan.Loan) error {
	run := &one.Run
	if !one.Held() {
		return l.stopSSH(ctx, c, one)
	}
	if run.Handed.IsZero() { // whether it was handed over nobody has told
		found, err := l.findHanded(ctx, c, one)
		if err != nil {
			return err
		}
		if !found {
			return l.ended(ctx, one, "it was never handed over", loanjob.Console{Refusal: "never started"})
		}
	}
	if run.Build != 0 {
		err := c.Jenkins.StopBuild(ctx, run.Job, run.Build)
		if err == nil || jenkins.IsNotFound(err) {
			return errParting // it is looked at again soon
		}
		return err
	}
	err := c.Jenkins.CancelQueueItem(ctx, run.QueueID)
	if err != nil && !jenkins.IsNotFound(err) && !jenkins.IsConflict(err) {
		return err
	}
	return errParting
}

// errParting says that the program was told to end, and that it takes a moment.
var errParting = errors.New("the program was told to end")
