// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Deps is what a crew works with.
type Deps struct {
	Jenkins  *jenkins.Client
	Store    *store.Store
	Engine   engine.Engine // of this crew alone
	Turn     sync.Locker   // held while agents are chosen and claimed: pools may span controllers. nil = no other crew
	SSH      *sshexec.Executor
	Reach    func(way, agent string) (sshexec.Target, error) // what [Pool.Way] tells; nil = nobody reads that
	Machines *Machines                                       // shared by all crews of the daemon; nil = no other crew
	Rollouts *Rollouts                                       // shared by all crews of the daemon; nil = no pool rolls out
	Owner    string                                          // this daemon's id, shown on the controller
	Host     string                                          // where it runs, for the message to a second daemon
	Log      *slog.Logger
	Watch    Watcher
}

// Watcher is told what happens, for metrics. Its methods must be quick and safe for concurrent use.
type Watcher interface {
	Swept(controller hygiene.ControllerID, took time.Duration, err error)
	Decided(controller hygiene.ControllerID, decisions []Decision)
	Changed(e hygiene.Event)
	Ended(a hygiene.Agent, t hygiene.Attempt, queued, ran time.Duration)
	Found(a hygiene.Agent, t hygiene.Attempt, r Residue)
	Beat(controller hygiene.ControllerID, loop string, at time.Time)
	// Gated is told of the gate at each successful poll.
	Gated(controller hygiene.ControllerID, s GateSight)
}

// GateSight is what a poll saw of a controller's gate.
type GateSight struct {
	Status   *gate.Status // nil = none answers
	Lost     bool         // there was one
	Launched int          // agents of the ledger that the controller launches itself, perhaps before its gate is up
}

// Crew services one controller. Make it with [New], then [Crew.Run].
type Crew struct {
	Deps
	id       hygiene.ControllerID
	instance string // of this process, on the owner's mark
	settings atomic.Pointer[Settings]
	look     atomic.Pointer[Look]   // newest poll, nil before the first
	market   atomic.Pointer[market] // what could be lent, as the newest decision saw it
	refused  atomic.Pointer[string]
	problem  atomic.Pointer[string]
	wake     chan struct{} // pokes decide after an attempt ended
	waits    atomic.Bool   // the newest decide left an agent waiting for others, or is not over
	sweep    chan struct{} // pokes observe

	mu        sync.Mutex
	decisions map[string]*Decision // by agent name, from the newest decide; they are never changed
	busySince map[string]busy      // by agent name
	missing   map[string]int       // polls in which a managed agent was not listed
	remote    map[hygiene.AgentID]*remoteRun
	asked     map[string]time.Time // when an agent's build feed was last read
	unread    time.Time            // since when those count that were not
	unreads   map[string]unread    // those that could not be read
	launched  map[string]launches  // agents that were launched because they are wanted, and have not come yet
	retries   map[string]retry     // agents whose work met errors
	owed      map[string]loss      // agents that are clean no more, which could not be stored yet
	unwritten map[string]unwritten // agents whose labels could not be written when that was last tried
	borrowed  map[string]borrowed  // labels of ours that agents showed and their configurations did not have
	refusals  map[string]string    // why agents are not managed, as it was told
	stale     map[string]time.Time // agents that the scheduler offered as clean after they were not; until when
	tripped   map[string]trip      // breakers by pool
	poolRows  map[string]store.PoolRow
	quiet     quiet
	witnessed map[string]string   // newest build that was witnessed on an agent
	owned     time.Time           // when the owner's mark was last proved to be ours
	slotTexts map[string]slotText // by job: its document when it was last looked through
	restaleAt time.Time           // when agents of another revision are looked for again
	learning  learning            // of the goroutine of contain alone
	markedJob string              // job on which this process has left its mark; "" = none yet

	// Of the observing goroutine alone.
	failed      int          // polls in a row that failed
	skew        hygiene.Skew // what the polls told of the controller's clock
	gateAsked   time.Time    // when the gate was asked last
	gateSession string       // of the controller, then
	gateLedger  string       // session of the newest that answered
	gateSilent  int          // polls in a row in which the gate gave no answer

	took atomic.Int64 // the newest poll, a time.Duration

	ahead atomic.Int64 // how far the controller's clock is ahead of ours, a time.Duration

	mayNotDescribe atomic.Bool // Run/Update is not granted
}

// agentKey is the engine's kind for everything that is done to one agent.
const agentKey = "agent"

// workers bounds how many agents of one controller are worked on at once.
const workers = 8

// New returns a crew. It does nothing until it runs.
func New(d Deps, s Settings) *Crew {
	c := &Crew{
		Deps: d, id: s.ID, instance: rand.Text(),
		wake: make(chan struct{}, 1), sweep: make(chan struct{}, 1),
		busySince: map[string]busy{}, missing: map[string]int{},
		remote: map[hygiene.AgentID]*remoteRun{}, asked: map[string]time.Time{}, launched: map[string]launches{}, unread: time.Now(), unreads: map[string]unread{},
		retries: map[string]retry{}, owed: map[string]loss{}, unwritten: map[string]unwritten{}, borrowed: map[string]borrowed{}, refusals: map[string]string{}, stale: map[string]time.Time{}, tripped: map[string]trip{}, witnessed: map[string]string{},
		poolRows: map[string]store.PoolRow{}, slotTexts: map[string]slotText{},
	}
	c.Log = c.Log.With("controller", string(s.ID))
	if c.Turn == nil {
		c.Turn = &sync.Mutex{}
	}
	if c.Machines == nil {
		c.Machines = NewMachines()
	}
	c.settings.Store(&s)
	c.Engine.Register(agentKey, c.handle, engine.HandlerOptions{Workers: workers})
	return c
}

// Apply takes new settings. It takes effect with the next poll.
func (c *Crew) Apply(s Settings) {
	c.settings.Store(&s)
	c.Poke()
}

// Poke makes the next poll happen now.
func (c *Crew) Poke() { poke(c.sweep) }

// ID returns the controller that the crew services.
func (c *Crew) ID() hygiene.ControllerID { return c.id }

// letIn has agents decided about again because a place has become free, if any waits for one: the same facts lead to
// nothing else.
func (c *Crew) letIn() {
	if c.waits.Load() {
		poke(c.wake)
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run services the controller until ctx ends. It returns nil then, and an error only for faults
// that no retry can mend; a controller that is down is none.
func (c *Crew) Run(ctx context.Context) error {
	if err := errors.Join(c.recallClock(ctx), c.recallUnread(ctx), c.rescue(ctx)); err != nil {
		return unlessEnded(ctx, err)
	}
	g, duties := errgroup.WithContext(ctx)
	g.Go(func() error { return c.Engine.Run(duties) })
	g.Go(func() error { return c.observe(duties) })
	g.Go(func() error { return c.decide(duties) })
	g.Go(func() error { return c.contain(duties) })
	g.Go(func() error { return c.listen(duties) })
	err := g.Wait()
	c.endRemote()
	return unlessEnded(ctx, err)
}

// unlessEnded drops the errors of work that our own end interrupted.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = nil
	}
	return err
}

// every calls f at once and then once per period until ctx ends, sooner when poked.
func every(ctx context.Context, period func() time.Duration, poked <-chan struct{}, f func(context.Context)) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f(ctx)
	timer := time.NewTimer(period())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		case <-poked:
		}
		f(ctx)
		timer.Reset(period())
	}
}

func (c *Crew) agentID(name string) hygiene.AgentID {
	return hygiene.AgentID{Controller: c.id, Name: name}
}

func (c *Crew) enqueue(name string) { c.Engine.Enqueue(agentKey, c.agentID(name).String()) }

// Refused tells why the crew does not service its controller, or "".
func (c *Crew) Refused() string {
	if r := c.refused.Load(); r != nil {
		return *r
	}
	return ""
}

func (c *Crew) refuse(reason string) {
	if c.Refused() != reason {
		c.Log.Error("controller is not serviced", "reason", reason)
	}
	c.refused.Store(&reason)
}
