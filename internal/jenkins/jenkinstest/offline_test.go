// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"net/http"
	"net/url"
	"testing"
)

func message(text string) url.Values { return url.Values{"offlineMessage": {text}} }

func TestToggleIsAFlipAndChangeOfflineCauseSets(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"})
		marked := func() any { return b.json("/computer/a1/api/json", "temporarilyOffline") }
		b.post(302, "/computer/a1/toggleOffline", message("one"))
		b.want(marked(), true, "after the first toggle")
		b.post(302, "/computer/a1/toggleOffline", message("two"))
		b.want(marked(), false, "after the second")
		for range 2 {
			b.post(302, "/computer/a1/changeOfflineCause", message("three"))
			b.want(marked(), true, "after changeOfflineCause")
		}
		b.expect(http.StatusMethodNotAllowed, b.do("GET", "/computer/a1/toggleOffline", ""), "GET")
	})
}

func TestOfflineReasonIsEscapedTwiceAndItsPrefixLocalised(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"})
		b.post(302, "/computer/a1/changeOfflineCause", message("<b>"))
		c := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(c, "offlineCauseReason"), "&amp;lt;b&amp;gt;", "reason")
		b.want(dig(c, "offlineCause", "description"), "Disconnected by ada : &lt;b&gt;", "description")
		b.want(dig(c, "offlineCause", "_class"), "hudson.slaves.OfflineCause$UserCause", "class")
		b.language = "de-DE"
		b.want(b.json("/computer/a1/api/json?depth=1", "offlineCause", "description"), "Getrennt durch ada : &lt;b&gt;", "in German")
	})
}

func TestTemporaryMarkStopsDispatchButNotRunningBuilds(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { pause(ctx, minute); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean", Concurrent: true})
		b.start("x")
		settle()
		b.post(302, "/computer/a1/changeOfflineCause", message("hands off"))
		id := b.start("x")
		pass(10 * minute)
		b.want(b.json("/job/x/1/api/json", "result"), "SUCCESS", "the running build")
		b.want(b.json("/queue/item/"+id+"/api/json", "why"), "‘a1’ is offline", "the queued one")
		b.post(302, "/computer/a1/toggleOffline", nil)
		settle()
		b.want(len(b.j.Builds("x")), 2, "builds once the mark is lifted")
	})
}

func TestMonitorsSetAndLiftTheSameMark(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1"})
		a.MonitorOffline(1 << 20)
		c := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(c, "temporarilyOffline"), true, "marked")
		b.want(dig(c, "offlineCause", "_class"), "hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace", "cause")
		b.want(dig(c, "offlineCause", "size"), 1<<20, "size")
		a.MarkOffline("bob", "mine")
		a.MonitorOnline()
		b.want(b.json("/computer/a1/api/json", "temporarilyOffline"), false, "a person's mark is lifted by the monitor too")
	})
}

func TestDisconnectBreaksBuildsAndLaunchOfAnInboundAgentOnlyLeavesAMark(t *testing.T) {
	hold := func(ctx context.Context, _ Step) StepResult { <-ctx.Done(); return StepResult{} }
	inBubble(t, Options{Execute: hold}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean", Lonely: true})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		b.post(302, "/computer/a1/doDisconnect", message("bye"))
		settle()
		c := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(c, "offline"), true, "offline")
		b.want(dig(c, "temporarilyOffline"), false, "but not marked")
		b.want(dig(c, "offlineCauseReason"), "bye", "reason")
		b.want(b.json("/job/x/1/api/json", "result"), "FAILURE", "build")
		a := b.post(302, "/computer/a1/launchSlaveAgent", nil)
		b.want(a.header.Get("Location"), "http://ci.example/computer/a1/log", "location")
		b.want(b.json("/computer/a1/api/json?depth=1", "offlineCause", "_class"), "hudson.slaves.OfflineCause$LaunchFailed", "cause")
		b.want(b.j.Agent("a1").Connect(), nil, "connect")
		b.post(http.StatusOK, "/computer/a1/launchSlaveAgent", nil)
	})
}

func TestLostConnectionHasItsOwnCause(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1"})
		a.Kill()
		c := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(c, "offlineCause", "_class"), "hudson.slaves.OfflineCause$ChannelTermination", "class")
		b.want(dig(c, "offlineCauseReason"), "Connection was broken", "reason")
	})
}

func TestSecondConnectionOfANameIsRefused(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1"})
		info, err := b.j.AgentInfo("a1")
		if err != nil {
			t.Fatal(err)
		}
		b.want(a.Connect() != nil, true, "second connection refused")
		for name, c := range map[string]struct{ agent, secret string }{
			"unknown name": {"nobody", info.Secret}, "wrong secret": {"a1", "x"},
		} {
			if b.j.Connect(c.agent, c.secret, newSimulatedLink(nil)) == nil {
				t.Error(name + " was accepted")
			}
		}
	})
}

func TestDemandStrategyLaunchesOnDemandAndDisconnectsWhenIdle(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "a1", Labels: "clean", Demand: true, Launched: true, IdleDelay: 2})
		pass(10 * minute)
		b.want(a.Online(), false, "without demand")
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		pass(2 * minute)
		b.want(len(b.j.Builds("x")), 1, "builds")
		pass(5 * minute)
		c := b.json("/computer/a1/api/json?depth=1")
		b.want(dig(c, "offline"), true, "idle for long")
		b.want(dig(c, "offlineCause", "_class"), "hudson.slaves.OfflineCause$IdleOfflineCause", "cause")
	})
}

func TestAgentThatTheControllerLaunchesComesOnlineByItself(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Launch: second}}, func(b *bench) {
		a := b.agent(AgentSpec{Name: "s1", Launched: true})
		b.want(a.Online(), false, "at once")
		pass(2 * second)
		b.want(a.Online(), true, "after the launch")
		c := b.json("/computer/s1/api/json")
		b.want(dig(c, "launchSupported"), true, "launchSupported")
		b.want(dig(c, "jnlpAgent"), false, "jnlpAgent")
	})
}
