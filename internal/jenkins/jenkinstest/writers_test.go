// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"strings"
	"testing"
)

func TestPageOpenedEarlierOverwritesLaterEdits(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean"})
		save, err := b.j.OpenConfigPage("a1")
		if err != nil {
			t.Fatal(err)
		}
		b.setLabels("a1", "cleanable clean", "cleanable dirty")
		save(nil, "bob")
		b.want(b.j.Labels("a1"), "cleanable clean", "labels")
		journal := b.j.Journal()
		last := journal[len(journal)-1]
		b.want(last.Kind, EntryLabels, "journal")
		b.want(last.Before+" -> "+last.Labels+" by "+last.Who, "cleanable dirty -> cleanable clean by bob", "journal")
	})
}

func TestEditOfANodeObjectThatWasReplacedIsLost(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		relabel, err := b.j.HoldNode("a1")
		if err != nil {
			t.Fatal(err)
		}
		b.want(relabel("cleanable one"), true, "effect on the object that is in place")
		b.setLabels("a1", "cleanable one", "cleanable two")
		b.want(relabel("cleanable three"), false, "effect on the one that was replaced")
		b.want(b.j.Labels("a1"), "cleanable two", "labels")
	})
}

func TestConfigurationAsCodeRebuildsAndDeletes(t *testing.T) {
	for version, marked := range map[string]bool{"2.541.3": false, "2.568": true} {
		inBubbleNamed(t, version, Options{Version: version}, func(b *bench) {
			for _, n := range []string{"listed", "unlisted", "kept"} {
				b.agent(AgentSpec{Name: n, Labels: "cleanable clean"}).MarkOffline("bob", "x")
			}
			keep := "<nodeProperties><io.jenkins.plugins.casc.core.CascKeepNode/></nodeProperties>"
			b.postXML(200, "/computer/kept/config.xml", strings.Replace(b.config("kept"), "<nodeProperties/>", keep, 1))
			specs := []AgentSpec{{Name: "listed", Labels: "cleanable"}, {Name: "fresh", Labels: "x"}}
			if err := b.j.ApplyConfiguration(specs); err != nil {
				t.Fatal(err)
			}
			b.want(b.j.Labels("listed"), "cleanable", "labels of a listed agent")
			b.want(b.j.Labels("kept"), "cleanable clean", "labels of a kept agent")
			b.want(b.j.Labels("fresh"), "x", "labels of a new agent")
			b.get(404, "/computer/unlisted/api/json")
			b.want(b.json("/computer/listed/api/json", "temporarilyOffline"), marked, "mark")
			b.want(b.json("/computer/listed/api/json", "offline"), marked, "still connected")
		})
	}
}

func TestJournalHoldsLabelsAndMarksAtTheStartOfABuild(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Swap: 10 * second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.json("/label/clean/api/json")
		doc := b.config("a1")
		go b.send("POST", "/computer/a1/config.xml", relabelled(doc, "cleanable clean", "cleanable")) // its effect is looked at
		pass(second)
		b.start("x")
		pass(minute)
		for _, e := range b.j.Journal() {
			if e.Kind == EntryBuildStart {
				b.want(e.Labels, "cleanable", "the truth at the start, whatever the cache said")
				b.want(e.Job+e.Agent, "xa1", "job and agent")
				return
			}
		}
		t.Error("no build started")
	})
}

func TestRestoredQueueMayRunOnTheBuiltInNodeBeforeTheInitScript(t *testing.T) {
	veto := func(j *Jenkins) {
		j.Register(Hooks{CanTake: func(NodeView, ItemView) string { return "gate" }})
	}
	opts := Options{Boot: veto, Timing: Timing{Init: 8 * second}, BuiltIn: BuiltInSpec{Executors: 1}}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		for _, label := range []string{"built-in", "clean"} {
			b.job(JobSpec{Name: label, Label: label})
			b.start(label)
		}
		pass(minute)
		if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		pass(minute)
		b.want(len(b.j.Builds("built-in")), 1, "builds on the built-in node")
		b.want(len(b.j.Builds("clean")), 0, "builds on the inbound agent")
	})
}
