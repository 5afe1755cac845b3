// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestListingHasTheBuiltInNodeFirstAndAllLabelsWithTheSelfLabel(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "linux-7", Labels: "cleanable clean"})
		list := b.json("/computer/api/json"+query("computer[displayName,assignedLabels[name]]"), "computer")
		b.want(dig(list, 0, "displayName"), "Built-In Node", "first computer")
		b.want(dig(list, 0, "_class"), "hudson.model.Hudson$MasterComputer", "its class")
		var labels []string
		for _, l := range dig(list, 1, "assignedLabels").([]any) {
			labels = append(labels, dig(l, "name").(string))
		}
		slices.Sort(labels)
		b.want(labels, []string{"clean", "cleanable", "linux-7"}, "labels")
	})
}

func TestDepthZeroShowsAllFieldsButEmptyNestedObjects(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		c := b.json("/computer/api/json", "computer", 1)
		b.want(dig(c, "executors", 0), map[string]any{}, "an executor at depth 0")
		b.want(dig(c, "assignedLabels", 0, "name"), "x", "label names have visibility 2")
		b.want(dig(c, "loadStatistics"), map[string]any{"_class": "hudson.model.Label$1"}, "load statistics at depth 0")
		deep := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(deep, "executors", 0, "idle"), true, "an executor at depth 1")
		for _, hidden := range []string{"mode", "labelString", "remoteFS", "launcher", "connectTime"} {
			b.want(dig(c, hidden), nil, hidden+" is not exported")
		}
	})
}

func TestTreeSelectsRangesAndIgnoresUnknownNames(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for _, n := range []string{"a1", "a2", "a3"} {
			b.agent(AgentSpec{Name: n})
		}
		for tree, want := range map[string]int{
			"computer[displayName]{1,3}": 2, "computer[displayName]{2}": 1, "computer[displayName]{2,}": 2, "computer[displayName]{,1}": 1,
			"computer[nonsense]": 4, "computer[*]": 4,
		} {
			list := b.json("/computer/api/json"+query(tree), "computer").([]any)
			b.want(len(list), want, tree)
		}
		b.want(b.json("/computer/api/json"+query("nonsense")), map[string]any{"_class": "hudson.model.ComputerSet"}, "unknown names")
	})
}

func TestMalformedTreeAndDepthAre500(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for _, q := range []string{"?tree=computer[", "?tree=computer]", "?tree=a[b]{x}", "?tree=,", "?depth=x"} {
			b.get(http.StatusInternalServerError, "/computer/api/json"+q)
		}
	})
}

func TestElementWhoseExportFailsIsSilentlyLeftOut(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1"})
		b.agent(AgentSpec{Name: "a2"})
		a.Omit(true)
		list := b.json("/computer/api/json"+query("computer[displayName]"), "computer").([]any)
		b.want(len(list), 2, "computers listed")
		b.want(dig(list[1], "displayName"), "a2", "the other one stays")
		b.get(http.StatusInternalServerError, "/computer/a1/api/json")
	})
}

func TestThrowingLabelFinderOmitsOnlyWhenLabelsAreAskedFor(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		b.j.Register(Hooks{Labels: func(node string) []string {
			if node == "a1" {
				panic("broken finder")
			}
			return []string{"dynamic"}
		}})
		b.want(len(b.json("/computer/api/json"+query("computer[assignedLabels[name]]"), "computer").([]any)), 1, "with labels")
		b.want(len(b.json("/computer/api/json"+query("computer[idle]"), "computer").([]any)), 2, "getters of unselected properties are not called")
	})
}

func TestBuiltInNodeHasTwoNamesInURLs(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for _, name := range []string{"(built-in)", "(master)", "%28built-in%29"} {
			b.want(b.json("/computer/"+name+"/api/json", "displayName"), "Built-In Node", name)
		}
		b.get(http.StatusBadRequest, "/computer/(built-in)/config.xml")
		b.post(http.StatusBadRequest, "/computer/(built-in)/doDelete", nil)
	})
}

func TestNodeNamesAreCaseSensitiveAndPlusIsLiteral(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a+b (c) ü\"x"})
		b.get(http.StatusOK, "/computer/a+b%20(c)%20%C3%BC%22x/api/json")
		b.get(http.StatusNotFound, "/computer/A+b%20(c)%20%C3%BC%22x/api/json")
		unknown := b.get(http.StatusNotFound, "/computer/nobody/api/json")
		if !strings.Contains(unknown.body, "<html>") {
			t.Error("an unknown computer is an ordinary HTML page")
		}
	})
}

func TestComputerPageWithoutSlashRedirectsButAPIDoesNot(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		a := b.get(http.StatusFound, "/computer/a1")
		b.want(a.header.Get("Location"), "http://ci.example/computer/a1/", "location")
		b.get(http.StatusOK, "/computer/a1/api/json")
	})
}

func TestExecutorIsBusyBeforeItsBuildExists(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Assign: second, Create: second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		c := b.json("/computer/a1/api/json" + query("idle,executors[idle,currentExecutable[number]]"))
		b.want(dig(c, "idle"), false, "computer")
		b.want(dig(c, "executors", 0, "idle"), false, "executor")
		b.want(dig(c, "executors", 0, "currentExecutable"), nil, "executable")
	})
}

func TestExecutableIsHiddenFromReadersWithoutJobRead(t *testing.T) {
	users := []User{admin, {Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read}}}
	block := func(ctx context.Context, _ Step) StepResult { <-ctx.Done(); return StepResult{} }
	inBubble(t, Options{Security: Security{Users: users}, Execute: block}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		tree := "/computer/a1/api/json" + query("executors[idle,currentExecutable[number,url]]")
		b.want(b.json(tree, "executors", 0, "currentExecutable", "number"), 1, "for a reader of the job")
		ron := b.as("ron", "t").json(tree, "executors", 0)
		b.want(dig(ron, "currentExecutable"), nil, "for others")
		b.want(dig(ron, "idle"), false, "idle tells the truth to everybody")
	})
}

func TestComputerOutlivesItsDeletedNodeWhileABuildRuns(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult {
		pause(context.WithoutCancel(ctx), minute)
		return StepResult{}
	}
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		a := b.post(http.StatusFound, "/computer/a1/doDelete", nil)
		b.want(a.header.Get("Location"), "http://ci.example/computer/", "location")
		c := b.json("/computer/a1/api/json")
		b.want(dig(c, "assignedLabels"), []any{}, "labels")
		b.want(dig(c, "description"), "", "description")
		gone := b.get(http.StatusNotFound, "/computer/a1/config.xml")
		b.want(gone.body, "", "body of a 404 for a computer that outlived its node")
		pass(2 * minute)
		b.get(http.StatusNotFound, "/computer/a1/api/json")
		b.want(b.json("/job/x/1/api/json", "result"), "FAILURE", "its build")
	})
}
