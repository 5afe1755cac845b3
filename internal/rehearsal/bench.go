// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
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
	b.node = "pitcrew-rehearsal-" + strings.ToLower(rand.Text()) // never used before: a secret belongs to its name for ever
	b.undo.Push("node "+b.node+" at "+b.Jenkins.URL(), func(ctx context.Context) error { return b.Jenkins.DeleteNode(ctx, b.node) })
	err := b.Jenkins.CreateInboundNode(ctx, jenkins.NodeSpec{
		Name: b.node, RemoteFS: root, Executors: executors,
		Description: fmt.Sprintf("%s, lent to a rehearsal by pitcrew. It is deleted in the end.", b.offer.Name()),
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
		URL: b.AgentURL, Node: b.node, Secret: secret,
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
	b.say("is here, as node %s", b.node)
	kept, lost := context.WithCancelCause(ctx)
	b.undo.Push("signs of life for loan "+id, func(context.Context) error { lost(errRehearsed); return nil })
	b.keeping.Go(func() { b.keep(kept, lost) })
	return kept, nil
}

var errRehearsed = errors.New("the rehearsal of this agent is over")

// attached waits until the agent is at our controller.
func (b *bench) attached(ctx context.Context) error {
	for {
		l, err := b.Desk.Show(ctx, b.loan.ID)
		if err == nil {
			b.loan = l
			switch l.State {
			case loan.Waiting, loan.Granted:
			case loan.Attached:
				if a, err := b.Jenkins.Agent(ctx, b.node); err == nil && !a.Offline {
					return nil
				}
			case loan.Returning, loan.Cleaned, loan.Expired, loan.Failed:
				return fmt.Errorf("borrow %s: loan %s is %s: %s", b.offer.Name(), l.ID, l.State, l.Reason)
			}
		} else if ctx.Err() == nil {
			b.say("%v", err) // the daemon may be starting anew
		}
		if err := pause(ctx, buildPoll); err != nil {
			return fmt.Errorf("borrow %s: %w", b.offer.Name(), err)
		}
	}
}

// keep renews the loan until ctx ends, and calls lost when the loan does.
func (b *bench) keep(ctx context.Context, lost context.CancelCauseFunc) {
	misses := 0
	for pause(ctx, max(time.Second, b.TTL/6)) == nil {
		l, err := b.Desk.Show(ctx, b.loan.ID)
		if err == nil && l.State != loan.Attached {
			lost(fmt.Errorf("the loan ended in the middle: %s", l.Reason))
			return
		}
		if err == nil {
			err = b.Desk.Renew(ctx, b.loan.ID)
		}
		switch {
		case err == nil:
			misses = 0
		case ctx.Err() == nil:
			if misses++; misses == 6 { // its TTL has passed
				lost(fmt.Errorf("the lender cannot be told that this lives: %w", err))
				return
			}
		}
	}
}

// giveBack returns the agent and waits until the production recipe has proved it.
func (b *bench) giveBack(ctx context.Context) error {
	l, err := b.Desk.Return(ctx, b.loan.ID, "rehearsed")
	if err != nil {
		return err
	}
	b.say("goes back")
	limit, cancel := context.WithTimeoutCause(ctx, b.ReturnWithin, fmt.Errorf("it was not clean within %s", b.ReturnWithin))
	defer cancel()
	for {
		switch {
		case l.State == loan.Cleaned:
			return nil
		case l.State.Final():
			return fmt.Errorf("loan %s is %s: %s", l.ID, l.State, l.Reason)
		}
		if err := pause(limit, buildPoll); err != nil {
			return fmt.Errorf("loan %s is %s (%s): %w", l.ID, l.State, l.Reason, err)
		}
		if seen, err := b.Desk.Show(limit, b.loan.ID); err == nil {
			l = seen
		}
	}
}
