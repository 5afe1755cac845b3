// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"slices"
	"time"
)

// RestartMode is how the controller's process ends.
type RestartMode int

// Ways to restart.
const (
	// RestartNow is an orderly restart at once: the queue is saved.
	RestartNow RestartMode = iota
	// RestartSafe waits for running builds first. Pipelines do not count.
	RestartSafe
	// RestartCrash is a kill: what was queued since the last save is lost.
	RestartCrash
)

// queueSaveDelay is how long a queued item may be missing from the saved queue.
const queueSaveDelay = time.Minute

// Restart ends the controller's process and starts it again; it returns when the new
// one is up or ctx ends. Requests are refused for Timing.Down and answered 503 for
// Timing.Boot. Left items, hooks, sessions, connections, label caches and offline
// causes of connections are gone afterwards; nodes, jobs, builds and the queue are not.
func (j *Jenkins) Restart(ctx context.Context, mode RestartMode) error {
	if mode == RestartSafe {
		if err := j.drain(ctx); err != nil {
			return err
		}
	}
	j.stop(mode)
	return j.startAgain(ctx)
}

// startAgain goes through the phases of a start.
func (j *Jenkins) startAgain(ctx context.Context) error {
	t := j.timing()
	pause(ctx, t.Down)
	j.setPhase(phaseBooting)
	pause(ctx, t.Boot)
	if err := ctx.Err(); err != nil {
		return err
	}
	j.start() //nolint:contextcheck // the runs it resumes outlive the caller
	return nil
}

func (j *Jenkins) setPhase(p phase) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life.phase != phaseClosed {
		j.life.phase = p
	}
}

// drain quiets the controller down and waits until no build runs that blocks a restart.
func (j *Jenkins) drain(ctx context.Context) error {
	j.QuietDown("restarting")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		j.mu.Lock()
		busy := slices.ContainsFunc(j.fleet.sorted, func(c *computer) bool {
			return slices.ContainsFunc(c.executors, blocksRestart) || slices.ContainsFunc(c.oneOff, blocksRestart)
		})
		j.mu.Unlock()
		if !busy {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-j.ctx.Done():
			return context.Canceled
		}
	}
}

func blocksRestart(e *executor) bool {
	if e.exec == nil {
		return e.unit != nil
	}
	_, isBlock := e.exec.(*block)
	return !isBlock && e.exec.executableJob().kind != kindPipeline
}

// stop is the end of the process.
func (j *Jenkins) stop(mode RestartMode) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life.phase, j.life.loaded = phaseDown, false
	j.life.number++ // threads of the old incarnation find themselves dead
	j.life.kill()
	j.breakBuilds(mode)
	j.suspendPipelines()
	for _, c := range j.fleet.sorted {
		if c.link != nil {
			c.link.Close("controller stopped")
		}
	}
	j.saveQueue(mode)
	j.journal.add(Entry{Kind: EntryRestart})
}

// breakBuilds ends builds that die with the controller. One that ends in an orderly way interrupts them
// (hudson.model.Executor#interruptForShutdown); of others their records say what they said when they began.
func (j *Jenkins) breakBuilds(mode RestartMode) {
	result := resultAborted
	if mode == RestartCrash {
		result = resultFailure
	}
	for _, c := range j.fleet.sorted {
		for _, e := range slices.Concat(c.executors, c.oneOff) {
			if b, ok := e.exec.(*build); ok && b.job.kind != kindPipeline && !b.complete {
				b.result, b.building, b.duration = result, false, time.Since(b.started)
				j.finishBuild(b)
			}
		}
	}
	clear(j.leases)
}

// saveQueue keeps what a restart restores: pending items become buildable again, left
// ones are forgotten, and a crash loses what was not saved yet.
func (j *Jenkins) saveQueue(mode RestartMode) {
	old := j.queue
	now := time.Now()
	j.queue = newQueue()
	j.queue.lastID = old.lastID
	for _, it := range slices.Concat(old.waiting, old.blocked, old.buildables(), old.pending) {
		if mode == RestartCrash && now.Sub(it.since) < queueSaveDelay {
			continue
		}
		if !j.version.since(529) {
			loseFiles(it.params)
		}
		j.queue.byID[it.id] = it
		stage := it.stage
		if stage == stagePending {
			stage = stageBuildable
		}
		j.queue.enter(it, stage)
	}
}

// start is a new process: computers and executors are made anew. Requests, and with
// them inbound agents, are served only after the init script.
func (j *Jenkins) start() {
	if !j.load() {
		return
	}
	pause(j.ctx, j.timing().Init)
	if j.opts.Boot != nil {
		j.opts.Boot(j)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life.phase != phaseClosed {
		j.life.phase, j.life.loaded = phaseUp, true
		j.reviveAgents()
		j.scheduleMaintenance()
	}
}

// load brings nodes, queue and Pipelines back. Without Timing.Init nothing is dispatched
// before the init script ran.
func (j *Jenkins) load() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life.phase == phaseClosed {
		return false
	}
	j.fleet.computers, j.fleet.sorted = map[string]*computer{}, nil
	j.hooks, j.gate = registry{}, nil
	j.life.begin(j)
	j.life.phase, j.life.loaded = phaseBooting, j.timing().Init > 0
	j.labels = newLabels(j)
	j.doors.begin(j, j.life.number)
	for _, name := range sortedKeys(j.fleet.nodes) {
		c := j.updateComputer(j.fleet.nodes[name])
		if c != nil && !c.builtIn() {
			j.autoLaunch(c)
		}
	}
	j.online(j.fleet.computers[""], j.newLink(""))
	j.resumePipelines()
	j.scheduleMaintenance()
	return true
}

// reviveAgents lets inbound agents whose processes still live come back.
func (j *Jenkins) reviveAgents() {
	for _, c := range j.fleet.sorted {
		if !c.builtIn() {
			j.invite(c)
		}
	}
}

// Reload reads the configuration from disk again: 503 for Timing.Reload, same session,
// connections, hooks and executors stay, node objects are replaced.
func (j *Jenkins) Reload(ctx context.Context) {
	j.setPhase(phaseReload)
	pause(ctx, j.timing().Reload)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life.phase != phaseReload {
		return
	}
	for _, name := range sortedKeys(j.fleet.nodes) {
		old := j.fleet.nodes[name]
		if old.builtIn() {
			continue
		}
		if n, err := nodeFromDoc(old.doc.clone()); err == nil {
			n.cause = old.cause
			j.fleet.store(n)
			j.updateComputer(n)
		}
	}
	j.labels.reset()
	j.life.phase = phaseUp
	j.scheduleMaintenance()
}

// FailBoot leaves the controller as after a failed boot: 503 for ever, or 500 if an
// Error aborted it. Restart ends that.
func (j *Jenkins) FailBoot(aborted bool) {
	j.stop(RestartNow)
	p := phaseFailed
	if aborted {
		p = phaseAborted
	}
	j.setPhase(p)
}

// QuietDown stops dispatching; queued items wait.
func (j *Jenkins) QuietDown(reason string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life.quieting, j.life.reason = true, reason
}

// CancelQuietDown resumes dispatching.
func (j *Jenkins) CancelQuietDown() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life.quieting, j.life.reason = false, ""
	j.scheduleMaintenance()
}
