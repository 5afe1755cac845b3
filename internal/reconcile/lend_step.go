// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// A loan that is on its way to the borrower or back is looked at again after a third of the time that it has been, within
// these bounds: what takes a moment is seen at once, and what takes long costs few requests.
const (
	stepSoonest = 100 * time.Millisecond
	stepLatest  = time.Second
)

// freesWithin is how long after the end of a loan's program its agent is looked for again and again, until its cleanup has
// begun: a build holds its executor for a moment. A controller that takes longer is busy, and is polled no more often for it.
const freesWithin = 3 * time.Second

// stepSoon is when a loan that has been in its state since then is looked at again.
func stepSoon(since, now time.Time) time.Duration {
	return min(max(now.Sub(since)/3, stepSoonest), stepLatest)
}

// handle does the next thing for one loan. It may run at any time and any number of times.
func (l *Lender) handle(ctx context.Context, id string) (time.Duration, error) {
	one, err := l.Store.Loan(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return rest, nil
	}
	if err != nil || one.Over() && !one.Node.Owing() {
		l.goesOn(id, "")
		return rest, err
	}
	if l.notOurs(one.Agent.Controller) {
		return lendEvery, nil
	}
	c := l.crew(one.Agent.Controller)
	if c != nil && c.settings.Load().DryRun {
		return rest, nil
	}
	if now := time.Now(); loan.Ahead(one, now) {
		l.Log.WarnContext(ctx, "the clock was set back", "loan", id, "since", one.Since)
		one = loan.SetBack(one, now)
		if err := l.save(ctx, &one, now); err != nil {
			return rest, err
		}
	}
	if l.resting(id, looking) <= 0 {
		if err := l.follow(ctx, c, &one); errors.Is(err, store.ErrConflict) {
			return again, nil
		} else if err != nil {
			l.setBack(ctx, &one, looking, err)
		} else {
			l.goesOn(id, looking)
		}
	}
	sight, err := l.sight(ctx, c, &one)
	if err != nil {
		return rest, err
	}
	policy := l.policy(ctx, c, &one)
	if err := l.notice(ctx, &one, &sight, policy); err != nil {
		return rest, err
	}
	now := time.Now()
	act := loan.Next(one, sight, policy, now)
	if act.Kind != loan.Rest {
		l.Log.DebugContext(ctx, "loan", "loan", id, "state", string(one.State), "action", string(act.Kind), "reason", act.Reason)
	}
	if wait := l.resting(id, string(act.Kind)); wait > 0 {
		return min(wait, lendEvery), nil
	}
	err = l.act(ctx, c, &one, act, now)
	switch {
	case errors.Is(err, store.ErrConflict):
		return again, nil // decided on older facts
	case err != nil:
		return l.missed(ctx, &one, act, err)
	}
	l.goesOn(id, string(act.Kind))
	switch {
	case act.Kind == loan.Unmark, act.Kind == loan.Mark && one.State == loan.Attached:
		c.Poke() // what called for it was seen; only a new look shows that it is done
		return lendEvery, nil
	case act.Kind != loan.Rest:
		return again, nil
	case one.State == loan.Granted || one.State == loan.Returning:
		if c != nil && sight.Released && now.Sub(one.Run.Ended) < freesWithin && l.due(ctx, &one) {
			c.Poke() // the look that gave it back may have seen its executor busy still
		}
		return stepSoon(one.Since, now), nil
	}
	return min(max(time.Until(act.Wake), stepSoonest), lendEvery), nil
}

// policy is that of the pool that lends the agent; one that lends nothing any more lets its loans end.
func (l *Lender) policy(ctx context.Context, c *Crew, one *loan.Loan) loan.Policy {
	if p := l.lending(ctx, c, one); p != nil {
		return p.Policy
	}
	return loan.Policy{Return: returnAnyway}
}

// returnAnyway is after which time people are told of a loan that does not come back where no pool says so any more: without one
// nothing cleans its agent.
const returnAnyway = 30 * time.Minute

// lending is how the pool of a loan's agent lends, nil if it does not, or nobody knows.
func (l *Lender) lending(ctx context.Context, c *Crew, one *loan.Loan) *Lending {
	if pool := l.pool(ctx, c, one); pool != nil {
		return pool.Lend
	}
	return nil
}

// pool is the one that lent a loan's agent, nil if the configuration lost it, or nobody knows. What the agent
// shows now does not matter: it may be out of sight.
func (l *Lender) pool(ctx context.Context, c *Crew, one *loan.Loan) *Pool {
	if c == nil || one.Agent.Name == "" {
		return nil
	}
	a, _, err := l.Store.Agent(ctx, lentAgent(one))
	if err != nil {
		return nil
	}
	return c.settings.Load().named(a.Pool)
}

// notice stores what was seen that the lease depends on, and tells people once of what takes too long.
func (l *Lender) notice(ctx context.Context, one *loan.Loan, s *loan.Sight, p loan.Policy) error {
	now := time.Now()
	news := false
	if one.State == loan.Attached && s.Borrower.Answers {
		news = one.Idles(s.Borrower.Idle, now)
		if now.Sub(one.Renewed) > one.Lease.TTL/3 && one.Lease.TTL > 0 && s.Borrower.Online {
			one.Renewed, news = now, true // that it shows the agent online is its sign of life
		}
	}
	var events []hygiene.Event
	if one.Overdue(p, now) && !one.Told.Overrun {
		one.Told.Overrun = true
		events = append(events, loanEvent(hygiene.EventLoanOverrun, one, fmt.Sprintf("its return takes longer than %s: %s", p.Return, one.Reason)))
	}
	if !news && len(events) == 0 {
		return nil
	}
	return l.save(ctx, one, now, events...)
}

// save stores a loan and tells the watcher of the events.
func (l *Lender) save(ctx context.Context, one *loan.Loan, now time.Time, events ...hygiene.Event) error {
	for i := range events {
		events[i].At = now
	}
	if err := l.Store.SaveLoan(ctx, *one, events...); err != nil {
		return err
	}
	one.Version++
	l.told(ctx, one, events...)
	return nil
}

// told tells the watcher and the log of events that are stored.
func (l *Lender) told(ctx context.Context, one *loan.Loan, events ...hygiene.Event) {
	for _, e := range events {
		l.Watch.Changed(e)
		l.Log.InfoContext(ctx, "loan changed", "event", string(e.Type), "loan", one.ID, "reason", e.Reason)
	}
}

// act carries one decision out.
func (l *Lender) act(ctx context.Context, c *Crew, one *loan.Loan, act loan.Action, now time.Time) error {
	switch act.Kind {
	case loan.Rest:
		return nil
	case loan.End:
		reason := act.Reason
		if act.Cause == loan.ByTimeout {
			reason += cmp.Or(l.trouble(one.ID), said(one.Run.Trouble))
		}
		if why := l.Waits(one.ID); act.Cause == loan.ByPatience && why != "" {
			reason += ": it " + why
		}
		return l.end(ctx, one, act.Cause, reason, "pitcrew", now)
	case loan.MakeNode:
		return l.makeNode(ctx, one)
	case loan.DropNode:
		return l.dropNode(ctx, one)
	case loan.Owe:
		one.Node.Owed = true
		return l.save(ctx, one, now, loanEvent(hygiene.EventLoanOwed, one, "the node "+one.Node.Name+" is still at the borrower: "+act.Reason))
	case loan.Attach:
		attached, err := one.Attach(act.Reason, now)
		if err != nil {
			return err
		}
		if err := l.save(ctx, &attached, now, loanEvent(hygiene.EventLoanAttached, &attached, act.Reason)); err != nil {
			return err
		}
		l.Watch.Attached(attached)
		return nil
	case loan.Release: // its mark stays until it is cleaned
		return l.giveUp(ctx, c, one, *one, hygiene.EventLoanReleased, act.Reason, now)
	case loan.Finish:
		return l.finish(ctx, one, act, now)
	case loan.Shut, loan.Ungrant, loan.HandOver, loan.Mark, loan.Unmark, loan.Stop:
	}
	if c == nil {
		return fmt.Errorf("%s: controller %s: %w", act.Kind, one.Agent.Controller, errNotServiced)
	}
	switch act.Kind { //nolint:exhaustive // the others are above
	case loan.Shut:
		return l.shut(ctx, c, one)
	case loan.Ungrant:
		return l.ungrant(ctx, c, one, act.Reason)
	case loan.HandOver:
		return l.handOver(ctx, c, one)
	case loan.Mark:
		return l.mark(ctx, c, one)
	case loan.Unmark:
		return l.unmark(ctx, c, one)
	default:
		return l.stop(ctx, c, one)
	}
}

var errNotServiced = errors.New("it is not serviced")

// end begins the return of a loan.
func (l *Lender) end(ctx context.Context, one *loan.Loan, cause loan.Cause, reason, actor string, now time.Time) error {
	ended, err := one.Return(cause, reason, now)
	if err != nil {
		return err
	}
	kind := hygiene.EventLoanReturning
	switch ended.State { //nolint:exhaustive // it can be in no other
	case loan.Expired:
		kind = hygiene.EventLoanExpired
	case loan.Failed:
		kind = hygiene.EventLoanFailed
	}
	e := loanEvent(kind, &ended, reason)
	e.Actor = actor
	events := []hygiene.Event{e}
	if silent := cause == loan.BySilence || cause == loan.ByAbort && one.Run.Proof == "" && !one.Run.Stopped; silent && !ended.Told.Lost && ended.State == loan.Returning {
		ended.Told.Lost = true
		events = append(events, loanEvent(hygiene.EventLoanLost, &ended, reason))
	}
	if err := l.save(ctx, &ended, now, events...); err != nil {
		return err
	}
	*one = ended
	if one.Over() {
		l.Watch.Returned(*one)
	}
	return nil
}

// finish closes a loan whose agent has been dealt with.
func (l *Lender) finish(ctx context.Context, one *loan.Loan, act loan.Action, now time.Time) error {
	over, err := one.Finish(act.Kept, act.Reason, now)
	if err != nil {
		return err
	}
	kind, reason := hygiene.EventLoanCleaned, act.Reason
	if over.State == loan.Failed {
		kind, reason = hygiene.EventLoanFailed, one.Reason+"; "+act.Reason
		over.Reason = reason
	}
	if err := l.save(ctx, &over, now, loanEvent(kind, &over, reason)); err != nil {
		return err
	}
	*one = over
	l.mu.Lock()
	delete(l.asked, one.ID)
	l.mu.Unlock()
	l.Watch.Returned(over)
	return nil
}
