// SPDX-License-Identifier: Apache-2.0

package loan

import (
	"errors"
	"fmt"
	"time"
)

// Lease is for how long an agent is lent.
type Lease struct {
	// Term is how long the borrower asked for, counted from the grant, and from each renewal that asks
	// for more.
	Term time.Duration `json:"term"`
	// Max is the hard maximum from the grant, renewals and all.
	Max time.Duration `json:"max"`
	// TTL is how long a borrower may be silent; 0 = it need not give a sign of life.
	TTL time.Duration `json:"ttl,omitempty"`
	// Idle ends a loan on which nothing ran for so long; 0 = never.
	Idle time.Duration `json:"idle,omitempty"`
	// Attach is how long after the grant the borrower must have the agent. The agent program does not
	// bound its first connection itself (jenkins-reference 5.2).
	Attach time.Duration `json:"attach"`
}

// ErrOver means that a loan cannot be renewed because it is coming back, or has.
var ErrOver = errors.New("the loan is over")

// Ends says when the lease of a loan with an agent ends, by what, if nothing is renewed before.
func (l Loan) Ends() (at time.Time, cause Cause, reason string) {
	at, cause, reason = l.Until, ByTerm, fmt.Sprintf("its term of %s is over", l.Lease.Term)
	if !at.Equal(l.Granted.Add(l.Lease.Term)) {
		reason = "its term is over"
	}
	if most := l.Granted.Add(l.Lease.Max); l.Lease.Max > 0 && !most.After(at) {
		at, reason = most, fmt.Sprintf("it has lasted for %s, and no loan may last longer", l.Lease.Max)
	}
	if silent := l.Renewed.Add(l.Lease.TTL); l.Lease.TTL > 0 && silent.Before(at) && l.State == Attached {
		at, cause, reason = silent, BySilence, fmt.Sprintf("the borrower has given no sign of life for %s", l.Lease.TTL)
	}
	return at, cause, reason
}

// Renew notes a sign of life of the borrower and, if longer is not 0, lets the term end longer from now,
// within the hard maximum. It says how long the lease really is from now. A waiting loan only shows that somebody waits.
func (l Loan) Renew(longer time.Duration, now time.Time) (Loan, error) {
	switch {
	case longer < 0:
		return l, fmt.Errorf("loan %s: renew for %s: want a time from now on", l.ID, longer)
	case l.State == Returning || l.Over():
		return l, fmt.Errorf("loan %s is %s (%s): %w", l.ID, l.State, l.Reason, ErrOver)
	}
	l.Renewed = now
	if longer == 0 || l.State == Waiting {
		return l, nil
	}
	l.Until = now.Add(longer)
	if most := l.Granted.Add(l.Lease.Max); l.Lease.Max > 0 && most.Before(l.Until) {
		l.Until = most
	}
	return l, nil
}

// Idles notes whether something runs on the agent at the borrower, as somebody saw at now.
func (l *Loan) Idles(idle bool, now time.Time) (news bool) {
	switch {
	case !idle && !l.IdleSince.IsZero():
		l.IdleSince = time.Time{}
	case idle && l.IdleSince.IsZero():
		l.IdleSince = now
	default:
		return false
	}
	return true
}
