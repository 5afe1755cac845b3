// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// grant gives a loan its agent: in one transaction the agent is clean no more, and the loan has it.
func (l *Lender) grant(ctx context.Context, m loan.Match, open []loan.Loan) (granted loan.Loan, err error) {
	c := l.crew(m.Offer.Agent.Controller)
	if c == nil {
		return granted, fmt.Errorf("loan %s: controller %s is not serviced", m.Loan.ID, m.Offer.Agent.Controller)
	}
	s := c.settings.Load()
	pool := s.named(m.Offer.Pool)
	if pool == nil || pool.Lend == nil {
		return granted, fmt.Errorf("loan %s: pool %s lends nothing any more", m.Loan.ID, m.Offer.Pool)
	}
	now, nonce := time.Now(), rand.Text()
	look := c.look.Load()
	err = c.change(ctx, lentAgent(&loan.Loan{Agent: m.Offer.Agent}), now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.State != hygiene.Clean || ch.Attempt == nil {
			return nil, store.ErrUnchanged // used meanwhile; the next decision offers others
		}
		one := m.Loan
		one.Lease = pool.Lend.lease(one.Lease)
		number := max(ch.Agent.Attempt, look.gateOf(ch.Agent.ID.Name).Attempt) + 1
		one, err := one.Grant(m.Offer.Agent, number, nodeOf(&one, pool.Lend), now)
		if err != nil {
			return nil, err
		}
		one.Run.Nonce, one.Run.SSH = nonce, pool.bySSH(one.To.Kind)
		if one.Held() {
			one.Run.Job = jobOf(s, one.Agent.Controller, open)
		}
		a, err := hygiene.Lend(ch.Agent, hygiene.Loan{ID: one.ID, Borrower: one.Borrower, Since: now, Number: number, Depth: pool.Lend.depthAfter()}, now)
		if err != nil {
			return nil, err
		}
		t := *ch.Attempt
		t.Lose(c.theirs(now), "")
		ch.Agent, ch.Attempt, ch.Loan, granted = a, &t, &one, one
		return []hygiene.Event{loanEvent(hygiene.EventLoanGranted, &one, one.Reason)}, nil
	})
	if err != nil {
		return granted, fmt.Errorf("loan %s: %w", m.Loan.ID, err)
	}
	if granted.ID == "" {
		return m.Loan, nil
	}
	c.Poke()
	l.enqueue(granted.ID)
	return granted, nil
}

// nodeOf is the node that a loan gets at its borrower, and the work directory on the machine.
func nodeOf(one *loan.Loan, p *Lending) loan.Node {
	node := loan.Node{Name: one.Node.Name, Dir: path.Join(p.Dir, "pitcrew-loan-"+one.ID)}
	if one.To.Kind == loan.ToController && !one.To.Own() {
		node.Name = "pitcrew-loan-" + strings.ToLower(rand.Text()) // never used before: a secret belongs to its name for ever
	}
	return node
}

// loanEvent is the record of a change of a loan by the daemon itself.
func loanEvent(kind hygiene.EventType, one *loan.Loan, reason string) hygiene.Event {
	e := hygiene.Event{
		Type: kind, Actor: "pitcrew", Subject: "loan " + one.ID, Reason: reason,
		Data: map[string]string{"loan": one.ID, "borrower": one.Borrower, "state": string(one.State)},
	}
	if one.Agent.Name != "" {
		e.Agent = lentAgent(one)
	}
	if one.Cause != "" {
		e.Data["cause"] = string(one.Cause)
	}
	return e
}

// shut makes sure that nothing real runs or starts on the agent: dirty is written and read back, by the gate where there is
// one, which is told the one job that may run there.
func (l *Lender) shut(ctx context.Context, c *Crew, one *loan.Loan) error {
	w, err := c.lendWork(ctx, one)
	if err != nil {
		return err
	}
	reason := ""
	switch {
	case !w.gated():
		err = c.show(ctx, w, hygiene.ShowDirty, nil)
	case !one.Held():
		err = c.writeByGate(ctx, w.agent.ID, hygiene.ShowDirty)
	default:
		reason, err = c.claimByGate(ctx, w, one.Run.Job)
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		reason, err = refused.reason, nil
	}
	if reason != "" {
		return l.ungrant(ctx, c, one, reason)
	}
	if err != nil {
		return err
	}
	if err := c.wroteLabels(ctx, w.agent.ID); err != nil {
		return err
	}
	seen, err := c.Jenkins.Agent(ctx, w.agent.ID.Name)
	if err != nil {
		return err
	}
	if s := c.sighting(w.settings, w.look, &seen, time.Now()); !s.Idle || s.Real {
		return l.ungrant(ctx, c, one, "a build came first")
	}
	one.Run.Shut = time.Now()
	if err := l.save(ctx, one, one.Run.Shut); err != nil {
		return err
	}
	c.Poke() // what the loan goes on by is newer than this
	return nil
}

// lendWork is the agent of a loan in the hands of a worker, for what cleanups and loans have in common.
func (c *Crew) lendWork(ctx context.Context, one *loan.Loan) (*work, error) {
	id := lentAgent(one)
	look := c.look.Load()
	if look == nil {
		return nil, errNotSeen
	}
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil {
		return nil, err
	}
	s, seen := c.settings.Load(), look.Agents[id.Name]
	return &work{
		agent: a, attempt: hygiene.Attempt{Agent: id, Number: one.Run.Number}, look: look, settings: s, now: time.Now(),
		sighting: c.sighting(s, look, &seen, look.At),
	}, nil
}

var errNotSeen = errors.New("its controller has not been looked at yet")

// ungrant gives the agent of a loan back of which nothing was started. It is due, and the loan waits for another. Its mark
// goes first: the loan forgets the agent, and whoever came first may need it for more than one build.
func (l *Lender) ungrant(ctx context.Context, c *Crew, one *loan.Loan, reason string) error {
	if !one.Held() && !one.Run.Shut.IsZero() { // it may be there although nobody answered
		if err := l.liftMark(ctx, c, one); err != nil {
			return err
		}
	}
	now := time.Now()
	back, err := one.Ungrant(reason, now)
	if err != nil {
		return err
	}
	return l.giveUp(ctx, c, one, back, hygiene.EventLoanGivenBack, reason, now)
}

// giveUp stores a loan together with its agent, which is not on loan any more, whether its controller is serviced or not.
func (l *Lender) giveUp(ctx context.Context, c *Crew, one *loan.Loan, after loan.Loan, kind hygiene.EventType, reason string, now time.Time) error {
	e := loanEvent(kind, one, reason)
	err := l.Store.Change(ctx, lentAgent(one), now, func(ch *store.Change) ([]hygiene.Event, error) {
		e.Before = ch.Agent.State
		if ch.Agent.Loan != nil && ch.Agent.Loan.ID == one.ID {
			ch.Agent = ch.Agent.Return(reason, now)
		}
		ch.Loan, e.At, e.After = &after, now, ch.Agent.State
		return []hygiene.Event{e}, nil
	})
	if err != nil {
		return err
	}
	l.told(ctx, one, e)
	if c != nil {
		c.Poke()
	}
	return nil
}

// markOf is the text of a loan's offline mark.
func markOf(one *loan.Loan) string {
	return loanMark + one.Borrower + " by loan " + one.ID + " until it is cleaned"
}

// mark takes the agent offline at its own controller: a crash that frees its executor must not offer it to anybody.
func (l *Lender) mark(ctx context.Context, c *Crew, one *loan.Loan) error {
	err := c.Jenkins.SetOffline(ctx, one.Agent.Name, markOf(one))
	if err != nil && !errors.Is(err, jenkins.ErrNotOurMark) { // a mark of somebody else does the same
		return err
	}
	c.Poke()
	if one.Marked {
		return nil
	}
	one.Marked = true
	return l.save(ctx, one, time.Now())
}

// unmark lifts our mark of an agent that nobody is going to clean.
func (l *Lender) unmark(ctx context.Context, c *Crew, one *loan.Loan) error {
	if err := l.liftMark(ctx, c, one); err != nil {
		return err
	}
	one.Marked = false
	return l.save(ctx, one, time.Now())
}

// liftMark takes the mark of a loan off its agent, or that of an earlier loan if it is the one that was seen. An agent that
// has none of ours is success.
func (l *Lender) liftMark(ctx context.Context, c *Crew, one *loan.Loan) error {
	mark := markOf(one)
	if look := c.look.Load(); look != nil {
		if seen := look.Agents[one.Agent.Name].OfflineReason; strings.HasPrefix(seen, loanMark) {
			mark = seen
		}
	}
	err := c.Jenkins.LiftOffline(ctx, one.Agent.Name, mark)
	if errors.Is(err, jenkins.ErrNotOurMark) || jenkins.IsNotFound(err) {
		return nil
	}
	return err
}
