// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestSimulation runs a fleet through days of builds, sick recipes, lost connections, people,
// restarts and a faulty wire, and judges every step. PITCREW_LONG=1 makes it 30 days of 1,000
// agents.
func TestSimulation(t *testing.T) {
	f := fleet{agents: 200, days: 1, poll: 2 * time.Minute}
	if long() {
		f = fleet{agents: 1000, days: 30, poll: 5 * time.Minute}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	began := time.Now()
	synctest.Test(t, func(t *testing.T) { f.run(t) })
	t.Logf("%d agents, %d days, poll %s: took %s", f.agents, f.days, f.poll, time.Since(began).Round(time.Millisecond))
}

// fleet is a simulated installation.
type fleet struct {
	agents, days int
	poll         time.Duration
	*rig
	rand *rand.Rand
	end  time.Time
}

// usedPerDay is how often each agent is used on average.
const usedPerDay = 8

// group is how many agents serve one label.
const group = 50

func (f *fleet) run(t *testing.T) {
	t.Helper()
	specs := make([]jenkinstest.AgentSpec, f.agents)
	for i := range specs {
		specs[i] = jenkinstest.AgentSpec{Name: fmt.Sprintf("agent-%04d", i), Labels: fmt.Sprintf("cleanable g%d", i/group)}
	}
	f.rig = newRig(t, jenkinstest.Timing{
		PostBuild: 150 * time.Millisecond, Notice: 2 * time.Second, Reconnect: 20 * time.Second, Down: 20 * time.Second, Boot: time.Minute,
	}, specs, f.bend)
	defer f.close()
	f.rand = rand.New(rand.NewPCG(1, 2))
	f.prepare()
	f.start()
	f.end = time.Now().Add(time.Duration(f.days) * 24 * time.Hour)
	f.live()
	f.settle()
	for _, p := range f.audit.found() {
		t.Error(p)
	}
	f.audit.mu.Lock()
	defer f.audit.mu.Unlock()
	t.Logf("%d real builds, %d cleanups, events %v", f.audit.builds, f.audit.cleanups, f.audit.counts)
	if least := f.agents * f.days * usedPerDay * 9 / 10; f.audit.builds < least || f.audit.cleanups < least {
		t.Errorf("want at least %d builds and cleanups", least)
	}
}

func (f *fleet) bend(s *reconcile.Settings) {
	s.Poll, s.MaxCleanups, s.FeedEvery = f.poll, max(4, f.agents/10), 3*time.Hour
	p := &s.Pools[0].Policy
	p.QuarantineLook, p.TTL, p.Settle = 2*time.Hour, 0, 10*time.Minute
	p.Limits = hygiene.Limits{Queue: time.Hour, Run: time.Hour, Reconnect: time.Hour, Grant: time.Hour}
}

func (f *fleet) prepare() {
	f.shop.takes = func(s jenkinstest.Step) time.Duration {
		if ours(s.Job) {
			return time.Duration(60+chance(60, s.Agent, s.Env["PITCREW_ATTEMPT"])) * time.Second
		}
		return time.Duration(10+chance(40, s.Job, s.Number)) * time.Minute
	}
	f.shop.ends = func(s jenkinstest.Step) ending {
		switch chance(100, s.Agent, s.Env["PITCREW_ATTEMPT"], s.Env["PITCREW_PHASES"], "ends") {
		case 0:
			return fails
		case 1:
			return reconnects
		case 2:
			return silent
		default:
			return succeeds
		}
	}
	serial := []jenkinstest.ParamSpec{{Name: "SERIAL"}}
	for g := range f.agents / group {
		must(f.t, f.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: fmt.Sprintf("app-%d", g), Label: fmt.Sprintf("clean&&g%d", g), Script: "make", Concurrent: true, Params: serial, KeepBuilds: 200}))
		must(f.t, f.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: fmt.Sprintf("careless-%d", g), Label: fmt.Sprintf("g%d", g), Script: "make", Concurrent: true, Params: serial, KeepBuilds: 200}))
	}
}

// live makes builds and trouble until the end.
func (f *fleet) live() {
	day := 24 * time.Hour
	between := day / time.Duration(f.agents*usedPerDay)
	trouble := day / 48
	next := time.Now()
	for serial := 0; time.Now().Before(f.end); serial++ {
		time.Sleep(time.Duration(f.rand.ExpFloat64() * float64(between)))
		job := "app"
		if f.rand.IntN(200) == 0 {
			job = "careless"
		}
		_, _ = f.jenkins.Schedule(fmt.Sprintf("%s-%d", job, f.rand.IntN(f.agents/group)), map[string]string{"SERIAL": fmt.Sprint(serial)})
		if time.Now().After(next) {
			next = time.Now().Add(trouble)
			f.trouble()
		}
	}
}

func (f *fleet) trouble() {
	name := fmt.Sprintf("agent-%04d", f.rand.IntN(f.agents))
	agent := f.jenkins.Agent(name)
	ctx := f.t.Context()
	switch f.rand.IntN(12) {
	case 0:
		go func() { _ = f.jenkins.Restart(ctx, jenkinstest.RestartMode(2*f.rand.IntN(2))) }()
	case 1:
		f.restart()
	case 2:
		remove := f.jenkins.Inject(jenkinstest.Fault{Status: 503, Probability: 0.5})
		time.AfterFunc(10*time.Minute, remove)
	case 3:
		remove := f.jenkins.Inject(jenkinstest.Fault{Lose: true, Method: "POST", Probability: 0.3})
		time.AfterFunc(10*time.Minute, remove)
	case 4:
		remove := f.jenkins.Inject(jenkinstest.Fault{Drop: true, Method: "POST", Path: "/computer/**", Probability: 0.5})
		time.AfterFunc(10*time.Minute, remove)
	case 5:
		labels := labelexpr.Tokens(f.jenkins.Labels(name))
		f.jenkins.SaveLabels(name, labelexpr.Join(hygiene.DefaultNames.Apply(labels, hygiene.Labels(f.rand.IntN(4))<<1|hygiene.LabelCleanable)), "ann")
	case 6:
		agent.MarkOffline("ann", "look at it")
		time.AfterFunc(time.Hour, agent.MonitorOnline)
	case 7:
		_ = f.crew.OrderHold(ctx, name, "ann", "look at it", time.Time{})
		time.AfterFunc(time.Hour, func() { _ = f.crew.OrderRelease(ctx, name, "ann", "done") })
	default:
		agent.Disconnect()
	}
}

// settle lets the last builds end, and expects every agent to become clean.
func (f *fleet) settle() {
	f.shop.ends = func(jenkinstest.Step) ending { return succeeds }
	for i := range f.agents {
		_ = f.crew.OrderRelease(f.t.Context(), fmt.Sprintf("agent-%04d", i), "ann", "done")
	}
	limit := time.Now().Add(12 * time.Hour)
	var dirty []string
	for time.Now().Before(limit) {
		time.Sleep(10 * time.Minute)
		dirty = f.dirty()
		if len(dirty) == 0 && f.jenkins.QueueLength() == 0 {
			break
		}
	}
	if len(dirty) > 0 {
		d, _ := f.crew.Explain(dirty[0])
		f.t.Errorf("I6: %d agents did not become clean, %s first: %s, %s", len(dirty), dirty[0], d.Action.Kind, d.Reason)
	}
	time.Sleep(4 * time.Hour) // each clean agent is asked for its builds
	urls := map[string]bool{}
	builds, err := f.store.Builds(f.t.Context(), store.BuildFilter{Contaminated: true, Limit: 1 << 20})
	must(f.t, err)
	for _, b := range builds {
		urls[b.URL] = true
	}
	f.audit.reported(urls)
}

func (f *fleet) dirty() []string {
	agents, err := f.store.Agents(f.t.Context(), "ci")
	must(f.t, err)
	var out []string
	for _, a := range agents {
		if a.State != hygiene.Clean && !strings.HasPrefix(a.Reason, "used by") {
			out = append(out, a.ID.Name)
		}
	}
	if len(agents) != f.agents {
		out = append(out, "some are not managed")
	}
	return out
}
