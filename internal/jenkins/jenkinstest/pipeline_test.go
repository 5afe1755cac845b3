// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"testing"
)

const twoBlocks = `<flow-definition plugin="workflow-job"><definition class="org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition">
<script>node('clean') { sh 'one' }
node(&quot;linux&quot;) { sh '''#!/bin/sh
two''' }</script></definition></flow-definition>`

func withPipeline(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	opts.Plugins = append(opts.Plugins, PluginPipeline)
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.agent(AgentSpec{Name: "a2", Labels: "linux"})
		b.postXML(200, "/createItem?name=p", twoBlocks)
		b.post(201, "/job/p/build?delay=0sec", nil)
		settle()
		test(b)
	})
}

func TestPipelineRunIsAFlyweightAndItsBlocksHoldExecutors(t *testing.T) {
	withPipeline(t, Options{Execute: holding}, func(b *bench) {
		top := b.json("/computer/(built-in)/api/json?depth=2")
		b.want(dig(top, "oneOffExecutors", 0, "currentExecutable", "_class"), "org.jenkinsci.plugins.workflow.job.WorkflowRun", "main run")
		b.want(dig(top, "idle"), false, "the built-in node is not idle")
		c := b.json("/computer/a1/api/json" + query("idle,executors[currentExecutable[number,url,fullDisplayName]]"))
		x := dig(c, "executors", 0, "currentExecutable")
		b.want(dig(x, "_class"), classPlaceholderBuild, "class of the block")
		b.want(dig(x, "url"), "http://ci.example/job/p/1/", "url")
		b.want(dig(x, "fullDisplayName"), "part of p #1", "name")
		shallow := b.json("/computer/a1/api/json?depth=1", "executors", 0, "currentExecutable")
		b.want(shallow, map[string]any{"_class": classPlaceholderBuild}, "at depth 1 only the class is shown")
		pass(3 * minute)
		r := b.json("/job/p/1/api/json")
		b.want(dig(r, "result"), "SUCCESS", "result")
		b.want(dig(r, "builtOn"), nil, "a Pipeline has no builtOn")
		var where []string
		for _, e := range b.j.Journal() {
			if e.Kind == EntryBuildStart && e.Block {
				where = append(where, e.Agent)
			}
		}
		b.want(where, []string{"a1", "a2"}, "blocks in order")
		b.want(contains(b.get(200, "/computer/a1/rssAll").body, "<entry>"), false, "the agent's feed knows no Pipelines")
	})
}

func TestQueuedBlockIsAPlaceholderTask(t *testing.T) {
	withPipeline(t, Options{Execute: holding}, func(b *bench) {
		b.post(201, "/job/p/build?delay=0sec", nil)
		settle()
		it := b.json("/queue/api/json"+query("items[_class,why,task[_class,name,url,labelExpression]]"), "items", 0)
		b.want(dig(it, "task", "_class"), classPlaceholder, "class")
		b.want(dig(it, "task", "name"), "part of p #2", "name")
		b.want(dig(it, "task", "labelExpression"), nil, "labelExpression")
		b.want(dig(it, "why"), "Waiting for next available executor on ‘a1’", "why")
		b.want(dig(b.json("/queue/api/json", "items", 0, "task"), "name"), nil, "its name is hidden at depth 0")
	})
}

func TestBlockReturnsAsContinuedTaskAfterARestart(t *testing.T) {
	var seen []ItemView
	boot := func(j *Jenkins) {
		j.Register(Hooks{OnLeft: func(_ NodeView, it ItemView) { seen = append(seen, it) }})
	}
	withPipeline(t, Options{Execute: holding, Boot: boot, Timing: Timing{Reconnect: 10 * second}}, func(b *bench) {
		b.j.SetLabelsInPlace("a1", "dirty", true)
		if err := b.j.Restart(b.t.Context(), RestartCrash); err != nil {
			t.Fatal(err)
		}
		settle()
		b.want(b.json("/queue/api/json", "items", 0, "why"), "‘a1’ is offline", "it waits for its own agent")
		pass(minute)
		var last ItemView
		b.locked(func() { last = seen[len(seen)-1] })
		b.want(last.Continued, true, "continued")
		b.want(last.Label, "a1", "its label is the agent's self label, clean or not")
		pass(5 * minute)
		b.want(b.json("/job/p/1/api/json", "result"), "SUCCESS", "result")
	})
}

func TestBlockWaitsForALostAgentAndResumes(t *testing.T) {
	withPipeline(t, Options{Execute: holding}, func(b *bench) {
		a := b.j.Agent("a1")
		a.Kill()
		pass(20 * minute)
		b.want(b.json("/job/p/1/api/json", "building"), true, "still waiting")
		b.want(a.Connect(), nil, "connect")
		pass(5 * minute)
		b.want(b.json("/job/p/1/api/json", "result"), "SUCCESS", "result")
	})
}

func TestBlockGivesUpFiveMinutesAfterItsNodeWasDeleted(t *testing.T) {
	withPipeline(t, Options{Execute: holding}, func(b *bench) {
		b.post(302, "/computer/a1/doDelete", nil)
		pass(4 * minute)
		b.want(b.json("/job/p/1/api/json", "building"), true, "after four minutes")
		pass(2 * minute)
		b.want(b.json("/job/p/1/api/json", "result"), "ABORTED", "after six")
	})
}

func TestPipelineIsEndedByTerm(t *testing.T) {
	withPipeline(t, Options{Execute: func(ctx context.Context, _ Step) StepResult { <-ctx.Done(); return StepResult{} }}, func(b *bench) {
		b.post(302, "/job/p/1/term", nil)
		settle()
		b.want(b.json("/job/p/1/api/json", "result"), "ABORTED", "result")
		b.want(b.json("/computer/a1/api/json", "idle"), true, "the agent is free")
	})
}
