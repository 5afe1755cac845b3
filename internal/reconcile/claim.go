// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// claim stores the next attempt, in one transaction that looks at the row again.
func (c *Crew) claim(ctx context.Context, v *view, now time.Time) error {
	nonce := rand.Text()
	policy := v.policy
	var known bool
	if policy.Revision, known = c.Rollouts.wants(ctx, v.pool, v.agent.ID); !known {
		return nil // by which revision is decided about by the next look
	}
	if v.action.SSH {
		policy.Delivery = hygiene.BySSH
	}
	err := c.change(ctx, v.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.Version != v.agent.Version {
			return nil, store.ErrUnchanged // decided on older facts; the next poll decides anew
		}
		ch.Agent.Pool = policy.Pool
		// Above what a store of a later time, whose backup this is, has claimed by the gate.
		ch.Agent.Attempt = max(ch.Agent.Attempt, v.sighting.Gate.Attempt)
		a, t, err := hygiene.Claim(ch.Agent, policy, v.sighting.Session, nonce, now)
		if err != nil {
			return nil, err
		}
		a.Settled = v.sighting.Session
		ch.Agent, ch.Attempt = a, &t
		return []hygiene.Event{event(hygiene.EventClaimed, ch.Agent, v.action.Reason)}, nil
	})
	if err != nil {
		return err
	}
	c.Machines.claimed(v.agent.ID, v.pool.Domain.of(v.labels))
	c.enqueue(v.agent.ID.Name)
	return nil
}

// displace takes the cleanliness of an agent's neighbours, because their machine is about to be cleaned
// for it. Of those of another controller that one's crew takes the label off.
func (c *Crew) displace(ctx context.Context, id hygiene.AgentID, neighbours []string, now time.Time) error {
	for _, name := range neighbours {
		neighbour, err := hygiene.ParseAgentID(name)
		if err != nil {
			neighbour = c.agentID(name)
		}
		if err := c.lose(ctx, neighbour, loss{need: hygiene.NeedCleanup, reason: "its machine is cleaned for " + id.Name, at: now}, now); err != nil {
			return err
		}
		if neighbour.Controller == c.id {
			c.enqueue(name)
		}
	}
	return nil
}

// driveClaimed takes a stored claim to a running program: dirty is written and read back, idleness
// is looked at once more, and the program is handed over. A claim that cannot be turned into a program
// in time is given back.
func (c *Crew) driveClaimed(ctx context.Context, w *work) (time.Duration, error) {
	if w.attempt.Run.Intent {
		return c.findHanded(ctx, w)
	}
	if limit := w.policy.Limits.Queue; limit > 0 && w.now.Sub(w.attempt.Claimed) > limit {
		return rest, c.giveBack(ctx, w, c.lateReason(w, limit))
	}
	if why := w.agent.KeptOut(w.now); why != "" {
		return rest, c.giveBack(ctx, w, why)
	}
	if ready, err := c.shut(ctx, w); !ready || err != nil {
		return rest, err
	}
	if err := c.lift(ctx, w); err != nil {
		return rest, err
	}
	fresh, err := c.freshLook(ctx, w)
	if err != nil {
		return rest, err
	}
	if reason, ok := hygiene.MayStart(fresh, w.policy); !ok {
		if !fresh.Idle {
			if err := c.needAll(ctx, w.agent.ID, reason, w.now); err != nil {
				return rest, err
			}
		}
		return rest, c.giveBack(ctx, w, reason)
	}
	if crowded, err := c.crowded(ctx, w, fresh.Neighbour); err != nil || crowded {
		return rest, err
	}
	if w.gated() {
		return c.handOver(ctx, w)
	}
	offered, err := c.stillOffered(ctx, w)
	if err != nil {
		return rest, err
	}
	if offered {
		return rest, c.giveBack(ctx, w, "the scheduler still offers it as clean, from a stale cache")
	}
	return c.handOver(ctx, w)
}

// shut keeps real builds off the agent: by the gate, which is told which job may run there, or by labels. It answers false
// after it gave the claim back, or when the job has to be waited for.
func (c *Crew) shut(ctx context.Context, w *work) (ready bool, err error) {
	if !w.gated() {
		err := c.show(ctx, w, hygiene.ShowDirty, c.fitness(w))
		if refused, ok := errors.AsType[*refusal](err); ok {
			return false, c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.GivenBack, Reason: refused.reason, Permanent: refused.unfit})
		}
		return err == nil, err
	}
	if w.attempt.Delivery != hygiene.BySSH {
		var ok bool
		if w.job, ok, err = c.prepareJob(ctx, w); err != nil || !ok {
			return false, c.hindered(ctx, w, err)
		}
	}
	reason, err := c.claimByGate(ctx, w, w.job)
	if reason != "" {
		err = errors.Join(err, c.giveBack(ctx, w, reason))
	}
	return reason == "" && err == nil, err
}

// lateReason says why a claim is given back that was not handed over in time.
func (c *Crew) lateReason(w *work, limit time.Duration) string {
	reason := fmt.Sprintf("could not be handed over within %s", limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch last := c.retries[w.agent.ID.Name].last; {
	case last != nil:
		reason += ": " + last.Error()
	case w.attempt.Reason != "":
		reason += ": " + w.attempt.Reason
	}
	return reason
}

// fitness refuses agents that may not be granted clean here: by labels alone, an agent that takes
// jobs without a label, or two builds at once, cannot be kept clean. Executors come first, as for a
// poll, which does not see the mode: the reason must not depend on who looked last.
func (c *Crew) fitness(w *work) func(jenkins.NodeConfig) error {
	return func(n jenkins.NodeConfig) error {
		switch {
		case n.Executors != 1:
			return &refusal{reason: fmt.Sprintf("it has %d executors; an agent can only be kept clean with one", n.Executors), unfit: true}
		case n.Mode != jenkins.ModeExclusive:
			return &refusal{reason: unfitMode(n.Mode), unfit: true}
		}
		return nil
	}
}

func unfitMode(mode string) string {
	return fmt.Sprintf("its usage is %s; it must be EXCLUSIVE (only build jobs with matching label expressions): \"pitcrew exclusive\" makes it so", mode)
}

// freshLook asks for one agent directly.
func (c *Crew) freshLook(ctx context.Context, w *work) (hygiene.Sighting, error) {
	at := time.Now()
	seen, err := c.Jenkins.Agent(ctx, w.agent.ID.Name)
	if jenkins.IsNotFound(err) {
		return hygiene.Sighting{At: at, Gone: true}, nil
	}
	if err != nil {
		return hygiene.Sighting{}, err
	}
	s := c.sighting(w.settings, w.look, &seen, at)
	s.Neighbour = w.sighting.Neighbour
	return s, c.lookAround(ctx, w, &s)
}

// lookAround looks at the other agents of the same machine: a build that started on one of them
// since the last poll must not find a cleanup beside it.
func (c *Crew) lookAround(ctx context.Context, w *work, s *hygiene.Sighting) error {
	if w.policy.Disjoint || w.agent.State != hygiene.Claimed {
		return nil
	}
	if !foreign(s.Neighbour.Leaving) {
		s.Neighbour.Leaving = "" // of another controller's agents the polls must do
	}
	for _, name := range s.Neighbour.Names {
		seen, err := c.Jenkins.Agent(ctx, name)
		if jenkins.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		n := c.sighting(w.settings, w.look, &seen, s.At)
		if n.Real || n.Hidden {
			s.Neighbour.Real = name
		}
		if n.Labels.Has(hygiene.LabelClean) {
			s.Neighbour.Leaving = name
		}
	}
	return nil
}

// foreign reports whether a neighbour's name is that of another controller's agent.
func foreign(neighbour string) bool {
	_, err := hygiene.ParseAgentID(neighbour)
	return err == nil
}

// crowded reports whether a build may run on another agent of the machine, unseen, or could still be
// given to one. It takes the cleanliness of those that became clean meanwhile; the next polls take their labels off.
func (c *Crew) crowded(ctx context.Context, w *work, n hygiene.Neighbours) (bool, error) {
	reason, leaving := "", n.Leaving
	if i := slices.IndexFunc(n.Clean, foreign); i >= 0 && leaving == "" {
		leaving = n.Clean[i] // when the claim was decided; its crew has not shown it without the label since
	}
	switch {
	case w.policy.Disjoint:
		return false, nil
	case n.Unseen != "":
		reason = "waits until " + n.Unseen + " of its machine is seen: a build may run on it"
	case leaving != "":
		reason = "waits until " + leaving + " of its machine is not labelled clean any more"
	default:
		return false, nil
	}
	if err := c.displace(ctx, w.agent.ID, n.Clean, w.now); err != nil {
		return false, err
	}
	if w.attempt.Reason == reason {
		return true, nil
	}
	return true, c.changeAttempt(ctx, w, func(t *hygiene.Attempt) { t.Reason = reason })
}

// giveBack ends an attempt that touched nothing. The agent stays out until its next look.
func (c *Crew) giveBack(ctx context.Context, w *work, reason string) error {
	return c.end(ctx, w, hygiene.Verdict{Outcome: hygiene.GivenBack, Reason: reason})
}

// changeAttempt stores a change of the current attempt that changes no state.
func (c *Crew) changeAttempt(ctx context.Context, w *work, f func(*hygiene.Attempt)) error {
	return c.change(ctx, w.agent.ID, time.Now(), func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		f(ch.Attempt)
		w.attempt = *ch.Attempt
		return nil, nil
	})
}

// intend stores that the program is about to be handed over, for all that the agent needs by now.
func (c *Crew) intend(ctx context.Context, w *work, f func(*hygiene.Attempt)) error {
	return c.change(ctx, w.agent.ID, time.Now(), func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		ch.Attempt.Suit(ch.Agent)
		ch.Attempt.Run.Intent = true
		f(ch.Attempt)
		w.attempt = *ch.Attempt
		return nil, nil
	})
}

// current refuses to go on when the row is not that of the attempt being worked on.
func (c *Crew) current(ch *store.Change, w *work) error {
	if ch.Attempt == nil || ch.Attempt.Number != w.attempt.Number || !ch.Attempt.Ended.IsZero() || ch.Agent.State != w.agent.State {
		return fmt.Errorf("agent %s, attempt %d: %w", w.agent.ID, w.attempt.Number, hygiene.ErrStale)
	}
	return nil
}

// end closes the attempt with an outcome that is not a success, and frees what it held.
func (c *Crew) end(ctx context.Context, w *work, v hygiene.Verdict) error {
	now := time.Now()
	kinds := map[hygiene.Outcome]hygiene.EventType{
		hygiene.GivenBack: hygiene.EventGivenBack, hygiene.Lost: hygiene.EventLost, hygiene.Failed: hygiene.EventFailed,
	}
	var err error
	if v.Losses, err = c.losses(ctx, w, v.Outcome); err != nil {
		return err
	}
	if v.Unused {
		if v.Ungranted, err = c.ungrantedInRow(ctx, w); err != nil {
			return err
		}
	}
	if v.Hindered > 0 {
		if v.Hindered, err = c.hindrances(ctx, w); err != nil {
			return err
		}
	}
	err = c.change(ctx, w.agent.ID, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if err := c.current(ch, w); err != nil {
			return nil, err
		}
		before := ch.Agent.Quarantine
		a, t, err := hygiene.End(ch.Agent, *ch.Attempt, v, w.policy, now)
		if err != nil {
			return nil, err
		}
		ch.Agent, ch.Attempt, ch.FreeSlot = a, &t, true
		return c.endEvents(kinds[v.Outcome], a, before, v), nil
	})
	if err != nil {
		return err
	}
	c.release(ctx, w)
	return nil
}

// maxLosses is how far back attempts are counted: the wait has long reached its cap then.
const maxLosses = 40

// losses counts the attempts in a row that were lost as this one is about to be.
func (c *Crew) losses(ctx context.Context, w *work, o hygiene.Outcome) (int, error) {
	lost := w.attempt
	lost.Outcome = o
	if !lost.Loses() {
		return 0, nil
	}
	attempts, err := c.newest(ctx, w)
	return 1 + hygiene.CountLosses(attempts, lost.Revision), err
}

// hindrances counts the attempts in a row that were given back as this one is about to be.
func (c *Crew) hindrances(ctx context.Context, w *work) (int, error) {
	attempts, err := c.newest(ctx, w)
	return 1 + hygiene.CountGivenBack(attempts), err
}

// ungrantedInRow counts the attempts in a row that proved the agent clean in vain as this one did.
func (c *Crew) ungrantedInRow(ctx context.Context, w *work) (int, error) {
	attempts, err := c.newest(ctx, w)
	return 1 + hygiene.CountUngranted(attempts), err
}

// newest are the agent's attempts, newest first, as far back as they are counted.
func (c *Crew) newest(ctx context.Context, w *work) ([]hygiene.Attempt, error) {
	records, err := c.Store.Attempts(ctx, store.AttemptFilter{Agent: w.agent.ID, Limit: maxLosses})
	attempts := make([]hygiene.Attempt, len(records))
	for i := range records {
		attempts[i] = records[i].Attempt
	}
	return attempts, err
}

// endEvents is the event of the end, and one of a quarantine or of a row of losses that is new.
func (c *Crew) endEvents(kind hygiene.EventType, a hygiene.Agent, before *hygiene.Quarantine, v hygiene.Verdict) []hygiene.Event {
	e := event(kind, a, v.Reason)
	if v.Step != "" {
		e.Data = map[string]string{"step": v.Step}
	}
	events := []hygiene.Event{e}
	if v.Losses == hygiene.LossesAtOnce+1 || v.Ungranted == hygiene.EditsAtOnce+1 {
		events = append(events, event(hygiene.EventLosing, a, a.Reason+"; it is tried again, later each time"))
	}
	if a.Quarantine != nil && before == nil {
		events = append(events, event(hygiene.EventQuarantined, a, a.Quarantine.Reason))
	}
	return events
}

// release tells of an ended attempt, puts a lifted mark back if that can be done at once, and lets the next
// agent in. The attempt's slot was given back when its program had ended, in the transaction that says so.
func (c *Crew) release(ctx context.Context, w *work) {
	if state := c.reportEnd(ctx, w.agent.ID); state == hygiene.Clean {
		defer c.letIn()
	} else {
		defer poke(c.wake) // it may be its own turn again
	}
	if err := c.remark(ctx, w.agent.ID); err != nil {
		c.Log.WarnContext(ctx, "offline mark could not be put back yet", "agent", w.agent.ID.Name, "err", err)
	}
}

// reportEnd tells the watcher how an attempt ended, and returns the state that its agent is in by now.
func (c *Crew) reportEnd(ctx context.Context, id hygiene.AgentID) hygiene.State {
	a, t, err := c.Store.Agent(ctx, id)
	if err != nil || t == nil || t.Ended.IsZero() {
		return a.State
	}
	var queued, ran time.Duration
	if !t.Started.IsZero() {
		queued, ran = t.Started.Sub(t.Claimed), t.Ended.Sub(t.Started)
	}
	c.Watch.Ended(a, *t, queued, ran)
	c.Rollouts.happened(t.Pool)
	if t.Outcome != hygiene.Failed {
		return a.State
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.tripped[t.Pool]
	last.failures++
	c.tripped[t.Pool] = last
	return a.State
}
