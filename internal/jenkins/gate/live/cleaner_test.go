// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
)

const (
	// lookAgain is when an agent is claimed again that was not idle, though no event told of it.
	lookAgain = 500 * time.Millisecond
	// hot is between two requests for an agent that will be idle in a moment: its build is over, its executor not yet.
	hot = 25 * time.Millisecond
	// grantFor is how long a grant is asked for until the executor of the cleanup is free.
	grantFor = 10 * time.Second
)

// cleaner is the least that there is to a daemon: it looks at the ledger, hears events, claims what is not clean, cleans it,
// and has it granted. All that is remembered is in the ledger.
type cleaner struct {
	*suite
	ground ground
	takes  time.Duration
	jobs   map[string]string // of an agent, that clean it; without one the cleaner does it by itself

	t       *testing.T
	working sync.WaitGroup

	mu      sync.Mutex
	attempt int64
	busy    map[string]bool      // being cleaned
	tried   map[string]time.Time // when a claim was refused
	ended   map[string]bool      // something was over there since the last claim
	refused map[string]int       // by verb and answer
	spoiled int                  // builds that the gate itself calls contaminated
	grants  int
}

func (s *suite) newCleaner(t *testing.T, g ground, takes time.Duration) *cleaner {
	t.Helper()
	return &cleaner{
		suite: s, ground: g, takes: takes, t: t, jobs: map[string]string{},
		busy: map[string]bool{}, tried: map[string]time.Time{}, ended: map[string]bool{}, refused: map[string]int{},
	}
}

// run cleans until ctx ends. A controller that does not answer is asked again, by a client that bears it no grudge.
func (c *cleaner) run(ctx context.Context) {
	defer c.working.Wait()
	for ctx.Err() == nil {
		client := c.newClient(c.t)
		g := gate.NewClient(client, labels)
		var session string
		var since int64
		for ctx.Err() == nil {
			status, err := g.Status(ctx)
			if err != nil {
				break
			}
			if status.Session != session {
				session, since = status.Session, status.Seq
			}
			refused := c.round(ctx, client, status)
			wait := lookAgain
			if refused {
				pause(ctx, hot)
				wait = hot
			}
			news, err := g.Events(ctx, session, since, wait)
			if err != nil {
				break
			}
			session, since = news.Session, news.Seq
			c.hear(news.Events)
		}
		pause(ctx, 4*hot)
	}
}

// hear notes what events tell.
func (c *cleaner) hear(events []gate.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		switch e.Event {
		case "ended", "online", "changed":
			c.ended[e.Agent] = true
		case "contaminated":
			c.spoiled++
		}
	}
}

// round begins to clean what is not clean. It reports whether an agent that should be idle is not.
func (c *cleaner) round(ctx context.Context, client *jenkins.Client, status *gate.Status) (refused bool) {
	for _, name := range c.names() {
		if a := status.Agents[name]; a.Open() || !c.begin(name) {
			continue
		}
		attempt := c.next()
		answer, err := gate.NewClient(client, labels).Claim(ctx, owner, gate.Claim{Agent: name, Attempt: attempt, Job: c.jobs[name]})
		if err != nil || answer != gate.OK {
			refused = c.turnedDown(name, answer) || refused
			continue
		}
		c.working.Go(func() {
			defer c.done(name)
			c.clean(ctx, client, name, attempt)
		})
	}
	return refused
}

// begin reports whether it is time to claim the agent.
func (c *cleaner) begin(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[name] || !c.ended[name] && time.Since(c.tried[name]) < lookAgain {
		return false
	}
	c.busy[name] = true
	return true
}

func (c *cleaner) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt++
	return c.attempt
}

// turnedDown notes a refused claim, and reports whether to ask again at once.
func (c *cleaner) turnedDown(name string, a gate.Answer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[name], c.tried[name] = false, time.Now()
	c.refused["claim "+string(a)]++
	again := a == gate.Busy && c.ended[name]
	c.ended[name] = again
	return again
}

func (c *cleaner) done(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[name], c.ended[name] = false, false
	delete(c.tried, name)
}

// clean does one cleanup and has it granted.
func (c *cleaner) clean(ctx context.Context, client *jenkins.Client, name string, attempt int64) {
	if job := c.jobs[name]; job == "" {
		pause(ctx, c.takes)
		if err := c.ground.cleaned(name); err != nil {
			c.t.Errorf("clean %s: %v", name, err)
			return
		}
	} else if err := c.build(ctx, client, job, attempt); err != nil {
		c.count("cleanup of its own failed")
		return
	}
	g := gate.NewClient(client, labels)
	for end := time.Now().Add(grantFor); ; pause(ctx, hot) {
		answer, err := g.Grant(ctx, owner, gate.Ref{Agent: name, Attempt: attempt})
		switch {
		case err != nil:
			c.count("grant without an answer")
			return
		case answer == gate.OK:
			c.mu.Lock()
			defer c.mu.Unlock()
			c.grants++
			return
		}
		c.count("grant " + string(answer))
		if answer != gate.Busy || ctx.Err() != nil || time.Now().After(end) {
			return
		}
	}
}

func (c *cleaner) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[what]++
}

// build runs the agent's cleanup job for an attempt, which ends well or is an error.
func (c *cleaner) build(ctx context.Context, client *jenkins.Client, job string, attempt int64) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := client.Build(ctx, job, map[string]string{"PITCREW_ATTEMPT": fmt.Sprint(attempt)}, nil)
	if err != nil {
		return err
	}
	var number int64
	defer func() {
		if number == 0 { // the gate lets it nowhere any more
			_ = client.CancelQueueItem(context.WithoutCancel(ctx), id) // it may have left meanwhile
		}
	}()
	for number == 0 {
		pause(ctx, hot)
		item, err := client.QueueItem(ctx, id)
		if err != nil {
			return err
		}
		if item.Executable != nil {
			number = item.Executable.Number
		}
	}
	for {
		b, err := client.BuildInfo(ctx, job, number)
		if err != nil {
			return err
		}
		if b.Result == "SUCCESS" {
			return nil
		} else if !b.Building {
			return fmt.Errorf("its result is %s", b.Result)
		}
		pause(ctx, hot)
	}
}
