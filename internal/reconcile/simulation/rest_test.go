// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"net/url"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// What must hold at every moment, and what everything must come to in the end.

// unseen is how long an agent may go without a decision: a controller can be away for minutes.
const unseen = 10 * time.Minute

// longest is the longest time that one attempt can take: all its limits, twice for a reconnect.
const longest = 90 * time.Minute

// glance checks that whatever is not clean has an owner or a time of next look (I6), and that what a
// person keeps out stays out (I4).
func (p *play) glance() {
	agents, err := p.store.Agents(p.t.Context(), "ci")
	must(p.t, err)
	decisions, now := p.crew.Decisions(), time.Now()
	for _, a := range agents {
		p.keepsItsWord(a, now)
		d, decided := decisions[a.ID.Name]
		switch name := a.ID.Name; {
		case !a.Managed() || a.State == hygiene.Clean:
		case a.State.InProgress():
			if now.Sub(a.Since) > longest {
				p.fault("I6: %s is %s for %s", name, a.State, now.Sub(a.Since))
			}
		case !decided:
			if now.Sub(a.Since) > unseen && now.Sub(p.started) > unseen {
				p.fault("I6: nothing was decided about %s", name)
			}
		case now.Sub(d.At) > unseen:
			p.fault("I6: %s was looked at %s ago", name, now.Sub(d.At))
		case d.Action.Kind == hygiene.Rest && d.Hygiene != hygiene.IsClean && d.Action.Wake.IsZero() && d.At.After(a.Since):
			p.fault("I6: %s is due and nobody will look at it again: %s", name, d.Reason)
		}
	}
}

// keepsItsWord checks that a row says what a person said.
func (p *play) keepsItsWord(a hygiene.Agent, now time.Time) {
	if !a.Managed() {
		return
	}
	p.audit.mu.Lock()
	t := *p.audit.of(a.ID.Name)
	p.audit.mu.Unlock()
	if t.held.holds(now) && a.Held(now) == nil {
		p.fault("I4: the hold on %s was dropped", a.ID.Name)
	}
	if q := a.Quarantine; t.quarantined.holds(now) && (q == nil || q.By != "ann" || a.NextLook.Before(q.NextLook)) {
		p.fault("I4: the quarantine of %s was dropped: %+v, next look %s", a.ID.Name, q, a.NextLook)
	}
	if a.State == hygiene.Clean && t.oursMarked() && now.Sub(t.marked) > noticed && now.Sub(a.Since) > noticed {
		p.fault("I6: %s is clean, and offline by our own mark", a.ID.Name)
	}
}

// settle ends everything that is wrong, and expects each healthy agent to become clean, to serve who
// waits, and to be left alone then (I6).
func (p *play) settle() {
	for _, remove := range p.faults {
		remove()
	}
	p.over = true
	p.jenkins.CancelQuietDown()
	time.Sleep(time.Minute) // a restart may be under way
	p.resume()
	fit, launched := p.heal()
	time.Sleep(10 * time.Minute) // those on demand go offline again
	if len(fit)+len(launched) > 0 {
		_, _ = p.jenkins.Schedule("app", nil)
	}
	var dirty []string
	for end := time.Now().Add(3 * time.Hour); time.Now().Before(end); time.Sleep(15 * time.Second) {
		p.glance()
		dirty = slices.DeleteFunc(slices.Clone(fit), func(name string) bool { return p.agent(name).State == hygiene.Clean })
		if len(dirty) == 0 && p.jenkins.QueueLength() == 0 {
			break
		}
	}
	for _, name := range dirty {
		p.stuck(name)
	}
	if n := p.jenkins.QueueLength(); n > 0 && len(fit)+len(launched) > 0 {
		p.fault("I6: %d builds were not served within 3 hours", n)
		for _, name := range launched {
			p.stuck(name)
		}
	}
	p.quiet()
	p.inspect()
}

// heal lifts what others did to the agents, and returns those that must become clean by themselves
// and those that must when they are wanted.
func (p *play) heal() (fit, launched []string) {
	for _, spec := range p.trace.Agents {
		m := p.jenkins.Agent(spec.Name)
		if m == nil {
			continue
		}
		p.audit.mu.Lock()
		ours := p.audit.of(spec.Name).oursMarked()
		p.audit.mu.Unlock()
		if !ours {
			m.MonitorOnline()
		}
		_ = m.Connect()
		_ = p.crew.OrderRelease(p.t.Context(), spec.Name, "ann", "all is well")
		labels := labelexpr.Tokens(p.jenkins.Labels(spec.Name))
		switch {
		case spec.Executors > 1 || !hygiene.DefaultNames.Read(labels).Has(hygiene.LabelCleanable):
		case !spec.Demand:
			fit = append(fit, spec.Name)
		case slices.Contains(labels, "el7"):
			launched = append(launched, spec.Name)
		}
	}
	return fit, launched
}

// stuck tells of an agent that did not become clean.
func (p *play) stuck(name string) {
	d, _ := p.crew.Explain(name)
	p.fault("I6: %s did not become clean within 3 hours: %s, %s (state %s)", name, d.Action.Kind, d.Reason, p.agent(name).State)
	last, err := p.store.Events(p.t.Context(), store.EventFilter{Agent: id(name), Newest: true, Limit: 6})
	must(p.t, err)
	for _, e := range last {
		p.fault("    %s %s: %s", e.At.Format("02 15:04:05.000"), e.Type, e.Reason)
	}
}

// quiet lets half an hour pass in which nothing happens: each clean agent is asked for its builds,
// and nothing else has a reason to be done.
func (p *play) quiet() {
	const long = 30 * time.Minute
	time.Sleep(time.Minute)
	before, requests := map[string]int64{}, p.audit.total()
	for _, spec := range p.trace.Agents {
		before[spec.Name] = p.agent(spec.Name).Attempt
	}
	time.Sleep(long)
	for name, attempt := range before {
		if n := p.agent(name).Attempt - attempt; n > 2 {
			p.fault("I6: %s was cleaned %d times although nothing happened", name, n)
		}
	}
	perPoll := 2
	if p.trace.Gated {
		perPoll = 3
	}
	if n, most := p.audit.total()-requests, perPoll*int(long/p.trace.Poll)+400; n > most {
		p.fault("I6: %d requests were made although nothing happened, %d at most", n, most)
	}
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
