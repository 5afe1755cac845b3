// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// Names returns the spelling of the three labels.
func (c *Config) Names() hygiene.Names { return hygiene.Names(c.Labels) }

// Controller returns the controller with this name.
func (c *Config) Controller(name string) (*Controller, bool) {
	i := slices.IndexFunc(c.Controllers, func(x Controller) bool { return x.Name == name })
	if i < 0 {
		return nil, false
	}
	return &c.Controllers[i], true
}

// Recipe returns the recipe with this name.
func (c *Config) Recipe(name string) (*Recipe, bool) {
	i := slices.IndexFunc(c.Recipes, func(x Recipe) bool { return x.Name == name })
	if i < 0 {
		return nil, false
	}
	return &c.Recipes[i], true
}

// PoolFor returns the pool of an agent: the first one, in the order of the file, that takes it. labels are all labels
// the agent has now, its own name included. Whether the agent is managed at all is not asked here: its labels of ours
// are taken for those of any managed agent, so that the answer stays the same while they change.
func (c *Config) PoolFor(controller string, labels []string) (*Pool, bool) {
	names := c.Labels
	has := func(label string) bool {
		switch label {
		case names.Cleanable:
			return true
		case names.Dirty, names.Clean:
			return false
		}
		return slices.Contains(labels, label)
	}
	for i := range c.Pools {
		if p := &c.Pools[i]; p.takesFrom(controller) && p.Expr().Matches(has) {
			return p, true
		}
	}
	return nil, false
}

func (p *Pool) takesFrom(controller string) bool {
	return len(p.Controllers) == 0 || slices.Contains(p.Controllers, controller)
}

// Expr returns the label expression of the pool as [Parse] read it; the zero one if the pool takes all agents.
func (p *Pool) Expr() labelexpr.Expr { return p.expr }

// Policy returns how agents of pool p on a controller are to be treated. revision is the digest of the recipe as it is
// compiled now.
func (p *Pool) Policy(c *Controller, revision string) hygiene.Policy {
	return hygiene.Policy{
		Pool:            p.Name,
		Recipe:          p.Recipe,
		Revision:        revision,
		Depth:           hygiene.Depth(p.Depth),
		Delivery:        hygiene.Delivery(p.Delivery),
		Disjoint:        p.Disjoint,
		Paused:          pauseReason(p, c),
		DryRun:          p.DryRun || c.DryRun,
		Backoff:         hygiene.Backoff{First: p.Backoff.First.Std(), Max: p.Backoff.Max.Std()},
		QuarantineAfter: p.Quarantine.After,
		QuarantineLook:  p.Quarantine.NextLook.Std(),
		TTL:             p.TTL.Std(),
		Settle:          c.Settle.Std(),
		HiddenAfter:     p.Limits.Hidden.Std(),
		OnDemand:        p.LaunchOnDemand,
		Monitor:         hygiene.MonitorPolicy(p.MonitorOffline),
		Limits: hygiene.Limits{
			Queue:     p.Limits.Queue.Std(),
			Run:       p.Limits.Run.Std(),
			Reconnect: p.Limits.Reconnect.Std(),
			Grant:     p.Limits.Grant.Std(),
		},
	}
}

func pauseReason(p *Pool, c *Controller) string {
	switch {
	case c.Paused != "":
		return "controller " + c.Name + ": " + string(c.Paused)
	case p.Paused != "":
		return "pool " + p.Name + ": " + string(p.Paused)
	}
	return ""
}
