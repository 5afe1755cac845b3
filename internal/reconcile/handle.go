// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// again tells the engine to come back at once; rest leaves it to the next poll.
const (
	again = time.Duration(0)
	rest  = engine.Rest
)

// work is one agent in the hands of a worker: the stored row as it is now, and the newest
// decision's sighting.
type work struct {
	agent    hygiene.Agent
	attempt  hygiene.Attempt // current one; zero when there is none
	sighting hygiene.Sighting
	decision *Decision
	pool     *Pool
	policy   hygiene.Policy
	settings *Settings
	look     *Look
	now      time.Time
	program  *recipe.Program // of the current attempt's revision; nil = it is not known any more
	job      string          // prepared for the attempt in this call; "" = not yet
}

// handle does the next thing for one agent. It may run at any time and any number of times.
func (c *Crew) handle(ctx context.Context, key string) (time.Duration, error) {
	id, err := hygiene.ParseAgentID(key)
	if err != nil {
		return rest, err
	}
	if wait := c.retryIn(id.Name); wait > 0 {
		return wait, nil
	}
	w, err := c.take(ctx, id)
	if err != nil || w == nil {
		return rest, err
	}
	next, err := c.work(ctx, w)
	c.noteRetry(id.Name, w.decision.Action.Kind, err)
	if err != nil {
		return rest, c.judgeError(ctx, w, err)
	}
	return next, nil
}

// take reads the row and joins it with the newest decision; nil when nothing can be done yet.
func (c *Crew) take(ctx context.Context, id hygiene.AgentID) (*work, error) {
	c.mu.Lock()
	d := c.decisions[id.Name]
	c.mu.Unlock()
	look := c.look.Load()
	if look == nil || d == nil || c.Refused() != "" {
		return nil, nil
	}
	w := &work{agent: hygiene.Agent{ID: id}, decision: d, sighting: d.Sighting, look: look, settings: c.settings.Load(), now: time.Now()}
	a, t, err := c.Store.Agent(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		w.agent = a
		if t != nil {
			w.attempt = *t
		}
	}
	pauses, err := c.pauses(ctx, w.now)
	if err != nil {
		return nil, err
	}
	w.pool, w.policy = c.policy(ctx, w.settings, &w.agent, look.Agents[id.Name].Labels, pauses)
	if w.policy.DryRun {
		return nil, nil
	}
	if w.pool != nil && w.agent.State.InProgress() {
		w.program, err = c.Rollouts.program(ctx, w.pool, w.attempt.Revision)
	}
	return w, err
}

// work lets the domain decide once more, on the row as it is now, and acts.
func (c *Crew) work(ctx context.Context, w *work) (time.Duration, error) {
	if use := w.agent.Used; use != nil && use.Item != 0 {
		if err := c.nameUse(ctx, w); err != nil {
			c.Log.WarnContext(ctx, "the build that used an agent could not be named", "agent", w.agent.ID.Name, "err", err)
		}
	}
	act := hygiene.Next(w.agent, w.sighting, w.policy, w.now)
	if again, ok := w.restaled(act); ok {
		act = again
	}
	switch act.Kind {
	case hygiene.Adopt:
		if w.pool == nil {
			return rest, nil
		}
		return rest, c.adopt(ctx, w, act)
	case hygiene.Withdraw:
		return rest, c.withdraw(ctx, w, act)
	case hygiene.Forget:
		return rest, c.forget(ctx, w, act)
	case hygiene.Unclean:
		return rest, c.unclean(ctx, w, act)
	case hygiene.Relabel:
		err := c.relabel(ctx, w, act)
		if !w.agent.State.InProgress() {
			return rest, err
		}
		if err != nil {
			c.Log.WarnContext(ctx, "labels could not be repaired during a cleanup", "agent", w.agent.ID.Name, "err", err)
		}
		return c.drive(ctx, w) // who edits them as often as we look must not hold it up
	case hygiene.Unmark:
		return rest, c.Jenkins.LiftOffline(ctx, w.agent.ID.Name, w.look.Agents[w.agent.ID.Name].OfflineReason)
	case hygiene.Remark:
		return rest, c.remark(ctx, w.agent.ID)
	case hygiene.Stop:
		return rest, c.stopStray(ctx, w)
	case hygiene.Refresh:
		if w.decision.Chosen && w.decision.Action.Kind == hygiene.Refresh {
			return rest, c.refresh(ctx, w, act)
		}
	case hygiene.Launch:
		if w.decision.Chosen && w.decision.Action.Kind == hygiene.Launch {
			return rest, c.launchWanted(ctx, w)
		}
	case hygiene.Drive:
		return c.drive(ctx, w)
	case hygiene.Rest, hygiene.Begin:
	}
	return rest, nil
}

// launches are the launches of an agent since it was last seen online.
type launches struct {
	times       int
	first, last time.Time
}

// launchWait is how long a launch that was asked for may take before it is asked for again, longer each time that it
// brings no agent: Jenkins does not show that an agent is being launched.
var launchWait = hygiene.Backoff{First: 2 * time.Minute, Max: 30 * time.Minute}

// String is what is told of an agent that does not come.
func (l launches) String() string {
	at := l.first.UTC().Format(time.RFC3339)
	if l.times == 1 {
		return fmt.Sprintf("launched at %s, and it has not come", at)
	}
	return fmt.Sprintf("launched %d times since %s, and it has not come", l.times, at)
}

// launchWanted has Jenkins launch an agent that the queue wants, once per time that a launch takes.
func (c *Crew) launchWanted(ctx context.Context, w *work) error {
	name := w.agent.ID.Name
	c.mu.Lock()
	l := c.launched[name]
	c.mu.Unlock()
	if l.times > 0 && w.now.Sub(l.last) < launchWait.After(l.times, name) {
		return nil
	}
	if err := c.launch(ctx, w); err != nil {
		return err
	}
	reason := "the queue wants it"
	if l.times > 0 {
		reason += "; " + l.String()
	} else {
		l.first = w.now
	}
	l.times, l.last = l.times+1, w.now
	c.mu.Lock()
	c.launched[name] = l
	c.mu.Unlock()
	return c.change(ctx, w.agent.ID, w.now, func(ch *store.Change) ([]hygiene.Event, error) {
		return []hygiene.Event{event(hygiene.EventLaunched, ch.Agent, reason)}, nil
	})
}

// cameOnline forgets the launches of agents that came, and tells how often one that the queue wants was launched in vain.
func (c *Crew) cameOnline(v *view, d *Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, ok := c.launched[v.agent.ID.Name]
	switch {
	case !ok:
	case v.sighting.Present && !v.sighting.Offline:
		delete(c.launched, v.agent.ID.Name)
	case v.action.Kind == hygiene.Launch:
		d.Reason += "; " + l.String()
	}
}

// drive does the next step of the attempt that owns the agent.
func (c *Crew) drive(ctx context.Context, w *work) (time.Duration, error) {
	if w.pool == nil {
		c.stop(ctx, w)
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "its pool is not in the configuration any more"})
	}
	switch w.agent.State {
	case hygiene.Claimed:
		return c.driveClaimed(ctx, w)
	case hygiene.Running:
		return c.driveRunning(ctx, w)
	case hygiene.Reconnecting:
		return c.driveReconnecting(ctx, w)
	case hygiene.Granting:
		return c.driveGranting(ctx, w)
	case hygiene.Unmanaged, hygiene.Due, hygiene.Clean:
	}
	return rest, nil
}

// judgeError ends an attempt that a request's error makes hopeless, and passes the rest on, to be
// tried again with back-off.
func (c *Crew) judgeError(ctx context.Context, w *work, err error) error {
	if errors.Is(err, hygiene.ErrStale) {
		c.Log.WarnContext(ctx, "stale result ignored", "agent", w.agent.ID.Name, "err", err)
		e := event(hygiene.EventStale, w.agent, err.Error())
		e.At, e.Before, e.After = w.now, w.agent.State, w.agent.State
		return c.Store.Append(ctx, w.now, e)
	}
	if jenkins.IsNotFound(err) && w.agent.State.InProgress() {
		c.Log.InfoContext(ctx, "not found, looked for by the next poll", "agent", w.agent.ID.Name, "err", err)
		return nil
	}
	return err
}

// retry is how an agent's work is held back after errors; polls would enqueue it every second.
type retry struct {
	kind     hygiene.Kind // of what failed; anything else that is called for, a build being seen above all, does not wait
	failures int
	until    time.Time
	last     error
}

// Back-off after errors of one agent's work.
const (
	retryFirst = time.Second
	retryMax   = time.Minute
)

func (c *Crew) retryIn(name string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.retries[name]
	if d := c.decisions[name]; d != nil && d.Action.Kind != r.kind {
		return 0
	}
	return time.Until(r.until)
}

// triedBefore reports whether the newest work for an agent failed.
func (c *Crew) triedBefore(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retries[name].failures > 0
}

func (c *Crew) noteRetry(name string, kind hygiene.Kind, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil || errors.Is(err, context.Canceled) {
		delete(c.retries, name)
		return
	}
	r := c.retries[name]
	r.failures++
	r.kind, r.last = kind, err
	wait := hygiene.Backoff{First: retryFirst, Max: retryMax}.After(r.failures, name)
	if apiErr, ok := errors.AsType[*jenkins.Error](err); ok {
		wait = max(wait, apiErr.RetryAfter)
	}
	r.until = time.Now().Add(wait)
	c.retries[name] = r
}
