// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// gateEvery is how often a controller without a gate is asked whether it has one now, and nothing in its queue shows it.
const gateEvery = 5 * time.Minute

// gateWord begins what the gate says of an item that it holds back.
const gateWord = "pitcrew: "

// showsGate reports whether something in the queue is held back by a gate.
func (l *Look) showsGate() bool {
	return slices.ContainsFunc(l.Queue.Items, func(item jenkins.QueueItem) bool { return strings.Contains(item.Why, gateWord) })
}

// leavingFor is how long a gate that is about to be removed may still be there before it is taken for one that stays.
const leavingFor = 15 * time.Minute

func leaving(g store.Gate, now time.Time) bool {
	return g.Use == store.LeavingGate && now.Sub(g.Since) < leavingFor
}

// gateClient speaks with the controller's gate.
func (c *Crew) gateClient() *gate.Client {
	return gate.NewClient(c.Jenkins, gate.Labels(c.settings.Load().Labels))
}

// errAnotherLedger is about a look that has the agents as they were before a restart and the ledger as it is after it: a label
// clean that a build took off between the two would be believed, for the ledger does not know of the build any more.
var errAnotherLedger = errors.New("the controller was restarted, or its gate replaced, while it was looked at: the next poll looks again")

// lookAtGate reads the ledger of the controller's gate: one request per poll, where there is a gate. A gate that was there
// and does not answer is lost, at once if the controller answers in its place, and otherwise with the controller.
func (c *Crew) lookAtGate(ctx context.Context, look *Look) error {
	row, err := c.Store.Controller(ctx, c.id)
	if err != nil || c.Refused() != "" {
		return err
	}
	recent := look.At.Sub(c.gateAsked) < gateEvery && c.gateSession == look.Session
	if row.Gate.Use == store.LabelsOnly && recent && !look.showsGate() {
		return nil
	}
	status, err := c.gateClient().Status(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	sameJenkins := c.gateSession == look.Session
	c.gateAsked, c.gateSession = look.At, look.Session
	var unusable *gate.UnusableError
	noGate := errors.Is(err, gate.ErrAbsent) || errors.As(err, &unusable) && !unusable.Heard // or whatever answers in its place
	switch {
	case err == nil:
		c.gateSilent = 0
		known := c.gateLedger
		if c.gateLedger = status.Session; sameJenkins && known != "" && known != status.Session {
			return errAnotherLedger
		}
		look.Gate, look.LeavingGate = status, leaving(row.Gate, look.At)
		look.GateAway = row.Gate.Use == store.Gated && !status.SinceBoot() // one that comes to labels was missed by nobody
		return c.gateAnswered(ctx, row.Gate, look)
	case row.Gate.Use != store.Gated && noGate:
		return c.gateLeft(ctx, row.Gate, look)
	case row.Gate.Use == store.LabelsOnly && unusable == nil:
		return nil
	case !noGate && unusable == nil:
		if c.gateSilent++; c.gateSilent < lostAfter {
			return err
		}
	}
	look.GateProblem, look.GateAway = err.Error(), unusable == nil || !unusable.Heard
	return c.gateLost(ctx, row.Gate, look)
}

// gateAnswered notes that the controller has a gate, or has it back.
func (c *Crew) gateAnswered(ctx context.Context, known store.Gate, look *Look) error {
	reason := fmt.Sprintf("the gate of pitcrew %s keeps builds off agents that are not clean, registered by the %s", look.Gate.Version, look.Gate.Hook)
	switch {
	case known == store.Gate{Use: store.Gated}, look.LeavingGate:
		return nil
	case known.Lost():
		reason = "the gate answers again, after " + look.At.Sub(known.Since).Round(time.Second).String()
	case known.Use == store.LeavingGate:
		reason = fmt.Sprintf("the gate was to be removed %s ago and is still there: it stays in force", leavingFor)
	}
	return c.tellGate(ctx, known, store.Gate{Use: store.Gated}, look.At, hygiene.EventGateUp, reason)
}

// gateLost notes that the controller's gate is lost: agents that are clean lose that by the decision that follows.
func (c *Crew) gateLost(ctx context.Context, known store.Gate, look *Look) error {
	if leaving(known, look.At) && !look.GateAway {
		return nil // it goes on refusing builds until it is gone, which is known
	}
	lost := store.Gate{Use: store.Gated, Since: look.At, Problem: look.GateProblem}
	if known.Lost() { // one alarm, whatever its reason becomes
		lost.Since = known.Since
		_, err := c.saveGate(ctx, known, lost)
		return err
	}
	return c.tellGate(ctx, known, lost, look.At, hygiene.EventGateLost, look.GateProblem+"; nothing is clean until it is back, or until it is given up: pitcrew gate forget "+string(c.id))
}

// gateLeft notes that a gate that was to be removed is gone.
func (c *Crew) gateLeft(ctx context.Context, known store.Gate, look *Look) error {
	if known.Use == store.LabelsOnly {
		return nil
	}
	return c.tellGate(ctx, known, store.Gate{}, look.At, hygiene.EventGateLeft, "the gate was removed: labels alone keep builds off agents that are not clean")
}

// tellGate stores a change of the gate with its event.
func (c *Crew) tellGate(ctx context.Context, known, now store.Gate, at time.Time, kind hygiene.EventType, reason string) error {
	e := hygiene.Event{Type: kind, At: at, Actor: "pitcrew", Subject: string(c.id), Agent: hygiene.AgentID{Controller: c.id}, Reason: reason}
	if saved, err := c.saveGate(ctx, known, now, e); !saved || err != nil {
		return err
	}
	c.Log.WarnContext(ctx, "gate changed", "event", string(kind), "reason", reason)
	c.Watch.Changed(e)
	return nil
}

// saveGate stores what became of the gate that was known, if it did and if somebody did not change it meanwhile: the next
// poll sees what is true of both.
func (c *Crew) saveGate(ctx context.Context, known, now store.Gate, events ...hygiene.Event) (saved bool, err error) {
	if known == now || c.settings.Load().DryRun {
		return false, nil
	}
	err = c.Store.SaveGate(ctx, c.id, known, now, events...)
	if errors.Is(err, store.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// LeaveGate tells the crew that its gate is about to be removed: agents that labels alone cannot keep clean lose clean
// meanwhile, and that it is gone will be no alarm. A gate that is lost is given up at once.
func (c *Crew) LeaveGate(ctx context.Context, actor, reason string) error {
	row, err := c.Store.Controller(ctx, c.id)
	if err != nil || row.Gate.Use == store.LabelsOnly {
		return err
	}
	now := time.Now()
	e := hygiene.Event{
		Type: hygiene.EventGateLeft, At: now, Actor: actor, Subject: string(c.id), Agent: hygiene.AgentID{Controller: c.id},
		Reason: "the gate is to be removed: " + reason,
	}
	err = c.Store.SaveGate(ctx, c.id, row.Gate, store.Gate{Use: store.LeavingGate, Since: now}, e)
	if errors.Is(err, store.ErrConflict) { // a poll saw something else
		return c.LeaveGate(ctx, actor, reason)
	}
	if err != nil {
		return err
	}
	c.Watch.Changed(e)
	c.Poke()
	return nil
}

// gateOf says in the domain's words what the controller's gate holds of an agent.
func (l *Look) gateOf(agent string) hygiene.Gate {
	switch {
	case l.GateProblem != "":
		return hygiene.Gate{Mode: hygiene.GateLost, Problem: l.GateProblem, Away: l.GateAway}
	case l.Gate == nil:
		return hygiene.Gate{}
	}
	a, ok := l.Gate.Agents[agent]
	if !ok {
		return hygiene.Gate{Mode: hygiene.GateUp, State: hygiene.LedgerUnknown, Away: l.GateAway}
	}
	return hygiene.Gate{
		Mode: hygiene.GateUp, Away: l.GateAway, State: hygiene.Ledger(a.State), Attempt: a.Attempt, Item: a.Item, Build: a.Build, Drift: a.Drift, Why: a.Why, Listed: true,
	}
}

// gateSight sums up what the look saw of the gate.
func (l *Look) gateSight() GateSight {
	s := GateSight{Status: l.Gate, Lost: l.GateProblem != ""}
	if l.Gate == nil {
		return s
	}
	for name := range l.Gate.Agents {
		if l.Agents[name].LaunchSupported {
			s.Launched++
		}
	}
	return s
}

// gated reports whether the agent's labels are written by the controller's gate: by the look that the decision was made
// on. A newer one may have lost the gate, which must not turn a grant by the gate into one by labels.
func (w *work) gated() bool {
	return w.look != nil && w.look.Gate != nil
}

// asOwner is how this daemon presents itself to the gate. Which daemon services the controller is settled by the owner's
// mark; who stands in the gate's ledger otherwise has lost there.
func (c *Crew) asOwner() gate.Owner {
	o := gate.Owner{ID: c.Owner}
	if look := c.look.Load(); look != nil && look.Gate != nil && look.Gate.Owner != c.Owner {
		o.InsteadOf = look.Gate.Owner
	}
	return o
}

// writeByGate has the gate write an agent's labels, which changes its ledger in the same breath.
func (c *Crew) writeByGate(ctx context.Context, id hygiene.AgentID, want hygiene.Labels) error {
	verb, tell := "revoke", c.gateClient().Revoke
	switch {
	case want == 0:
		verb, tell = "withdraw", c.gateClient().Withdraw
	case want.Has(hygiene.LabelDirty):
		verb, tell = "hold", c.gateClient().Hold
	}
	answer, err := tell(ctx, c.asOwner(), gate.Ref{Agent: id.Name})
	if answer == gate.Unmanaged || answer == gate.Gone {
		return &refusal{reason: "the label cleanable was removed"}
	}
	if err == nil {
		err = answer.Err(verb, id.Name)
	}
	c.noteEdit(ctx, id, want, err)
	return err
}

// claimByGate claims the agent in the gate's ledger for the program that its attempt is about to hand over, which puts
// dirty on: nothing but the job's build for this attempt starts there from then on. A reason means that the gate says no.
func (c *Crew) claimByGate(ctx context.Context, w *work, job string) (reason string, err error) {
	answer, err := c.gateClient().Claim(ctx, c.asOwner(), gate.Claim{
		Agent: w.agent.ID.Name, Attempt: w.attempt.Number, Job: job,
		Renew: w.attempt.Reconnect > 0, Offline: w.attempt.Delivery == hygiene.BySSH,
	})
	if err != nil {
		return "", err
	}
	switch answer { //nolint:exhaustive // what is not expected here is an error
	case gate.OK:
		c.noteEdit(ctx, w.agent.ID, hygiene.ShowDirty, nil)
		return "", nil
	case gate.Busy:
		return "a build started on it", c.needAll(ctx, w.agent.ID, "a build started on it", w.now)
	case gate.Awaits:
		return "a build that began before the controller's restart is about to come back to it", nil
	case gate.Offline:
		return "its connection was lost", nil
	case gate.Unmanaged, gate.Gone:
		return "the label cleanable was removed", nil
	case gate.Stale:
		return "the gate knows a newer attempt", nil
	}
	err = answer.Err("claim", w.agent.ID.Name)
	c.noteEdit(ctx, w.agent.ID, hygiene.ShowDirty, err)
	return "", err
}

// grantByGate has the gate declare the agent clean, in the same breath in which it looks that nothing has used the agent
// since it was claimed, and that its connection is the one it was claimed on.
func (c *Crew) grantByGate(ctx context.Context, w *work) (gate.Answer, error) {
	answer, err := c.gateClient().Grant(ctx, c.asOwner(), gate.Ref{Agent: w.agent.ID.Name, Attempt: w.attempt.Number})
	if err != nil {
		return "", err
	}
	switch answer { //nolint:exhaustive // what is not expected here is an error
	case gate.OK, gate.Busy, gate.Offline, gate.Connection, gate.Stale, gate.Unmanaged, gate.Gone:
		return answer, nil
	}
	err = answer.Err("grant", w.agent.ID.Name)
	c.noteEdit(ctx, w.agent.ID, hygiene.ShowClean, err)
	return "", err
}

// whyNotGranted says for people why the gate did not grant, and whether the agent may have been used.
func whyNotGranted(a gate.Answer) (reason string, used bool) {
	switch a { //nolint:exhaustive // of the others one sentence is true
	case gate.Offline, gate.Connection:
		return "its connection was lost after it was claimed", false
	case gate.Unmanaged, gate.Gone:
		return "the label cleanable was removed", false
	}
	return "the gate holds no claim of this attempt any more: something used the agent, or the ledger was emptied by a restart", true
}

// nameUse finds out which build took an agent's cleanliness, of which the gate told the number in the queue alone, for it did not
// exist yet. Most often the gate knows it by now. Jenkins forgets it five minutes after it has left the queue
// (hudson.model.Queue#leftItems).
func (c *Crew) nameUse(ctx context.Context, w *work) error {
	use := *w.agent.Used
	if g := w.sighting.Gate; g.Item == use.Item && g.Build != "" {
		use.URL = g.Build
	} else {
		item, err := c.Jenkins.QueueItem(ctx, use.Item)
		switch {
		case jenkins.IsNotFound(err):
		case err != nil:
			return err
		case item.Executable != nil:
			use.URL = item.Executable.URL
		case !item.Cancelled:
			return nil // its build does not exist yet
		}
	}
	number, newest := use.Attempt, false
	use.Item, use.Attempt = 0, 0
	err := c.change(ctx, w.agent.ID, w.now, func(ch *store.Change) ([]hygiene.Event, error) {
		if ch.Agent.Used == nil || *ch.Agent.Used != *w.agent.Used {
			return nil, store.ErrUnchanged
		}
		ch.Agent.Used = &use
		if newest = ch.Attempt != nil && ch.Attempt.Number == number; newest && ch.Attempt.UsedBy == "" {
			ch.Attempt.UsedBy = use.URL
		}
		return nil, nil
	})
	if err != nil || newest || use.URL == "" {
		return err
	}
	return c.Store.NameUse(ctx, w.agent.ID, number, use.URL)
}

// gatePatience is how long the gate may keep us waiting for news. A request may take longer.
const gatePatience = 20 * time.Second

// gateRest is between two waits for news at least: what happens meanwhile is seen by one poll. In a big fleet it is so many
// times as long as a poll takes, so that the controller is not kept busy by being looked at.
const (
	gateRest  = 100 * time.Millisecond
	gateRests = 8
)

// gateEcho is between two waits at least where the first brought nothing but the echo of what we did: no poll follows that, and an
// end that comes meanwhile would wait for the rest of one. It is not shorter than a poll takes, for a big fleet has an echo all the time.
const gateEcho = 10 * time.Millisecond

// gateFreed is when an agent is looked at again of which the gate has told that something ended there: Jenkins tells of
// that before it frees the executor (hudson.model.Executor#finish1).
const gateFreed = 30 * time.Millisecond

// listen waits for news of the gate, and has the controller looked at when there are some, until ctx ends. Losing any of
// them costs no more than the time to the next poll.
func (c *Crew) listen(ctx context.Context) error {
	var session string
	var since int64
	wait := time.Duration(0)
	return every(ctx, func() time.Duration { return wait }, nil, func(ctx context.Context) {
		c.Watch.Beat(c.id, "listen", time.Now())
		look := c.look.Load()
		if wait = c.settings.Load().Poll; look == nil || look.Gate == nil || c.Refused() != "" {
			return
		}
		if session != look.Gate.Session {
			session, since = look.Gate.Session, look.Gate.Seq
		}
		began := time.Now()
		news, err := c.gateClient().Events(ctx, session, since, gatePatience)
		if err != nil {
			if ctx.Err() == nil && !jenkins.IsRetryable(err) {
				c.Poke() // the gate is gone, or another one
			}
			return
		}
		wait = max(gateRest, gateRests*c.sweepTook())
		if session, since = news.Session, news.Seq; news.Gap || tells(news.Events) {
			if slices.ContainsFunc(news.Events, func(e gate.Event) bool { return e.Event == "ended" }) {
				time.AfterFunc(gateFreed, c.Poke)
			}
			c.Poke()
		} else if len(news.Events) > 0 {
			wait = max(gateEcho, c.sweepTook())
		} else if time.Since(began) < gateRest {
			wait = c.settings.Load().Poll // a proxy that lets nobody wait
		}
	})
}

// tells reports whether one of the events is more than the echo of what we did ourselves.
func tells(events []gate.Event) bool {
	for _, e := range events {
		switch e.Event {
		case "claimed", "started", "granted", "revoked", "held", "withdrawn", "consumed":
		default:
			return true
		}
	}
	return false
}
