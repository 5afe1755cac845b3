// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// do lets a deed happen, at once or beside a request of the engine.
func (p *play) do(d deed) {
	if d.Beside == 0 || slices.Contains([]string{"daemon", "recreate", "fault", "controller"}, d.What) {
		p.happen(d)
		return
	}
	p.beside(d.Beside, func() { p.happen(d) })
}

// beside calls f when the engine writes to the controller next: at one of its next requests, before
// or after it is served.
func (p *play) beside(n int, f func()) (remove func()) {
	fault := jenkinstest.Fault{Method: http.MethodPost, Skip: (n - 1) / 2, Count: 1}
	act := func(*http.Request) { f() }
	if fault.Before = act; n%2 == 0 {
		fault.Before, fault.After = nil, act
	}
	remove = p.jenkins.Inject(fault)
	p.faults = append(p.faults, remove)
	return remove
}

func (p *play) happen(d deed) {
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
		p.die(d.Beside)
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
	case "settings", "recipe", "dry run":
		p.reload(d)
	case "pause":
		p.pause(d.How)
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

// die ends the daemon beside its n-th writing request from now on, 0 = at once.
func (p *play) die(n int) {
	if n == 0 {
		return
	}
	dead := make(chan struct{})
	remove := p.beside(n, func() {
		p.stop()
		close(dead)
	})
	defer remove()
	select {
	case <-dead:
	case <-time.After(2 * time.Minute):
	}
}

func (p *play) order(name string, how int) {
	ctx := p.t.Context()
	until := time.Now().Add(10 * time.Minute)
	limited := lasts + until.Format(time.RFC3339Nano)
	switch how {
	case 0:
		_ = p.crew.OrderHold(ctx, name, "ann", "look at it", time.Time{})
	case 1:
		_ = p.crew.OrderHold(ctx, name, "ann", "look at it"+limited, until)
	case 2, 3:
		_ = p.crew.OrderRelease(ctx, name, "ann", "done")
	case 4, 5:
		_ = p.crew.OrderClean(ctx, name, "ann", "just so", "")
	case 6:
		_ = p.crew.OrderQuarantine(ctx, name, "ann", "it smells"+limited, until)
	default:
		_ = p.crew.OrderQuarantine(ctx, name, "ann", "it smells", time.Time{})
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

// reload has the daemon take another configuration.
func (p *play) reload(d deed) {
	switch d.What {
	case "recipe":
		p.shop.revise()
	case "dry run":
		p.showFor(d.How)
	default:
		p.bent = func(s *reconcile.Settings) {
			s.Poll = []time.Duration{15 * time.Second, 5 * time.Second, 45 * time.Second}[d.How%3]
			s.MaxCleanups = 1 + d.How%4
			s.FeedEvery = []time.Duration{10 * time.Minute, 2 * time.Minute}[d.How%2]
			pool := &s.Pools[0].Policy
			pool.QuarantineAfter = d.How % 3
			pool.TTL = []time.Duration{0, 20 * time.Minute}[d.How/4]
			pool.Limits.Queue = []time.Duration{10 * time.Minute, 2 * time.Minute}[d.How%2]
			pool.Monitor = []hygiene.MonitorPolicy{hygiene.MonitorLift, hygiene.MonitorLeave}[d.How/4]
		}
	}
	p.apply()
}

// apply gives the running daemon the settings as they are now.
func (p *play) apply() { p.crew.Apply(p.settings()) }

// showFor makes the daemon, or its only pool, write nothing for a few minutes.
func (p *play) showFor(how int) {
	p.shows = 1 + how%2
	time.AfterFunc(time.Duration(1+how)*time.Minute, func() {
		p.shows = 0
		p.apply()
	})
}

// pause stops new cleanups, for a while or until somebody resumes, or resumes.
func (p *play) pause(how int) {
	ctx, now := p.t.Context(), time.Now()
	scope := []string{reconcile.ScopeAll, reconcile.ControllerScope("ci"), reconcile.PoolScope("all")}[how%3]
	if how >= 4 {
		_ = p.store.ClearPause(ctx, scope)
		p.crew.Poke()
		return
	}
	stop := store.Pause{Scope: scope, Reason: "moving", By: "ann", Since: now}
	if how%2 == 0 {
		stop.Until = now.Add(5 * time.Minute)
	}
	_ = p.store.SetPause(ctx, stop)
	p.crew.Poke()
}

// resume ends what keeps the daemon from its work.
func (p *play) resume() {
	for _, scope := range []string{reconcile.ScopeAll, reconcile.ControllerScope("ci"), reconcile.PoolScope("all")} {
		_ = p.store.ClearPause(p.t.Context(), scope) // which need not be
	}
	p.shows, p.bent = 0, nil
	p.apply()
}
