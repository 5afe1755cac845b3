// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

// would says what a dry run does not do.
var would = map[hygiene.Kind]string{
	hygiene.Rest:     "leave the agent alone",
	hygiene.Adopt:    "take the agent into service",
	hygiene.Withdraw: "let the agent go",
	hygiene.Forget:   "forget the agent",
	hygiene.Unclean:  "take clean from the agent",
	hygiene.Relabel:  "label the agent",
	hygiene.Begin:    "clean the agent",
	hygiene.Refresh:  "verify the agent again",
	hygiene.Launch:   "have the agent launched",
	hygiene.Unmark:   "lift our offline mark",
	hygiene.Remark:   "put back the offline mark that was lifted",
	hygiene.Stop:     "stop a stray cleanup",
}

// modesEvery is how often a dry run asks for the modes of the agents. What claims do with each agent's own
// configuration it does with one request more for all of them.
const modesEvery = time.Minute

// lookAtModes learns in a dry run which agents take jobs without a label: they would be refused when they are claimed. So
// they will be when a gate is gone that is about to be removed.
func (c *Crew) lookAtModes(ctx context.Context, look *Look) {
	s := c.settings.Load()
	if !look.LeavingGate && !s.DryRun && !slices.ContainsFunc(s.Pools, func(p Pool) bool { return p.Policy.DryRun }) {
		return
	}
	if last := c.look.Load(); last != nil && !look.LeavingGate && look.At.Sub(last.ModesAt) < modesEvery && !look.At.Before(last.ModesAt) {
		look.Modes, look.ModesAt = last.Modes, last.ModesAt
		return
	}
	var err error
	if look.Modes, err = c.Jenkins.Modes(ctx, s.Labels.Cleanable); err != nil {
		c.Log.WarnContext(ctx, "the usage of the agents could not be read", "err", err)
	}
	look.ModesAt = look.At
}

// foresee says of what a dry run would begin whether the claim would be refused.
func foresee(v *view, look *Look, now time.Time) {
	mode, ok := look.Modes[v.agent.ID.Name]
	if !v.policy.DryRun || look.Gate != nil || v.action.Kind != hygiene.Begin || !ok || mode == jenkins.ModeExclusive {
		return
	}
	v.sighting.Unfit = unfitMode(mode)
	v.action = hygiene.Next(v.agent, v.sighting, v.policy, now)
}

// tellPlan logs what would be done to the agents of a dry run, those that are chosen first: all of it
// once, and then what changes.
func (c *Crew) tellPlan(ctx context.Context, s *Settings, views []view, before map[string]*Decision, now []Decision) {
	var news []*Decision
	for i := range views {
		d := &now[i]
		if old := before[d.Agent.Name]; views[i].policy.DryRun && (old == nil || !sameLot(old, d)) {
			news = append(news, d)
		}
	}
	slices.SortStableFunc(news, func(a, b *Decision) int {
		return cmp.Or(cmp.Compare(min(b.Turn, 1), min(a.Turn, 1)), cmp.Compare(a.Turn, b.Turn))
	})
	for _, d := range news {
		text, ok := would[d.Action.Kind]
		if !ok {
			continue
		}
		facts := []any{"would", text, "agent", d.Agent.Name, "pool", d.Pool, "reason", d.Action.Reason}
		if !d.Chosen {
			facts = append(facts, "waits", strings.TrimPrefix(d.Reason, "waits: "))
		}
		if d.Action.Write {
			facts = append(facts, "labels", strings.Join(s.Labels.Strings(d.Action.Labels), " "))
		}
		c.Log.InfoContext(ctx, "dry run", facts...)
	}
}

// sameLot reports whether two decisions come to the same for people who read them.
func sameLot(a, b *Decision) bool {
	return a.Action.Kind == b.Action.Kind && a.Chosen == b.Chosen && a.Reason == b.Reason && a.Action.Reason == b.Action.Reason
}
