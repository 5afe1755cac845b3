// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// The parameters by which a program is bound to agent and attempt; the programs of package recipe
// read them from their environment.
const (
	paramAgent      = "PITCREW_AGENT"
	paramController = "PITCREW_CONTROLLER"
	paramAttempt    = "PITCREW_ATTEMPT"
	paramNonce      = "PITCREW_NONCE"
	paramPhases     = "PITCREW_PHASES"
	paramDepth      = "PITCREW_DEPTH"
	paramNode       = "NODE" // unless told otherwise: of the nodelabelparameter plugin, in the parameterised job
)

// handOver starts the program of the attempt. The intention is stored before the request that
// starts it: after a crash in between, findHanded looks for the build before another is made.
func (c *Crew) handOver(ctx context.Context, w *work) (time.Duration, error) {
	if w.attempt.Delivery == hygiene.BySSH {
		return c.handOverSSH(ctx, w)
	}
	job := w.job
	if job == "" {
		var ok bool
		var err error
		if job, ok, err = c.prepareJob(ctx, w); err != nil || !ok {
			return rest, c.hindered(ctx, w, err)
		}
	}
	if ready, err := c.renew(ctx, w, job); err != nil || !ready {
		return rest, err
	}
	err := c.intend(ctx, w, func(t *hygiene.Attempt) {
		t.Handed = time.Now()
		t.Began = c.theirs(t.Handed)
		t.Run.Job, t.Run.QueueID, t.Run.Build, t.Run.URL = job, 0, 0, ""
	})
	if err != nil {
		return rest, err
	}
	queueID, err := c.Jenkins.Build(ctx, job, c.parameters(w), file(w.program))
	// Jenkins merges only items whose parameters are all equal, and no other attempt's are: a build
	// that ours was merged into was queued by an earlier request of ours, whose answer was lost. With
	// a file there is no merging (hudson.model.FileParameterValue#equals).
	if err != nil && !errors.Is(err, jenkins.ErrMerged) {
		return rest, c.hindered(ctx, w, building.of(job, err))
	}
	return rest, c.handed(ctx, w, queueID, 0, "")
}

// renew has the gate take the agent's new session for that of the attempt's claim. It answers false when that has to be
// waited for, or after it ended the attempt.
func (c *Crew) renew(ctx context.Context, w *work, job string) (ready bool, err error) {
	if !w.gated() || w.attempt.Reconnect == 0 {
		return true, nil
	}
	switch reason, err := c.claimByGate(ctx, w, job); {
	case err != nil:
		return false, err
	case reason != "":
		return false, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: reason})
	}
	return true, nil
}

// parameters binds one build of a job to agent and attempt. The nonce reaches the program by a
// parameter that Jenkins keeps encrypted and masked.
func (c *Crew) parameters(w *work) map[string]string {
	p := map[string]string{
		paramAgent:      w.agent.ID.Name,
		paramController: string(c.id),
		paramAttempt:    strconv.FormatInt(w.attempt.Number, 10),
		paramNonce:      w.attempt.Nonce,
		paramPhases:     phases(w),
		paramDepth:      string(depth(w)),
	}
	if w.settings.Jobs.Parameterised != "" {
		p[cmp.Or(w.settings.Jobs.NodeParameter, paramNode)] = w.agent.ID.Name
	}
	return p
}

// file is what goes with each build of a program that is too large for its job, nil of any other.
func file(p *recipe.Program) *jenkins.File {
	if !p.ByFile() {
		return nil
	}
	return &jenkins.File{Param: recipe.FileParameter, Name: p.FileName(), Content: p.Text}
}

// phases are those that this run of the attempt is for.
func phases(w *work) string {
	if w.attempt.Need == hygiene.NeedVerify || w.attempt.Reconnect > 0 {
		return "verify"
	}
	return "all"
}

// depth is that of the attempt; of one that an earlier version claimed, the pool's.
func depth(w *work) hygiene.Depth {
	return cmp.Or(w.attempt.Depth, w.pool.Policy.Depth, hygiene.Standard)
}

// handed stores that the program was handed over.
func (c *Crew) handed(ctx context.Context, w *work, queueID, build int64, url string) error {
	now := time.Now()
	return c.change(ctx, w.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		a, err := ch.Agent.To(hygiene.Running, "the program was handed over", now)
		if err != nil {
			return nil, err
		}
		t := *ch.Attempt
		t.Handed, t.Reason = now, ""
		t.Run.QueueID, t.Run.Build, t.Run.URL = queueID, build, url
		if build != 0 {
			t.Started = now // its limit counts from here, which is later than its start
		}
		ch.Agent, ch.Attempt = a, &t
		how := "runs as a build of " + t.Run.Job
		if t.Delivery == hygiene.BySSH {
			how = "runs over SSH"
		}
		return []hygiene.Event{event(hygiene.EventHanded, a, how)}, nil
	})
}

// findHanded looks for the build of a hand-over that was begun and not recorded. It waits for a
// poll that is newer than the intention could be, so that a build just queued is not overlooked.
func (c *Crew) findHanded(ctx context.Context, w *work) (time.Duration, error) {
	if w.attempt.Delivery == hygiene.BySSH {
		return rest, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "the daemon ended while it started the program over SSH"})
	}
	if !w.look.At.After(w.attempt.Handed) {
		return rest, nil
	}
	job := w.attempt.Run.Job
	for _, item := range w.look.Queue.Items {
		if item.Job == job && queuedFor(item, w) {
			return rest, c.handed(ctx, w, item.ID, 0, "")
		}
	}
	builds, err := c.Jenkins.RecentBuilds(ctx, job)
	if err != nil && !jenkins.IsNotFound(err) {
		return rest, err
	}
	for _, b := range builds {
		if c.bears(b, w) {
			return rest, c.handed(ctx, w, b.QueueID, b.Number, b.URL)
		}
	}
	err = c.changeAttempt(ctx, w, func(t *hygiene.Attempt) { t.Run.Intent = false })
	return again, err
}

// queuedFor reports whether a queue item is for the attempt being worked on. Jenkins shows parameters
// as lines of name=value (hudson.model.Queue.Item#getParams).
func queuedFor(item jenkins.QueueItem, w *work) bool {
	lines := strings.Split(item.Params, "\n")
	return slices.Contains(lines, paramAgent+"="+w.agent.ID.Name) &&
		slices.Contains(lines, paramAttempt+"="+strconv.FormatInt(w.attempt.Number, 10)) &&
		slices.Contains(lines, paramPhases+"="+phases(w))
}

// bears reports whether a build was started for the attempt being worked on.
func (c *Crew) bears(b jenkins.Build, w *work) bool {
	return b.Params[paramAgent] == w.agent.ID.Name &&
		b.Params[paramAttempt] == strconv.FormatInt(w.attempt.Number, 10) &&
		b.Params[paramPhases] == phases(w) &&
		!b.Timestamp.Before(c.theirs(w.attempt.Claimed).Add(-clockSlack))
}

// clockSlack is how wrong our idea of a controller's clock may be when builds are told apart by time:
// one of the clocks may have been set since.
const clockSlack = 10 * time.Minute

// stop ends the program of an attempt as far as that is possible now. Errors are logged: whoever
// calls it goes on either way, and what is left over is found by the next use of the slot.
func (c *Crew) stop(ctx context.Context, w *work) {
	run := w.attempt.Run
	var err error
	switch {
	case w.attempt.Delivery == hygiene.BySSH:
		c.cancelRemote(w.agent.ID)
	case run.Build != 0:
		err = c.Jenkins.StopBuild(ctx, run.Job, run.Build)
	case run.QueueID != 0:
		err = c.stopQueued(ctx, w)
	case run.Intent:
		err = c.stopUnanswered(ctx, w)
	}
	if err != nil && !jenkins.IsNotFound(err) {
		c.Log.WarnContext(ctx, "program could not be stopped", "agent", w.agent.ID.Name, "attempt", w.attempt.Number, "err", fmt.Errorf("stop: %w", err))
	}
}

// stopUnanswered ends a program whose hand-over was begun and never answered: whether it was queued, and as
// what, is looked for by its parameters, in the queue and then among the builds of its job.
func (c *Crew) stopUnanswered(ctx context.Context, w *work) error {
	queue, err := c.Jenkins.Queue(ctx) // the look may be older than the request
	if err != nil {
		return err
	}
	job := w.attempt.Run.Job
	for _, item := range queue.Items {
		if item.Job == job && queuedFor(item, w) {
			w.attempt.Run.QueueID = item.ID
			return c.stopQueued(ctx, w)
		}
	}
	builds, err := c.Jenkins.RecentBuilds(ctx, job)
	for _, b := range builds {
		if b.Building && c.bears(b, w) {
			return c.Jenkins.StopBuild(ctx, job, b.Number)
		}
	}
	return err
}

// A build that was handed over leaves the queue between two polls, before its number is known here. In
// between it has an executor and no number, for a moment that these looks outlast.
const (
	leavingLooks = 5
	leavingPause = 300 * time.Millisecond
)

// stopQueued takes the attempt's build out of the queue, or stops it if it has left that already.
func (c *Crew) stopQueued(ctx context.Context, w *work) error {
	run := w.attempt.Run
	err := c.Jenkins.CancelQueueItem(ctx, run.QueueID)
	if e, running := onAgent(w); running && jenkins.IsNotFound(err) {
		return c.Jenkins.StopBuild(ctx, run.Job, e.Number)
	}
	for range leavingLooks {
		if !jenkins.IsConflict(err) {
			return err
		}
		item, lookErr := c.Jenkins.QueueItem(ctx, run.QueueID)
		switch {
		case lookErr != nil:
			return lookErr
		case item.Cancelled:
			return nil
		case item.Executable != nil:
			return c.Jenkins.StopBuild(ctx, run.Job, item.Executable.Number)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(leavingPause):
		}
	}
	return err
}
