// SPDX-License-Identifier: Apache-2.0

package loan

import "time"

// Ahead reports whether the loan bears times that are in the future: our clock was set back since they were written.
func Ahead(l Loan, now time.Time) bool {
	for _, t := range l.past() {
		if t.After(now) {
			return true
		}
	}
	return false
}

// SetBack brings times that are in the future to now, and the end of the term with them: it must not last longer because
// a clock was set back, nor may a step wait until then.
func SetBack(l Loan, now time.Time) Loan {
	for _, t := range l.past() {
		if t.After(now) {
			*t = now
		}
	}
	if most := now.Add(l.Lease.Term); !l.Until.IsZero() && l.Until.After(most) {
		l.Until = most
	}
	return l
}

// past are the times that cannot be in the future.
func (l *Loan) past() []*time.Time {
	return []*time.Time{
		&l.Since, &l.Requested, &l.Granted, &l.Attached, &l.Renewed, &l.IdleSince, &l.Returned, &l.Ended,
		&l.Run.Shut, &l.Run.Intent, &l.Run.Handed, &l.Run.Ended,
	}
}
