// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// borrowed are labels of ours that an agent showed while its configuration did not have them.
type borrowed struct {
	labels hygiene.Labels
	at     time.Time // when its configuration was read
}

// borrowedFor is how long an agent is refused for a borrowed label before it is tried again.
const borrowedFor = time.Hour

// noteBorrowed keeps which labels the newest look showed that the configuration, read since, does not have. Most were
// only taken off in between, which the next look tells.
func (c *Crew) noteBorrowed(agent string, labels hygiene.Labels) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if labels == 0 {
		delete(c.borrowed, agent)
	} else {
		c.borrowed[agent] = borrowed{labels, time.Now()}
	}
}

// cannotManage says why an agent that shows labels cannot be managed, "" when it can: Jenkins counts the name of an agent
// among its labels (hudson.model.Node#getAssignedLabels), and those that plugins add (hudson.model.LabelFinder). No edit
// of its configuration changes those. The caller holds c.mu.
func (c *Crew) cannotManage(s *Settings, agent string, labels hygiene.Labels, at time.Time) string {
	if s.Labels.Read([]string{agent}) != 0 {
		return fmt.Sprintf("its name is our label %s, which Jenkins counts among its labels", agent)
	}
	b, ok := c.borrowed[agent]
	switch {
	case !ok || !at.After(b.at):
		return ""
	case labels&b.labels == 0, at.Sub(b.at) > borrowedFor:
		delete(c.borrowed, agent)
		return ""
	}
	return fmt.Sprintf("its label %v is not in its configuration; a plugin adds it, and it cannot be taken off", s.Labels.Strings(labels&b.labels))
}

// tellRefused records, once, why an agent that shows our label is not managed.
func (c *Crew) tellRefused(ctx context.Context, s *Settings, views []view, now time.Time) error {
	for i := range views {
		v := &views[i]
		why, name := v.sighting.Refused, v.agent.ID.Name
		c.mu.Lock()
		told := c.refusals[name]
		c.mu.Unlock()
		if why == "" || why == told || v.agent.Managed() || s.DryRun || v.policy.DryRun {
			continue
		}
		last, err := c.Store.Events(ctx, store.EventFilter{Agent: v.agent.ID, Types: []hygiene.EventType{hygiene.EventRefused}, Newest: true, Limit: 1})
		if err != nil {
			return err
		}
		if len(last) == 0 || last[0].Reason != why { // not told by an earlier process
			e := event(hygiene.EventRefused, v.agent, why)
			e.At = now
			if err := c.Store.Append(ctx, now, e); err != nil {
				return err
			}
			c.Watch.Changed(e)
			c.Log.WarnContext(ctx, "agent cannot be managed", "agent", name, "reason", why)
		}
		c.mu.Lock()
		c.refusals[name] = why
		c.mu.Unlock()
	}
	return nil
}
