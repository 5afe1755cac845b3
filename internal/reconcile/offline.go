// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// lift takes the offline mark of a monitor, or ours in its place, off for the attempt, now that dirty
// is verified. That it is owed is stored first, whatever becomes of the request.
func (c *Crew) lift(ctx context.Context, w *work) error {
	reason := w.look.Agents[w.agent.ID.Name].OfflineReason
	mark := reason
	switch {
	case w.sighting.OfflineBy == hygiene.ByLoan && w.sighting.Reached:
	case w.policy.Monitor != hygiene.MonitorLift || w.attempt.Delivery == hygiene.BySSH:
		return nil
	case w.sighting.OfflineBy == hygiene.ByMonitor:
		mark = MarkPrefix + "put back after a cleanup: " + reason
	case w.sighting.OfflineBy != hygiene.ByUs || !w.sighting.Reached:
		return nil
	}
	err := c.change(ctx, w.agent.ID, time.Now(), func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		if ch.Agent.Mark == mark {
			return nil, store.ErrUnchanged
		}
		ch.Agent.Mark = mark
		return []hygiene.Event{event(hygiene.EventMarked, ch.Agent, "lifted for the cleanup: "+reason)}, nil
	})
	if err != nil {
		return err
	}
	return c.Jenkins.LiftOffline(ctx, w.agent.ID.Name, reason)
}

// remark puts back what was lifted for a cleanup that did not succeed. The debt ends when the mark is
// there, or when it can never be. An agent that a cleanup owns is left alone: its end decides.
func (c *Crew) remark(ctx context.Context, id hygiene.AgentID) error {
	a, _, err := c.Store.Agent(ctx, id)
	if err != nil || a.Mark == "" || a.State.InProgress() {
		return err
	}
	reason := "put back: " + a.Mark
	switch err := c.Jenkins.SetOffline(ctx, id.Name, a.Mark); {
	case err == nil:
	case errors.Is(err, jenkins.ErrNotOurMark):
		reason = "not put back: somebody else has marked it offline since"
	case jenkins.IsNotFound(err):
		reason = "not put back: the agent does not exist any more"
	case jenkins.IsForbidden(err):
		reason = "not put back: " + err.Error()
	default:
		return err
	}
	now := time.Now()
	return c.change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.Mark != a.Mark || ch.Agent.State.InProgress() {
			return nil, store.ErrUnchanged
		}
		ch.Agent.Mark, ch.Agent.LabelsAt = "", now // older looks do not know of the mark
		return []hygiene.Event{event(hygiene.EventMarked, ch.Agent, reason)}, nil
	})
}
