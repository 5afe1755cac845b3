// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/gatemodel"
)

// verb sends one verb for one agent to the gate and returns its result.
func (b *bench) verb(verb, agent string, attempt int, more ...string) string {
	b.t.Helper()
	result, err := b.tryVerb(verb, agent, attempt, more...)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// tryVerb is verb for a controller that may be down or without a gate.
func (b *bench) tryVerb(verb, agent string, attempt int, more ...string) (string, error) {
	request := fmt.Sprintf(`{"protocol":%d,"owner":"daemon","agents":[{"agent":%q,"attempt":%d%s}]}`, gatemodel.Protocol, agent, attempt, strings.Join(more, ""))
	a, err := b.send("POST", "/pitcrew-gate/"+verb, url.Values{"request": {request}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if err != nil || a.status != http.StatusOK {
		return "", fmt.Errorf("%s of %s: %d %.100s %w", verb, agent, a.status, a.body, err)
	}
	var answer struct {
		Results []struct{ Agent, Result string }
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || len(answer.Results) != 1 {
		return "", fmt.Errorf("%s of %s: %s %w", verb, agent, a.body, err)
	}
	return answer.Results[0].Result, nil
}

// granted has the gate say that an agent is clean.
func (b *bench) granted(agent string, attempt int) {
	b.t.Helper()
	b.want(b.verb("claim", agent, attempt), "ok", "claim")
	b.want(b.verb("grant", agent, attempt), "ok", "grant")
}

// told are the names of the gate's events since a number.
func (b *bench) told(since int) (names []string) {
	b.t.Helper()
	session := b.json("/pitcrew-gate/status", "session").(string)
	events, _ := b.json(fmt.Sprintf("/pitcrew-gate/events?session=%s&since=%d", session, since), "events").([]any)
	for _, e := range events {
		names = append(names, fmt.Sprint(dig(e, "agent"), " ", dig(e, "event")))
	}
	return names
}

func TestAGateLetsOneBuildOntoACleanAgent(t *testing.T) {
	inBubble(t, Options{Execute: holding}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable linux", Executors: 2})
		b.job(JobSpec{Name: "x", Label: "linux", Concurrent: true})
		b.job(JobSpec{Name: "slot", Label: "a1", Concurrent: true, Params: []ParamSpec{{Name: "PITCREW_ATTEMPT"}}})
		b.want(b.j.InstallGate(GateOptions{}), "pitcrew gate test: registered by the init script, as the first copy", "said")
		id := b.start("x")
		settle()
		b.want(b.why(id), "pitcrew: the agent is not clean", "why")
		b.want(b.verb("claim", "a1", 1, `,"job":"slot"`), "ok", "claim")
		b.want(b.j.Labels("a1"), "cleanable linux dirty", "claimed")
		for _, attempt := range []string{"7", "1"} {
			b.post(201, "/job/slot/buildWithParameters?delay=0sec", url.Values{"PITCREW_ATTEMPT": {attempt}})
		}
		settle()
		b.want(b.verb("grant", "a1", 1), "busy", "while the cleanup runs")
		pass(2 * minute)
		b.want(len(b.j.Builds("slot")), 1, "cleanups: only the one that was asked for")
		b.want(b.verb("grant", "a1", 1), "ok", "grant")
		settle()
		b.start("x")
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds on two executors")
		b.want(b.j.Labels("a1"), "cleanable linux", "used")
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "state"), "used", "state")
		pass(2 * minute)
		b.want(len(b.j.Builds("x")), 1, "builds before the next grant")
		b.want(b.told(0), []string{"a1 claimed", "a1 started", "a1 ended", "a1 granted", "a1 consumed", "a1 ended"}, "events")
	})
}

func TestAFlyweightStartsWhenTheAgentIsCleanWhereItGoes(t *testing.T) {
	inBubble(t, Options{Execute: holding, Plugins: []string{PluginMatrix}}, func(b *bench) {
		b.j.InstallGate(GateOptions{})
		agents := []string{"a1", "a2", "a3"}
		for _, name := range agents {
			b.agent(AgentSpec{Name: name, Labels: "cleanable el7"})
		}
		b.postXML(200, "/createItem?name=matrix", "<matrix-project><assignedNode>el7</assignedNode></matrix-project>")
		id := b.start("matrix")
		settle()
		b.want(b.why(id), "pitcrew: would start on an agent that is not clean, where nothing could stop it", "why")
		for i, name := range agents {
			b.granted(name, 1)
			settle()
			if builds := b.j.Builds("matrix"); len(builds) > 0 {
				b.want(builds[0].Agent, name, "its agent")
				b.want(b.told(0)[2*i+2], name+" consumed", "event")
				return
			}
		}
		b.t.Error("all agents are clean, and it has not started")
	})
}

func TestTheGateHearsOfConnectionsAndNodes(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		for _, name := range []string{"a1", "a2", "a3", "other"} {
			b.agent(AgentSpec{Name: name, Labels: "cleanable"})
		}
		b.j.InstallGate(GateOptions{})
		for _, name := range []string{"a1", "a2", "a3"} {
			b.granted(name, 1)
		}
		b.j.Agent("a1").Disconnect()
		b.j.Agent("other").Disconnect()
		settle()
		b.j.SaveLabels("a2", "cleanable clean x", "eve")
		b.post(302, "/computer/a3/doDelete", nil)
		b.j.SetLabelsInPlace("a2", "cleanable clean", true)
		b.want(b.told(6), []string{"a1 offline", "a1 online", "a2 changed", "a3 offline", "a3 deleted"}, "events")
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "why"), "offline", "why a1 is not clean")
		b.want(b.json("/pitcrew-gate/status", "agents", "a2", "state"), "clean", "a2")
		b.want(b.json("/pitcrew-gate/status", "agents", "a3", "drift"), "gone", "a3")
		b.agent(AgentSpec{Name: "a3", Labels: "clean"})
		b.want(b.json("/pitcrew-gate/status", "agents", "a3", "state"), "unknown", "a3 made again without its label")
	})
}

func TestTheGateSeesAnotherComputerExecutorsAndClass(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.j.InstallGate(GateOptions{})
		for _, name := range []string{"a1", "a2", "a3"} {
			b.agent(AgentSpec{Name: name, Labels: "cleanable", Executors: 2})
			b.granted(name, 1)
		}
		edit := func(name, from, to string) {
			doc := b.get(200, "/computer/"+name+"/config.xml").body
			b.postXML(200, "/computer/"+name+"/config.xml", strings.Replace(doc, from, to, 1))
		}
		edit("a1", "<numExecutors>2", "<numExecutors>3")
		edit("a2", "<numExecutors>2", "<numExecutors>1")
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "drift"), "executors", "one more")
		b.want(b.json("/pitcrew-gate/status", "agents", "a2", "drift"), "executors", "one less")
		b.want(b.json("/pitcrew-gate/status", "agents", "a3", "drift"), nil, "untouched")
		b.j.SetLabelsInPlace("a3", "cleanable", false)
		b.want(b.json("/pitcrew-gate/status", "agents", "a3", "drift"), "label", "without its label")
	})
}

func TestTheGatesAddress(t *testing.T) {
	reader := User{Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read}}
	daemon := User{Name: "dan", Password: "p", Tokens: []string{"t"}, Permissions: []Permission{Read, AgentConfigure}}
	nobody := User{Name: "nora", Tokens: []string{"t"}}
	inBubble(t, Options{Security: Security{Users: []User{admin, reader, daemon, nobody}}}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.get(404, "/pitcrew-gate/status")
		b.post(404, "/pitcrew-gate/claim", nil)
		b.j.InstallGate(GateOptions{})
		b.get(404, "/pitcrew-gate/")
		b.get(404, "/pitcrew-gate/status/x")
		b.get(404, "/pitcrew-gate/doStatus")
		b.want(b.get(405, "/pitcrew-gate/claim").header.Get("Allow"), "POST", "Allow")
		b.want(b.get(200, "/pitcrew-gate/status").header.Get("Content-Type"), gatemodel.ContentType, "type")
		b.as("nora", "t").get(403, "/pitcrew-gate/status")
		b.as("nora", "t").post(403, "/pitcrew-gate/claim", nil)
		b.as("", "").get(403, "/pitcrew-gate/status")
		b.want(b.as("ron", "t").json("/pitcrew-gate/status", "agents"), map[string]any{}, "agents that ron sees")
		b.want(b.as("ron", "t").verb("claim", "a1", 1), "permission", "ron's claim")
		b.as("dan", "p").post(403, "/pitcrew-gate/claim", nil) // by password and without a crumb
		b.want(b.as("dan", "t").verb("claim", "a1", 1), "ok", "dan's claim")
		b.want(b.as("dan", "t").json("/pitcrew-gate/status", "agents", "a1", "state"), "claimed", "state")
		b.want(b.post(400, "/pitcrew-gate/claim", nil).body, `{"protocol":1,"error":"the field request is not JSON"}`, "without a request")
		large := url.Values{"request": {`{"protocol":1,"owner":"daemon","agents":[{"agent":"` + strings.Repeat("a", formLimit) + `","attempt":2}]}`}}
		b.want(b.post(400, "/pitcrew-gate/claim", large).body, `{"protocol":1,"error":"the field request is not JSON"}`, "a form beyond the server's limit")
		b.want(b.j.Labels("a1"), "cleanable dirty", "labels")
	})
}

func TestEventsAreWaitedForWithoutTheQueueLock(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.j.InstallGate(GateOptions{})
		session := b.json("/pitcrew-gate/status", "session").(string)
		path := "/pitcrew-gate/events?since=0&session=" + session
		poll := func(wait time.Duration) chan answer {
			said := make(chan answer, 1)
			go func() {
				a, _ := b.send("GET", fmt.Sprint(path, "&wait=", wait.Milliseconds()), "")
				said <- a
			}()
			settle()
			return said
		}
		began := time.Now()
		b.want(dig(b.json(path+"&wait=5000"), "events"), []any{}, "nothing happened")
		b.want(time.Since(began), 5*second, "waited")
		said := poll(minute)
		began = time.Now()
		pass(3 * second)
		b.want(b.verb("claim", "a1", 1), "ok", "claim") // so the lock is free
		b.want(contains((<-said).body, `"event":"claimed"`), true, "the event")
		b.want(time.Since(began), 3*second, "waited for the event")
		path = "/pitcrew-gate/events?since=1&session=" + session
		said = poll(time.Hour)
		pass(30 * second)
		b.want((<-said).status, 200, "an hour is no longer than half a minute")
		said = poll(minute)
		if err := b.j.Restart(t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.want((<-said).status, 0, "the connection breaks with the controller")
	})
}

func TestWhoInstallsTheGateWhen(t *testing.T) {
	opts := Options{Boot: func(j *Jenkins) { j.InstallGate(GateOptions{}) }}
	inBubbleNamed(t, "init script", opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.granted("a1", 1)
		before := b.json("/pitcrew-gate/status", "session")
		b.j.Reload(t.Context())
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "state"), "clean", "after a reload")
		if err := b.j.Restart(t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.want(b.json("/pitcrew-gate/status", "session") != before, true, "another session")
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "state"), "unknown", "after a restart")
		b.want(b.j.Labels("a1"), "cleanable clean", "the label outlives it")
	})
	inBubbleNamed(t, "console", Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.j.InstallGate(GateOptions{Hook: "console", Version: "v1"})
		b.granted("a1", 1)
		before := b.json("/pitcrew-gate/status", "session")
		said := b.j.InstallGate(GateOptions{Hook: "console", Version: "v2"})
		b.want(said, "pitcrew gate v2: registered by the console, in the place of another copy", "said")
		b.want(b.j.Registered(gateName), 1, "copies")
		status := b.json("/pitcrew-gate/status")
		b.want(dig(status, "session"), before, "the same session")
		b.want([]any{dig(status, "agents", "a1", "state"), dig(status, "version"), dig(status, "hook")}, "[clean v2 console]", "status")
		b.j.RemoveGate()
		b.get(404, "/pitcrew-gate/status")
		b.job(JobSpec{Name: "x", Label: "cleanable"})
		b.start("x")
		settle()
		b.want(len(b.j.Builds("x")), 1, "builds without a gate")
		b.j.InstallGate(GateOptions{})
		b.want(b.json("/pitcrew-gate/status", "agents", "a1", "state"), "unknown", "removed and installed again")
		if err := b.j.Restart(t.Context(), RestartNow); err != nil {
			t.Fatal(err)
		}
		b.get(404, "/pitcrew-gate/status")
	})
}

func TestGatesThatAreNotAsTheyShouldBe(t *testing.T) {
	inBubble(t, Options{}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.j.InstallGate(GateOptions{Broken: true})
		b.get(500, "/pitcrew-gate/status")
		b.post(500, "/pitcrew-gate/claim", nil)
		b.job(JobSpec{Name: "x", Label: "cleanable"})
		b.start("x")
		settle()
		b.want(len(b.j.Builds("x")), 0, "a gate that cannot be talked to still holds")
		b.j.InstallGate(GateOptions{DiskFull: true})
		b.want(b.verb("claim", "a1", 1), "error java.io.IOException: No space left on device", "claim")
		b.want(b.j.Labels("a1"), "cleanable", "labels")
		b.j.InstallGate(GateOptions{Protocol: 2, Cleanable: "c", Dirty: "d", Clean: "ok"})
		status := b.json("/pitcrew-gate/status")
		b.want([]any{dig(status, "protocol"), dig(status, "labels")}, "[2 [c d ok]]", "status")
		b.want(b.post(400, "/pitcrew-gate/claim", url.Values{"request": {`{"protocol":1}`}}).body, `{"protocol":2,"error":"protocol 1 is not spoken here, 2 is"}`, "a daemon of today")
	})
}

func TestAnExecutorIsFreeSomeTimeAfterItsWorkIsOver(t *testing.T) {
	inBubble(t, Options{Timing: Timing{Retire: second}, Execute: holding}, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "cleanable"})
		b.job(JobSpec{Name: "slot", Label: "a1", Params: []ParamSpec{{Name: "PITCREW_ATTEMPT"}}})
		b.j.InstallGate(GateOptions{})
		b.want(b.verb("claim", "a1", 1, `,"job":"slot"`), "ok", "claim")
		b.post(201, "/job/slot/buildWithParameters?delay=0sec", url.Values{"PITCREW_ATTEMPT": {"1"}})
		pass(minute)
		b.want(b.told(2), []string{"a1 ended"}, "events")
		b.want(b.verb("grant", "a1", 1), "busy", "at once")
		pass(second)
		b.want(b.verb("grant", "a1", 1), "ok", "a second later")
	})
}
