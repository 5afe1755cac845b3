// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

// holding keeps steps running until their build is interrupted or a minute passed.
func holding(ctx context.Context, _ Step) StepResult {
	pause(ctx, minute)
	return StepResult{}
}

// agents lists where the builds of a job ran, in order.
func (b *bench) agents(job string) []string {
	var names []string
	for _, x := range b.j.Builds(job) {
		names = append(names, x.Agent)
	}
	return names
}

func TestWhichJobsAnAgentTakes(t *testing.T) {
	cases := []struct {
		name   string
		normal bool
		job    JobSpec
		taken  bool
	}{
		{"self-label job on an exclusive dirty agent", false, JobSpec{Label: "a1"}, true},
		{"label job", false, JobSpec{Label: "x"}, true},
		{"expression", false, JobSpec{Label: "x && !y"}, true},
		{"unlabelled job on an exclusive agent", false, JobSpec{}, false},
		{"unlabelled job on a normal agent", true, JobSpec{}, true},
		{"another label", true, JobSpec{Label: "z"}, false},
		{"text that is no expression falls back to an atom", false, JobSpec{Label: "x y"}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "x", Normal: c.normal})
				c.job.Name = "j"
				b.job(c.job)
				b.start("j")
				pass(minute)
				b.want(len(b.j.Builds("j")) == 1, c.taken, "taken")
			})
		})
	}
}

func TestJobWithoutCanRoamAndNodeIsTiedToTheBuiltInNode(t *testing.T) {
	inBubble(t, Options{BuiltIn: BuiltInSpec{Executors: 1}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Normal: true})
		if err := b.j.CreateJobXML("x", "<project/>"); err != nil {
			t.Fatal(err)
		}
		b.start("x")
		settle()
		b.want(b.agents("x"), []string{""}, "agents")
		b.want(b.json("/job/x/1/api/json", "builtOn"), "", "builtOn")
		b.want(b.json("/job/x/api/json", "labelExpression"), nil, "labelExpression")
	})
}

func TestTwoExecutorsOfOneNodeMayBeFilledInOneRun(t *testing.T) {
	inBubble(t, Options{Execute: holding}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean", Executors: 2, Offline: true})
		for _, n := range []string{"x", "y", "z"} {
			b.job(JobSpec{Name: n, Label: "clean"})
			b.start(n)
		}
		settle()
		b.want(b.j.Agent("a1").Connect(), nil, "connect")
		settle()
		b.want(len(b.agents("x"))+len(b.agents("y"))+len(b.agents("z")), 2, "builds running")
		set := b.json("/computer/api/json" + query("busyExecutors,totalExecutors"))
		b.want(dig(set, "busyExecutors"), 2, "busy executors of online computers")
		b.want(dig(set, "totalExecutors"), 2, "total")
	})
}

func TestItemsAreServedInOrder(t *testing.T) {
	inBubble(t, Options{Execute: holding}, func(b *bench) {
		for i := range 4 {
			b.job(JobSpec{Name: fmt.Sprint("j", i), Label: []string{"clean", "clean && x"}[i%2]})
			b.start(fmt.Sprint("j", i))
			settle()
		}
		b.agent(AgentSpec{Name: "a1", Labels: "clean x"})
		pass(10 * minute)
		var order []string
		for _, e := range b.j.Journal() {
			if e.Kind == EntryBuildStart {
				order = append(order, e.Job)
			}
		}
		b.want(order, []string{"j0", "j1", "j2", "j3"}, "order of starts")
	})
}

func TestJobSticksToANode(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for i := range 10 {
			b.agent(AgentSpec{Name: fmt.Sprint("a", i), Labels: "clean"})
		}
		used := map[string]bool{}
		for i := range 5 {
			job := fmt.Sprint("j", i)
			b.job(JobSpec{Name: job, Label: "clean"})
			for range 4 {
				b.start(job)
				settle()
			}
			first := b.agents(job)[0]
			for _, a := range b.agents(job) {
				b.want(a, first, job)
			}
			used[first] = true
		}
		if len(used) < 2 {
			t.Error("all jobs ran on one node")
		}
	})
}

func TestWorkIsGivenBackWhenTheAgentIsLostBeforeTheStart(t *testing.T) {
	var left int
	inBubble(t, Options{Timing: Timing{Assign: 2 * second}}, func(b *bench) {
		b.j.Register(Hooks{OnLeft: func(NodeView, ItemView) { left++ }})
		a := b.agent(AgentSpec{Name: "a1", Labels: "clean", Lonely: true})
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		pass(second)
		b.want(b.json("/queue/item/"+id+"/api/json", "pending"), true, "pending")
		a.Kill()
		pass(3 * second)
		b.want(left, 0, "onLeft is not fired")
		b.want(b.json("/queue/item/"+id+"/api/json", "pending"), false, "back to buildable")
		b.want(a.Connect(), nil, "connect")
		pass(3 * second)
		b.want(len(b.j.Builds("x")), 1, "builds")
		b.want(left, 1, "onLeft")
	})
}

func TestMarkBetweenAssignmentAndStartGivesWorkBack(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Assign: 2 * second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		pass(second)
		b.post(http.StatusFound, "/computer/a1/changeOfflineCause", message("stop"))
		pass(minute)
		b.want(len(b.j.Builds("x")), 0, "builds")
		b.want(b.json("/computer/a1/api/json", "idle"), true, "idle")
	})
}

func TestLabelIsEvaluatedAtDispatchNotAtSubmission(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		b.job(JobSpec{Name: "j", Label: "none"})
		b.start("j")
		settle()
		doc := b.get(200, "/job/j/config.xml").body
		b.postXML(200, "/job/j/config.xml", relabelJob(doc, "none", "x"))
		settle()
		b.want(b.agents("j"), []string{"a1"}, "agents")
	})
}

func TestNodeParameterOverridesTheLabel(t *testing.T) {
	spec := JobSpec{Name: "j", Label: "none", Concurrent: true, Params: []ParamSpec{{Name: "NODE", Kind: paramNode}, {Name: "ATTEMPT"}}}
	for plugin, want := range map[string][]string{PluginNodeParameter: {"a two"}, "none": nil} {
		t.Run(plugin, func(t *testing.T) {
			inBubble(t, Options{Plugins: []string{plugin}}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1"})
				b.agent(AgentSpec{Name: "a two"})
				b.job(spec)
				b.post(201, "/job/j/buildWithParameters?NODE=a%20two&ATTEMPT=7&delay=0sec", nil)
				settle()
				b.want(b.agents("j"), want, "agents")
			})
		})
	}
}

func TestFlyweightsWithoutALabelMayGoToExclusiveAgents(t *testing.T) {
	for executors, want := range [][]string{{"a1"}, nil} {
		opts := Options{Plugins: []string{PluginMatrix}, BuiltIn: BuiltInSpec{Executors: executors}}
		inBubbleNamed(t, fmt.Sprint(executors, " executors of the built-in node"), opts, func(b *bench) {
			b.agent(AgentSpec{Name: "a1"})
			b.postXML(200, "/createItem?name=m", "<matrix-project><canRoam>true</canRoam></matrix-project>")
			b.post(302, "/computer/(built-in)/toggleOffline", nil)
			b.post(201, "/job/m/build?delay=0sec", nil)
			settle()
			b.want(b.agents("m"), want, "where it ran")
		})
	}
}
