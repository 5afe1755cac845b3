// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// lot is what the domain chose for an agent, and when.
type lot struct {
	hygiene.Choice
	turn int // place in the order of choice, from 1
}

// choose lets the domain pick among the agents that could begin, refresh or be launched.
func choose(s *Settings, look *Look, views []view, load hygiene.Load) map[string]lot {
	demands, exprs := demanded(s, look, views)
	var candidates []hygiene.Candidate
	for i := range views {
		v := &views[i]
		if kind := v.action.Kind; kind != hygiene.Begin && kind != hygiene.Refresh && kind != hygiene.Launch {
			continue
		}
		agent := v.agent
		agent.Pool = v.pool.Name
		candidates = append(candidates, hygiene.Candidate{
			Action: v.action, Agent: agent, Domain: v.pool.Domain.of(v.labels), Serves: serves(s, v, exprs),
		})
	}
	if len(candidates) == 0 {
		return nil
	}
	choices := make(map[string]lot, len(candidates))
	for i, choice := range hygiene.Schedule(candidates, demands, capsOf(s, views), load) {
		choices[choice.Action.Agent.Name] = lot{choice, i + 1}
	}
	return choices
}

// demanded groups the queue by label expression and takes off what clean idle agents and cleanups
// in progress will serve.
func demanded(s *Settings, look *Look, views []view) ([]hygiene.Demand, []labelexpr.Expr) {
	var demands []hygiene.Demand
	var exprs []labelexpr.Expr
	index := map[string]int{}
	for _, item := range look.Queue.Items {
		if !item.LabelKnown || item.LabelExpression == "" || item.Pending || s.ours(item.Job) {
			continue
		}
		i, ok := index[item.LabelExpression]
		if !ok {
			i = len(demands)
			index[item.LabelExpression] = i
			demands = append(demands, hygiene.Demand{Label: item.LabelExpression})
			exprs = append(exprs, labelexpr.ParseLenient(item.LabelExpression))
		}
		demands[i].Want++
	}
	for i := range views {
		v := &views[i]
		soon := v.agent.State.InProgress() || v.agent.State == hygiene.Clean && v.sighting.Idle && !v.sighting.Offline
		if !soon {
			continue
		}
		for _, d := range serves(s, v, exprs) {
			if demands[d].Want > 0 {
				demands[d].Want--
				break
			}
		}
	}
	return demands, exprs
}

// serves returns the demands that an agent would serve once it is clean.
func serves(s *Settings, v *view, exprs []labelexpr.Expr) []int {
	if len(exprs) == 0 {
		return nil
	}
	once := s.Labels.Apply(slices.Clone(v.labels), hygiene.ShowClean)
	has := labelexpr.Has(once...)
	var out []int
	for i, e := range exprs {
		if e.Matches(has) {
			out = append(out, i)
		}
	}
	return out
}

func capsOf(s *Settings, views []view) hygiene.Caps {
	caps := hygiene.Caps{Controller: s.MaxCleanups, Pool: map[string]int{}, Domain: map[string]int{}, Spare: map[string]int{}}
	total, clean := map[string]int{}, map[string]int{}
	for i := range views {
		v := &views[i]
		if v.pool == nil || !v.agent.Managed() {
			continue
		}
		total[v.pool.Name]++
		if v.agent.State == hygiene.Clean {
			clean[v.pool.Name]++
		}
		if d := v.pool.Domain.of(v.labels); d != "" {
			if least, ok := caps.Domain[d]; !ok || v.pool.Domain.Max < least {
				caps.Domain[d] = v.pool.Domain.Max
			}
		}
	}
	for i := range s.Pools {
		p := &s.Pools[i]
		caps.Pool[p.Name] = p.MaxCleanups
		caps.Spare[p.Name] = clean[p.Name]
		if p.Keeps != nil {
			caps.Spare[p.Name] -= p.Keeps(total[p.Name])
		}
	}
	for i := range views {
		if v := &views[i]; v.pool != nil && v.trial {
			caps.Pool[v.pool.Name] = 1
		}
	}
	return caps
}

// load counts what runs. Pools and failure domains may span controllers, so theirs are counted over all
// of them: domains, which only labels tell, as the other crews last counted.
func (c *Crew) load(ctx context.Context, views []view) (hygiene.Load, error) {
	load := hygiene.Load{Domain: map[string]int{}}
	for i := range views {
		v := &views[i]
		if !holdsPlace(v.agent.State) {
			continue
		}
		load.Controller++
		if v.pool != nil {
			if d := v.pool.Domain.of(v.labels); d != "" {
				load.Domain[d]++
			}
		}
		if v.agent.Failures > 0 {
			load.Failing++
		}
	}
	load.Domain = c.Machines.hold(c.id, load.Domain)
	var err error
	load.Pool, err = c.Store.Unproven(ctx)
	return load, err
}

// holdsPlace reports whether an agent's attempt counts against the caps. A granting one does not:
// its program has ended.
func holdsPlace(s hygiene.State) bool {
	return s == hygiene.Claimed || s == hygiene.Running || s == hygiene.Reconnecting
}
