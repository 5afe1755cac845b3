// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// truth is what the controller itself saw of its agents, whatever the gate believes. It is guarded by the queue lock.
type truth struct {
	gated   bool // there ought to be a gate
	loaded  bool // it is in place, and nothing is under way that began before it
	clean   map[string]bool
	asking  map[string]int  // real starts while a grant was being asked for; the key is there meanwhile
	claimed map[string]bool // since the last start of the controller
	proving map[string]int  // the attempt that an agent is claimed for, if nothing began there since
	slot    bool            // an agent was claimed for that job since then
	managed map[string]bool // by item and agent: was it, when the item was last asked about

	started, contaminated, returned, cleanups int
	wrong                                     []string // what the gate should have refused besides
}

func newTruth(gated bool) *truth {
	return &truth{gated: gated, clean: map[string]bool{}, asking: map[string]int{}, proving: map[string]int{}, claimed: map[string]bool{}, managed: map[string]bool{}}
}

func question(it ItemView, agent string) string { return fmt.Sprint(it.ID, " ", agent) }

// hooks watch without a say. They come before the gate's, so that they hear of what it refuses too.
func (w *truth) hooks(j *Jenkins) Hooks {
	note := func(agent string, labels []string, it ItemView) {
		w.managed[question(it, agent)] = w.claimed[agent] || slices.Contains(labels, "cleanable")
	}
	return Hooks{
		Name: "truth",
		CanRun: func(it ItemView) string {
			if it.Flyweight {
				for name, n := range j.fleet.nodes {
					note(name, n.labels, it)
				}
			}
			return ""
		},
		CanTake: func(v NodeView, it ItemView) string {
			note(v.Name, v.Labels, it)
			return ""
		},
		OnLeft: func(v NodeView, it ItemView) {
			if v.Name != "" && !it.Cancelled {
				w.start(v.Name, it)
			}
		},
	}
}

// judged reports whether what starts now is held to the rule.
func (w *truth) judged() bool { return w.loaded || !w.gated }

// start is a work unit that begins on an agent.
func (w *truth) start(agent string, it ItemView) {
	_, asking := w.asking[agent]
	switch {
	case it.Job == "slot" && w.slot: // before that it is a job as any other
		if w.cleanups++; it.Params["PITCREW_ATTEMPT"] == "0" && w.managed[question(it, agent)] {
			w.wrong = append(w.wrong, "a cleanup of an attempt that is over")
		}
		return
	case it.Continued:
		delete(w.proving, agent)
		w.returned++
		w.clean[agent] = false
		return
	case w.clean[agent]:
	case asking:
		w.asking[agent]++
	case w.judged() && w.managed[question(it, agent)]:
		w.contaminated++
	}
	delete(w.proving, agent)
	w.started++
	w.clean[agent] = false
}

// grant notes what came of a request for a grant that was about to be sent when asking was called.
func (w *truth) grant(agent string, ok bool) {
	starts := w.asking[agent]
	delete(w.asking, agent)
	if ok && starts > 0 {
		starts-- // the first came after the grant
	} else if ok {
		w.clean[agent] = true
	}
	if w.judged() {
		w.contaminated += starts
	}
}

// month is a random time in the life of a few agents, whose daemon does little more than to grant.
type month struct {
	*bench
	*truth

	random   *rand.Rand
	init     bool // the next start of the controller has the gate in it
	attempts map[string]int
}

// contaminations lets a month pass.
func contaminations(t *testing.T, seed uint64, gated bool) *truth {
	t.Helper()
	m := &month{truth: newTruth(gated), random: rand.New(rand.NewPCG(seed, 1)), init: true, attempts: map[string]int{}}
	opts := Options{Execute: holding, Plugins: []string{PluginMatrix, PluginPipeline}, Timing: Timing{Swap: second, Assign: second / 10, Create: second / 20, Retire: second / 20, Reconnect: 20 * second}}
	opts.Version = []string{"2.346.1", "2.426.3", "2.504.1", "2.541.3"}[seed%4]
	opts.Boot = m.boot
	m.bench = newBench(t, opts)
	defer m.j.Close()
	for i := range 5 {
		m.agent(AgentSpec{Name: fmt.Sprint("a", i), Labels: "cleanable el7", Executors: 1 + i%2, Normal: i >= 3})
	}
	m.job(JobSpec{Name: "label", Label: "clean && el7", Concurrent: true})
	m.job(JobSpec{Name: "self", Label: "a1", Concurrent: true})
	m.job(JobSpec{Name: "free", Concurrent: true})
	m.job(JobSpec{Name: "slot", Label: "cleanable", Concurrent: true, Params: []ParamSpec{{Name: "PITCREW_ATTEMPT"}}})
	m.postXML(200, "/createItem?name=matrix", "<matrix-project><assignedNode>clean</assignedNode></matrix-project>")
	m.postXML(200, "/createItem?name=pipe", strings.ReplaceAll(twoBlocks, "linux", "clean"))
	for range 300 {
		_, _ = m.j.Schedule([]string{"label", "label", "self", "free", "matrix", "pipe"}[m.random.IntN(6)], nil)
		agent := fmt.Sprint("a", m.random.IntN(5))
		if m.random.IntN(3) == 0 {
			m.hostility(agent)
		}
		pass(second * 7)
		m.service(agent)
		pass(second * 11)
	}
	return m.truth
}

// boot is the init script.
func (m *month) boot(j *Jenkins) {
	j.mu.Lock()
	clear(m.clean)
	clear(m.claimed)
	clear(m.proving)
	m.slot = false
	m.loaded = m.gated && m.init
	j.mu.Unlock()
	j.Register(m.hooks(j))
	if m.loaded {
		j.InstallGate(GateOptions{})
	}
}

// service is what a daemon does to one agent in a while.
func (m *month) service(agent string) {
	if !m.gated {
		m.poll()
		m.locked(func() {
			if c := m.j.fleet.computers[agent]; c != nil && !m.j.offline(c) && c.idle() {
				m.clean[agent] = true
				m.j.editLabels(agent, "cleanable clean el7", true)
			}
		})
		return
	}
	if !m.loaded { // it was started without, and gets it by the console now
		m.j.InstallGate(GateOptions{Hook: "console"})
		pass(second) // what had been given an executor before is past the gate
		m.locked(func() { m.loaded = true })
	}
	m.attempts[agent]++
	attempt := m.attempts[agent]
	claim := []string{`,"job":"slot"`}
	if m.random.IntN(2) == 0 {
		claim = append(claim, `,"offline":true`)
	}
	awaited := m.awaited(agent)
	if m.verb("claim", agent, attempt, claim...) != "ok" {
		return
	}
	if awaited && m.awaited(agent) {
		m.wrong = append(m.wrong, "a claim where a build is about to come back")
	}
	m.locked(func() { m.claimed[agent], m.slot, m.proving[agent] = true, true, attempt })
	switch m.random.IntN(6) {
	case 0, 1: // the cleanup is a build, and one of an old attempt comes along
		for _, number := range []int{0, attempt} {
			_, _ = m.j.Schedule("slot", map[string]string{"PITCREW_ATTEMPT": strconv.Itoa(number)})
		}
		pass([]time.Duration{second, minute + second}[m.random.IntN(2)])
	case 2:
		if m.verb([]string{"hold", "revoke"}[m.random.IntN(2)], agent, attempt) == "ok" {
			m.locked(func() { delete(m.proving, agent) })
		}
	case 3:
		m.hostility(agent)
		settle()
	}
	if m.random.IntN(8) == 0 {
		attempt -= m.random.IntN(2)
	}
	stale, busy := false, false
	m.locked(func() { m.asking[agent], stale, busy = 0, m.proving[agent] != attempt, m.busy(agent) })
	result, err := m.tryVerb("grant", agent, attempt)
	m.locked(func() {
		m.grant(agent, err == nil && result == "ok")
		switch {
		case err != nil || result != "ok":
		case stale:
			m.wrong = append(m.wrong, "a grant of an attempt that is over")
		case busy && m.busy(agent):
			m.wrong = append(m.wrong, "a grant of an agent that works")
		}
	})
}

func (m *month) busy(agent string) bool {
	c := m.j.fleet.computers[agent]
	return c != nil && !c.idle()
}

// awaited reports whether a block of a Pipeline is queued to return to the agent.
func (m *month) awaited(agent string) (found bool) {
	m.locked(func() {
		for _, it := range m.j.queue.byID {
			found = found || it.continued && it.stage != stageLeft && it.label() == agent
		}
	})
	return found
}

// poll is a daemon without a gate that takes clean off what it sees used.
func (m *month) poll() {
	m.locked(func() {
		for name, c := range m.j.fleet.computers {
			if name != "" && !c.idle() {
				m.j.editLabels(name, "cleanable el7", true)
			}
		}
	})
}

// hostility is what a gate has to withstand.
func (m *month) hostility(agent string) {
	labels := []string{"cleanable clean el7", "clean el7", "foo", "cleanable el7 dirty clean", `"cleanable" clean el7`}[m.random.IntN(5)]
	a := m.j.Agent(agent)
	switch m.random.IntN(13) {
	case 0, 1:
		m.j.SaveLabels(agent, labels, "eve")
	case 2, 3:
		m.j.SetLabelsInPlace(agent, labels, m.random.IntN(2) == 0)
	case 4:
		a.Kill()
		_ = a.Connect()
	case 5:
		a.Disconnect()
	case 6, 7:
		m.locked(func() { m.loaded, m.init = false, m.random.IntN(3) > 0 }) // what is under way dies with the controller
		_ = m.j.Restart(m.t.Context(), []RestartMode{RestartNow, RestartCrash}[m.random.IntN(2)])
	case 8:
		m.j.Reload(m.t.Context())
	case 9:
		a.MarkOffline("eve", "x")
		a.MonitorOnline()
	case 10:
		doc := m.get(200, "/computer/"+agent+"/config.xml").body
		from := strings.Index(doc, "<numExecutors>") + len("<numExecutors>")
		m.postXML(200, "/computer/"+agent+"/config.xml", doc[:from]+strconv.Itoa(1+m.random.IntN(3))+doc[from+1:])
	case 11:
		m.post(302, "/computer/"+agent+"/doDelete", nil)
		pass(second)
		if _, err := m.j.AddAgent(AgentSpec{Name: agent, Labels: labels, Executors: 1 + m.random.IntN(2), Normal: m.random.IntN(2) == 0}); err != nil {
			m.t.Fatal(err)
		}
	case 12:
		if m.loaded {
			m.j.InstallGate(GateOptions{Hook: "console"})
		}
	}
}

// TestI1NoBuildStartsOnAnUncleanAgentBehindAGate, and without one some do: the same months, of which the daemon in the one case
// asks the gate, and in the other polls and writes labels.
func TestI1NoBuildStartsOnAnUncleanAgentBehindAGate(t *testing.T) {
	// With the last two a flyweight once went where only the cache of its label still had an agent.
	for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 6, 7, 30, 97} {
		for _, gated := range []bool{true, false} {
			t.Run(fmt.Sprint("seed ", seed, " gated ", gated), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := contaminations(t, seed, gated)
					t.Logf("%d real starts, %d contaminated, %d came back, %d cleanups", w.started, w.contaminated, w.returned, w.cleanups)
					if w.started < 20 || gated == (w.contaminated > 0) || len(w.wrong) > 0 {
						t.Errorf("besides: %v", w.wrong)
					}
				})
			})
		}
	}
}
