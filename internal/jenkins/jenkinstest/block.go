// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"path"
	"strconv"
	"time"
)

// runBlock occupies the executor until the block ends. A lost agent is waited for: the
// durable step goes on in the meantime, and is taken up when the agent is back.
func (j *Jenkins) runBlock(ctx context.Context, b *block) {
	j.noteBlock(EntryBuildStart, b, b.task.result)
	result := j.blockSteps(ctx, b)
	if result == "" {
		return // the controller died: the block continues in the next one
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.alive(b.executor) {
		b.task.finish(result)
		j.noteBlockLocked(EntryBuildEnd, b, result)
	}
}

func (j *Jenkins) blockSteps(ctx context.Context, b *block) string {
	for {
		j.mu.Lock()
		step, link := j.blockStep(b)
		j.mu.Unlock()
		if link == nil {
			if !j.awaitAgent(ctx, b) {
				return j.interrupted(ctx)
			}
			continue
		}
		res := link.Run(ctx, step)
		switch {
		case errors.Is(res.Err, ErrLinkLost) && ctx.Err() == nil:
			b.task.run.build.console.printf("Cannot contact %s: connection lost, waiting for it to return\n", b.executor.owner.name)
			pause(ctx, time.Second) // the controller may not have noticed the loss yet: the same link would fail again at once
		case ctx.Err() != nil:
			return j.interrupted(ctx)
		case res.Err != nil || res.Exit != 0:
			return resultFailure
		default:
			return resultSuccess
		}
	}
}

func (j *Jenkins) interrupted(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), errControllerDied) {
		return ""
	}
	return resultAborted
}

// awaitAgent waits until the agent is connected again; false if the block must give up
// because it was interrupted or its node is gone for good.
func (j *Jenkins) awaitAgent(ctx context.Context, b *block) bool {
	name := b.executor.owner.name
	gone := time.Duration(0)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		j.mu.Lock()
		c, n := j.fleet.computers[name], j.fleet.nodes[name]
		online := c != nil && c.link != nil
		j.mu.Unlock()
		if online {
			return true
		}
		if n != nil {
			gone = 0
		} else if gone += time.Second; gone >= blockGrace {
			return false
		}
	}
}

// blockStep is the block's sh step; link is nil while the agent is not connected.
func (j *Jenkins) blockStep(b *block) (Step, AgentLink) {
	run, c := b.task.run.build, b.executor.owner
	n := j.nodeOf(c)
	if n == nil || c.link == nil {
		return Step{}, nil
	}
	ws := path.Join(n.remoteFS, "workspace", run.job.fullName())
	shadow := &build{job: run.job, number: run.number, params: run.params, executor: b.executor, workspace: ws}
	env := j.environment(shadow, n)
	env["JENKINS_NODE_COOKIE"] = j.cookie + "-" + strconv.Itoa(run.number)
	return Step{
		Agent: c.name, Job: run.job.fullName(), Number: run.number, Index: b.task.run.at, Env: env, Params: map[string]string{},
		Workspace: ws, Script: normalizeLines(b.task.spec.script), Args: interpreter(b.task.spec.script), Out: run.console,
	}, c.link
}

func (j *Jenkins) noteBlock(k EntryKind, b *block, result string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noteBlockLocked(k, b, result)
}

func (j *Jenkins) noteBlockLocked(k EntryKind, b *block, result string) {
	e := j.entry(k, b.executor.owner)
	run := b.task.run.build
	e.Job, e.Number, e.Block, e.Result, e.Continued = run.job.fullName(), run.number, true, result, b.continued()
	j.journal.add(e)
}

func (b *block) continued() bool { return b.executor.unit != nil && b.executor.unit.continued }
