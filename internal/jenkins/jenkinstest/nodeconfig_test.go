// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// relabelled replaces the label text of a node document.
func relabelled(doc, from, to string) string {
	return strings.Replace(doc, "<label>"+from+"</label>", "<label>"+to+"</label>", 1)
}

func (b *bench) config(agent string) string {
	b.t.Helper()
	return b.get(http.StatusOK, "/computer/"+url.PathEscape(agent)+"/config.xml").body
}

func (b *bench) setLabels(agent, from, to string) {
	b.t.Helper()
	b.postXML(http.StatusOK, "/computer/"+url.PathEscape(agent)+"/config.xml", relabelled(b.config(agent), from, to))
}

func TestNodeDocumentIsXML11AndItsAnswerCarriesNoJenkinsHeaders(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		a := b.get(http.StatusOK, "/computer/a1/config.xml")
		if !strings.HasPrefix(a.body, `<?xml version="1.1" encoding="UTF-8"?>`) {
			t.Errorf("document starts %.60q", a.body)
		}
		b.want(a.header.Get("Content-Type"), "application/xml", "content type")
		b.want(a.header.Get("X-Jenkins")+a.header.Get("X-Jenkins-Session"), "", "Jenkins headers")
		posted := b.postXML(http.StatusOK, "/computer/a1/config.xml", a.body)
		b.want(posted.body, "", "body of a successful POST")
		b.want(b.config("a1"), a.body, "a document posted back unchanged")
	})
}

func TestPostedDocumentIsReadAsXStreamDoes(t *testing.T) {
	cases := []struct {
		name, from, to string
		status         int
		label          string
	}{
		{"prologue 1.0", `version="1.1"`, `version="1.0"`, 200, "x"},
		{"prologue missing", `<?xml version="1.1" encoding="UTF-8"?>`, "", 200, "x"},
		{"unknown element is dropped", "<label>", "<novelty>1</novelty><label>", 200, "x"},
		{"control character by reference", "<label>x</label>", "<label>x&#1;y</label>", 200, "x\x01y"},
		{"raw control character", "<label>x</label>", "<label>x\x01y</label>", 500, "x"},
		{"malformed", "</slave>", "", 500, "x"},
		{"root element is no node", "slave>", "project>", 500, "x"},
		{"another node type", "slave>", "org.example.CloudAgent>", 400, "x"},
		{"forbidden name", "<name>a1</name>", "<name>a/1</name>", 400, "x"},
		{"entities", "<label>x</label>", "<label>a&amp;b &lt;c&gt;</label>", 200, "a&b <c>"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "x"})
				b.postXML(c.status, "/computer/a1/config.xml", strings.ReplaceAll(b.config("a1"), c.from, c.to))
				b.want(b.j.Labels("a1"), c.label, "labels afterwards")
				if strings.Contains(b.config("a1"), "novelty") {
					b.t.Error("unknown element came back")
				}
			})
		})
	}
}

func TestControlReferenceNeedsXML11(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		doc := strings.Replace(relabelled(b.config("a1"), "x", "x&#1;"), `"1.1"`, `"1.0"`, 1)
		b.postXML(http.StatusInternalServerError, "/computer/a1/config.xml", doc)
	})
}

func TestOtherMethodsOnConfigAre400(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		for _, m := range []string{"PUT", "DELETE", "HEAD"} {
			b.expect(http.StatusBadRequest, b.do(m, "/computer/a1/config.xml", ""), m)
		}
	})
}

func TestReplacementThatLandsWhileAnotherIsParsedIsDroppedWith200(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Parse: second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		doc := b.config("a1")
		slow := make(chan answer)
		go func() {
			a, _ := b.send("POST", "/computer/a1/config.xml", relabelled(doc, "x", "late"))
			slow <- a
		}()
		settle()
		b.j.SaveLabels("a1", "early", "eve")
		b.want((<-slow).status, http.StatusOK, "the answer to the dropped change")
		b.want(b.j.Labels("a1"), "early", "labels")
	})
}

func TestLastWriterWins(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		doc := b.config("a1")
		b.postXML(200, "/computer/a1/config.xml", relabelled(doc, "x", "x one"))
		b.postXML(200, "/computer/a1/config.xml", relabelled(doc, "x", "x two"))
		b.want(b.j.Labels("a1"), "x two", "the first edit vanishes")
	})
}

func TestSchedulerStillSeesTheRemovedLabelUntilThePOSTEnds(t *testing.T) {
	for version, started := range map[string]bool{"2.541.3": true, "2.440": false} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, Options{Version: version, Timing: Timing{Swap: 3 * second}}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "cleanable clean"})
				b.job(JobSpec{Name: "x", Label: "clean"})
				b.json("/label/clean/api/json", "nodes")
				doc := b.config("a1")
				go b.send("POST", "/computer/a1/config.xml", relabelled(doc, "cleanable clean", "cleanable")) // its effect is looked at
				pass(second / 2)
				b.want(b.j.Labels("a1"), "cleanable", "the node's own labels")
				b.start("x")
				pass(second)
				b.want(len(b.j.Builds("x")) == 1, started, "a job for clean started in the window")
				pass(5 * second)
				b.want(len(b.json("/label/clean/api/json", "nodes").([]any)), 0, "the cache after the answer")
			})
		})
	}
}

func TestChangedNameRenamesTheNodeAndKillsItsBuilds(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { <-ctx.Done(); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		doc := strings.Replace(b.config("a1"), "<name>a1</name>", "<name>b1</name>", 1)
		b.postXML(http.StatusOK, "/computer/a1/config.xml", doc)
		settle()
		b.get(http.StatusNotFound, "/computer/a1/api/json")
		b.want(b.json("/computer/b1/api/json", "offline"), true, "the new computer")
		b.want(b.json("/job/x/1/api/json", "result"), "FAILURE", "the build on the old one")
	})
}

func TestDocumentReplacesTheTemporaryOfflineMarkSince2482(t *testing.T) {
	for version, offline := range map[string]bool{"2.541.3": false, "2.479": true} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, Options{Version: version}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "x"})
				online := b.config("a1")
				b.post(302, "/computer/a1/toggleOffline", url.Values{"offlineMessage": {"do not use"}})
				marked := b.config("a1")
				b.want(strings.Contains(marked, "temporaryOfflineCause"), version == "2.541.3", "mark in the document")
				b.postXML(200, "/computer/a1/config.xml", online)
				b.want(b.json("/computer/a1/api/json", "temporarilyOffline"), offline, "after posting the old document")
				if version != "2.541.3" {
					return
				}
				pass(minute)
				b.postXML(200, "/computer/a1/config.xml", marked)
				c := b.json("/computer/a1/api/json")
				b.want(dig(c, "temporarilyOffline"), true, "after posting the marked one")
				b.want(dig(c, "offlineCauseReason"), "do not use", "reason")
			})
		})
	}
}

func TestEditKeepsTheAgentConnectedAndItsBuildRunning(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { pause(ctx, minute); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		b.setLabels("a1", "clean", "")
		b.want(b.json("/computer/a1/api/json", "offline"), false, "offline")
		pass(2 * minute)
		b.want(b.json("/job/x/1/api/json", "result"), "SUCCESS", "result")
		if !strings.Contains(b.config("a1"), "<label></label>") {
			t.Error("an empty label is written with both tags")
		}
	})
}

func TestExecutorIdentities(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1", Labels: "clean", Executors: 2})
		ids := func() []uint64 {
			b.j.mu.Lock()
			defer b.j.mu.Unlock()
			return b.j.nodeView(b.j.fleet.computers["a1"]).Executors
		}
		first := ids()
		b.postXML(200, "/computer/a1/config.xml", b.config("a1"))
		b.want(ids(), first, "after a POST")
		a.Disconnect()
		pass(second)
		b.want(a.Online(), true, "back online")
		b.want(ids(), first, "after a reconnect")
		b.j.Reload(b.t.Context())
		b.want(ids(), first, "after a reload")

		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		used := ids()
		if used[0] != first[1] || used[1] == first[0] {
			t.Errorf("a build replaces its executor and moves it to the end: %v -> %v", first, used)
		}
		b.postXML(200, "/computer/a1/config.xml", strings.Replace(b.config("a1"), "<numExecutors>2", "<numExecutors>3", 1))
		raised := ids()
		b.want(raised[:2], used, "raising keeps the old ones")
		b.postXML(200, "/computer/a1/config.xml", strings.Replace(b.config("a1"), "<numExecutors>3", "<numExecutors>1", 1))
		if lowered := ids(); len(lowered) != 1 || lowered[0] == raised[0] {
			t.Errorf("lowering replaces all idle ones: %v -> %v", raised, lowered)
		}
	})
}

func TestNodeWithoutExecutorsHasNoComputer(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		b.postXML(200, "/computer/a1/config.xml", strings.Replace(b.config("a1"), "<numExecutors>1", "<numExecutors>0", 1))
		b.get(404, "/computer/a1/api/json")
		b.get(404, "/computer/a1/config.xml")
		b.post(404, "/computer/a1/doDelete", nil)
	})
}

// TestANewLabelAloneIsTakenAsReadWhole compares the short way with the long one.
func TestANewLabelAloneIsTakenAsReadWhole(t *testing.T) {
	t.Parallel()
	const doc = "<slave><temporaryOfflineCause class=\"hudson.slaves.OfflineCause$UserCause\"><timestamp>1</timestamp></temporaryOfflineCause>" +
		"<name>a1</name><label>x &amp; y</label><nodeProperties><label>deep</label></nodeProperties></slave>"
	n, err := nodeFromXML([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	own := string(n.document(true))
	const label = "\n  <label>x &amp; y</label>"
	for text, short := range map[string]bool{
		"x": true, " z  y ": true, "": true, "x &amp; y": false, "<b/>": false, "x<!-- -->": false, "ü": false, "\t": false, "]]>": false,
	} {
		posted := []byte(strings.Replace(own, label, "\n  <label>"+text+"</label>", 1))
		got := n.relabelled(posted, true)
		if (got != nil) != short {
			t.Errorf("label %q: the short way was taken: %v", text, got != nil)
		}
		want, err := nodeFromXML(posted)
		if got == nil || err != nil {
			continue
		}
		if string(got.document(true)) != string(want.document(true)) || !slices.Equal(got.labels, want.labels) || got.labelString != want.labelString || !got.cause.equal(want.cause) {
			t.Errorf("label %q: got %s\nwant %s", text, got.document(true), want.document(true))
		}
	}
	if after := string(n.document(true)); after != own {
		t.Errorf("the node itself is changed to %s", after)
	}
	for _, posted := range []string{strings.Replace(own, ">a1<", ">a2<", 1), strings.Replace(own, "deep", "deeper", 1), own[1:], label, ""} {
		if n.relabelled([]byte(posted), true) != nil {
			t.Errorf("taken for a change of the label alone: %s", posted)
		}
	}
}
