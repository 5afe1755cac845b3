// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Classes of a Pipeline's node block (workflow-durable-task-step plugin).
const (
	classPlaceholder      = "org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask"
	classPlaceholderBuild = classPlaceholder + "$PlaceholderExecutable"
)

// blockGrace is how long a block waits for its agent after the node was deleted.
const blockGrace = 5 * time.Minute

// blockSpec is one node block of a Pipeline script: node('label') { sh '...' }.
type blockSpec struct{ label, script string }

var nodeBlock = regexp.MustCompile(`(?s)node\s*\(\s*(?:'([^']*)'|"([^"]*)")?\s*\)\s*\{\s*sh\s*(?:'''(.*?)'''|'([^']*)'|"([^"]*)")\s*\}`)

// parsePipeline understands a sequence of node blocks with one sh step each, which is
// as much of the language as matters here.
func parsePipeline(script string) []blockSpec {
	var list []blockSpec
	for _, m := range nodeBlock.FindAllStringSubmatch(script, -1) {
		list = append(list, blockSpec{label: m[1] + m[2], script: m[3] + m[4] + m[5]})
	}
	return list
}

// pipelineRun is the main run of a Pipeline. It survives restarts: the run goes on with
// the block it was in, which is queued again as a continued task.
type pipelineRun struct {
	build  *build
	blocks []blockSpec
	at     int
	task   *placeholder
}

// placeholder is the task of a node block.
type placeholder struct {
	run    *pipelineRun
	spec   blockSpec
	agent  string        // where it began; its label from then on
	ended  chan struct{} // closed when the block is over
	result string
	over   bool
}

// block is a placeholder on an executor.
type block struct {
	task     *placeholder
	executor *executor
	started  time.Time
}

func (p *placeholder) taskJob() *job          { return p.run.build.job }
func (p *placeholder) taskClass() string      { return classPlaceholder }
func (p *placeholder) taskName() string       { return "part of " + p.run.build.fullDisplay() }
func (p *placeholder) taskFullName() string   { return p.taskName() }
func (p *placeholder) flyweight() bool        { return false }
func (p *placeholder) concurrent() bool       { return true }
func (p *placeholder) blockage(locale) string { return "" }

// assignedLabel is the agent's self label once the block began.
func (p *placeholder) assignedLabel() string {
	if p.agent != "" {
		return labelexpr.Atom(p.agent).String()
	}
	return p.spec.label
}

func (p *placeholder) create(it *item, e *executor) executable {
	p.agent = e.owner.name
	return &block{task: p, executor: e, started: time.Now()}
}

// abandon ends a block that never ran to its end.
func (p *placeholder) abandon() { p.finish(resultAborted) }

func (p *placeholder) finish(result string) {
	if !p.over {
		p.over, p.result = true, result
		close(p.ended)
	}
}

func (b *block) executableClass() string { return classPlaceholderBuild }
func (b *block) executableJob() *job     { return b.task.taskJob() }
func (b *block) executableNumber() int   { return b.task.run.build.number }
func (b *block) executablePath() string  { return b.task.run.build.path() }

// exportExecutable: all properties have the default visibility.
func (b *block) exportExecutable(o *object) {
	run := b.task.run.build
	o.Str("displayName", b.task.taskName)
	o.Int("estimatedDuration", func() int64 { return -1 })
	o.Str("fullDisplayName", b.task.taskName)
	o.Int("number", func() int64 { return int64(run.number) })
	o.Int("timestamp", func() int64 { return o.w.j.clock(run.started).UnixMilli() })
	o.Str("url", func() string { return o.w.base + run.path() })
}

// runPipeline is the body of the main run, on a one-off executor.
func (j *Jenkins) runPipeline(ctx context.Context, b *build) string {
	j.mu.Lock()
	run := j.pipelineOf(b)
	j.mu.Unlock()
	for {
		j.mu.Lock()
		if run.at >= len(run.blocks) {
			j.pipes = slices.DeleteFunc(j.pipes, func(p *pipelineRun) bool { return p == run })
			j.mu.Unlock()
			return resultSuccess
		}
		task := j.queueBlock(run)
		j.mu.Unlock()
		select {
		case <-task.ended:
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), errControllerDied) {
				return ""
			}
			j.stopBlock(task)
			return resultAborted
		}
		if task.result != resultSuccess {
			j.mu.Lock()
			j.pipes = slices.DeleteFunc(j.pipes, func(p *pipelineRun) bool { return p == run })
			j.mu.Unlock()
			return task.result
		}
		j.mu.Lock()
		run.at++
		run.task = nil
		j.mu.Unlock()
	}
}

// pipelineOf finds the state of a resumed run or makes that of a new one.
func (j *Jenkins) pipelineOf(b *build) *pipelineRun {
	for _, p := range j.pipes {
		if p.build == b {
			return p
		}
	}
	p := &pipelineRun{build: b, blocks: parsePipeline(b.job.conf.script)}
	j.pipes = append(j.pipes, p)
	return p
}

// queueBlock puts the run's current block into the queue, unless it is there.
func (j *Jenkins) queueBlock(run *pipelineRun) *placeholder {
	if run.task == nil {
		run.task = &placeholder{run: run, spec: run.blocks[run.at], ended: make(chan struct{})}
		j.scheduleItem(run.task, 0, nil, nil)
	}
	return run.task
}

// stopBlock takes a block out of the queue or interrupts it.
func (j *Jenkins) stopBlock(task *placeholder) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, it := range j.queue.of(task) {
		j.cancelItem(it)
	}
	for _, c := range j.fleet.sorted {
		for _, e := range c.executors {
			if b, ok := e.exec.(*block); ok && b.task == task && e.cancel != nil {
				e.cancel()
			}
		}
	}
}

// suspendPipelines is the end of the process for Pipelines: nothing is lost.
func (j *Jenkins) suspendPipelines() {
	for _, p := range j.pipes {
		p.build.executor = nil
	}
}

// resumePipelines takes up the runs of the last process: the main run gets its one-off
// executor back, a block that had begun is queued again as a continued task.
func (j *Jenkins) resumePipelines() {
	for _, p := range j.pipes {
		e := j.newExecutor(j.fleet.computers[""], -1)
		e.exec, e.started = p.build, p.build.started
		p.build.executor = e
		e.owner.oneOff = append(e.owner.oneOff, e)
		ctx, cancel := context.WithCancel(j.life.ctx)
		e.cancel = cancel
		if t := p.task; t != nil && t.agent != "" && !t.over {
			it, _ := j.scheduleItem(t, 0, nil, nil)
			it.continued = true
		}
		b := p.build
		j.spawn(func() {
			j.runBuild(ctx, b, e)
			j.mu.Lock()
			defer j.mu.Unlock()
			j.endExecutor(e)
		})
	}
}
