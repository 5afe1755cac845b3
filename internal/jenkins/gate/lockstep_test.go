// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheModelSaysWhatTheGroovySays has chance do the same to both gates and compares every answer.
func TestTheModelSaysWhatTheGroovySays(t *testing.T) {
	groovy := boot(t)
	model := booted(t, &controller{TB: t, target: newWorld()})
	rounds, seed := 8, uint64(1)
	if os.Getenv("PITCREW_LONG") == "1" {
		rounds, seed = 400, rand.Uint64()
	}
	t.Logf("seed %d", seed)
	failures := 0
	for round := range rounds {
		p := &pair{TB: t, nodes: map[string]bool{"": true}, random: rand.New(rand.NewPCG(seed, uint64(round))), targets: [2]*controller{groovy, model}}
		p.both(command{"do": "boot"})
		for range 150 {
			p.step()
		}
		p.both(command{"do": "status"})
		failures += p.failures
	}
	if failures == 0 {
		t.Error("nothing ever failed: what breaks was not tried")
	}
}

// pair is both gates.
type pair struct {
	testing.TB
	random   *rand.Rand
	targets  [2]*controller
	sessions [2]string
	nodes    map[string]bool
	items    []float64
	running  []command
	log      []string
	failures int
}

// both sends a command to either and compares what they say.
func (p *pair) both(c command) any {
	p.Helper()
	var said [2]any
	for i, j := range p.targets {
		one := command{}
		for k, v := range c {
			if one[k] = v; k == "session" && v == "present" {
				one[k] = p.sessions[i]
			}
		}
		said[i] = p.plain(i, j.say(one))
	}
	line, _ := json.Marshal(c)
	p.log = append(p.log, string(line))
	if diff := cmp.Diff(said[0], said[1]); diff != "" {
		p.Fatalf("(-groovy +model):\n%s\nafter\n%s", diff, strings.Join(p.log, "\n"))
	}
	if s, _ := said[0].(string); strings.HasPrefix(s, "failed") {
		p.failures++
	}
	return said[0]
}

// plain is an answer without what has to differ: times and sessions.
func (p *pair) plain(i int, answer any) any {
	m, ok := answer.(map[string]any)
	if !ok {
		return answer
	}
	body, _ := m["body"].(string)
	var parsed any
	if json.Unmarshal([]byte(body), &parsed) != nil {
		return answer
	}
	if s, ok := parsed.(map[string]any)["session"].(string); ok {
		p.sessions[i] = s
	}
	m["body"] = scrub(parsed)
	delete(m, "length") // of numbers that differ
	return m
}

func scrub(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "fault") // names an exception of Java; how many there were is compared
		for k := range v {
			if v[k] = scrub(v[k]); k == "session" || k == "since" || k == "at" {
				v[k] = nil
			}
		}
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	}
	return v
}

// say is do, for what may fail: the answer is then a text that says so.
func (j *controller) say(c command) any {
	line, err := json.Marshal(c)
	if err != nil {
		j.Fatal(err)
	}
	said, err := j.target.send(line)
	if err != nil {
		j.Fatal(err)
	}
	var answer struct {
		OK     any
		Failed string
	}
	if err := json.Unmarshal(said, &answer); err != nil {
		j.Fatalf("%v: %s", err, said)
	}
	if answer.Failed != "" {
		return "failed"
	}
	return answer.OK
}

func pick[T any](p *pair, of ...T) T { return of[p.random.IntN(len(of))] }

func (p *pair) one(in int) bool { return p.random.IntN(in) == 0 }

func (p *pair) name() string { return pick(p, "a", "a", "a", "b", "b", "c \"\u00fc\"") }

func (p *pair) labels() string {
	return pick(p, "cleanable", "cleanable clean", "clean", "", "el7", "cleanable dirty clean el7", ` 'cleanable'  clean`, `"a clean b" cleanable`, "clean\tcleanable", "cleaner cleanable")
}

// step does one thing to both.
func (p *pair) step() {
	p.Helper()
	name := p.name()
	what := p.random.IntN(20)
	if !p.nodes[name] && what < 12 {
		what = 0
	}
	switch what {
	case 0, 1:
		p.nodes[name] = true
		p.both(command{
			"do": "node", "name": name, "labels": p.labels(), "executors": 1 + p.random.IntN(3), "normal": p.one(2), "other": p.one(6), "fresh": p.one(4),
			"quiet": p.one(3), "offline": p.one(5),
		})
	case 2:
		p.both(command{"do": pick(p, "connect", "disconnect"), "name": pick(p, name, name, name, ""), "quiet": p.one(3)})
	case 3:
		p.both(command{"do": "relabel", "name": name, "labels": p.labels()})
	case 4:
		p.both(command{"do": "breaks", "name": name, "what": pick(p, "save", "labels", "channel"), "how": pick(p, "", "", "full", "error")})
	case 5, 6:
		p.queue()
	case 7, 8:
		if len(p.items) > 0 {
			c := command{"do": pick(p, "start", "start", "start", "assign"), "name": name, "item": pick(p, p.items...), "flyweight": p.one(5)}
			if p.both(c) == nil {
				p.running = append(p.running, c)
			}
		}
	case 9, 10:
		if len(p.running) > 0 && p.one(2) {
			ran := pick(p, p.running...)
			c := command{"do": "begun", "name": pick[any](p, ran["name"], ran["name"], name), "item": pick[any](p, ran["item"], ran["item"], pick(p, p.items...)), "part": p.one(2)}
			if p.one(4) {
				c["build"] = "job/x/7/"
			}
			p.both(c)
		}
		p.end()
	case 11:
		p.both(command{"do": "builtIn", "executors": p.random.IntN(2), "normal": p.one(2), "refuses": p.one(2)})
		p.both(command{"do": "believes", "name": name, "label": pick(p, "clean", "cleanable")})
		if p.one(3) {
			delete(p.nodes, name)
			p.both(command{"do": "remove", "name": name})
		}
	case 12:
		p.both(command{"do": "status", "as": p.as()})
	case 13:
		p.both(command{"do": "events", "session": pick(p, "present", "present", "another"), "since": pick(p, "0", "5", "20", "1000", "-3", "x", ""), "as": p.as()})
	default:
		p.call(name)
	}
	p.ask()
}

func (p *pair) queue() {
	c := command{"do": "queue", "kind": pick(p, "job", "job", "flyweight", "plain", "returning", "begun"), "task": pick(p, "slot", "slot", "x"), "loose": p.one(2)}
	if p.one(2) {
		c["label"] = pick(p, "a", "b", "clean", "cleanable")
	}
	if p.one(2) {
		c["attempt"] = fmt.Sprint(1 + p.random.IntN(6))
	}
	if item, ok := p.both(c).(float64); ok {
		p.items = append(p.items, item)
	}
}

func (p *pair) end() {
	if len(p.running) == 0 {
		return
	}
	i := p.random.IntN(len(p.running))
	c := command{"do": pick(p, "end", "end", "giveBack", "again"), "name": p.running[i]["name"], "item": p.running[i]["item"], "late": p.one(8), "problem": p.one(3)}
	if p.both(c); c["do"] != "again" {
		p.running = slices.Delete(p.running, i, i+1)
	}
}

// as is who asks.
func (p *pair) as() any {
	return pick[any](p, nil, nil, nil, []string{}, []string{"Overall/Read"}, []string{"Overall/Read", "Agent/Configure"}, []string{"Overall/Read", "Agent/ExtendedRead on a", "Agent/Configure on b"})
}

// call sends a request that is sound, or nearly.
func (p *pair) call(name string) {
	verb := pick(p, "claim", "claim", "claim", "grant", "grant", "grant", "revoke", "hold", "withdraw")
	var agents []any
	for range 1 + p.random.IntN(2) {
		one := map[string]any{"agent": name, "attempt": 1 + p.random.IntN(6)}
		for _, may := range []struct {
			in     int
			key    string
			values []any
		}{
			{2, "job", []any{"slot", "slot", "other", nil, 7}},
			{4, "renew", []any{true, false, nil, "yes"}},
			{4, "offline", []any{true, false, nil}},
			{12, "attempt", []any{nil, 0, -1, "3", 2.5, 1e30}},
		} {
			if p.one(may.in) {
				one[may.key] = pick(p, may.values...)
			}
		}
		agents = append(agents, one)
		name = p.name()
	}
	request := map[string]any{"protocol": Protocol, "owner": "daemon", "agents": agents}
	if p.one(20) {
		request["owner"], request["insteadOf"] = pick[any](p, "other", "daemon", "", nil), pick[any](p, nil, "daemon", "other", 3)
	}
	if p.one(25) {
		request["protocol"] = pick[any](p, 2, nil, "1", 1.0, 1.5, true)
	}
	text, err := json.Marshal(request)
	if err != nil {
		p.Fatal(err)
	}
	p.both(command{"do": "call", "verb": verb, "request": string(text), "as": p.as()})
}

// ask compares what both say of the queue and the labels.
func (p *pair) ask() {
	p.Helper()
	if len(p.items) == 0 {
		return
	}
	for _, name := range []string{"", "a", "b"} {
		if p.nodes[name] && p.one(2) {
			p.both(command{"do": "take", "name": name, "item": pick(p, p.items...)})
		}
	}
	p.both(command{"do": "may", "item": pick(p, p.items...), "stage": pick(p, "waiting", "blocked", "buildable")})
	if name := pick(p, "a", "b"); p.nodes[name] {
		p.both(command{"do": "view", "name": name})
	}
}
