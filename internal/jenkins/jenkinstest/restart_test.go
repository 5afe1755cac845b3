// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"errors"
	"net/http"
	"syscall"
	"testing"
)

var slowRestart = Timing{Down: 2 * second, Boot: 3 * second, Reconnect: 4 * second}

func TestRestartGoesThroughItsPhasesToANewSession(t *testing.T) {
	inBubble(t, Options{Timing: slowRestart}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x"}).MarkOffline("bob", "keep me")
		before := b.j.Session()
		b.get(200, "/restart")
		b.post(302, "/restart", nil)
		pass(second)
		if _, err := b.send("GET", "/api/json", ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("while the process is gone: %v", err)
		}
		pass(2 * second)
		a := b.get(http.StatusServiceUnavailable, "/api/json")
		b.want(a.header.Get("X-Jenkins"), "", "X-Jenkins while booting")
		pass(3 * second)
		after := b.get(200, "/api/json").header.Get("X-Jenkins-Session")
		b.want(after != before, true, "a new session")
		c := b.json("/computer/a1/api/json")
		b.want(dig(c, "offline"), true, "the agent is not back yet")
		b.want(dig(c, "offlineCauseReason"), "keep me", "the mark is persisted with its message")
		b.want(b.j.Labels("a1"), "x", "labels are persisted")
		pass(5 * second)
		b.want(b.j.Agent("a1").Online(), true, "agents return some seconds after readiness")
	})
}

func TestMarkIsLostByARestartBefore2482(t *testing.T) {
	inBubble(t, Options{Version: "2.479.3"}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1"}).MarkOffline("bob", "x")
		if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.want(b.json("/computer/a1/api/json", "temporarilyOffline"), false, "temporarilyOffline")
	})
}

func TestWhatARestartKeepsOfTheQueue(t *testing.T) {
	cases := []struct {
		name string
		mode RestartMode
		age  int // seconds in the queue
		kept bool
	}{
		{"orderly restart saves the queue", RestartNow, 0, true},
		{"crash loses what was not saved yet", RestartCrash, 30, false},
		{"crash keeps what was saved", RestartCrash, 90, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Options{}, func(b *bench) {
				b.job(JobSpec{Name: "left", Label: "y"})
				b.agent(AgentSpec{Name: "a0", Labels: "y"})
				done := b.start("left")
				b.job(JobSpec{Name: "x", Label: "clean"})
				id := b.start("x")
				pass(second * 1)
				for range c.age {
					pass(second)
				}
				if err := b.j.Restart(b.t.Context(), c.mode); err != nil {
					t.Fatal(err)
				}
				b.get(http.StatusNotFound, "/queue/item/"+done+"/api/json")
				b.want(b.do("GET", "/queue/item/"+id+"/api/json", "").status == 200, c.kept, "kept with its id")
				b.agent(AgentSpec{Name: "a1", Labels: "clean"})
				settle()
				b.want(len(b.j.Builds("x")) == 1, c.kept, "built afterwards")
			})
		})
	}
}

func TestPendingItemBecomesBuildableAgainAfterACrash(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Assign: 10 * minute}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		id := b.start("x")
		pass(2 * minute)
		b.want(b.json("/queue/item/"+id+"/api/json", "pending"), true, "pending")
		if err := b.j.Restart(b.t.Context(), RestartCrash); err != nil {
			t.Fatal(err)
		}
		b.want(b.json("/queue/item/"+id+"/api/json", "_class"), "hudson.model.Queue$BuildableItem", "class")
		pass(11 * minute)
		b.want(len(b.j.Builds("x")), 1, "builds")
	})
}

func TestBuildsDieWithTheController(t *testing.T) {
	for mode, result := range map[RestartMode]string{RestartCrash: "FAILURE", RestartNow: "ABORTED"} {
		t.Run(result, func(t *testing.T) {
			inBubble(t, Options{Execute: holding}, func(b *bench) {
				b.agent(AgentSpec{Name: "a1", Labels: "clean"})
				b.job(JobSpec{Name: "x", Label: "clean"})
				b.start("x")
				settle()
				if err := b.j.Restart(b.t.Context(), mode); err != nil {
					t.Fatal(err)
				}
				pass(2 * minute)
				b.want(b.json("/job/x/1/api/json", "result"), result, "result")
				b.want(b.json("/computer/a1/api/json", "idle"), true, "the agent shows idle")
				b.start("x")
				settle()
				b.want(b.json("/job/x/lastBuild/api/json", "number"), 2, "numbers go on")
			})
		})
	}
}

func TestSafeRestartWaitsForBuilds(t *testing.T) {
	inBubble(t, Options{Execute: holding}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		before := b.j.Session()
		settle()
		b.post(302, "/safeRestart", nil)
		pass(30 * second)
		b.want(b.json("/api/json", "quietingDown"), true, "quieting down")
		b.want(b.j.Session(), before, "session")
		pass(minute)
		b.want(b.j.Session() != before, true, "restarted")
		b.want(b.json("/job/x/1/api/json", "result"), "SUCCESS", "the build it waited for")
	})
}

func TestReloadKeepsSessionConnectionsAndBuilds(t *testing.T) {
	inBubble(t, Options{Execute: holding, Timing: Timing{Reload: second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		settle()
		before := b.j.Session()
		b.post(302, "/reload", nil)
		b.get(503, "/api/json")
		pass(2 * second)
		b.want(b.get(200, "/api/json").header.Get("X-Jenkins-Session"), before, "session")
		b.want(b.json("/computer/a1/api/json", "offline"), false, "connection")
		pass(minute)
		b.want(b.json("/job/x/1/api/json", "result"), "SUCCESS", "build")
	})
}

func TestFailedBootIs503ForEverOr500(t *testing.T) {
	for aborted, status := range map[bool]int{false: 503, true: 500} {
		inBubbleNamed(t, http.StatusText(status), Options{}, func(b *bench) {
			b.j.FailBoot(aborted)
			pass(60 * minute)
			b.get(status, "/login")
		})
	}
}

func TestNothingIsDispatchedBeforeTheInitScriptsEnded(t *testing.T) {
	veto := func(j *Jenkins) {
		j.Register(Hooks{CanTake: func(NodeView, ItemView) string { return "gate" }})
	}
	inBubble(t, Options{Boot: veto, Timing: Timing{Boot: second}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "clean"})
		b.job(JobSpec{Name: "x", Label: "clean"})
		b.start("x")
		pass(minute)
		if err := b.j.Restart(b.t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		pass(minute)
		b.want(len(b.j.Builds("x")), 0, "builds behind a gate that is there at boot")
	})
}
