// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
)

// remoteRun is a program that runs over SSH. It belongs to this process: after a restart of the
// daemon the attempt is lost, and the far end ends the program with its connection.
type remoteRun struct {
	cancel context.CancelFunc
	done   chan struct{}
	log    *sshexec.Record
	err    error // set before done is closed
}

// handOverSSH starts the program over SSH and stores that it runs. The intention is stored first,
// so that a crash in between is told from a claim that never got so far.
func (c *Crew) handOverSSH(ctx context.Context, w *work) (time.Duration, error) {
	if w.pool.Target == nil || c.SSH == nil {
		return rest, c.hinder(ctx, w, "its pool has no ssh settings")
	}
	if reason := outdated(w); reason != "" {
		return rest, c.giveBack(ctx, w, reason)
	}
	target, err := w.pool.Target(w.agent.ID.Name)
	if err != nil {
		return rest, c.hinder(ctx, w, err.Error())
	}
	if ready, err := c.renew(ctx, w, ""); err != nil || !ready {
		return rest, err
	}
	if err := c.intend(ctx, w, func(t *hygiene.Attempt) { t.Began = c.theirs(time.Now()) }); err != nil {
		return rest, err
	}
	c.runRemote(ctx, w, target)
	if err := c.handed(ctx, w, 0, 0, ""); err != nil {
		c.cancelRemote(w.agent.ID)
		return rest, err
	}
	return rest, c.changeAttempt(ctx, &work{agent: withState(w.agent, hygiene.Running), attempt: w.attempt},
		func(t *hygiene.Attempt) { t.Started = time.Now() })
}

func withState(a hygiene.Agent, s hygiene.State) hygiene.Agent {
	a.State = s
	return a
}

// runRemote starts the program in the background, bounded by the pool's limit. It outlives the
// handler that started it, but not the crew.
func (c *Crew) runRemote(ctx context.Context, w *work, target sshexec.Target) {
	ctx = context.WithoutCancel(ctx)
	var cancel context.CancelFunc
	if limit := w.policy.Limits.Run; limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	run := &remoteRun{cancel: cancel, done: make(chan struct{}), log: sshexec.NewRecord(maxLog)}
	c.mu.Lock()
	c.remote[w.agent.ID] = run
	c.mu.Unlock()
	env := map[string]string{
		paramAgent: w.agent.ID.Name, paramController: string(c.id),
		paramAttempt: strconv.FormatInt(w.attempt.Number, 10), paramNonce: w.attempt.Nonce,
		paramPhases: phases(w), paramDepth: string(depth(w)),
		// The target is configured for this very agent, which stands in for the name that Jenkins
		// would give the program.
		"NODE_NAME": w.agent.ID.Name, "NODE_LABELS": strings.Join(w.look.Agents[w.agent.ID.Name].Labels, " "),
	}
	id := w.agent.ID
	go func() {
		defer cancel()
		_, run.err = c.SSH.Run(ctx, target, w.program.Text, env, run.log)
		close(run.done)
		c.enqueue(id.Name)
	}()
}

// driveRemote looks whether the program over SSH has ended, and judges it then.
func (c *Crew) driveRemote(ctx context.Context, w *work) (time.Duration, error) {
	c.mu.Lock()
	run := c.remote[w.agent.ID]
	c.mu.Unlock()
	if run == nil {
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "the daemon was restarted while the program ran over SSH"})
	}
	select {
	case <-run.done:
	default:
		return rest, nil
	}
	next, err := c.judgeRemote(ctx, w, run)
	if err == nil {
		c.mu.Lock()
		delete(c.remote, w.agent.ID)
		c.mu.Unlock()
	}
	return next, err
}

func (c *Crew) judgeRemote(ctx context.Context, w *work, run *remoteRun) (time.Duration, error) {
	var failure *sshexec.Error
	switch {
	case errors.As(run.err, &failure) && !failure.MayHaveRun():
		return again, c.hinder(ctx, w, "not reached over SSH: "+failure.Error())
	case errors.Is(run.err, context.DeadlineExceeded) || errors.Is(run.err, sshexec.ErrRunTimeout):
		return again, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.Failed, Reason: fmt.Sprintf("ran longer than %s and was stopped", w.policy.Limits.Run)})
	}
	missing := "the program ended without a report"
	if run.err != nil {
		missing += ": " + run.err.Error()
	}
	log, _ := run.log.Bytes()
	return c.judge(ctx, w, false, log, missing)
}

// cancelRemote ends the program of an agent and waits until it is gone.
func (c *Crew) cancelRemote(id hygiene.AgentID) {
	c.mu.Lock()
	run := c.remote[id]
	delete(c.remote, id)
	c.mu.Unlock()
	if run != nil {
		run.cancel()
		<-run.done
	}
}

// endRemote ends all programs over SSH, when the crew stops.
func (c *Crew) endRemote() {
	c.mu.Lock()
	runs := make([]*remoteRun, 0, len(c.remote))
	for _, r := range c.remote {
		runs = append(runs, r)
	}
	c.mu.Unlock()
	for _, r := range runs {
		r.cancel()
	}
	for _, r := range runs {
		<-r.done
	}
}
