// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// bench is one borrowed agent with its node. It is used by one goroutine.
type bench struct {
	*Rehearsal
	offer  Offer
	undo   *Undo
	node   string
	loan   Loan
	jobs   map[string]string // by digest of the program
	number int64             // of the newest attempt
	serial int
	found  *report.Agent
}

// root is the node's work directory. It is relative to that of the loan, which only the lender knows, and goes with it
// (hudson.slaves.SlaveComputer#setChannel).
const root = "work"

// requestWithin bounds the request for a loan.
const requestWithin = time.Minute

// executors are two: one run is killed by another build.
const executors = 2

func (b *bench) unique(what string) string {
	b.serial++
	return fmt.Sprintf("%s-%02d-%s", b.node, b.serial, what)
}

func (b *bench) say(format string, args ...any) {
	b.Say(b.offer.Name() + ": " + fmt.Sprintf(format, args...))
}

// open makes the node, borrows the agent for it, and waits until it is there. The returned context ends with the loan.
func (b *bench) open(ctx context.Context) (context.Context, error) {
	b.node = newNode(time.Now())
	b.undo.Push("node "+b.node+" at "+b.Jenkins.URL(), b.there(b.deleteNode))
	err := untilAnswered(ctx, func(ctx context.Context) error {
		return b.Jenkins.CreateInboundNode(ctx, jenkins.NodeSpec{
			Name: b.node, RemoteFS: root, Executors: executors,
			Description: fmt.Sprintf("%s, lent to a rehearsal by pitcrew. It is deleted in the end.", b.offer.Name()),
		})
	})
	if err != nil {
		return ctx, fmt.Errorf("make a node for %s: %w", b.offer.Name(), err)
	}
	secret, err := b.Jenkins.AgentSecret(ctx, b.node)
	if err != nil {
		return ctx, fmt.Errorf("make a node for %s: %w", b.offer.Name(), err)
	}
	// Answered in any case: what is granted has to be known to be returned.
	answered, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWithin)
	defer cancel()
	b.loan, err = b.Desk.Request(answered, Ask{
		Borrower: b.Borrower, Agent: b.offer.Name(), Isolated: b.Wish.Isolated, For: b.For, TTL: b.TTL, Wait: b.Wait,
		URL: b.AgentURL, CA: b.AgentCA, Node: b.node, Secret: secret,
	})
	if err != nil {
		return ctx, fmt.Errorf("borrow %s: %w", b.offer.Name(), err)
	}
	id := b.loan.ID
	b.undo.Push("loan "+id+" of "+b.offer.Name(), func(ctx context.Context) error {
		_, err := b.Desk.Return(ctx, id, "the rehearsal is over")
		return err
	})
	b.found.Loan = id
	b.say("loan %s is asked for", id)
	if err := b.attached(ctx); err != nil {
		return ctx, err
	}
	b.found.Account = b.loan.Account
	kept, lost := context.WithCancelCause(ctx)
	b.undo.Push("signs of life for loan "+id, func(context.Context) error { lost(errRehearsed); return nil })
	b.keeping.Go(func() { b.keep(kept, lost) })
	if err := b.online(kept); err != nil {
		return ctx, err
	}
	b.say("is here, as node %s", b.node)
	b.keeping.Go(func() { b.watch(kept, lost) })
	return kept, nil
}

// deleteNode deletes the node, which a build that is just ending keeps for a moment.
func (b *bench) deleteNode(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	for {
		err := b.Jenkins.DeleteNode(ctx, b.node)
		if !jenkins.IsConflict(err) || pause(limit, buildPoll) != nil {
			return err
		}
	}
}

var errRehearsed = errors.New("the rehearsal of this agent is over")

// onlineWithin bounds the time from the loan being attached, as the lender sees it, to the agent being online at the controller.
const onlineWithin = time.Minute

// attached waits until the agent is lent. How long that takes is the lender's business, as long as it answers.
func (b *bench) attached(ctx context.Context) error {
	heard := time.Now()
	for {
		l, err := b.Desk.Show(ctx, b.loan.ID)
		switch {
		case err == nil:
			b.loan, heard = l, time.Now()
		case time.Since(heard) > b.TTL:
			return fmt.Errorf("borrow %s: the lender does not answer: %w", b.offer.Name(), err)
		}
		switch b.loan.State {
		case loan.Waiting, loan.Granted:
		case loan.Attached:
			return nil
		case loan.Returning, loan.Cleaned, loan.Expired, loan.Failed:
			return fmt.Errorf("borrow %s: loan %s is %s: %s", b.offer.Name(), b.loan.ID, b.loan.State, b.loan.Reason)
		}
		if err := pause(ctx, buildPoll); err != nil {
			return fmt.Errorf("borrow %s: %w", b.offer.Name(), err)
		}
	}
}

// online waits until an agent that is lent is at our controller.
func (b *bench) online(ctx context.Context) error {
	for since := time.Now(); ; {
		if a, err := b.Jenkins.Agent(ctx, b.node); err == nil && !a.Offline {
			return nil
		}
		if time.Since(since) > onlineWithin {
			return fmt.Errorf("borrow %s: loan %s is attached, and its agent is not at %s", b.offer.Name(), b.loan.ID, b.Jenkins.URL())
		}
		if err := pause(ctx, buildPoll); err != nil {
			return fmt.Errorf("borrow %s: %w", b.offer.Name(), err)
		}
	}
}

// lastsFor is how much longer a loan is to last for which nobody has said it: how long a rehearsal takes nobody knows before. The
// pool has the last word.
const lastsFor = 30 * time.Minute

// keep renews the loan until ctx ends. It calls lost when the loan does, and when the lender has been away for a TTL.
func (b *bench) keep(ctx context.Context, lost context.CancelCauseFunc) {
	lender := absence{limit: b.TTL}
	var lasts time.Time // what was asked for last
	for pause(ctx, b.lookEvery()) == nil {
		began := time.Now()
		l, err := b.Desk.Show(ctx, b.loan.ID)
		if err == nil && l.State != loan.Attached {
			lost(over(l))
			return
		}
		if err == nil {
			longer := time.Duration(0)
			if b.For <= 0 && time.Until(lasts) < lastsFor/2 {
				longer = lastsFor
			}
			if err = b.Desk.Renew(ctx, b.loan.ID, longer); err == nil && longer > 0 {
				lasts = time.Now().Add(longer)
			}
		}
		if ctx.Err() == nil && lender.passed(err != nil, began) {
			lost(fmt.Errorf("the lender cannot be told that this lives: %w", err))
			return
		}
	}
}

// watch looks at the agent until ctx ends. It calls lost when the agent or the controller has been away for so long that it does not
// come back: an agent of a loan does not connect twice. The loan is renewed apart: a controller that keeps a request waiting must not cost it.
func (b *bench) watch(ctx context.Context, lost context.CancelCauseFunc) {
	controller, agent := absence{limit: b.TTL}, absence{limit: b.lookEvery()}
	for pause(ctx, b.lookEvery()) == nil {
		began := time.Now()
		a, err := b.Jenkins.Agent(ctx, b.node)
		switch {
		case ctx.Err() != nil:
			return
		case controller.passed(err != nil && !jenkins.IsNotFound(err), began):
			lost(fmt.Errorf("the controller does not answer: %w", err))
			return
		case agent.passed(gone(a, err), began):
			lost(b.whyGone(ctx))
			return
		}
	}
}

// lookEvery is how often lender and controller are asked: a TTL has six looks.
func (b *bench) lookEvery() time.Duration { return max(time.Second, b.TTL/6) }

var errGone = errors.New("the agent has gone away")

// gone reports whether an agent, as it was asked for, has no connection any more. One that a monitor takes offline, as on a full disk, has.
func gone(a jenkins.Agent, err error) bool {
	return jenkins.IsNotFound(err) || err == nil && a.Offline && !a.TemporarilyOffline
}

// over is the end of a loan that nobody here has asked for.
func over(l Loan) error {
	return fmt.Errorf("the loan ended in the middle (%s): %s", l.Cause, l.Reason)
}

// lost is why a build came to nothing where the agent is gone, and nil where that is there.
func (b *bench) lost(ctx context.Context) error {
	var a jenkins.Agent
	err := b.patiently(ctx, func() (err error) {
		a, err = b.Jenkins.Agent(ctx, b.node)
		return err
	})
	if gone(a, err) {
		return b.whyGone(ctx)
	}
	return err
}

// whyGone is why the agent is gone: the end of the loan if there is one, which the lender may see later than the controller. One that does
// not answer is waited for until keep gives it up.
func (b *bench) whyGone(ctx context.Context) error {
	for since := time.Now(); ; {
		l, err := b.Desk.Show(ctx, b.loan.ID)
		switch {
		case err == nil && l.State != loan.Attached:
			return over(l)
		case err == nil && time.Since(since) >= b.lookEvery():
			return errGone
		}
		if err := pause(ctx, buildPoll); err != nil {
			return err
		}
	}
}

// absence is how long something has been missing.
type absence struct {
	limit time.Duration
	since time.Time // zero = it is there
}

// passed takes up one more look, and reports whether the limit has passed since the first of those in a row that missed it began.
func (a *absence) passed(missing bool, began time.Time) bool {
	switch {
	case !missing:
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = began
	}
	return missing && time.Since(a.since) >= a.limit
}

// giveBack returns the agent and waits until the production recipe has proved it. That it does not is the candidate's fault as like
// as not; that the lender does not answer is nobody's here.
func (b *bench) giveBack(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, b.ReturnWithin)
	defer cancel()
	ask := func() (Loan, error) { return b.Desk.Return(limit, b.loan.ID, "rehearsed") }
	heard := time.Now()
	for {
		l, err := ask()
		if err == nil {
			heard = time.Now()
			ask = func() (Loan, error) { return b.Desk.Show(limit, b.loan.ID) }
			switch {
			case l.State == loan.Cleaned:
				return nil
			case l.State.Final():
				return faulty("loan %s is %s: %s", l.ID, l.State, l.Reason)
			}
		}
		over := pause(limit, buildPoll) != nil
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && (over || time.Since(heard) > b.TTL):
			return fmt.Errorf("the lender does not answer: %w", err)
		case over:
			return faulty("it was not clean within %s: loan %s is %s (%s)", b.ReturnWithin, l.ID, l.State, l.Reason)
		}
	}
}

// undoAgain is for how long is tried again what cannot be undone: a daemon or a controller may be starting anew.
const undoAgain = time.Minute

// takeBack undoes what was made for this agent. Interrupted, it tries once.
func (b *bench) takeBack(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, undoAgain)
	defer cancel()
	for {
		err := b.undo.Run(ctx)
		if err == nil || pause(limit, offersPoll) != nil {
			return err
		}
	}
}
