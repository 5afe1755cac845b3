// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// clockStep is the smallest change of a controller's clock that is stored; smaller ones come with
// better knowledge of it.
const clockStep = time.Second

// readClock learns from a poll how far the controller's clock is ahead of ours, and reports whether
// row, which it changes then, must be stored for those who come before the next poll.
func (c *Crew) readClock(seen jenkins.Clock, row *store.Controller) bool {
	c.skew = c.skew.Narrow(hygiene.ReadSkew(seen.Sent, seen.Date, seen.Received))
	if c.skew == (hygiene.Skew{}) {
		return false // no answer ever bore a date
	}
	ahead := c.skew.Ahead()
	c.ahead.Store(int64(ahead))
	if (ahead - row.Ahead).Abs() < clockStep {
		return false
	}
	row.Ahead = ahead
	return true
}

// recallClock takes up what the last process knew of the controller's clock.
func (c *Crew) recallClock(ctx context.Context) error {
	row, err := c.Store.Controller(ctx, c.id)
	c.ahead.Store(int64(row.Ahead))
	return err
}

// theirs returns what the controller's clock showed when ours showed at. Whatever is compared with the
// start of a build is of their clock, and stored so: either clock may be set in between.
func (c *Crew) theirs(at time.Time) time.Time {
	return at.Add(time.Duration(c.ahead.Load()))
}

// theirsOf is theirs by the clock of an agent's own controller.
func (c *Crew) theirsOf(ctx context.Context, id hygiene.AgentID, at time.Time) (time.Time, error) {
	if id.Controller == c.id {
		return c.theirs(at), nil
	}
	row, err := c.Store.Controller(ctx, id.Controller)
	return at.Add(row.Ahead), err
}
