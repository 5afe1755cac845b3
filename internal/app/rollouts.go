// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// newRollouts makes what all crews share of rollouts. It knows no pool yet.
func (a *App) newRollouts() *reconcile.Rollouts {
	return reconcile.NewRollouts(reconcile.RolloutDeps{
		Store: a.store, Turn: &a.turn, Watch: a.metrics, Log: a.Log.With("component", "rollouts"),
		Poke: func() {
			for _, crew := range a.lending() {
				crew.Poke()
			}
		},
	})
}

// rolloutDesk is where people look after rollouts; a dry run rolls nothing out.
func (a *App) rolloutDesk() api.RolloutDesk {
	if a.DryRun {
		return nil
	}
	return a.rollouts
}

// offersOf says in the words of package reconcile which pools of a configuration roll out, and what.
func offersOf(c *config.Config, recipes map[string]compiled) []reconcile.Offer {
	var offers []reconcile.Offer
	for i := range c.Pools {
		p := &c.Pools[i]
		policy, rolls := c.RolloutPolicy(p)
		r, ok := recipes[p.Recipe]
		if !rolls || !ok {
			continue
		}
		offers = append(offers, reconcile.Offer{
			Pool: p.Name, Policy: policy, Floor: p.RolloutFloor, Program: r.program,
			Disjoint: p.Disjoint, RecipeDisjoint: r.disjoint, QuarantineLook: p.Quarantine.NextLook.Std(),
		})
	}
	return offers
}

// purgeRollouts removes the programs that nothing refers to any more, and what rehearsals came to before a time.
func (a *App) purgeRollouts(ctx context.Context, before time.Time) error {
	_, err := a.store.PurgePrograms(ctx)
	_, more := a.store.PurgeRehearsals(ctx, before)
	return errors.Join(err, more)
}

// rolloutMetrics are those of rollouts, by pool. Few revisions of a pool are in use at once.
type rolloutMetrics struct {
	agents *gauges
	stage  *gauges
}

// Rolled implements [reconcile.RolloutWatcher].
func (m *metrics) Rolled(s rollout.Status) {
	pool := s.Rollout.Pool
	var stages []prometheus.Metric
	for _, stage := range rollout.Stages {
		is := 0
		if stage == s.Rollout.Stage {
			is = 1
		}
		stages = append(stages, m.rollouts.stage.series(is, pool, stage.Name()))
	}
	m.rollouts.stage.tell(pool, stages...)

	type kind struct{ revision, role string }
	counts := map[kind]int{{s.Rollout.From.Short(), "from"}: 0} // both begin at zero
	if s.Rollout.To != "" {
		counts[kind{s.Rollout.To.Short(), "to"}] = 0
	}
	for _, a := range s.Agents {
		switch a.Has {
		case s.Rollout.From:
			counts[kind{a.Has.Short(), "from"}]++
		case s.Rollout.To:
			counts[kind{a.Has.Short(), "to"}]++
		default:
			counts[kind{a.Has.Short(), "other"}]++
		}
	}
	var agents []prometheus.Metric
	for k, n := range counts {
		agents = append(agents, m.rollouts.agents.series(n, pool, k.revision, k.role))
	}
	m.rollouts.agents.tell(pool, agents...)
}

// Unrolled implements [reconcile.RolloutWatcher].
func (m *metrics) Unrolled(pool string) {
	m.rollouts.agents.tell(pool)
	m.rollouts.stage.tell(pool)
}
