// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"
)

// members is the scheduler's cached view of a label.
func (b *bench) members(expr string) []string {
	b.t.Helper()
	names := []string{}
	list, _ := b.json("/label/"+url.PathEscape(expr)+"/api/json"+query("nodes[nodeName]"), "nodes").([]any)
	for _, n := range list {
		names = append(names, dig(n, "nodeName").(string))
	}
	return names
}

func TestLabelViewShowsModeAndExecutors(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean", Executors: 2})
		b.agent(AgentSpec{Name: "a2", Labels: "clean", Normal: true, Offline: true})
		l := b.json("/label/clean/api/json" + query("nodes[nodeName,mode,numExecutors],idleExecutors,busyExecutors,offline"))
		b.want(dig(l, "nodes", 0, "mode"), "EXCLUSIVE", "mode")
		b.want(dig(l, "nodes", 1, "mode"), "NORMAL", "mode")
		b.want(dig(l, "idleExecutors"), 2, "idle executors of online agents")
		b.want(dig(l, "offline"), false, "offline")
	})
}

func TestPositiveLabelsAreResetByAnEdit(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "linux"})
		b.want(b.members("clean"), []string{}, "before")
		b.want(b.members("clean && linux"), []string{}, "before")
		b.setLabels("a1", "linux", "linux clean")
		b.want(b.members("clean"), []string{"a1"}, "added")
		b.want(b.members("clean && linux"), []string{"a1"}, "added")
		b.setLabels("a1", "linux clean", "linux")
		b.want(b.members("clean"), []string{}, "removed")
		b.want(b.members("clean && linux"), []string{}, "removed")
	})
}

func TestNegationsGoStaleUntilTheSweep(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "ng"})
		b.want(b.members("ng && !dirty"), []string{"a1"}, "before")
		b.setLabels("a1", "ng", "ng dirty")
		b.want(b.members("ng && !dirty"), []string{"a1"}, "stale after the edit")
		pass(4 * minute)
		b.want(b.members("ng && !dirty"), []string{"a1"}, "still stale")
		pass(minute)
		b.want(b.members("ng && !dirty"), []string{}, "after the sweep")
	})
}

func TestEditOfAnotherNodeThatSatisfiesTheExpressionRepairsIt(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.agent(AgentSpec{Name: "a2", Labels: "cleanable"})
		b.want(b.members("cleanable && !dirty"), []string{"a1", "a2"}, "before")
		b.setLabels("a1", "cleanable", "cleanable dirty")
		b.want(b.members("cleanable && !dirty"), []string{"a1", "a2"}, "stale")
		b.setLabels("a2", "cleanable", "cleanable other")
		b.want(b.members("cleanable && !dirty"), []string{"a2"}, "repaired")
	})
}

func TestSweepLetsAQueuedItemThroughWithoutAnyOtherEvent(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "ng dirty"})
		b.job(JobSpec{Name: "x", Label: "ng && !dirty"})
		b.start("x")
		pass(second)
		b.setLabels("a1", "ng dirty", "ng")
		pass(second)
		started := len(b.j.Builds("x"))
		pass(6 * minute)
		b.want(len(b.j.Builds("x")), 1, "builds after the sweep")
		b.want(started, 1, "an edit that satisfies the expression resets it at once")
	})
}

func TestInPlaceEditKeepsTheRemovedLabelBefore2507(t *testing.T) {
	cases := []struct {
		version string
		update  bool
		clean   []string // cached members of clean after it was removed in place
	}{
		{"2.541.3", true, nil},
		{"2.504.3", true, []string{"a1"}},
		{"2.319.3", true, nil}, // 2.320 and older reset everything
		{"2.541.3", false, []string{"a1"}},
	}
	for _, c := range cases {
		t.Run(c.version, func(t *testing.T) {
			inBubble(t, Options{Version: c.version}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean"})
				b.agent(AgentSpec{Name: "a2", Labels: "clean"})
				b.members("clean")
				b.j.SetLabelsInPlace("a1", "cleanable", c.update)
				b.want(b.members("clean"), append(c.clean, "a2"), "members of clean")
				pass(5 * minute)
				b.want(b.members("clean"), []string{"a2"}, "after the sweep")
			})
		})
	}
}

func TestReaderOfALabelMayUndoTheResetOfAnEdit(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean"})
		b.agent(AgentSpec{Name: "a2", Labels: "clean", Offline: true})
		keep := b.j.ReadLabel("clean")
		b.setLabels("a1", "cleanable clean", "cleanable")
		b.want(b.members("clean"), []string{"a2"}, "after the edit")
		keep()
		b.want(b.members("clean"), []string{"a1", "a2"}, "what the reader found before")
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		pass(second)
		b.want(b.j.Builds("x")[0].Agent, "a1", "the scheduler believes it")
		b.setLabels("a2", "clean", "clean linux")
		b.want(b.members("clean"), []string{"a2"}, "after the next edit of an agent with that label")
		keep()
		pass(5 * minute)
		b.want(b.members("clean"), []string{"a2"}, "after the sweep")
	})
}

func TestExpressionsAreNotResetBetween2321And2332(t *testing.T) {
	inBubble(t, Options{Version: "2.330"}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "linux"})
		b.members("clean && linux")
		b.setLabels("a1", "linux", "linux clean")
		b.want(b.members("clean"), []string{"a1"}, "the atom")
		b.want(b.members("clean && linux"), []string{}, "the expression (JENKINS-67635)")
	})
}

func TestSelfLabelIsAlwaysThereAndMayBeClaimedByOthers(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "linux-7", Labels: ""})
		b.agent(AgentSpec{Name: "a2", Labels: "linux-7"})
		b.want(b.members("linux-7"), []string{"a2", "linux-7"}, "members")
		b.want(b.members("built-in"), []string{""}, "members of built-in")
	})
}

func TestQuotedLabelIsOneAtomAndDuplicatesCollapse(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: `"two words"  x	x`})
		b.want(b.members(`"two words"`), []string{"a1"}, "members")
		c := b.json("/computer/a1/api/json", "assignedLabels").([]any)
		b.want(len(c), 3, "labels with the self label")
	})
}

func TestBuildStartsOnANewLabelAtOnce(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		pass(10 * minute)
		at := time.Now()
		b.setLabels("a1", "cleanable", "cleanable clean")
		synctest.Wait()
		b.want(b.j.Builds("x")[0].Started.Equal(at), true, "started at once")
	})
}

func TestUnknownLabelIsAnEmptySet(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.want(b.members("nobody-has-it"), []string{}, "members")
		b.get(http.StatusNotFound, "/label/api/json")
	})
}
