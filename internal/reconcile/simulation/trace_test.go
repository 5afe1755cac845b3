// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// deed is one thing that happens in a trace.
type deed struct {
	At     time.Duration
	What   string
	Agent  int
	How    int // which of several ways
	Beside int // happens beside the so-manieth writing request from then on, 0 = at once
}

// trace is a fleet and what happens to it: data, so that it can be shrunk and shown.
type trace struct {
	Agents  []jenkinstest.AgentSpec
	Shared  int // so many agents, the first, are on one machine
	Poll    time.Duration
	Cap     int // of cleanups at once
	Endings []ending
	Deeds   []deed
	Timing  jenkinstest.Timing
	Gated   bool // the controller has the gate among its init scripts
}

func (t trace) String() string {
	var b strings.Builder
	for i, a := range t.Agents {
		fmt.Fprintf(&b, "agent %d: %q labels %q executors %d demand %t launched %t\n", i, a.Name, a.Labels, max(1, a.Executors), a.Demand, a.Launched)
	}
	fmt.Fprintf(&b, "%d share a machine, polls each %s, %d cleanups at once, gated %t, programs end: %q\n", t.Shared, t.Poll, t.Cap, t.Gated, t.Endings)
	for _, d := range t.Deeds {
		fmt.Fprintf(&b, "%8s  %s, agent %d, way %d, beside %d\n", d.At, d.What, d.Agent, d.How, d.Beside)
	}
	return b.String()
}

// length of a trace before the time in which everything must come to rest.
const traceLength = 40 * time.Minute

// oddNames are names that Jenkins accepts and that are easily got wrong.
var oddNames = []string{"linux-7", "el7 (old)", "it's", `a"b`, "münchen", "a+b c", "x~y", "tab, comma", "7", "EL7"}

// traces draws traces whose deeds are of the given kinds.
func traces(kinds ...string) *rapid.Generator[trace] {
	return rapid.Custom(func(t *rapid.T) trace {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(oddNames), 1, 5, rapid.ID[string]).Draw(t, "names")
		out := trace{
			Shared: rapid.IntRange(0, 3).Draw(t, "shared"),
			Poll:   rapid.SampledFrom([]time.Duration{15 * time.Second, 5 * time.Second, 45 * time.Second}).Draw(t, "poll"),
			Cap:    rapid.IntRange(1, 3).Draw(t, "cap"),
		}
		for _, name := range names {
			spec := jenkinstest.AgentSpec{Name: name, Labels: rapid.SampledFrom([]string{"cleanable el7", "el7  cleanable \"odd label\" clean", "cleanable dirty el7", "el7"}).Draw(t, "labels"), Description: `<label>no & "label"</label>`}
			if rapid.IntRange(0, 9).Draw(t, "kind") == 9 {
				spec.Executors = 2
			}
			switch rapid.IntRange(0, 5).Draw(t, "launcher") {
			case 4:
				spec.Launched = true
			case 5:
				spec.Launched, spec.Demand, spec.IdleDelay = true, true, 1
			}
			out.Agents = append(out.Agents, spec)
		}
		out.Endings = rapid.SliceOfN(rapid.SampledFrom([]ending{succeeds, succeeds, succeeds, fails, reconnects, reboots, unverified, silent, hangs, forged}), 1, 8).Draw(t, "endings")
		n := rapid.IntRange(1, 25).Draw(t, "deeds")
		for range n {
			out.Deeds = append(out.Deeds, deed{
				At:     time.Duration(rapid.IntRange(0, int(4*traceLength/time.Second)).Draw(t, "at")) * time.Second / 4,
				What:   rapid.SampledFrom(kinds).Draw(t, "what"),
				Agent:  rapid.IntRange(0, len(names)-1).Draw(t, "agent"),
				How:    rapid.IntRange(0, 7).Draw(t, "how"),
				Beside: max(0, rapid.IntRange(-8, 8).Draw(t, "beside")),
			})
		}
		slices.SortStableFunc(out.Deeds, func(a, b deed) int { return int(a.At - b.At) })
		out.Timing = slowTiming
		return out
	})
}

// slowTiming opens the race windows of a controller.
var slowTiming = jenkinstest.Timing{
	Swap: 20 * time.Millisecond, Parse: 5 * time.Millisecond, Assign: 30 * time.Millisecond, Create: 40 * time.Millisecond,
	PostBuild: 150 * time.Millisecond, Notice: 2 * time.Second, Reconnect: 5 * time.Second, Launch: 4 * time.Second,
	Down: 10 * time.Second, Boot: 20 * time.Second, Reload: 5 * time.Second,
}

// check runs a trace and returns what was wrong.
func check(t *testing.T, tr trace) (problems []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, tr.Timing, tr.Agents, func(s *reconcile.Settings) { s.Poll, s.MaxCleanups = tr.Poll, tr.Cap }, func(o *jenkinstest.Options) {
			if tr.Gated {
				o.Boot = func(j *jenkinstest.Jenkins) { j.InstallGate(jenkinstest.GateOptions{}) }
			}
		})
		defer r.close()
		r.audit.gated = tr.Gated
		if len(tr.Deeds)%3 == 0 { // about a third of them
			r.speak()
		}
		p := &play{rig: r, trace: tr}
		bend := r.bend
		r.bend = func(s *reconcile.Settings) {
			bend(s)
			if p.bent != nil {
				p.bent(s)
			}
			s.DryRun, s.Pools[0].Policy.DryRun = p.shows == 1, p.shows == 2
		}
		p.prepare()
		r.start()
		p.run()
		p.settle()
		problems = append(r.audit.found(), p.problems...)
	})
	return problems
}

// play performs a trace.
type play struct {
	*rig
	trace    trace
	problems []string
	configs  map[string]string
	faults   []func()
	over     bool // faults and bad programs have ended
	bent     func(*reconcile.Settings)
	shows    int // 1: the daemon, 2: its pool only shows what it would do
}

func (p *play) fault(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *play) prepare() {
	shared := map[string]bool{}
	for _, a := range p.trace.Agents[:min(p.trace.Shared, len(p.trace.Agents))] {
		shared[a.Name] = true
	}
	p.shop.machine = func(agent string) string {
		if shared[agent] {
			return "machine-of-several"
		}
		return "machine-of-" + agent
	}
	p.shop.takes = func(s jenkinstest.Step) time.Duration {
		switch {
		case ours(s.Job):
			return time.Duration(1+chance(40, s.Agent, s.Env["PITCREW_ATTEMPT"])) * time.Second
		case strings.HasPrefix(s.Job, "short"):
			return time.Duration(chance(3000, s.Job, s.Number)) * time.Millisecond
		default:
			return time.Duration(60+chance(120, s.Job, s.Number)) * time.Second
		}
	}
	p.shop.ends = func(s jenkinstest.Step) ending {
		if p.over {
			return succeeds
		}
		return p.trace.Endings[chance(len(p.trace.Endings), s.Agent, s.Env["PITCREW_ATTEMPT"], s.Env["PITCREW_PHASES"])]
	}
	p.shop.forgetful = slices.ContainsFunc(p.trace.Deeds, func(d deed) bool { return d.What == "queue" })
	p.shop.reboot = func(agent string) {
		m := p.jenkins.Agent(agent)
		time.AfterFunc(2*time.Second, m.Kill)
		time.AfterFunc(40*time.Second, func() { _ = m.Connect() })
	}
	job := func(name, label, script string) {
		must(p.t, p.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: name, Label: label, Script: script}))
	}
	job("app", "clean&&el7", "make")
	job("short", "clean&&el7", "make")
	job("careless", "el7", "make")
	job("short-careless", "el7", "make")
	for i, a := range p.trace.Agents {
		job(fmt.Sprintf("self-%d", i), labelexpr.Atom(a.Name).String(), "make")
		job(fmt.Sprintf("short-self-%d", i), labelexpr.Atom(a.Name).String(), "make")
	}
	must(p.t, p.jenkins.CreateJobXML("pipe", `<flow-definition><definition class="org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition"><script>node('el7') { sh 'make' }</script></definition></flow-definition>`))
	p.configs = map[string]string{}
	for _, a := range p.trace.Agents {
		p.configs[a.Name] = p.config("computer/" + url.PathEscape(a.Name) + "/")
	}
}

func (p *play) run() {
	began := time.Now()
	for _, d := range p.trace.Deeds {
		p.until(began.Add(d.At))
		p.do(d)
	}
	p.until(began.Add(traceLength))
}

// until lets time pass and looks at what must hold at every moment.
func (p *play) until(end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(min(time.Until(end), 20*time.Second))
		p.glance()
	}
}
