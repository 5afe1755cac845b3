// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// stopGrace is how long a program that was told to stop may take.
const stopGrace = 2 * time.Minute

// driveRunning follows the program to its end. Queue and executors are read from the shared polls;
// only what they cannot tell costs a request of its own.
func (c *Crew) driveRunning(ctx context.Context, w *work) (time.Duration, error) {
	if w.attempt.Delivery == hygiene.BySSH {
		return c.driveRemote(ctx, w)
	}
	if !w.look.At.After(w.attempt.Handed) {
		return rest, nil
	}
	if w.attempt.Run.Build == 0 {
		return c.followQueue(ctx, w)
	}
	return c.followBuild(ctx, w)
}

// followQueue waits for the queued build to start, and takes the claim back when that takes too
// long.
func (c *Crew) followQueue(ctx context.Context, w *work) (time.Duration, error) {
	run := w.attempt.Run
	if e, ok := onAgent(w); ok && w.settings.Jobs.Parameterised == "" {
		return again, c.started(ctx, w, e.Number, e.URL)
	}
	late := w.policy.Limits.Queue > 0 && w.now.Sub(w.attempt.Handed) > w.policy.Limits.Queue
	for _, item := range w.look.Queue.Items {
		if item.ID != run.QueueID {
			continue
		}
		reason := overtaken(w)
		if reason == "" && late {
			reason = "waited too long in the queue: " + item.Why
		}
		if item.Pending || reason == "" {
			return rest, nil
		}
		return c.takeBack(ctx, w, item, reason)
	}
	item, err := c.Jenkins.QueueItem(ctx, run.QueueID)
	switch {
	case jenkins.IsNotFound(err):
		return c.findLost(ctx, w, late)
	case err != nil:
		return rest, err
	case item.Cancelled:
		return again, c.giveBack(ctx, w, "its queued build was cancelled by somebody")
	case item.Executable != nil:
		return again, c.started(ctx, w, item.Executable.Number, item.Executable.URL)
	case late:
		return again, c.giveBack(ctx, w, "its queued build never started")
	}
	return rest, nil
}

// overtaken says what came before the queued program, "" when nothing did. Queued behind a build, it
// could come before that build's return after a restart.
func overtaken(w *work) string {
	seen := w.sighting.At.After(w.attempt.Handed)
	switch why := w.agent.KeptOut(w.now); {
	case why != "" && w.attempt.Reconnect == 0:
		return why
	case seen && w.sighting.Real:
		return "a build started on it first: " + w.sighting.RealURL
	case seen && !w.policy.Disjoint && w.sighting.Neighbour.Real != "":
		return "a build started on its machine first, on " + w.sighting.Neighbour.Real
	case seen && unclaimed(w):
		return "the gate has no claim of it: it came after the claim was made, or the controller was restarted"
	}
	return ""
}

// unclaimed reports whether a gate keeps the queued program off the agent that it is for.
func unclaimed(w *work) bool {
	g := w.sighting.Gate
	return g.Mode == hygiene.GateUp && (g.State != hygiene.LedgerClaimed || g.Attempt != w.attempt.Number)
}

// takeBack cancels a queued build. An item that cannot be cancelled has left the queue meanwhile, and
// the next poll says where to.
func (c *Crew) takeBack(ctx context.Context, w *work, item jenkins.QueueItem, reason string) (time.Duration, error) {
	err := c.Jenkins.CancelQueueItem(ctx, item.ID)
	if err == nil {
		return again, c.giveBack(ctx, w, reason)
	}
	c.Log.DebugContext(ctx, "queued build could not be cancelled", "agent", w.agent.ID.Name, "err", err)
	return rest, nil
}

// onAgent returns the build of the attempt's job that the poll saw on the attempt's agent. No two
// builds of one slot are ever under way, so there can be no other; a parameterised job has many, and
// its builds are known by their numbers only.
func onAgent(w *work) (jenkins.Executable, bool) {
	for _, e := range w.look.Agents[w.agent.ID.Name].Running {
		if e.Job == w.attempt.Run.Job && (w.attempt.Run.Build == 0 || w.attempt.Run.Build == e.Number) {
			return e, true
		}
	}
	return jenkins.Executable{}, false
}

// findLost looks for the build of a queue item that Jenkins has forgotten: left items live five
// minutes, and none survives a restart (hudson.model.Queue#leftItems).
func (c *Crew) findLost(ctx context.Context, w *work, late bool) (time.Duration, error) {
	builds, err := c.Jenkins.RecentBuilds(ctx, w.attempt.Run.Job)
	if err != nil && !jenkins.IsNotFound(err) {
		return rest, err
	}
	for _, b := range builds {
		if b.QueueID == w.attempt.Run.QueueID || c.bears(b, w) {
			return again, c.started(ctx, w, b.Number, b.URL)
		}
	}
	if late || w.look.Session != w.attempt.Session {
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "the controller lost its queued build"})
	}
	return rest, nil
}

// started stores the number of the build.
func (c *Crew) started(ctx context.Context, w *work, build int64, url string) error {
	now := time.Now()
	err := c.changeAttempt(ctx, w, func(t *hygiene.Attempt) {
		t.Run.Build, t.Run.URL, t.Started = build, url, now
	})
	if err != nil {
		return err
	}
	c.describe(ctx, w)
	return nil
}

// describe names agent and attempt in the build's description, for people who look at the job. It
// is a courtesy: without Run/Update it is left out from then on.
func (c *Crew) describe(ctx context.Context, w *work) {
	if c.mayNotDescribe.Load() {
		return
	}
	run := w.attempt.Run
	err := c.Jenkins.SetBuildDescription(ctx, run.Job, run.Build, fmt.Sprintf("%s, attempt %d", w.agent.ID.Name, w.attempt.Number))
	if jenkins.IsForbidden(err) {
		c.mayNotDescribe.Store(true)
	}
}

// followBuild waits for the end of the build, stops it at its limit, and reads its result.
func (c *Crew) followBuild(ctx context.Context, w *work) (time.Duration, error) {
	run, limit := w.attempt.Run, w.policy.Limits.Run
	over := limit > 0 && w.now.Sub(w.attempt.Started) > limit
	if _, running := onAgent(w); running {
		if over {
			return c.stopLate(ctx, w)
		}
		return rest, nil
	}
	build, err := c.Jenkins.BuildInfo(ctx, run.Job, run.Build)
	switch {
	case jenkins.IsNotFound(err):
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "its build was deleted"})
	case err != nil:
		return rest, err
	case build.Building && over:
		return c.stopLate(ctx, w)
	case build.Building:
		return rest, nil
	}
	return c.finish(ctx, w, build)
}

// stopLate stops a program at its limit, and fails the attempt when even that does not help.
func (c *Crew) stopLate(ctx context.Context, w *work) (time.Duration, error) {
	limit := w.policy.Limits.Run
	if w.now.Sub(w.attempt.Started) > limit+stopGrace {
		return again, c.end(ctx, w, hygiene.Verdict{
			Outcome: hygiene.Failed, Reason: fmt.Sprintf("ran longer than %s and could not be stopped", limit),
		})
	}
	return rest, c.Jenkins.StopBuild(ctx, w.attempt.Run.Job, w.attempt.Run.Build)
}
