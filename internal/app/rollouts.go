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

// rolloutMetrics are those of rollouts. Few revisions of a pool are in use at once.
type rolloutMetrics struct {
	agents *prometheus.GaugeVec
	stage  *prometheus.GaugeVec
}

// Rolled implements [reconcile.RolloutWatcher].
func (m *metrics) Rolled(s rollout.Status) {
	m.Unrolled(s.Rollout.Pool)
	for _, stage := range rollout.Stages {
		is := 0.0
		if stage == s.Rollout.Stage {
			is = 1
		}
		m.rollouts.stage.WithLabelValues(s.Rollout.Pool, stage.Name()).Set(is)
	}
	count := func(v rollout.Revision, role string) prometheus.Gauge {
		return m.rollouts.agents.WithLabelValues(s.Rollout.Pool, v.Short(), role)
	}
	count(s.Rollout.From, "from")
	if s.Rollout.To != "" {
		count(s.Rollout.To, "to") // both begin at zero
	}
	for _, a := range s.Agents {
		switch a.Has {
		case s.Rollout.From:
			count(a.Has, "from").Inc()
		case s.Rollout.To:
			count(a.Has, "to").Inc()
		default:
			count(a.Has, "other").Inc()
		}
	}
}

// Unrolled implements [reconcile.RolloutWatcher].
func (m *metrics) Unrolled(pool string) {
	m.rollouts.agents.DeletePartialMatch(prometheus.Labels{"pool": pool})
	m.rollouts.stage.DeletePartialMatch(prometheus.Labels{"pool": pool})
}
