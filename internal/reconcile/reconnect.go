// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// settleAway is how long an agent that is asked to reboot or reconnect may look connected before
// its absence is taken as overlooked: a quick reconnect falls between two polls.
const settleAway = 30 * time.Second

// driveReconnecting gets a new session of the agent and runs the verify phase in it. That the
// session is new is proved by the verify report: another boot id, or another agent process.
func (c *Crew) driveReconnecting(ctx context.Context, w *work) (time.Duration, error) {
	limit := w.policy.Limits.Reconnect
	if limit > 0 && w.now.Sub(w.agent.Since) > limit {
		if w.attempt.Run.Intent {
			c.stop(ctx, w)
		}
		return again, c.end(ctx, w, hygiene.Verdict{
			Outcome: hygiene.Failed, Permanent: true,
			Reason: fmt.Sprintf("not back within %s after a %s; does a supervisor start its agent process?", limit, w.attempt.Asked),
		})
	}
	if w.attempt.Run.Intent {
		return c.findHanded(ctx, w)
	}
	if w.attempt.Run.Kicked.IsZero() {
		return rest, c.kick(ctx, w)
	}
	if !w.look.At.After(w.attempt.Run.Kicked) {
		return rest, nil
	}
	if away := w.attempt.Run.Away; away.IsZero() {
		return c.awaitAway(ctx, w)
	}
	if !w.sighting.Present || w.sighting.Offline {
		return rest, c.launch(ctx, w)
	}
	fresh, err := c.freshLook(ctx, w)
	if err != nil {
		return rest, err
	}
	if !fresh.Idle || fresh.Offline || !fresh.Labels.Has(hygiene.ShowDirty) {
		return rest, nil
	}
	return c.handOver(ctx, w)
}

// kick closes the agent's connection, once. A reboot needs no help: the program triggers it after
// its report is out.
func (c *Crew) kick(ctx context.Context, w *work) error {
	if w.attempt.Asked == hygiene.Reconnect {
		fresh, err := c.freshLook(ctx, w)
		if err != nil || fresh.Real || fresh.Hidden {
			return err // a build sneaked in: it would die with the connection, and is waited for
		}
		err = c.Jenkins.Disconnect(ctx, w.agent.ID.Name, MarkPrefix+"reconnect asked for by a cleanup")
		if err != nil && !jenkins.IsNotFound(err) {
			return err
		}
	}
	return c.changeAttempt(ctx, w, func(t *hygiene.Attempt) { t.Run.Kicked, t.Run.Away = time.Now(), time.Time{} })
}

// awaitAway notes that the agent was seen without a connection, or that this was overlooked.
func (c *Crew) awaitAway(ctx context.Context, w *work) (time.Duration, error) {
	gone := w.sighting.Offline && !w.sighting.Reached
	if !gone && w.now.Sub(w.attempt.Run.Kicked) < settleAway {
		return rest, nil
	}
	return again, c.changeAttempt(ctx, w, func(t *hygiene.Attempt) { t.Run.Away = time.Now() })
}

// launch asks Jenkins to start an agent that it can start itself. Inbound agents are started by
// their own supervisor.
func (c *Crew) launch(ctx context.Context, w *work) error {
	if !w.sighting.Launchable || w.sighting.OfflineBy == hygiene.ByPerson {
		return nil
	}
	err := c.Jenkins.Launch(ctx, w.agent.ID.Name)
	var apiErr *jenkins.Error
	if errors.As(err, &apiErr) && apiErr.Kind == jenkins.KindConflict {
		return nil // launching already
	}
	return err
}
