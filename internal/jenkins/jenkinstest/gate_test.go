// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
)

// ledger is a gate inside the controller: one real build per grant, whatever labels say.
// Its fields are guarded by the queue lock, under which all hooks run.
type ledger struct {
	clean        map[string]bool
	starts       map[string]int // since the last grant
	contaminated int
}

func (l *ledger) hooks() Hooks {
	managed := func(n NodeView) bool { return n.Name != "" }
	return Hooks{
		Name: "gate",
		CanRun: func(it ItemView) string {
			if it.Flyweight && it.Label != "" {
				return "flyweights may not use managed agents"
			}
			return ""
		},
		CanTake: func(n NodeView, it ItemView) string {
			if managed(n) && !it.Continued && (!l.clean[n.Name] || !n.Idle || !slices.Contains(n.Labels, "clean")) {
				return "agent is not clean"
			}
			return ""
		},
		OnLeft: func(n NodeView, it ItemView) {
			if it.Cancelled || !managed(n) || it.Continued {
				return
			}
			l.clean[n.Name] = false
			if l.starts[n.Name]++; l.starts[n.Name] > 1 {
				l.contaminated++
			}
			n.SetLabels("cleanable")
		},
	}
}

// grant is the cleaner's compare-and-set.
func (l *ledger) grant(j *Jenkins, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.fleet.computers[name]
	if c == nil || j.offline(c) || !c.idle() {
		return
	}
	l.clean[name], l.starts[name] = true, 0
	j.editLabels(name, "cleanable clean", true)
}

// hostility is a random event that a gate must withstand.
func hostility(b *bench, rnd *rand.Rand, agent string) {
	switch rnd.IntN(6) {
	case 0:
		b.j.SaveLabels(agent, []string{"cleanable clean", "clean", "foo"}[rnd.IntN(3)], "eve")
	case 1:
		b.j.Agent(agent).Kill()
		_ = b.j.Agent(agent).Connect()
	case 2:
		b.j.Agent(agent).Disconnect()
	case 3:
		_ = b.j.Restart(b.t.Context(), RestartCrash)
	case 4:
		b.j.Reload(b.t.Context())
	case 5:
		b.j.Agent(agent).MarkOffline("eve", "x")
		b.j.Agent(agent).MonitorOnline()
	}
}

// contaminations runs a random month in the life of a few agents.
func contaminations(t *testing.T, seed uint64, gated bool) (contaminated, builds int) {
	t.Helper()
	l := &ledger{clean: map[string]bool{}, starts: map[string]int{}}
	opts := Options{Execute: holding, Plugins: []string{PluginMatrix, PluginPipeline}, Timing: Timing{Swap: second, Assign: second / 10}}
	opts.Boot = func(j *Jenkins) {
		h := l.hooks()
		if !gated {
			h.CanTake, h.CanRun = nil, nil
		}
		clear(l.clean)
		j.Register(h)
	}
	b := newBench(t, opts)
	defer b.j.Close()
	for i := range 4 {
		b.agent(AgentSpec{Name: fmt.Sprint("a", i), Labels: "cleanable", Executors: 1 + i%2, Normal: i == 3})
	}
	b.job(JobSpec{Name: "label", Label: "clean", Concurrent: true})
	b.job(JobSpec{Name: "self", Label: "a1", Concurrent: true})
	b.job(JobSpec{Name: "free", Concurrent: true})
	b.postXML(200, "/createItem?name=matrix", "<matrix-project><assignedNode>clean</assignedNode></matrix-project>")
	b.postXML(200, "/createItem?name=pipe", twoBlocks)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		_, _ = b.j.Schedule([]string{"label", "self", "free", "matrix", "pipe"}[rnd.IntN(5)], nil)
		agent := fmt.Sprint("a", rnd.IntN(4))
		if rnd.IntN(4) == 0 {
			hostility(b, rnd, agent)
		}
		pass(second * 7)
		l.grant(b.j, agent)
		pass(second * 11)
	}
	b.locked(func() { contaminated = l.contaminated })
	for _, job := range []string{"label", "self", "free"} {
		builds += len(b.j.Builds(job))
	}
	return contaminated, builds
}

func TestNoBuildStartsOnAnUncleanAgentBehindAGate(t *testing.T) {
	for seed := range uint64(5) {
		for _, gated := range []bool{true, false} {
			t.Run(fmt.Sprint("seed ", seed, " gated ", gated), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					contaminated, builds := contaminations(t, seed, gated)
					if builds < 20 || gated == (contaminated > 0) {
						t.Errorf("%d contaminated of %d builds", contaminated, builds)
					}
				})
			})
		}
	}
}
