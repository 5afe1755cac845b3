// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
)

// makeNode makes the loan's node at the borrower. That it is, is stored first: what was made without an answer is deleted
// all the same.
func (l *Lender) makeNode(ctx context.Context, one *loan.Loan) error {
	client, err := l.Borrowers.client(one)
	if err != nil {
		return err
	}
	if err := l.Borrowers.silent(one.To.Controller); err != nil {
		return err
	}
	borrower, _ := l.Borrowers.Named(one.To.Controller)
	begun := one.Node.Made // before, with an answer that nobody heard
	one.Node.Made = true
	if err := l.save(ctx, one, time.Now()); err != nil {
		return err
	}
	labels := one.To.Labels
	if len(labels) == 0 {
		labels = borrower.Labels
	}
	defer l.Borrowers.changed(one)
	err = client.CreateInboundNode(ctx, jenkins.NodeSpec{
		Name: one.Node.Name, RemoteFS: one.Node.Dir, Labels: labels, Executors: 1,
		Description: fmt.Sprintf("%s of %s, lent by pitcrew to %s (loan %s). It is deleted with the loan.", one.Agent.Name, one.Agent.Controller, one.Borrower, one.ID),
	})
	if !begun && errors.Is(err, jenkins.ErrNothingMade) {
		one.Node.Made = false // no deletion is owed by who lets us in nowhere
	}
	return asMade(err)
}

// asMade takes a node of our name for ours: nobody else draws it.
func asMade(err error) error {
	if errors.Is(err, jenkins.ErrNameTaken) {
		return nil
	}
	return err
}

// dropNode deletes the loan's node at the borrower, and looks that it is gone.
func (l *Lender) dropNode(ctx context.Context, one *loan.Loan) error {
	client, err := l.Borrowers.client(one)
	if err != nil {
		return err
	}
	if err := l.Borrowers.silent(one.To.Controller); err != nil {
		return err
	}
	defer l.Borrowers.changed(one)
	if err := client.DeleteNode(ctx, one.Node.Name); err != nil {
		return err
	}
	owed := one.Node.Owed
	one.Node.Gone, one.Node.Owed = true, false
	if !owed {
		return l.save(ctx, one, time.Now())
	}
	return l.save(ctx, one, time.Now(), loanEvent(hygiene.EventLoanPaid, one, "the borrower answers again: node "+one.Node.Name+" was deleted"))
}

// missed says when a step that met an error is tried again, and ends a loan that no repetition can bring about.
func (l *Lender) missed(ctx context.Context, one *loan.Loan, act loan.Action, err error) (time.Duration, error) {
	if ctx.Err() != nil {
		return rest, nil //nolint:nilerr // the daemon stops: that is no error of the loan
	}
	if errors.Is(err, errParting) {
		return stepSoon(one.Since, time.Now()), nil
	}
	now := time.Now()
	wait := l.setBack(ctx, one, string(act.Kind), err)
	final := errors.Is(err, errNoBorrower) || isFinal(err)
	if one.State == loan.Granted && (act.Kind == loan.MakeNode || act.Kind == loan.HandOver) && final {
		return again, l.end(ctx, one, loan.ByRefusal, err.Error(), "pitcrew", now)
	}
	if one.State == loan.Granted && one.Reason != err.Error() {
		one.Reason = err.Error() // for people who ask why it takes so long
		if err := l.save(ctx, one, now); err != nil {
			return rest, err
		}
	}
	return min(wait, lendEvery), nil
}

// isFinal reports whether a controller said no in a way that no repetition changes.
func isFinal(err error) bool {
	switch jenkins.KindOf(err) { //nolint:exhaustive // the others may go away
	case jenkins.KindPermanent, jenkins.KindUnauthorized, jenkins.KindForbidden:
		return true
	}
	return false
}
