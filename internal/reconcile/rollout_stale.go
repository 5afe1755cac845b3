// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// cleanedWith is the revision that an agent was cleaned with, as of an attempt.
type cleanedWith struct {
	attempt  int64
	revision string
}

// restale has clean agents cleaned again that another revision cleaned than they would get, of the crew's own those that are
// chosen among all of their pool. It is part of the crew's turn.
func (c *Crew) restale(ctx context.Context, s *Settings, views []view, now time.Time) error {
	if c.Rollouts == nil || now.Before(c.restaleAt) && now.After(c.restaleAt.Add(-restaleEvery)) {
		return nil
	}
	c.restaleAt = now.Add(restaleEvery)
	return s.eachLive(func(p *Pool) error {
		row, ok := c.Rollouts.row(p.Name)
		if offer, rolls := c.Rollouts.offer(p.Name); rolls && ok && row.Number > 0 {
			return c.restalePool(ctx, p, offer, views, now)
		}
		return nil
	})
}

// restaleEvery is how often a crew looks for such agents.
const restaleEvery = 10 * time.Second

func (c *Crew) restalePool(ctx context.Context, p *Pool, offer Offer, views []view, now time.Time) error {
	mine := map[hygiene.AgentID]*view{}
	for i := range views {
		mine[views[i].agent.ID] = &views[i]
	}
	agents, all, err := c.Rollouts.agents(ctx, p.Name)
	if err != nil {
		return err
	}
	var clean []rollout.CleanAgent
	for i := range all {
		a := &all[i]
		if a.Pool != p.Name || a.State != hygiene.Clean {
			continue
		}
		one := rollout.CleanAgent{ID: agentOf(a.ID), Since: a.LastCleaned}
		with, err := c.Rollouts.cleanedWith(ctx, a)
		if err != nil {
			return err
		}
		wants, _ := c.Rollouts.wants(ctx, p, a.ID)
		one.With, one.Wants = rollout.Revision(with), rollout.Revision(wants)
		if v := mine[a.ID]; a.Held(now) != nil || a.Loan != nil || v != nil && !restful(v.agent, v.sighting, v.policy) {
			one.Kept = "it is not at rest"
		}
		clean = append(clean, one)
	}
	policy := offer.Policy
	if policy.Floor = 0; offer.Floor != nil {
		policy.Floor = offer.Floor(len(agents))
	}
	for _, chosen := range rollout.Restale(clean, policy, now) {
		id, err := hygiene.ParseAgentID(string(chosen.Agent))
		if v := mine[id]; err == nil && v != nil && v.pool != nil && v.pool.Name == p.Name {
			v.action = hygiene.Action{Kind: hygiene.Refresh, Agent: id, Reason: chosen.Reason, Need: hygiene.NeedCleanup}
		}
	}
	return nil
}

// cleanedWith returns the revision that cleaned a clean agent: one that only verified it since did not.
func (o *Rollouts) cleanedWith(ctx context.Context, a *hygiene.Agent) (string, error) {
	o.mu.Lock()
	known := o.cleaned[a.ID]
	o.mu.Unlock()
	if known.attempt == a.Attempt {
		return known.revision, nil
	}
	revision, err := o.Store.CleanedWith(ctx, a.ID, a.Attempt)
	if err != nil {
		return "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cleaned[a.ID] = cleanedWith{a.Attempt, revision}
	return revision, nil
}

// restful reports whether nothing speaks against taking a clean agent's cleanliness: no build is there or about to be, nobody
// keeps it, and the look is newer than what was last done to it.
func restful(a hygiene.Agent, s hygiene.Sighting, p hygiene.Policy) bool {
	newer := s.At.After(a.LabelsAt) && s.At.After(a.Since)
	return a.State == hygiene.Clean && a.Loan == nil && a.Hold == nil && newer && p.Paused == "" && !p.DryRun &&
		s.Present && s.Idle && !s.Real && !s.Hidden && !s.Offline && s.Labels == hygiene.ShowClean
}

// restaled returns the action that was chosen for a clean agent of another revision, if it is still to be carried out.
func (w *work) restaled(act hygiene.Action) (hygiene.Action, bool) {
	d := w.decision
	ok := d.Chosen && d.Action.Kind == hygiene.Refresh && d.Action.Need == hygiene.NeedCleanup &&
		(act.Kind == hygiene.Rest || act.Kind == hygiene.Refresh) && w.agent.Held(w.now) == nil && restful(w.agent, w.sighting, w.policy)
	return d.Action, ok
}
