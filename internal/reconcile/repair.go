// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// refusal is a reason not to write labels, found in the configuration that was just read.
type refusal struct {
	reason string
	unfit  bool // the agent may not be called clean as it is configured
}

func (r *refusal) Error() string { return r.reason }

// show writes want as our labels of the agent, if guard allows it for the configuration as it is
// at that moment. It never writes to an agent without cleanable, except to take our labels off.
func (c *Crew) show(ctx context.Context, w *work, want hygiene.Labels, guard func(jenkins.NodeConfig) error) error {
	names := w.settings.Labels
	edit, err := c.Jenkins.EditLabels(ctx, w.agent.ID.Name, func(n jenkins.NodeConfig) ([]string, error) {
		have := names.Read(n.Labels)
		c.noteBorrowed(w.agent.ID.Name, w.sighting.Labels&^have)
		if !have.Has(hygiene.LabelCleanable) && want != 0 {
			return nil, &refusal{reason: "the label cleanable was removed"}
		}
		if guard != nil {
			if err := guard(n); err != nil {
				return nil, err
			}
		}
		if have == want {
			return nil, jenkins.ErrNoChange
		}
		return names.Apply(n.Labels, want), nil
	})
	if _, refused := errors.AsType[*refusal](err); !refused {
		c.noteEdit(ctx, w.agent.ID, want, err)
	}
	if err != nil {
		return fmt.Errorf("show %s: %w", want, err)
	}
	if edit.Written {
		c.noteBorrowed(w.agent.ID.Name, 0) // what later looks show is ours
	}
	if slices.Contains(edit.Stale, names.Clean) {
		c.suspect(w.agent.ID.Name)
	}
	return nil
}

// staleFor is how long Jenkins' label cache can go on showing a label that was removed: until its
// own sweep, every five minutes (jenkins.model.Jenkins).
const staleFor = 6 * time.Minute

// suspect remembers that the scheduler still gave the agent to jobs that ask for clean after the
// label was taken off.
func (c *Crew) suspect(agent string) {
	c.Log.Warn("the scheduler still shows a label that was taken off", "agent", agent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale[agent] = time.Now().Add(staleFor)
}

// stillOffered asks, of an agent that is suspect, whether the scheduler still offers it as clean.
func (c *Crew) stillOffered(ctx context.Context, w *work) (bool, error) {
	name := w.agent.ID.Name
	c.mu.Lock()
	until, suspect := c.stale[name]
	if suspect && w.now.After(until) {
		delete(c.stale, name)
		suspect = false
	}
	c.mu.Unlock()
	if !suspect {
		return false, nil
	}
	offered, err := c.Jenkins.LabelNodes(ctx, w.settings.Labels.Clean)
	return slices.Contains(offered, name), err
}

// adopt starts managing an agent. The store is told first: from then on a build that starts there
// is known to start on an agent that is not clean.
func (c *Crew) adopt(ctx context.Context, w *work, act hygiene.Action) error {
	pool := ""
	if w.pool != nil {
		pool = w.pool.Name
	}
	err := c.change(ctx, w.agent.ID, w.now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.Managed() {
			return nil, store.ErrUnchanged
		}
		a, err := ch.Agent.To(hygiene.Due, act.Reason, w.now)
		if err != nil {
			return nil, err
		}
		a.Need, a.Pool = act.Need, pool
		a.Adopted = c.theirs(w.now)
		ch.Agent = a
		return []hygiene.Event{event(hygiene.EventAdopted, a, act.Reason)}, nil
	})
	if err != nil || !act.Write {
		return err
	}
	return c.writeLabels(ctx, w, act.Labels)
}

// writeLabels writes and remembers when, so that older looks are not believed.
func (c *Crew) writeLabels(ctx context.Context, w *work, want hygiene.Labels) error {
	err := c.write(ctx, w, want)
	if _, ok := errors.AsType[*refusal](err); ok {
		return nil // withdrawn meanwhile; the next poll sees it
	}
	if err != nil {
		return err
	}
	return c.wroteLabels(ctx, w.agent.ID)
}

// write writes labels that are not clean, by the gate where there is one. During a cleanup or a loan that would end its claim: there
// the labels alone are mended, which the gate does not decide by.
func (c *Crew) write(ctx context.Context, w *work, want hygiene.Labels) error {
	if w.gated() && !w.agent.State.InProgress() && w.agent.Loan == nil {
		return c.writeByGate(ctx, w.agent.ID, want)
	}
	return c.show(ctx, w, want, nil)
}

// wroteLabels stores that an agent's labels were written, or are about to be.
func (c *Crew) wroteLabels(ctx context.Context, id hygiene.AgentID) error {
	now := time.Now()
	return c.change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		ch.Agent.LabelsAt = now
		return nil, nil
	})
}

// relabel repairs labels without a change of state.
func (c *Crew) relabel(ctx context.Context, w *work, act hygiene.Action) error {
	if err := c.writeLabels(ctx, w, act.Labels); err != nil {
		return err
	}
	return c.change(ctx, w.agent.ID, w.now, func(ch *store.Change) ([]hygiene.Event, error) {
		return []hygiene.Event{event(hygiene.EventRelabelled, ch.Agent, act.Reason)}, nil
	})
}

// unclean ends the cleanliness of an agent: store first, labels after, and the labels even if the store cannot be
// written: a way towards dirty must not end at a full disk.
func (c *Crew) unclean(ctx context.Context, w *work, act hygiene.Action) error {
	l := loss{need: act.Need, reason: act.Reason, at: w.now}
	if act.Edited {
		c.dispute(ctx, w, &l)
	}
	switch g := w.sighting.Gate; {
	case w.sighting.Real:
		l.use = &hygiene.Use{URL: w.sighting.RealURL, At: w.sighting.At}
	case g.Mode == hygiene.GateUp && g.State == hygiene.LedgerUsed && g.Attempt == w.agent.Attempt:
		l.use = &hygiene.Use{At: w.sighting.At, Item: g.Item, Attempt: g.Attempt}
		if g.Build != "" {
			l.use = &hygiene.Use{At: w.sighting.At, URL: g.Build}
		}
	}
	err := c.spoil(ctx, w.agent.ID, l, w.now)
	if act.Write {
		err = errors.Join(err, c.writeLabels(ctx, w, act.Labels))
	}
	return err
}

// refresh makes a clean agent due only because it has been clean for long: it is as clean as before while that
// cannot be stored.
func (c *Crew) refresh(ctx context.Context, w *work, act hygiene.Action) error {
	if err := c.lose(ctx, w.agent.ID, loss{need: act.Need, reason: act.Reason, at: w.now}, w.now); err != nil {
		return err
	}
	return c.writeLabels(ctx, w, hygiene.ShowDue)
}

// loss is what ended the cleanliness of an agent.
type loss struct {
	need   hygiene.Need
	use    *hygiene.Use // the build that took it; nil = it was lost to something else
	reason string
	at     time.Time
	edits  int           // in a row by which it was lost, this one included; 0 = it was not lost to an edit
	wait   time.Duration // of the next cleanup
}

// spoil is lose for an agent that is clean no more, whatever the store says of it. What cannot be stored is owed: the
// next try stores it and not what it sees, which may be no more than that clean was taken off.
func (c *Crew) spoil(ctx context.Context, id hygiene.AgentID, l loss, now time.Time) error {
	c.mu.Lock()
	if first, ok := c.owed[id.Name]; ok {
		l = first
	}
	c.mu.Unlock()
	err := c.lose(ctx, id, l, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.owed[id.Name] = l
	} else {
		delete(c.owed, id.Name)
	}
	return err
}

// lose moves a clean agent to due. An agent that is not clean any more is left as it is.
func (c *Crew) lose(ctx context.Context, id hygiene.AgentID, l loss, now time.Time) error {
	theirs, err := c.theirsOf(ctx, id, l.at)
	if err != nil {
		return err
	}
	return c.change(ctx, id, now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.State != hygiene.Clean {
			return nil, store.ErrUnchanged
		}
		return l.take(ch, theirs, now)
	})
}

// take takes the cleanliness from a clean agent. Theirs is the time of the loss by its controller's clock.
func (l *loss) take(ch *store.Change, theirs, now time.Time) ([]hygiene.Event, error) {
	a, err := ch.Agent.To(hygiene.Due, l.reason, now)
	if err != nil {
		return nil, err
	}
	a.Need = l.need
	if l.wait > 0 {
		a.NextLook = now.Add(l.wait)
	}
	usedBy := ""
	if l.use != nil {
		a.Used, usedBy = l.use, l.use.URL
	}
	ch.Attempt.Lose(theirs, usedBy)
	ch.Agent = a
	return l.events(a), nil
}

// withdraw stops managing an agent: its program is stopped, our labels are taken off once, and
// only then the store forgets that it was ours.
func (c *Crew) withdraw(ctx context.Context, w *work, act hygiene.Action) error {
	if w.agent.State.InProgress() {
		c.stop(ctx, w)
	}
	if err := c.withdrawByGate(ctx, w, act); err != nil {
		return err
	}
	if act.Write {
		err := c.show(ctx, w, 0, func(n jenkins.NodeConfig) error {
			if w.settings.Labels.Read(n.Labels).Has(hygiene.LabelCleanable) {
				return &refusal{reason: "the label cleanable is back"}
			}
			return nil
		})
		if _, ok := errors.AsType[*refusal](err); ok {
			return nil
		}
		if err != nil {
			return err
		}
	} else if w.sighting.Labels != 0 {
		return nil // something is starting there; the labels are taken off when it has begun
	}
	return c.leave(ctx, w, hygiene.EventWithdrawn, act.Reason)
}

// withdrawByGate has the gate forget an agent that it knows: it would go on refusing builds there otherwise.
func (c *Crew) withdrawByGate(ctx context.Context, w *work, act hygiene.Action) error {
	if w.look.Gate == nil {
		return nil
	}
	if _, known := w.look.Gate.Agents[w.agent.ID.Name]; !known || !act.Write && w.sighting.Labels != 0 {
		return nil
	}
	err := c.writeByGate(ctx, w.agent.ID, 0)
	if _, ok := errors.AsType[*refusal](err); ok {
		return nil
	}
	return err
}

// forget drops an agent that does not exist any more.
func (c *Crew) forget(ctx context.Context, w *work, act hygiene.Action) error {
	if err := c.withdrawByGate(ctx, w, act); err != nil {
		c.Log.WarnContext(ctx, "the gate goes on knowing an agent that is gone", "agent", w.agent.ID.Name, "err", err)
	}
	return c.leave(ctx, w, hygiene.EventForgotten, act.Reason)
}

// leave moves an agent out of our care and ends its attempt as lost.
func (c *Crew) leave(ctx context.Context, w *work, kind hygiene.EventType, reason string) error {
	err := c.change(ctx, w.agent.ID, w.now, func(ch *store.Change) ([]hygiene.Event, error) {
		if !ch.Agent.Managed() {
			return nil, store.ErrUnchanged
		}
		if ch.Attempt != nil && ch.Attempt.Ended.IsZero() {
			ch.Attempt.Ended, ch.Attempt.Outcome, ch.Attempt.Reason = w.now, hygiene.Lost, reason
		}
		a, err := ch.Agent.Leave(reason, w.now)
		if err != nil {
			return nil, err
		}
		if kind == hygiene.EventForgotten {
			a.Mark = "" // went with the agent
		}
		events := []hygiene.Event{event(kind, a, reason)}
		if ch.Agent.Quarantine != nil && a.Quarantine == nil {
			events = append(events, event(hygiene.EventReleased, a, reason))
		}
		if ch.Agent.Stuck != nil {
			events = append(events, event(hygiene.EventUnstuck, a, "its labels are nobody's business any more"))
		}
		ch.Agent = a
		return events, nil
	})
	if err != nil {
		return err
	}
	if err := c.readable(ctx, w.agent.ID, "its builds are nobody's business any more"); err != nil {
		return err
	}
	return c.Store.FreeSlot(ctx, c.id, w.agent.ID.Name, w.attempt.Number)
}
