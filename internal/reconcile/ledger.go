// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// ledger is the attempts of a pool that ended since a time, for what is decided from all of them again and again: those of a
// big pool are not read anew for each one that ends, nor by the crew of each controller.
type ledger struct {
	since, until time.Time
	ended        []hygiene.Ended // in the order of their ends
}

// readAgain is how far before the end of what was read it is read again: an attempt is stored a moment after its end.
const readAgain = time.Minute

// read brings a ledger up to now, of one controller or of all (""). It forgets what ended before since.
func (l ledger) read(ctx context.Context, s *store.Store, pool string, of hygiene.ControllerID, since, now time.Time) (ledger, error) {
	// Of the time that passes by a clock that nobody can set, what is stored knows nothing.
	since, now = since.Round(0), now.Round(0)
	from := l.until.Add(-readAgain)
	if since.Before(l.since) || from.Before(since) || l.until.After(now) { // wanted from earlier on, nothing to add to, or our clock was set back
		l, from = ledger{}, since
	}
	news, err := s.EndedSince(ctx, pool, from)
	if err != nil {
		return l, err
	}
	if of != "" {
		news = slices.DeleteFunc(news, func(e hygiene.Ended) bool { return e.Agent.Controller != of })
	}
	first, keep := l.reaches(since), l.reaches(from)
	return ledger{since: since, until: now, ended: append(l.ended[first:keep:keep], news...)}, nil
}

// reaches is the place of the first attempt that ended at a time or later.
func (l ledger) reaches(at time.Time) int {
	n, _ := slices.BinarySearchFunc(l.ended, at, func(e hygiene.Ended, at time.Time) int { return e.At.Compare(at) })
	return n
}
