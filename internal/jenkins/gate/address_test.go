// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestWhoMayWhat(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		j.on("b", "node", "labels", "cleanable")
		request := fmt.Sprintf(`{"protocol":%d,"owner":"daemon","agents":[{"agent":"a","attempt":1,"job":"slot"},{"agent":"b","attempt":1,"job":"slot"}]}`, Protocol)
		claim := func(as ...string) answered {
			return j.read(j.do(command{"do": "call", "verb": "claim", "request": request, "as": append([]string{}, as...)}))
		}
		if got := claim(); got.Code != 403 {
			j.Errorf("nobody: %+v", got)
		}
		if got := claim("Overall/Read", "Agent/ExtendedRead", "Agent/Configure on b").Results; len(got) != 2 || got[0].Result != "permission" || got[1].Result != "ok" {
			j.Errorf("somebody who may configure one of two: %+v", got)
		}
		status := func(as ...string) answered {
			return j.read(j.do(command{"do": "status", "as": append([]string{}, as...)}))
		}
		if got := status(); got.Code != 403 {
			j.Errorf("status for nobody: %+v", got)
		}
		if got := status("Overall/Read"); got.Code != 200 || len(got.Agents) != 0 {
			j.Errorf("status for somebody who sees no agent's configuration: %+v", got)
		}
		if got := status("Overall/Read", "Agent/ExtendedRead on a", "Agent/Configure on b"); len(got.Agents) != 2 {
			j.Errorf("status: %+v", got)
		}
		session := status("Overall/Read").Session
		if got := j.read(j.do(command{"do": "events", "session": session, "since": "0", "as": []string{"Overall/Read", "Agent/ExtendedRead on a"}})); got.Gap || len(got.Events) != 0 {
			j.Errorf("events of an agent that is none of his: %+v", got)
		}
	})
}

func TestVerbsAnswerToPOSTAlone(t *testing.T) {
	j := boot(t)
	methods := j.do(command{"do": "methods"}).(map[string]any)
	for _, verb := range []string{"doClaim", "doGrant", "doRevoke", "doHold", "doWithdraw"} {
		if m, _ := methods[verb].(map[string]any); m["post"] != true {
			t.Errorf("%s answers to GET: %v", verb, methods[verb])
		}
		delete(methods, verb)
	}
	if len(methods) != 2 {
		t.Errorf("methods besides: %v", methods)
	}
}

func TestEachAgentOfARequestHasASectionOfTheLockOfItsOwn(t *testing.T) {
	j := boot(t)
	var agents []any
	for i := range 5 {
		name := fmt.Sprint("a", i)
		j.on(name, "node", "labels", "cleanable")
		agents = append(agents, map[string]any{"agent": name})
	}
	request, err := json.Marshal(map[string]any{"protocol": Protocol, "owner": "daemon", "agents": agents})
	if err != nil {
		t.Fatal(err)
	}
	sections := func() float64 { return j.do(command{"do": "counts"}).(map[string]any)["sections"].(float64) }
	before := sections()
	if got := j.read(j.do(command{"do": "call", "verb": "hold", "request": string(request)})); len(got.Results) != 5 {
		t.Errorf("%+v", got)
	}
	if got := sections() - before; got != 5 {
		t.Errorf("%v sections for five agents: dispatching waits for all of them, or somebody writes without the lock", got)
	}
}

func TestEventsAreWaitedForAndComeAtOnce(t *testing.T) {
	j := boot(t)
	j.on("a", "node", "labels", "cleanable")
	request := fmt.Sprintf(`{"protocol":%d,"owner":"daemon","agents":[{"agent":"a"}]}`, Protocol)
	c := command{"do": "awaited", "session": j.read(j.do(command{"do": "status"})).Session, "since": "0", "wait": "20000", "verb": "revoke", "request": request, "after": 100}
	said := j.do(c).(map[string]any)
	if got := j.read(said["answer"]); len(got.Events) != 1 || got.Events[0]["event"] != "revoked" || said["millis"].(float64) > 10_000 {
		t.Errorf("%v ms after the request: %+v", said["millis"], got)
	}
	c["since"], c["wait"], c["request"] = "1", "300", nil
	said = j.do(c).(map[string]any)
	if got := j.read(said["answer"]); len(got.Events) != 0 || got.Gap || said["millis"].(float64) < 290 { // it waits by whole milliseconds
		t.Errorf("nothing happened for %v ms: %+v", said["millis"], got)
	}
}

func TestWhoIsToldOfNothingKeepsNobodyWaiting(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		session, began := j.read(j.do(command{"do": "status"})).Session, time.Now()
		got := j.read(j.do(command{"do": "events", "session": session, "since": "0", "wait": "10000", "as": []string{"Overall/Read"}}))
		if took := time.Since(began); got.Code != 200 || len(got.Events) != 0 || took > 8*time.Second {
			j.Errorf("after %s: %+v", took, got)
		}
	})
}

func TestEventsThatAreGoneAreAGap(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		agents := make([]any, 1000)
		for i := range agents {
			agents[i] = map[string]any{"agent": "a"}
		}
		request, err := json.Marshal(map[string]any{"protocol": Protocol, "owner": "daemon", "agents": agents})
		if err != nil {
			j.Fatal(err)
		}
		for range 11 {
			j.do(command{"do": "call", "verb": "revoke", "request": string(request)})
		}
		session := j.read(j.do(command{"do": "status"})).Session
		for since, want := range map[string]struct {
			gap  bool
			told int
		}{"0": {true, 0}, "999": {true, 0}, "1000": {false, 10000}, "10997": {false, 3}, "11000": {false, 0}, "11001": {true, 0}} {
			got := j.read(j.do(command{"do": "events", "session": session, "since": since}))
			if got.Gap != want.gap || len(got.Events) != want.told || got.Seq != 11000 {
				j.Errorf("after %s: gap %t, %d events, the newest %d; want %+v", since, got.Gap, len(got.Events), got.Seq, want)
			}
		}
	})
}

func TestItAnswersByWhicheverServletInterfacesJenkinsHas(t *testing.T) {
	j := boot(t)
	for _, old := range []bool{false, true} {
		if got := j.read(j.do(command{"do": "status", "old": old})); got.Code != 200 || got.Protocol != Protocol || got.Type != "application/json;charset=UTF-8" {
			t.Errorf("old %t: %+v", old, got)
		}
	}
}

func TestBadRequests(t *testing.T) {
	both(t, func(j *controller) {
		j.on("a", "node", "labels", "cleanable")
		for request, want := range map[string]string{
			``:                                       "the field request is not JSON",
			`nonsense`:                               "the field request is not JSON",
			`{`:                                      "protocol null is not spoken here, 1 is", // Groovy does not mind
			`[]`:                                     "the request is no object",
			`{}`:                                     "protocol null is not spoken here, 1 is",
			`{"protocol":2}`:                         "protocol 2 is not spoken here, 1 is",
			`{"protocol":1}`:                         "owner is missing",
			`{"protocol":1,"owner":7}`:               "owner is missing",
			`{"protocol":1,"owner":"d"}`:             "agents is no list of 1 to 1000",
			`{"protocol":1,"owner":"d","agents":[]}`: "agents is no list of 1 to 1000",
			`{"protocol":1,"owner":"d","agents":["a"]}`:                                    "an agent has no name",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a"}]}`:                          "attempt of a is no number",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":"1"}]}`:            "attempt of a is no number",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":0}]}`:              "attempt of a is no number",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":1.5}]}`:            "attempt of a is no number",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":1e30}]}`:           "attempt of a is no number",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":1,"job":3}]}`:      "job of a is no text",
			`{"protocol":1,"owner":"d","agents":[{"agent":"a","attempt":1,"renew":"no"}]}`: "renew of a is neither true nor false",
		} {
			got := j.read(j.do(command{"do": "call", "verb": "claim", "request": request}))
			if got.Code != 400 || got.Error != want || got.Type != "application/json;charset=UTF-8" {
				j.Errorf("%s: %+v, want %q", request, got, want)
			}
		}
		if got := j.read(j.do(command{"do": "events", "session": "x", "since": "yesterday"})); got.Code != 400 {
			j.Errorf("events since yesterday: %+v", got)
		}
		if got := j.labels("a"); got != "cleanable" {
			j.Errorf("a refused request changed the labels: %q", got)
		}
	})
}

func TestNamesAreWrittenAsJSON(t *testing.T) {
	both(t, func(j *controller) {
		const name = "a \"b\" 'c' \u00fc \U0001F600 + (x)"
		j.on(name, "node", "labels", "cleanable")
		j.must("claim", name, "attempt", 1, "job", "slot")
		if got := j.read(j.do(command{"do": "status"})).Agents[name]; got.State != "claimed" {
			j.Errorf("status: %+v", got)
		}
	})
}
