// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// sight puts together what is known of both sides of a loan.
func (l *Lender) sight(ctx context.Context, c *Crew, one *loan.Loan) (loan.Sight, error) {
	s := loan.Sight{Program: programOf(&one.Run)}
	if one.State == loan.Waiting {
		return s, nil
	}
	a, _, err := l.Store.Agent(ctx, lentAgent(one))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return s, err
	}
	s.Released = a.Loan == nil || a.Loan.ID != one.ID
	s.Back = s.Released && cleanedSince(a, one)
	s.Lender.Managed = a.Managed()
	if c != nil {
		c.lookAtLent(&s, a, one)
		if s.Wanted, err = l.wanted(ctx, c, a, one); err != nil {
			return s, err
		}
	}
	if one.Node.Name != "" && one.To.Kind == loan.ToController && !one.To.Own() && one.Node.Made && !one.Node.Gone {
		s.Borrower = l.Borrowers.look(ctx, one)
	}
	if one.To.Own() {
		s.Borrower = loan.Borrower{Online: one.Run.Connected}
	}
	return s, nil
}

// due reports whether the cleanup that a loan's agent is due for has not begun.
func (l *Lender) due(ctx context.Context, one *loan.Loan) bool {
	a, _, err := l.Store.Agent(ctx, lentAgent(one))
	return err == nil && a.State == hygiene.Due
}

// cleanedSince reports whether an agent was proven clean after a loan. A build, or another loan, may have taken it at once.
// The number tells it whatever was done to the clock.
func cleanedSince(a hygiene.Agent, one *loan.Loan) bool {
	return a.State == hygiene.Clean && a.Attempt >= one.Run.Number || a.LastCleaned.After(one.Since)
}

// wanted reports whether the queue calls a loan back. What other loans there are matters only where it calls any.
func (l *Lender) wanted(ctx context.Context, c *Crew, a hygiene.Agent, one *loan.Loan) (bool, error) {
	m := c.market.Load()
	if m == nil || one.State != loan.Attached || !m.shelves[a.Pool].Short {
		return false, nil
	}
	open, err := l.Store.OpenLoans(ctx)
	return err == nil && m.recalls(one, open, time.Now()), err
}

// lookAtLent adds what the newest look saw of a loan's agent.
func (c *Crew) lookAtLent(s *loan.Sight, a hygiene.Agent, one *loan.Loan) {
	look, set, now := c.look.Load(), c.settings.Load(), time.Now()
	if look == nil {
		return
	}
	s.Lender.At, s.Lender.Answers = look.At, now.Sub(look.At) < max(lostAfter*set.Poll, 30*time.Second)
	s.Lender.Gone = look.Gone[one.Agent.Name]
	seen, ok := look.Agents[one.Agent.Name]
	if !ok {
		return
	}
	view := c.sighting(set, look, &seen, look.At)
	s.Lender.Present = true
	s.Lender.Marked = view.Offline && view.OfflineBy == hygiene.ByLoan
	if view.Real {
		s.Lender.Real = view.RealURL
	}
	if s.Lender.Kept = a.KeptOut(now); s.Lender.Kept == "" && view.Offline && view.OfflineBy == hygiene.ByPerson {
		s.Lender.Kept = "a person took it offline"
	}
}

// programOf says in the domain's words how far the program is.
func programOf(r *loan.Run) loan.Program {
	p := loan.Program{Says: r.Says, By: r.EndedBy, Refused: r.Refused, Proof: r.Proof, Account: r.Account, Started: r.Connected}
	switch {
	case !r.Ended.IsZero():
		p.Stage = loan.ProgramEnded
	case r.Build != 0 || r.SSH && !r.Handed.IsZero():
		p.Stage = loan.ProgramRunning
	case !r.Handed.IsZero():
		p.Stage = loan.ProgramQueued
	}
	return p
}
