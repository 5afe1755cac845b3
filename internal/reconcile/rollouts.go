// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Offer is what the configuration says of a pool whose new revisions are rolled out.
type Offer struct {
	Pool    string
	Policy  rollout.Policy // but for its floor
	Floor   func(total int) int
	Program *recipe.Program // as its recipe is compiled now
	// Disjoint and RecipeDisjoint say who declares users and paths of their own: the pool, and this revision of the recipe.
	Disjoint, RecipeDisjoint bool
	QuarantineLook           time.Duration // of agents that are blamed
}

// RolloutDeps is what rollouts work with.
type RolloutDeps struct {
	Store *store.Store
	Turn  sync.Locker    // of the crews: held while a rollout is decided about, and changed
	Watch RolloutWatcher // nil = nobody
	Poke  func()         // has all crews decide soon; nil = nobody has to be told
	Log   *slog.Logger
}

// RolloutWatcher is told what happens, for metrics. Its methods must be quick and safe for concurrent use.
type RolloutWatcher interface {
	Changed(e hygiene.Event)
	// Rolled is told how the rollout of a pool stands.
	Rolled(s rollout.Status)
	// Unrolled is told of a pool whose new revisions are not rolled out any more.
	Unrolled(pool string)
}

// Rollouts decides which revision agents get, in the pools that roll new ones out. It is shared by all crews of the daemon,
// because pools span controllers. What it knows is what is stored; what is here can be read again.
type Rollouts struct {
	RolloutDeps

	mu       sync.Mutex // guards what follows; not held over I/O
	offers   map[string]Offer
	read     bool // the rows were
	tidy     bool // no pool has a row that its configuration does not want
	pools    map[string]*rolling
	programs map[string]keptProgram // by revision
	cleaned  map[hygiene.AgentID]cleanedWith
}

// rolling is the rollout of one pool, with what was decided last.
type rolling struct {
	row      store.Rollout
	decision rollout.Decision
	looked   time.Time // when it was decided about last
	next     time.Time // when it is to be again, if nothing happens before
	stale    bool      // something happened
	evidence ledger
}

type keptProgram struct {
	program  *recipe.Program
	disjoint bool
}

// NewRollouts returns one that knows no pool yet.
func NewRollouts(d RolloutDeps) *Rollouts {
	return &Rollouts{
		RolloutDeps: d, offers: map[string]Offer{}, pools: map[string]*rolling{}, programs: map[string]keptProgram{},
		cleaned: map[hygiene.AgentID]cleanedWith{},
	}
}

// Apply says what the configuration wants by now, of all pools at once: were it told pool by pool, or crew by crew, the
// revision of before would seem to come back.
func (o *Rollouts) Apply(offers []Offer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tidy = false
	clear(o.offers)
	for i := range offers {
		o.offers[offers[i].Pool] = offers[i]
	}
	for _, p := range o.pools {
		p.stale = true
	}
}

// offer returns what the configuration says of a pool; ok is false if new revisions are not rolled out there.
func (o *Rollouts) offer(pool string) (_ Offer, ok bool) {
	if o == nil {
		return Offer{}, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	offer, ok := o.offers[pool]
	return offer, ok
}

// row returns the stored rollout of a pool; ok is false while it is not read, or there is none yet.
func (o *Rollouts) row(pool string) (_ store.Rollout, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.pools[pool]; p != nil {
		return p.row, true
	}
	return store.Rollout{}, false
}

// load reads what is stored, once.
func (o *Rollouts) load(ctx context.Context) error {
	o.mu.Lock()
	read := o.read
	o.mu.Unlock()
	if read {
		return nil
	}
	rows, err := o.Store.Rollouts(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	before := maps.Clone(o.pools)
	clear(o.pools)
	for _, row := range rows {
		p := before[row.Pool]
		if p == nil {
			p = &rolling{}
		}
		p.row, p.stale = row, true
		o.pools[row.Pool] = p
	}
	o.read = true
	return nil
}

// reread has the rows read again: somebody else has changed one.
func (o *Rollouts) reread() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.read = false
}

// happened has a pool decided about again soon, if it has a rollout under way.
func (o *Rollouts) happened(pool string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.pools[pool]; p != nil && p.row.Open() {
		p.stale = true
	}
}

// agentOf spells an agent as rollouts know it.
func agentOf(id hygiene.AgentID) rollout.AgentID { return rollout.AgentID(id.String()) }

// wants returns the revision that the next attempt on an agent of a pool is to be made with. Without ok it is not known yet:
// nothing may be claimed then. Of pools that do not roll out it returns what the recipe is compiled to.
func (o *Rollouts) wants(ctx context.Context, p *Pool, id hygiene.AgentID) (revision string, ok bool) {
	if _, rolls := o.offer(p.Name); !rolls {
		return p.Policy.Revision, true
	}
	row, ok := o.row(p.Name)
	if !ok || row.Pinned() == "" {
		return p.Policy.Revision, false
	}
	a := rollout.Agent{ID: agentOf(id)}
	if row.Stage == rollout.Paused { // which alone asks for it
		if _, t, err := o.Store.Agent(ctx, id); err == nil && t != nil {
			a.Has, a.Got = rollout.Revision(t.Revision), t.Claimed
		}
	}
	return string(row.RevisionFor(a)), true
}

// pinned returns the revision that a pool pins: that of whoever does nothing about it.
func (o *Rollouts) pinned(p *Pool) string {
	if _, rolls := o.offer(p.Name); rolls {
		if row, ok := o.row(p.Name); ok && row.Pinned() != "" {
			return string(row.Pinned())
		}
	}
	return p.Policy.Revision
}

// Pinned returns the revision that a pool of the crew pins.
func (c *Crew) Pinned(p *Pool) string { return c.Rollouts.pinned(p) }

// disjoint reports whether neighbours do not matter for a revision in a pool that rolls out.
func (o *Rollouts) disjoint(p *Pool, revision string) bool {
	offer, rolls := o.offer(p.Name)
	if !rolls {
		return p.Policy.Disjoint
	}
	if offer.Disjoint || revision == offer.Program.Revision {
		return offer.Disjoint || offer.RecipeDisjoint
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.programs[revision].disjoint // false, the careful answer, until it is read
}

// mostPrograms bounds how many revisions are kept in memory: a few for each pool are in use at once.
const mostPrograms = 64

// program returns the program of a revision in a pool; nil if it is not known any more.
func (o *Rollouts) program(ctx context.Context, p *Pool, revision string) (*recipe.Program, error) {
	if p.Program != nil && p.Program.Revision == revision {
		return p.Program, nil
	}
	if _, rolls := o.offer(p.Name); !rolls {
		return nil, nil
	}
	o.mu.Lock()
	kept, ok := o.programs[revision]
	o.mu.Unlock()
	if ok {
		return kept.program, nil
	}
	stored, err := o.Store.Program(ctx, revision)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	kept.disjoint = stored.Disjoint
	if kept.program, err = recipe.Unpack(stored.Body); err != nil {
		return nil, fmt.Errorf("revision %.12s of pool %s: %w", revision, p.Name, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.programs) >= mostPrograms {
		clear(o.programs)
	}
	o.programs[revision] = kept
	return kept.program, nil
}
