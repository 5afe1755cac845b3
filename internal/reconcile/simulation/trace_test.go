// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// deed is one thing that happens in a trace.
type deed struct {
	At    time.Duration
	What  string
	Agent int
	How   int // which of several ways
}

// trace is a fleet and what happens to it: data, so that it can be shrunk and shown.
type trace struct {
	Agents  []jenkinstest.AgentSpec
	Shared  bool // the first two agents are on one machine
	Endings []ending
	Deeds   []deed
	Timing  jenkinstest.Timing
}

func (t trace) String() string {
	var b strings.Builder
	for i, a := range t.Agents {
		fmt.Fprintf(&b, "agent %d: %q labels %q executors %d demand %t launched %t\n", i, a.Name, a.Labels, max(1, a.Executors), a.Demand, a.Launched)
	}
	fmt.Fprintf(&b, "shared machine: %t, programs end: %q\n", t.Shared, t.Endings)
	for _, d := range t.Deeds {
		fmt.Fprintf(&b, "%8s  %s, agent %d, way %d\n", d.At, d.What, d.Agent, d.How)
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
		out := trace{Shared: rapid.Bool().Draw(t, "shared")}
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
				At:    time.Duration(rapid.IntRange(0, int(traceLength/time.Second)).Draw(t, "at")) * time.Second,
				What:  rapid.SampledFrom(kinds).Draw(t, "what"),
				Agent: rapid.IntRange(0, len(names)-1).Draw(t, "agent"),
				How:   rapid.IntRange(0, 7).Draw(t, "how"),
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
		r := newRig(t, tr.Timing, tr.Agents, nil)
		defer r.close()
		p := &play{rig: r, trace: tr}
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
}

func (p *play) fault(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

func (p *play) prepare() {
	if p.trace.Shared && len(p.trace.Agents) > 1 {
		shared := []string{p.trace.Agents[0].Name, p.trace.Agents[1].Name}
		p.shop.machine = func(agent string) string {
			if slices.Contains(shared, agent) {
				return "machine-of-two"
			}
			return "machine-of-" + agent
		}
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

// glance checks that whatever is not clean has an owner or a time of next look (I6).
func (p *play) glance() {
	for name, d := range p.crew.Decisions() {
		a := p.agent(name)
		if a.Managed() && a.State == hygiene.Due && d.Action.Kind == hygiene.Rest && d.Hygiene != hygiene.IsClean && d.Action.Wake.IsZero() && d.At.After(a.Since) {
			p.fault("I6: %s is due and nobody will look at it again: %s", name, d.Reason)
		}
	}
}

func (p *play) do(d deed) {
	a := p.trace.Agents[d.Agent]
	m := p.jenkins.Agent(a.Name)
	switch d.What {
	case "build":
		job := []string{"app", "app", "app", "short", "careless", "short-careless", fmt.Sprintf("self-%d", d.Agent), fmt.Sprintf("short-self-%d", d.Agent)}[d.How]
		_, _ = p.jenkins.Schedule(job, nil)
	case "proper build":
		_, _ = p.jenkins.Schedule([]string{"app", "short"}[d.How%2], nil)
	case "pipeline":
		_, _ = p.jenkins.Schedule("pipe", nil)
	case "labels":
		text := []string{"el7", "cleanable el7", "cleanable dirty el7", "cleanable clean el7", "cleanable clean dirty el7", "clean el7", "el7 new cleanable", "dirty"}[d.How]
		p.jenkins.SaveLabels(a.Name, text, "ann")
	case "jcasc":
		for _, a := range p.trace.Agents {
			p.jenkins.SaveLabels(a.Name, a.Labels, "jcasc")
		}
	case "offline":
		p.mark(m, d.How)
	case "connection":
		p.connection(m, d.How)
	case "controller":
		p.controller(d.How)
	case "daemon":
		p.restart()
	case "order":
		p.order(a.Name, d.How)
	case "queue":
		for id := range int64(4) {
			p.jenkins.LoseQueueItem(int64(p.jenkins.QueueLength()) + id)
		}
		p.deleteBuilds(d.How)
	case "recreate":
		if m != nil {
			p.recreate(a)
		}
	case "fault":
		p.inject(d)
	default:
		panic("unknown deed " + d.What)
	}
}

// deleteBuilds deletes the records of some cleanups that have ended.
func (p *play) deleteBuilds(how int) {
	for i := range 3 {
		job := fmt.Sprintf("pitcrew-slot-%02d", i+1)
		for _, b := range p.jenkins.Builds(job) {
			if b.Complete && b.Number%8 == how {
				p.jenkins.DeleteBuild(job, b.Number)
			}
		}
	}
}

func (p *play) mark(m *jenkinstest.Agent, how int) {
	if m == nil {
		return
	}
	switch how {
	case 0, 1:
		m.MarkOffline("ann", "I need it")
	case 2, 3:
		m.MonitorOffline(1 << 20)
	default:
		m.MonitorOnline()
	}
}

func (p *play) connection(m *jenkinstest.Agent, how int) {
	if m == nil {
		return
	}
	switch how {
	case 0, 1, 2:
		m.Disconnect()
	case 3:
		m.Kill()
	default:
		_ = m.Connect()
	}
}

func (p *play) controller(how int) {
	switch how {
	case 0, 1, 2:
		_ = p.jenkins.Restart(p.t.Context(), jenkinstest.RestartNow)
	case 3, 4:
		_ = p.jenkins.Restart(p.t.Context(), jenkinstest.RestartCrash)
	case 5, 6:
		p.jenkins.Reload(p.t.Context())
	default:
		p.jenkins.QuietDown("maintenance")
		time.AfterFunc(3*time.Minute, p.jenkins.CancelQuietDown)
	}
}

func (p *play) order(name string, how int) {
	ctx := p.t.Context()
	switch how {
	case 0, 1:
		_ = p.crew.OrderHold(ctx, name, "ann", "look at it", time.Time{})
	case 2, 3:
		_ = p.crew.OrderRelease(ctx, name, "ann", "done")
	case 4, 5:
		_ = p.crew.OrderClean(ctx, name, "ann", "just so")
	default:
		_ = p.crew.OrderQuarantine(ctx, name, "ann", "it smells", time.Now().Add(10*time.Minute))
	}
}

func (p *play) recreate(spec jenkinstest.AgentSpec) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, root+"computer/"+url.PathEscape(spec.Name)+"/doDelete", nil)
	must(p.t, err)
	resp, err := p.jenkins.Transport().RoundTrip(req)
	if err != nil {
		return
	}
	resp.Body.Close()
	time.Sleep(time.Second)
	_, _ = p.jenkins.AddAgent(spec)
}

// inject makes some requests of the engine go wrong for a while.
func (p *play) inject(d deed) {
	f := []jenkinstest.Fault{
		{Status: 500, Probability: 0.3},
		{Refuse: true, Probability: 0.3},
		{Lose: true, Method: http.MethodPost, Probability: 0.5},
		{Drop: true, Method: http.MethodPost, Path: "/computer/**", Probability: 0.6},
		{Truncate: 40, Probability: 0.3},
		{Latency: 10 * time.Second, Probability: 0.5},
		{Status: 503, Probability: 0.8},
		{Break: 100, Probability: 0.3},
	}[d.How]
	remove := p.jenkins.Inject(f)
	p.faults = append(p.faults, remove)
	time.AfterFunc(4*time.Minute, remove)
}

// settle ends everything that is wrong, and expects each healthy agent to become clean (I6).
func (p *play) settle() {
	for _, remove := range p.faults {
		remove()
	}
	p.over = true
	p.jenkins.CancelQuietDown()
	time.Sleep(time.Minute) // a restart may be under way
	var managed []string
	for _, spec := range p.trace.Agents {
		m := p.jenkins.Agent(spec.Name)
		if m == nil {
			continue
		}
		m.MonitorOnline()
		_ = m.Connect()
		_ = p.crew.OrderRelease(p.t.Context(), spec.Name, "ann", "all is well")
		if spec.Executors < 2 && hygiene.DefaultNames.Read(labelexpr.Tokens(p.jenkins.Labels(spec.Name))).Has(hygiene.LabelCleanable) && !spec.Demand {
			managed = append(managed, spec.Name)
		}
	}
	var dirty []string
	for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); time.Sleep(15 * time.Second) {
		p.glance()
		dirty = slices.DeleteFunc(slices.Clone(managed), func(name string) bool { return p.agent(name).State == hygiene.Clean })
		if len(dirty) == 0 && p.jenkins.QueueLength() == 0 {
			break
		}
	}
	for _, name := range dirty {
		d, _ := p.crew.Explain(name)
		p.fault("I6: %s did not become clean within 3 hours: %s, %s (state %s)", name, d.Action.Kind, d.Reason, p.agent(name).State)
		last, err := p.store.Events(p.t.Context(), store.EventFilter{Agent: id(name), Newest: true, Limit: 6})
		must(p.t, err)
		for _, e := range last {
			p.fault("    %s %s: %s", e.At.Format("02 15:04:05.000"), e.Type, e.Reason)
		}
	}
	time.Sleep(30 * time.Minute) // each clean agent is asked for its builds
	p.inspect()
}

// inspect compares the store with the ground truth.
func (p *play) inspect() {
	for _, spec := range p.trace.Agents {
		name := spec.Name
		if after := p.config("computer/" + url.PathEscape(name) + "/"); after != p.configs[name] {
			p.fault("I8: the configuration of %s changed beyond its labels:\n%s\nwas\n%s", name, after, p.configs[name])
		}
		a := p.agent(name)
		labels := hygiene.DefaultNames.Read(labelexpr.Tokens(p.jenkins.Labels(name)))
		if a.State == hygiene.Clean != labels.Has(hygiene.LabelClean) && a.Managed() {
			p.fault("I2: %s is %s, and its labels are %s", name, a.State, labels)
		}
	}
	builds, err := p.store.Builds(p.t.Context(), store.BuildFilter{Contaminated: true, Limit: 1 << 20})
	must(p.t, err)
	urls := map[string]bool{}
	for _, b := range builds {
		urls[b.URL] = true
	}
	p.audit.reported(urls)
}
