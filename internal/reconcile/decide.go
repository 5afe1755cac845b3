// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Decision is what was decided about one agent, for people who ask why.
type Decision struct {
	At        time.Time
	Agent     hygiene.AgentID
	Pool      string
	Hygiene   hygiene.Hygiene
	Occupancy hygiene.Occupancy
	Action    hygiene.Action
	Sighting  hygiene.Sighting
	Stuck     bool   // its labels cannot be written
	Chosen    bool   // for actions that the caps may keep waiting
	Turn      int    // of such an action: its place in the order of choice, from 1; 0 = it is none
	Reason    string // why it waits, or the action's own reason
}

// idleDecide is how long decisions wait for a poll that is due. Before it, the same facts would be judged
// again: what is due then is served by the poll.
const idleDecide = time.Minute

// decide turns each poll into decisions until ctx ends.
func (c *Crew) decide(ctx context.Context) error {
	return every(ctx, func() time.Duration { return c.settings.Load().Poll + idleDecide }, c.wake, func(ctx context.Context) {
		c.Watch.Beat(c.id, "decide", time.Now())
		if err := c.decideOnce(ctx); err != nil && ctx.Err() == nil {
			c.Log.ErrorContext(ctx, "decisions could not be made", "err", err)
		}
	})
}

// view is one agent with everything a decision needs.
type view struct {
	agent    hygiene.Agent
	sighting hygiene.Sighting
	pool     *Pool
	policy   hygiene.Policy
	labels   []string
	running  []jenkins.Executable
	trial    bool // its pool's breaker lets one cleanup at a time start
	action   hygiene.Action
}

// decideOnce decides about every agent and starts what follows. What cannot be stored on the way keeps no agent from
// what it needs, and is made up for by the next decision: an agent that was used must lose its label even if the disk is full.
func (c *Crew) decideOnce(ctx context.Context) error {
	look, s := c.look.Load(), c.settings.Load()
	if look == nil || c.Refused() != "" {
		return nil
	}
	c.waits.Store(true) // for whoever frees a place that this decision does not see yet
	now := time.Now()
	m := lists.Get().(*list)
	defer lists.Put(m)
	stored, err := c.Store.AppendAgents(ctx, m.stored[:0], c.id)
	if err != nil {
		return err
	}
	m.stored = stored
	unstored := errors.Join(c.breakers(ctx, s, now), c.setBack(ctx, s, stored, time.Now()), c.endHolds(ctx, s, stored, now))
	views, err := c.see(ctx, s, look, m, now)
	if err != nil {
		return errors.Join(unstored, err)
	}
	if err := c.recall(ctx); err != nil {
		return err
	}
	c.Turn.Lock()
	defer c.Turn.Unlock()
	unstored = errors.Join(unstored, c.repool(ctx, s, views, now), c.rollOut(ctx, s, now))
	c.ask(views, look, now)
	unstored = errors.Join(unstored, c.restale(ctx, s, views, now))
	load, err := c.load(ctx, views)
	if err != nil {
		return err
	}
	choices := choose(s, look, views, load)
	c.noteMarket(s, look, views)
	decisions, byName := make([]Decision, len(views)), make(map[string]*Decision, len(views))
	for i := range views {
		d := &decisions[i]
		views[i].decide(d, now)
		if choice, ok := choices[d.Agent.Name]; ok {
			d.Chosen, d.Turn, d.Reason = choice.Chosen, choice.turn, choice.Reason
		}
		c.cameOnline(&views[i], d)
		byName[d.Agent.Name] = d
	}
	c.mu.Lock()
	before := c.decisions
	c.decisions = byName
	c.mu.Unlock()
	c.tellPlan(ctx, s, views, before, decisions)
	c.forgetOthers(views)
	c.Watch.Decided(c.id, decisions)
	unstored = errors.Join(unstored, c.alarms(ctx, s, views, now), c.witness(ctx, s, views, now), c.noteUses(ctx, s, views, now), c.tellRefused(ctx, s, views, now))
	begun := map[string]bool{}
	var claims errgroup.Group // together, since the store makes what comes at once in one transaction
	for i := range views {
		if v := &views[i]; begins(v, &decisions[i]) {
			if slices.ContainsFunc(v.sighting.Neighbour.Names, func(name string) bool { return begun[name] }) {
				continue // one agent of a machine at a time; the next poll sees that the other is cleaned
			}
			begun[v.agent.ID.Name] = true
		}
		if decisions[i].Chosen && views[i].action.Kind == hygiene.Begin {
			claims.Go(func() error { return c.start(ctx, &views[i], &decisions[i], now) })
			continue
		}
		unstored = errors.Join(unstored, c.start(ctx, &views[i], &decisions[i], now))
	}
	unstored = errors.Join(unstored, claims.Wait())
	c.waits.Store(anyWaits(views, decisions))
	return unstored
}

// anyWaits reports whether an agent may have something to do as soon as another's attempt is over: one that was not
// chosen, that rests while it is due (beside a neighbour, or because of its pool's breaker), or whose attempt waits for a
// slot or a neighbour.
func anyWaits(views []view, decisions []Decision) bool {
	for i := range views {
		switch v := &views[i]; v.agent.State { //nolint:exhaustive // the others wait for what a poll sees
		case hygiene.Due:
			if v.sighting.Idle && (v.action.Kind != hygiene.Begin || !decisions[i].Chosen) {
				return true
			}
		case hygiene.Claimed, hygiene.Granting:
			return true
		}
		if !decisions[i].Chosen {
			return true
		}
	}
	return false
}

// forgetOthers drops what this process remembers of agents that are neither managed nor listed, and to
// which no mark is owed.
func (c *Crew) forgetOthers(views []view) {
	known := make(map[string]bool, len(views))
	for i := range views {
		a := &views[i].agent
		known[a.ID.Name] = a.Managed() || a.Mark != "" || views[i].sighting.Present
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(c.missing, known)
	keep(c.asked, known)
	keep(c.unreads, known)
	keep(c.launched, known)
	keep(c.retries, known)
	keep(c.owed, known)
	keep(c.unwritten, known)
	keep(c.borrowed, known)
	keep(c.refusals, known)
	keep(c.stale, known)
	keep(c.witnessed, known)
}

// keep drops all keys of m that are not known.
func keep[V any](m map[string]V, known map[string]bool) {
	maps.DeleteFunc(m, func(name string, _ V) bool { return !known[name] })
}

// begins reports whether a decision is to begin a cleanup beside which no other of its machine may begin.
func begins(v *view, d *Decision) bool {
	return d.Chosen && v.action.Kind == hygiene.Begin && !v.policy.Disjoint
}

func (v *view) decide(d *Decision, now time.Time) {
	*d = Decision{At: now, Agent: v.agent.ID, Hygiene: v.agent.Hygiene(), Occupancy: v.agent.Occupancy(v.sighting), Action: v.action, Sighting: v.sighting, Stuck: v.agent.Stuck != nil, Chosen: true, Reason: v.action.Reason}
	if v.pool != nil {
		d.Pool = v.pool.Name
	}
}

// list is memory for the agents of a controller. There is as much as is in use at once, whatever the number of controllers: a
// decision is over before most others begin.
type list struct {
	stored []hygiene.Agent
	views  []view
}

var lists = sync.Pool{New: func() any { return new(list) }}

// see joins the stored agents of the list with the look, listed or not. The views are in the list's memory.
func (c *Crew) see(ctx context.Context, s *Settings, look *Look, m *list, now time.Time) ([]view, error) {
	pauses, err := c.pauses(ctx, now)
	if err != nil {
		return nil, err
	}
	if look.Unproven != "" {
		pauses[ScopeAll] = "nothing begins while it cannot be told who services the controller: " + look.Unproven
	}
	stored := m.stored
	known := make(map[string]bool, len(stored))
	views := slices.Grow(m.views[:0], max(len(stored), len(look.Agents)))
	for i := range stored {
		a := &stored[i]
		known[a.ID.Name] = true
		views = append(views, view{agent: *a})
		v := &views[len(views)-1]
		if seen, ok := look.Agents[a.ID.Name]; ok {
			v.sighting, v.labels, v.running = c.sighting(s, look, &seen, look.At), seen.Labels, seen.Running
		} else {
			v.sighting = hygiene.Sighting{At: look.At, Gone: look.Gone[a.ID.Name]}
		}
	}
	strangers := len(views)
	for name, seen := range look.Agents {
		if !known[name] && !seen.BuiltIn && (s.Labels.Read(seen.Labels).Has(hygiene.LabelCleanable) || look.gateOf(name).Listed) {
			views = append(views, view{
				agent: hygiene.Agent{ID: c.agentID(name)}, labels: seen.Labels,
				sighting: c.sighting(s, look, &seen, look.At),
			})
		}
	}
	m.views = views
	if len(views) > strangers { // the stored ones are in order
		slices.SortFunc(views, func(a, b view) int { return strings.Compare(a.agent.ID.Name, b.agent.ID.Name) })
	}
	for i := range views {
		views[i].pool, views[i].policy = c.policy(ctx, s, &views[i].agent, views[i].labels, pauses)
		if views[i].pool != nil {
			_, views[i].trial = c.stopped(views[i].pool.Name, views[i].policy.Revision)
		}
		views[i].sighting.Awaited = c.awaited(&views[i], look)
		views[i].sighting.Quiet = c.wasQuiet(&views[i], look)
	}
	return views, nil
}

// recall shows the stored agents of controllers that were not looked at yet to those of their machines.
func (c *Crew) recall(ctx context.Context) error {
	for _, controller := range c.Machines.awaited() {
		stored, err := c.Store.Agents(ctx, controller)
		if err != nil {
			return err
		}
		c.Machines.recall(controller, stored)
	}
	return nil
}

// ask lets the domain decide about every agent. It is part of the crew's turn, so that of two crews
// that begin a cleanup on one machine the second knows of the first.
func (c *Crew) ask(views []view, look *Look, now time.Time) {
	c.Machines.meet(c.id, views, now)
	for i := range views {
		v := &views[i]
		v.action = hygiene.Next(v.agent, v.sighting, v.policy, now)
		if v.action.Kind == hygiene.Adopt && v.policy.DryRun {
			// Nothing is stored in a dry run: what would come after the adoption is shown.
			v.agent.State, v.agent.Need, v.agent.Reason = hygiene.Due, v.action.Need, v.action.Reason
			v.action = hygiene.Next(v.agent, v.sighting, v.policy, now)
		}
		if v.pool == nil && v.action.Kind == hygiene.Adopt {
			v.action = hygiene.Action{Kind: hygiene.Rest, Agent: v.agent.ID, Reason: orphan.Paused}
		}
		foresee(v, look, now)
	}
}

// policy finds the pool of an agent. An attempt in progress keeps the pool it was claimed in.
func (c *Crew) policy(ctx context.Context, s *Settings, a *hygiene.Agent, labels []string, pauses map[string]string) (*Pool, hygiene.Policy) {
	pool := s.pool(labels)
	if a.State.InProgress() || len(labels) == 0 {
		pool = s.named(a.Pool)
	}
	if pool == nil {
		p := orphan
		p.DryRun = s.DryRun
		return nil, p
	}
	p := pool.Policy
	p.Pool = pool.Name
	p.Revision, _ = c.Rollouts.wants(ctx, pool, a.ID)
	p.Disjoint = c.Rollouts.disjoint(pool, p.Revision)
	if len(pauses) > 0 {
		for _, scope := range []string{ScopeAll, ControllerScope(c.id), PoolScope(pool.Name)} {
			if reason, ok := pauses[scope]; ok {
				p.Paused = reason
			}
		}
	}
	if reason, _ := c.stopped(pool.Name, p.Revision); reason != "" {
		p.Paused = reason
	}
	p.DryRun = (p.DryRun || s.DryRun) && !c.underWay(s, a)
	return pool, p
}

// repool notes of agents that are not being cleaned which pool they are of now: a reload may have renamed it, or somebody have given
// them the labels of another. Rollouts and loans go by it: a loan over SSH could not be ended without the settings of its pool.
func (c *Crew) repool(ctx context.Context, s *Settings, views []view, now time.Time) error {
	moves := func(a *hygiene.Agent, pool *Pool) bool {
		return pool != nil && a.Pool != pool.Name && a.Managed() && !a.State.InProgress()
	}
	for i := range views {
		v := &views[i]
		if s.DryRun || v.policy.DryRun || !moves(&v.agent, v.pool) {
			continue
		}
		err := c.change(ctx, v.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
			if !moves(&ch.Agent, v.pool) {
				return nil, store.ErrUnchanged
			}
			ch.Agent.Pool = v.pool.Name
			return nil, nil
		})
		if err != nil {
			return err
		}
		v.agent.Pool = v.pool.Name
	}
	return nil
}

// underWay reports whether an attempt is to be brought to its end whatever a reload said: left as it
// is, its agent would be out of use until the dry run is over. A process that has not serviced the
// controller itself touches nothing, whatever its database says.
func (c *Crew) underWay(s *Settings, a *hygiene.Agent) bool {
	return a.State.InProgress() && c.marked(s.jobName("owner"))
}

// pauses returns the reasons of the pauses in force, by scope.
func (c *Crew) pauses(ctx context.Context, now time.Time) (map[string]string, error) {
	rows, err := c.Store.Pauses(ctx)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(rows))
	for _, p := range rows {
		if p.Until.IsZero() || now.Before(p.Until) {
			out[p.Scope] = "paused by " + p.By + ": " + p.Reason
		}
	}
	return out, nil
}

// awaited reports whether, after a controller restart, the queue holds an item that must go to
// this very agent: a Pipeline block that comes back, or a self-label job.
func (c *Crew) awaited(v *view, look *Look) bool {
	if look.SessionSince.IsZero() || v.agent.Settled == look.Session || look.Gate != nil {
		return false // a gate knows what comes back, and holds all else off until the agent is clean
	}
	until := c.theirs(look.SessionSince.Add(v.policy.Settle))
	return slices.ContainsFunc(look.Queue.Items, func(item jenkins.QueueItem) bool {
		return mustGoTo(v, item) || mayReturnTo(v, item, until)
	})
}

// mustGoTo reports whether an item asks for the agent by its name.
func mustGoTo(v *view, item jenkins.QueueItem) bool {
	return item.LabelKnown && item.LabelExpression == labelexpr.Atom(v.agent.ID.Name).String()
}

// mayReturnTo reports whether an item may be a block of a Pipeline that ran on the agent before the
// restart: Jenkins shows only the name of the agent that it waits for, or that does not take it yet
// (hudson.model.Queue.BuildableItem#getCauseOfBlockage), which may as well be the only one of its
// label, and queues it again at its start. Until is of the controller's clock.
func mayReturnTo(v *view, item jenkins.QueueItem, until time.Time) bool {
	return !item.LabelKnown && strings.Contains(item.Why, "‘"+v.agent.ID.Name+"’") && item.Since.Before(until)
}

// start carries one decision out, or enqueues what needs requests.
func (c *Crew) start(ctx context.Context, v *view, d *Decision, now time.Time) error {
	if v.policy.DryRun {
		return nil
	}
	name := v.agent.ID.Name
	if v.agent.Used != nil && v.agent.Used.Item != 0 {
		c.enqueue(name) // to learn which build that was
	}
	switch v.action.Kind {
	case hygiene.Rest:
		return nil
	case hygiene.Drive:
		c.enqueue(name)
		return nil
	case hygiene.Begin:
		if !d.Chosen {
			return nil
		}
		if err := c.displace(ctx, v.agent.ID, v.action.Displace, now); err != nil {
			return err
		}
		return c.claim(ctx, v, now) // at once: chosen anew, the neighbour might always come first
	case hygiene.Refresh:
		if !d.Chosen {
			return nil
		}
	case hygiene.Launch:
		if !d.Chosen {
			return nil
		}
	case hygiene.Adopt, hygiene.Withdraw, hygiene.Forget, hygiene.Unclean, hygiene.Relabel, hygiene.Unmark, hygiene.Remark, hygiene.Stop:
	}
	c.enqueue(name)
	return nil
}

// Decisions returns the newest decision about every agent, by name.
func (c *Crew) Decisions() map[string]Decision {
	c.mu.Lock()
	decisions := c.decisions // which are replaced, and never changed
	c.mu.Unlock()
	out := make(map[string]Decision, len(decisions))
	for name, d := range decisions {
		out[name] = *d
	}
	return out
}

// Seen returns the newest look, nil before the first.
func (c *Crew) Seen() *Look { return c.look.Load() }

// change is the store's door with the watcher told of every event.
func (c *Crew) change(ctx context.Context, id hygiene.AgentID, now time.Time, f func(*store.Change) ([]hygiene.Event, error)) error {
	var events []hygiene.Event
	err := c.Store.Change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		before := ch.Agent.State
		var err error
		events, err = f(ch)
		for i := range events {
			events[i].At, events[i].Before, events[i].After = now, before, ch.Agent.State
			before = ch.Agent.State // the first tells of the change of state, others of what comes with it
		}
		return events, err
	})
	if errors.Is(err, store.ErrUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range events {
		c.Watch.Changed(e)
		c.Log.InfoContext(ctx, "state changed", "event", string(e.Type), "agent", id.Name, "attempt", e.Attempt, "reason", e.Reason)
	}
	return nil
}

// event is the record of a change of agent a by the daemon itself.
func event(kind hygiene.EventType, a hygiene.Agent, reason string) hygiene.Event {
	return hygiene.Event{
		Type: kind, Actor: "pitcrew", Subject: a.ID.String(), Agent: a.ID, Pool: a.Pool,
		Attempt: a.Attempt, Reason: reason,
	}
}
