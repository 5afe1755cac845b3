// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/rollout"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// rested reports whether the evidence may be looked through again: that of a big pool not with each cleanup.
func (l *ledger) rested(looked, now time.Time) bool {
	const many = 2000
	return len(l.ended) < many || now.Sub(looked) >= 10*time.Second
}

// gather reads the evidence about a rollout; it costs nothing while none is under way.
func (o *Rollouts) gather(ctx context.Context, row store.Rollout, p rollout.Policy, all []hygiene.Agent, now time.Time) (e rollout.Evidence, l ledger, err error) {
	if !row.Open() {
		return e, l, nil
	}
	since := rollout.EvidenceSince(row.Rollout, p)
	if l, err = o.ended(ctx, row.Pool, since, now); err != nil {
		return e, l, err
	}
	machines := sharedMachines(all)
	e.Places = placesOf(row.Pool, all, machines)
	for _, t := range l.ended {
		if t.Need == hygiene.NeedVerify {
			continue // which says nothing about what cleans
		}
		e.Cleanups = append(e.Cleanups, rollout.Cleanup{
			Agent: agentOf(t.Agent), Machine: machines[t.Agent], Revision: rollout.Revision(t.Revision), Failed: t.Failed, Step: t.Step, At: t.At,
		})
	}
	uses, err := o.Store.UseResults(ctx, row.Pool, since)
	if err != nil {
		return e, l, err
	}
	for i := range uses {
		u := &uses[i]
		if failed, known := buildFailed(u.Result); known && u.Revision != "" {
			e.Builds = append(e.Builds, rollout.Build{Agent: agentOf(u.Agent), Revision: rollout.Revision(u.Revision), Failed: failed, At: u.At})
		}
	}
	e.Rehearsal, err = o.rehearsed(ctx, row.Rollout)
	return e, l, err
}

// ended reads the attempts of a pool that ended since a time.
func (o *Rollouts) ended(ctx context.Context, pool string, since, now time.Time) (ledger, error) {
	o.mu.Lock()
	var l ledger
	if p := o.pools[pool]; p != nil {
		l = p.evidence
	}
	o.mu.Unlock()
	return l.read(ctx, o.Store, pool, "", since, now)
}

// rehearsed is what the rehearsal of the new revision came to. One that failed before a person started the rollout is known
// to that person.
func (o *Rollouts) rehearsed(ctx context.Context, r rollout.Rollout) (rollout.Rehearsal, error) {
	stored, err := o.Store.Rehearsal(ctx, r.Pool, string(r.To))
	switch {
	case err != nil || stored.At.IsZero():
		return rollout.Rehearsal{}, err
	case stored.Passed:
		return rollout.Rehearsal{Result: rollout.RehearsalPassed, Reason: stored.Report, At: stored.At}, nil
	case stored.At.Before(r.Started) && r.By != "pitcrew":
		return rollout.Rehearsal{Reason: "the one of " + stored.At.Format(time.RFC3339) + " failed: " + stored.Report}, nil
	}
	return rollout.Rehearsal{Result: rollout.RehearsalFailed, Reason: stored.Report, At: stored.At}, nil
}

// buildFailed says what the result of a real build tells about the agent that it ran on; known is false if nothing.
func buildFailed(result string) (failed, known bool) {
	switch result {
	case "SUCCESS":
		return false, true
	case "FAILURE", "UNSTABLE":
		return true, true
	}
	return false, false // aborted, not built, or nobody can tell
}

// sharedMachines names, of agents that may be on one machine with others, that machine.
func sharedMachines(all []hygiene.Agent) map[hygiene.AgentID]string {
	on := map[string][]int{}
	for i := range all {
		if all[i].Machine != "" {
			on[all[i].Machine] = append(on[all[i].Machine], i)
		}
	}
	shared := map[hygiene.AgentID]string{}
	for machine, agents := range on {
		for _, i := range agents {
			if slices.ContainsFunc(agents, func(j int) bool { return i != j && hygiene.OneMachine(all[i], all[j]) }) {
				shared[all[i].ID] = machine
			}
		}
	}
	return shared
}

// placesOf counts the machines that the managed agents of a pool are on.
func placesOf(pool string, all []hygiene.Agent, shared map[hygiene.AgentID]string) int {
	places := map[string]bool{}
	for i := range all {
		if a := &all[i]; a.Pool == pool && a.Managed() {
			places[cmp.Or(shared[a.ID], a.ID.String())] = true
		}
	}
	return len(places)
}

// blame carries out and tells what failures are blamed on: each agent and each revision once, until it fails again.
func (o *Rollouts) blame(ctx context.Context, row *store.Rollout, d rollout.Decision, offer Offer, now time.Time) ([]hygiene.Event, error) {
	var events []hygiene.Event
	told := map[string]time.Time{}
	maps.Copy(told, row.Told)
	for i := range d.Blames {
		b := &d.Blames[i]
		if b.Culprit == rollout.Nobody {
			continue
		}
		key, newest := blameKey(b), b.Failures[len(b.Failures)-1].At
		before, known := told[key]
		if known && (b.Culprit != rollout.TheAgent || !newest.After(before)) {
			continue
		}
		news := true
		if b.Then == rollout.QuarantineAgent {
			var err error
			if news, err = o.quarantine(ctx, b, row.Rollout, offer, now); err != nil {
				return nil, err
			}
		}
		told[key] = newest
		if !news {
			continue
		}
		e := rolloutEvent(hygiene.EventRolloutBlamed, row.Rollout, now, "pitcrew", blamed(b))
		if id, err := hygiene.ParseAgentID(string(b.Agent)); err == nil {
			e.Agent = id
		}
		events = append(events, e)
	}
	if len(told) > 0 {
		row.Told = told
	}
	return events, nil
}

// blamed says in words who is blamed, why, and what follows.
func blamed(b *rollout.Blame) string {
	who := "revision " + b.Revision.Short()
	switch b.Culprit {
	case rollout.TheAgent:
		who = "agent " + string(b.Agent)
	case rollout.TheSurroundings:
		who = "what agents share"
	case rollout.TheRevision, rollout.Nobody:
	}
	text := who + " is to blame: " + b.Reason
	if b.Then != rollout.NoConsequence {
		text += "; it follows: " + string(b.Then)
	}
	return text
}

// blamedPrefix begins the reason of a quarantine that a blame led to.
const blamedPrefix = "blamed in the rollout of revision "

const agentKeyword = "agent "

func blameKey(b *rollout.Blame) string {
	if b.Culprit == rollout.TheAgent {
		return agentKeyword + string(b.Agent)
	}
	return string(b.Culprit) + " " + string(b.Revision)
}

func isAgentKey(key string) bool { return strings.HasPrefix(key, agentKeyword) }

// quarantine keeps an agent out on which different revisions fail, and reports whether that is news. Its labels follow from
// its state, and are written by the crew of its controller.
func (o *Rollouts) quarantine(ctx context.Context, b *rollout.Blame, r rollout.Rollout, offer Offer, now time.Time) (news bool, err error) {
	id, err := hygiene.ParseAgentID(string(b.Agent))
	if err != nil {
		return false, err
	}
	var e hygiene.Event
	err = o.Store.Change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		news = false
		if a := ch.Agent; !a.Managed() || a.Quarantine != nil || a.State == hygiene.Clean || a.State == hygiene.Granting {
			return nil, store.ErrUnchanged
		}
		q := hygiene.Quarantine{Reason: blamedPrefix + r.To.Short() + ": " + b.Reason, Since: now, NextLook: now.Add(offer.QuarantineLook), By: "pitcrew"}
		ch.Agent.Quarantine, ch.Agent.NextLook, news = &q, q.NextLook, true
		e = event(hygiene.EventQuarantined, ch.Agent, q.Reason)
		e.At, e.Before, e.After = now, ch.Agent.State, ch.Agent.State
		return []hygiene.Event{e}, nil
	})
	if err == nil && news {
		o.tell(ctx, []hygiene.Event{e})
	}
	return news, err
}
