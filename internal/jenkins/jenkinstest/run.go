// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"time"
)

// runExecutor is the thread of one executor (hudson.model.Executor#run): it takes the
// item out of the queue, makes the executable, runs it and is retired.
func (j *Jenkins) runExecutor(ctx context.Context, e *executor, it *item) {
	pause(ctx, j.timing().Assign)
	hooks, ok := j.startItem(e, it)
	if !ok {
		return
	}
	pause(ctx, j.timing().Create)
	exec, view := j.createExecutable(e, it)
	if exec == nil {
		return
	}
	taskAccepted(hooks, e.owner.name, view)
	switch x := exec.(type) {
	case *build:
		j.runBuild(ctx, x, e)
	case *block:
		j.runBlock(ctx, x)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.complete(e, it)
}

// complete tells that the work is over, and frees the executor.
func (j *Jenkins) complete(e *executor, it *item) {
	if !j.hooks.none() && j.alive(e) {
		j.taskCompleted(e, it)
		if d := j.timing().Retire; d > 0 {
			j.mu.Unlock()
			pause(j.ctx, d)
			j.mu.Lock()
		}
	}
	j.endExecutor(e)
}

// alive reports whether the controller that made the executor still lives.
func (j *Jenkins) alive(e *executor) bool { return e.life == j.life.number }

// startItem re-checks the agent under the lock and takes the item out of the queue. If
// the agent is gone or offline the work is given back.
func (j *Jenkins) startItem(e *executor, it *item) ([]*Hooks, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.alive(e) {
		return nil, false
	}
	c := e.owner
	if j.offline(c) || j.nodeOf(c) == nil {
		j.giveBack(e, it)
		return nil, false
	}
	j.queue.leave(it)
	j.queue.enter(it, stageLeft)
	j.onLeft(e, it)
	return j.hooks.list, true
}

func (j *Jenkins) giveBack(e *executor, it *item) {
	e.unit = nil
	j.queue.leave(it)
	j.queue.enter(it, stageBuildable)
	j.retire(e)
	j.scheduleMaintenance()
}

// createExecutable lets the task make what will run; nil if it refuses or the
// controller died meanwhile.
func (j *Jenkins) createExecutable(e *executor, it *item) (executable, ItemView) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.alive(e) {
		return nil, ItemView{}
	}
	exec := it.task.create(it, e)
	if exec == nil {
		j.endExecutor(e)
		return nil, ItemView{}
	}
	e.exec, it.executable = exec, exec
	if b, ok := exec.(*build); ok {
		j.beginBuild(b, e)
	}
	j.taskStarted(e, it)
	return exec, it.view()
}

func (j *Jenkins) endExecutor(e *executor) {
	if !j.alive(e) {
		return // died with the controller; its successor has new executors
	}
	e.unit, e.exec = nil, nil
	j.retire(e)
	j.scheduleMaintenance()
}

// beginBuild records the start of a build on its node, under the lock.
func (j *Jenkins) beginBuild(b *build, e *executor) {
	b.node, b.nodeKnown = e.owner.name, true
	if n := j.nodeOf(e.owner); n != nil {
		b.workspace = j.leaseWorkspace(n, b.job)
	}
	j.remember(b)
	j.noteBuild(EntryBuildStart, b, e)
}

// runBuild is the body of a FreeStyle or matrix build, and of a Pipeline's main run.
func (j *Jenkins) runBuild(ctx context.Context, b *build, e *executor) {
	var result string
	if b.job.kind == kindPipeline {
		result = j.runPipeline(ctx, b)
	} else {
		result = j.runSteps(ctx, b)
	}
	if !j.publish(ctx, b, e, result) {
		return
	}
	pause(j.ctx, j.timing().PostBuild) //nolint:contextcheck // an aborted build takes its time after the steps too
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.alive(e) {
		j.finishBuild(b)
	}
}

// publish makes the result visible; the executor is still occupied. It returns false
// if the build died with its controller.
func (j *Jenkins) publish(ctx context.Context, b *build, e *executor, result string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if b.complete || !j.alive(e) {
		return false
	}
	if ctx.Err() != nil {
		result = resultAborted
		b.console.printf("Build was aborted\nAborted by %s\n", b.stopper)
	}
	b.console.printf("Finished: %s\n", result)
	b.result, b.building, b.duration = result, false, time.Since(b.started)
	return true
}

func (j *Jenkins) finishBuild(b *build) {
	if b.complete {
		return
	}
	b.complete = true
	b.console.finish()
	b.job.running--
	j.releaseWorkspace(b)
	j.noteBuild(EntryBuildEnd, b, b.executor)
	b.job.rotate(time.Now())
}

// runSteps runs the builders of a job one after the other.
func (j *Jenkins) runSteps(ctx context.Context, b *build) string {
	j.mu.Lock()
	plan, link := j.plan(b)
	steps := b.job.conf.steps
	j.mu.Unlock()
	for _, c := range b.causes {
		b.console.printf("%s%s\n", noteSample, c.text)
	}
	b.console.printf("Running as SYSTEM\n")
	if link == nil {
		b.console.printf("FATAL: %s is offline; cannot locate %s\n", plan.Agent, "workspace")
		return resultFailure
	}
	b.console.printf("%s in workspace %s\n", plan.where, plan.Workspace)
	files, ok := j.takeFiles(b)
	if !ok {
		return resultFailure
	}
	result := resultSuccess
	for i, s := range steps {
		if plan.Files = nil; i == 0 {
			plan.Files = files
		}
		plan.Index, plan.Script = i, normalizeLines(s.command)
		plan.Args = interpreter(plan.Script)
		if result = j.runStep(ctx, b, link, plan.Step, s.unstable); result != resultSuccess && result != resultUnstable {
			break
		}
	}
	if ctx.Err() == nil { // the end of one that is stopped does not come so far
		j.reap(ctx, b, link, plan.Env)
	}
	return result
}

func (j *Jenkins) runStep(ctx context.Context, b *build, link AgentLink, s Step, unstable int) string {
	res := link.Run(ctx, s)
	switch {
	case errors.Is(res.Err, ErrLinkLost):
		b.console.printf(lostConsole, s.Agent)
		return resultFailure
	case ctx.Err() != nil:
		return resultAborted
	case res.Err != nil:
		b.console.printf("%v\nBuild step 'Execute shell' marked build as failure\n", res.Err)
		return resultFailure
	case res.Exit == 0:
		return resultSuccess
	case res.Exit == unstable:
		b.console.printf("Build step 'Execute shell' changed build result to UNSTABLE\n")
		return resultUnstable
	default:
		b.console.printf("Build step 'Execute shell' marked build as failure\n")
		return resultFailure
	}
}

// lostConsole is what a shell step writes whose agent is lost: first that its end cannot be learnt any more, then that its
// script cannot be deleted (hudson.tasks.CommandInterpreter#perform). The traces are shortened.
const lostConsole = `FATAL: command execution failed
java.nio.channels.ClosedChannelException
	at org.jenkinsci.remoting.protocol.NetworkLayer.onRecvClosed(NetworkLayer.java:155)
Caused: java.io.IOException: Backing channel '%[1]s' is disconnected.
	at hudson.remoting.RemoteInvocationHandler.channelOrFail(RemoteInvocationHandler.java:227)
FATAL: Unable to delete script file /tmp/jenkins8977940399029550408.sh
java.nio.channels.ClosedChannelException
	at org.jenkinsci.remoting.protocol.NetworkLayer.onRecvClosed(NetworkLayer.java:155)
Caused: hudson.remoting.ChannelClosedException: Channel "hudson.remoting.Channel@6ae468e6:%[1]s": Remote call on %[1]s failed. The channel is closing down or has closed down
	at hudson.remoting.Channel.call(Channel.java:1105)
Build step 'Execute shell' marked build as failure
`

// reap runs the process killer unless the channel is gone.
func (j *Jenkins) reap(ctx context.Context, b *build, link AgentLink, env map[string]string) {
	select {
	case <-link.Done():
		return
	default:
	}
	cookies := make(map[string]string, len(characteristic))
	for _, k := range characteristic {
		cookies[k] = env[k]
	}
	if err := link.Reap(context.WithoutCancel(ctx), cookies); err != nil {
		j.log.WarnContext(ctx, "process killer failed", "agent", b.node, "err", err)
	}
}

// characteristic are the variables that mark a build's processes
// (hudson.model.Job and Run, getCharacteristicEnvVars).
var characteristic = []string{
	"JENKINS_SERVER_COOKIE", "HUDSON_SERVER_COOKIE", "JOB_NAME", "JOB_BASE_NAME", "BUILD_NUMBER", "BUILD_ID", "BUILD_TAG",
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// abort interrupts a build (hudson.model.Executor#doStop).
func (j *Jenkins) abort(b *build, by string) {
	if b.complete || b.executor == nil || b.executor.cancel == nil {
		return
	}
	b.stopper = by
	b.executor.cancel()
}
