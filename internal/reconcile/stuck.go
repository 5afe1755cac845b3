// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// unwritten are the failures in a row to write an agent's labels.
type unwritten struct {
	times int
	at    time.Time
}

// noteEdit notes how an attempt to make an agent's labels want ended, nil for well, and tells of agents whose labels
// cannot be written: their clean may go on being offered to builds. What cannot be stored is told with the next attempt.
func (c *Crew) noteEdit(ctx context.Context, id hygiene.AgentID, want hygiene.Labels, cause error) {
	if ctx.Err() != nil || jenkins.IsNotFound(cause) {
		return
	}
	err := c.keepEdit(ctx, id, want, cause)
	if err != nil && ctx.Err() == nil {
		c.Log.WarnContext(ctx, "it could not be stored whether labels can be written", "agent", id.Name, "err", err)
	}
}

func (c *Crew) keepEdit(ctx context.Context, id hygiene.AgentID, want hygiene.Labels, cause error) error {
	n := c.countUnwritten(id.Name, cause)
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil || n == 0 && a.Stuck == nil {
		return err
	}
	now := time.Now()
	return c.change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if n > 0 {
			if !ch.Agent.Unwritten(n, jenkins.IsForbidden(cause), unwritable(want, cause), now) {
				return nil, store.ErrUnchanged
			}
			return []hygiene.Event{event(hygiene.EventStuck, ch.Agent, ch.Agent.Stuck.Reason)}, nil
		}
		if ch.Agent.Stuck == nil {
			return nil, store.ErrUnchanged
		}
		e := event(hygiene.EventUnstuck, ch.Agent, "its labels can be written again; they could not since "+ch.Agent.Stuck.Since.UTC().Format(time.RFC3339))
		ch.Agent.Stuck = nil
		return []hygiene.Event{e}, nil
	})
}

// countUnwritten returns the failures in a row. One that comes before a poll has succeeded since the last is none of its
// own: while the controller does not answer no agent is to blame.
func (c *Crew) countUnwritten(agent string, cause error) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause == nil {
		delete(c.unwritten, agent)
		return 0
	}
	u := c.unwritten[agent]
	if look := c.look.Load(); u.times == 0 || look != nil && look.At.After(u.at) {
		u = unwritten{u.times + 1, time.Now()}
	}
	c.unwritten[agent] = u
	return u.times
}

// unwritable says why labels cannot be written, in words that an administrator can act on.
func unwritable(want hygiene.Labels, cause error) string {
	reason := fmt.Sprintf("its labels cannot be made %s: ", want)
	if want == 0 {
		reason = "our labels cannot be taken off: "
	}
	switch {
	case jenkins.IsForbidden(cause):
		reason += "grant pitcrew's user Agent/Configure on it"
	case errors.Is(cause, jenkins.ErrLostEdit):
		reason += "Jenkins drops the edit, or somebody else writes the agent's configuration again and again"
	default:
		return reason + strings.ReplaceAll(cause.Error(), "\n", "; ")
	}
	return fmt.Sprintf("%s (%v)", reason, cause)
}
