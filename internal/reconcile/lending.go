// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/loan"
	"github.com/pitcrew-ci/pitcrew/internal/loanjob"
)

// Lending is how a pool lends its agents.
type Lending struct {
	Policy loan.Policy
	Lease  loan.Lease // what a loan gets that asks for nothing; and of its times none is longer
	// Account is the account of the machine that borrowed programs run as; "" = the one of the lender's agent.
	Account string
	// Isolation says whether a loan must, should or need not run as that account.
	Isolation loanjob.Isolation
	// Dir is the directory in which a loan gets a work directory of its own.
	Dir string
	// Floor is how many agents of the pool must stay usable beside those on loan, on a controller that has total; nil = none.
	Floor func(total int) int
	// Root says whether borrowed code may ask for root; with [loan.RootReimage] a returned agent is cleaned as deep as can be.
	Root loan.Root
	// Ignore are differences that do not matter in a rehearsal, for those who ask what could be borrowed.
	Ignore []string
	// Jars are the SHA-256 sums, in hex, of programs of borrowers that may be run; the lender's own always may.
	Jars []string
}

// loanJobs begins the names of the jobs that hold loans, after the prefix.
const loanJobs = "loan-"

// lease is what a loan gets that asks for some times: none is longer than what the pool grants.
func (p *Lending) lease(asked loan.Lease) loan.Lease {
	shorter := func(asked, granted time.Duration) time.Duration {
		if granted <= 0 {
			return asked
		}
		if asked <= 0 {
			return granted
		}
		return min(asked, granted)
	}
	l := loan.Lease{
		Term: cmp.Or(asked.Term, p.Lease.Term), Max: p.Lease.Max, TTL: shorter(asked.TTL, p.Lease.TTL),
		Idle: shorter(asked.Idle, p.Lease.Idle), Attach: cmp.Or(p.Lease.Attach, time.Minute),
	}
	l.Term = shorter(l.Term, l.Max)
	return l
}

// offer is an agent that could be lent now, with what is needed to see whether it answers a loan.
type offer struct {
	loan.Offer
	labels   []string
	isolated bool   // it can be lent to those that insist on an account of their own
	letsIn   bool   // and to persons, by ssh
	paused   string // why nothing of its pool is cleaned, "" if it is
}

// market is what a controller has to lend.
type market struct {
	offers  []offer
	others  []offer // agents of the same pools that cannot be lent now
	shelves map[string]loan.Shelf
	lent    map[string]lent
	unmet   []int // for each label expression of the queue, how many agents it wants beside those that are there or will be soon
}

// lent is an agent that is on loan.
type lent struct {
	pool   string
	serves []int // label expressions of the queue, were it clean
}

// noteMarket keeps, of one decision, what the controller's pools could lend. It costs nothing where none lends.
func (c *Crew) noteMarket(s *Settings, look *Look, views []view) {
	if !slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Lend != nil }) || s.DryRun {
		c.market.Store(nil)
		return
	}
	m, now := &market{shelves: map[string]loan.Shelf{}, lent: map[string]lent{}}, time.Now()
	totals, usable := map[string]int{}, map[string]int{}
	demands, exprs := demanded(s, look, views)
	for _, d := range demands {
		m.unmet = append(m.unmet, d.Want)
	}
	for i := range views {
		v := &views[i]
		served := serves(s, v, exprs)
		if v.agent.Loan == nil && v.agent.State == hygiene.Due && v.action.Kind == hygiene.Begin {
			meet(m.unmet, served) // such as one that has just come back
		}
		if v.pool == nil || v.pool.Lend == nil {
			continue
		}
		if v.counts() {
			totals[v.pool.Name]++
		}
		if v.usable(now) {
			usable[v.pool.Name]++
		}
		shelf := m.shelves[v.pool.Name]
		shelf.Policy = v.pool.Lend.Policy
		for _, d := range served {
			shelf.Short = shelf.Short || demands[d].Want > 0
		}
		switch {
		case v.agent.Loan != nil:
			shelf.Lent++
			m.lent[v.agent.ID.Name] = lent{pool: v.pool.Name, serves: served}
		case v.agent.State == hygiene.Clean:
			shelf.Clean++
		}
		m.shelves[v.pool.Name] = shelf
		one := offer{
			Offer:    loan.Offer{Agent: loanAgent(v.agent.ID), Pool: v.pool.Name, CleanSince: v.agent.LastCleaned},
			labels:   append(slices.Clone(v.labels), v.agent.ID.Name),
			isolated: v.pool.Lend.Account != "" && v.pool.Lend.Isolation != loanjob.None,
			letsIn:   v.pool.letsIn(), paused: v.policy.Paused,
		}
		switch {
		case v.lendable():
			m.offers = append(m.offers, one)
		case v.sighting.Present:
			m.others = append(m.others, one)
		}
	}
	for pool, shelf := range m.shelves {
		shelf.Above = map[string]int{string(c.id): usable[pool] - s.named(pool).Lend.floor(totals[pool])}
		m.shelves[pool] = shelf
	}
	c.market.Store(m)
}

// floor is how many agents of the pool must stay usable on a controller that has total.
func (p *Lending) floor(total int) int {
	if p.Floor == nil {
		return 0
	}
	return p.Floor(total)
}

// letsIn reports whether persons can be let in to the machines of a pool that lends.
func (p *Pool) letsIn() bool {
	return p.Target != nil && p.Lend.Account != "" && p.Lend.Isolation != loanjob.None
}

// meet takes one agent off what is wanted, and reports whether one of its kind was.
func meet(unmet, serves []int) bool {
	for _, d := range serves {
		if unmet[d] > 0 {
			unmet[d]--
			return true
		}
	}
	return false
}

// recalls reports whether the queue calls a loan back: it calls as many as it wants agents beside those that are on their way
// back, and first those that have been idle for longest.
func (m *market) recalls(one *loan.Loan, open []loan.Loan, now time.Time) bool {
	unmet := slices.Clone(m.unmet)
	var idle []loan.Loan
	for _, l := range open {
		agent, ok := m.lent[l.Agent.Name]
		switch {
		case !ok || l.Agent.Controller != one.Agent.Controller:
		case l.State == loan.Returning:
			meet(unmet, agent.serves)
		case l.State == loan.Attached && l.Recallable(m.shelves[agent.pool].Policy, now):
			idle = append(idle, l)
		}
	}
	slices.SortFunc(idle, func(a, b loan.Loan) int { return cmp.Or(a.IdleSince.Compare(b.IdleSince), cmp.Compare(a.ID, b.ID)) })
	for _, l := range idle {
		if met := meet(unmet, m.lent[l.Agent.Name].serves); l.ID == one.ID {
			return met
		}
	}
	return false
}

// lendable reports whether nothing speaks against lending the agent now. Where nothing is cleaned it would not come back.
func (v *view) lendable() bool {
	s := &v.sighting
	return v.agent.State == hygiene.Clean && v.action.Kind == hygiene.Rest && s.Present && s.Idle && !s.Offline &&
		s.Gate.Mode != hygiene.GateLost && s.Neighbour.Cleaning == "" && v.policy.Paused == "" && !v.policy.DryRun
}

// answers reports whether the agent is what a loan wants; expr is the label expression of that.
func (o *offer) answers(l *loan.Loan, expr labelexpr.Expr) bool {
	name := o.Agent.Name
	switch {
	case l.Want.Pool != "" && l.Want.Pool != o.Pool,
		l.Want.Agent != "" && l.Want.Agent != name && l.Want.Agent != o.Agent.Controller+"/"+name,
		l.Want.Isolated && !o.isolated,
		l.To.Kind == loan.ToSSH && !o.letsIn:
		return false
	case l.Want.Labels == "":
		return true
	}
	return expr.Matches(labelexpr.Has(o.labels...))
}

func loanAgent(id hygiene.AgentID) loan.Agent {
	return loan.Agent{Controller: string(id.Controller), Name: id.Name}
}

func lentAgent(l *loan.Loan) hygiene.AgentID {
	return hygiene.AgentID{Controller: hygiene.ControllerID(l.Agent.Controller), Name: l.Agent.Name}
}
