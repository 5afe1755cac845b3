// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// tryLabels runs the workload of the first set-up without a gate: a poll takes clean off agents in use. What comes of it is
// reported and no failure: it is why there is a gate.
func (s *suite) tryLabels(t *testing.T, every time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.size.limit)
	defer cancel()
	must(t, s.remove(ctx))
	g := ground(t.TempDir())
	for _, name := range s.names() {
		must(t, g.cleaned(name))
	}
	s.configure(ctx, t, labels.Cleanable+" "+labels.Clean, 1, false)
	jobs := s.jobs(ctx, t, setup{}, g, nil)
	polling, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	p := poller{suite: s, ground: g, client: s.newClient(t), busy: map[string]bool{}}
	beside.Go(func() { p.run(polling, every) })
	defer func() { stop(); beside.Wait() }()
	began := time.Now()
	submitted, err := s.submit(ctx, jobs, 0, s.size.builds)
	must(t, err)
	if err := s.drain(ctx); err != nil {
		t.Error(err)
	}
	r := row{setup: fmt.Sprintf("labels only, polled every %s", every), submitted: submitted, took: time.Since(began)}
	stop()
	beside.Wait()
	r.tally, err = g.count(s.names())
	must(t, err)
	r.notes = fmt.Sprintf("clean taken off %d times", p.removed)
	if r.builds != submitted {
		// Jenkins fails a build whose node is replaced as it begins, which an edit of labels does (hudson.model.Slave#createLauncher).
		r.notes += fmt.Sprintf("; %d builds failed before they began", submitted-r.builds)
	}
	s.rows = append(s.rows, r)
	t.Logf("%d of %d builds contaminated, %s", r.contaminated, r.builds, r.notes)
	if r.builds < submitted*9/10 {
		t.Errorf("%d builds on the agents of %d submitted: too few to show anything", r.builds, submitted)
	}
}

// poller does what can be done from outside.
type poller struct {
	*suite
	ground ground
	client *jenkins.Client

	working sync.WaitGroup
	mu      sync.Mutex
	busy    map[string]bool // being cleaned
	removed int
}

func (p *poller) run(ctx context.Context, every time.Duration) {
	defer p.working.Wait()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if fleet, err := p.client.Fleet(ctx); err == nil {
			for _, a := range fleet.Agents {
				p.look(ctx, a)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes clean off an agent in use, and cleans one that is not any more.
func (p *poller) look(ctx context.Context, a jenkins.Agent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clean := slices.Contains(a.Labels, labels.Clean)
	if !slices.Contains(p.names(), a.Name) || p.busy[a.Name] || a.Offline || a.Idle == clean {
		return
	}
	p.busy[a.Name] = true
	p.working.Go(func() {
		if clean {
			p.set(ctx, a.Name, labels.Cleanable)
		} else {
			p.clean(ctx, a.Name)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy[a.Name] = false
		if clean {
			p.removed++
		}
	})
}

// clean cleans an agent, unless a build has begun there meanwhile.
func (p *poller) clean(ctx context.Context, name string) {
	pause(ctx, p.size.cleaning)
	if ctx.Err() != nil {
		return
	}
	if a, err := p.client.Agent(ctx, name); err == nil && a.Idle && p.ground.cleaned(name) == nil {
		p.set(ctx, name, labels.Cleanable, labels.Clean)
	}
}

// set writes labels; what fails is done at the next look.
func (p *poller) set(ctx context.Context, name string, want ...string) {
	_, _ = p.client.EditLabels(ctx, name, func(jenkins.NodeConfig) ([]string, error) { return want, nil })
}
