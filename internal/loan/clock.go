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

// SetBack brings times that are in the future to now, and the end of the term back by as much: it must not last longer because
// a clock was set back, nor may a step wait until then. What a renewal has added to the term stays.
func SetBack(l Loan, now time.Time) Loan {
	var back time.Duration
	for _, t := range l.past() {
		if d := t.Sub(now); d > 0 {
			back = max(back, d)
			*t = now
		}
	}
	if !l.Until.IsZero() {
		l.Until = l.Until.Add(-back)
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
