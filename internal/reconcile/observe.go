// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
)

// Look is what one poll of a controller saw.
type Look struct {
	At            time.Time // when the first of its requests was sent
	Session       string
	SessionSince  time.Time // when a change to this session was noticed; zero if none was
	Version       string
	Clock         jenkins.Clock
	Agents        map[string]jenkins.Agent
	Gone          map[string]bool // agents that a direct look did not find
	Queue         jenkins.Queue
	Modes         map[string]string // by agent name; in a dry run only
	ModesAt       time.Time         // when they were asked for
	Gate          *gate.Status      // nil = there is none that answers
	GateProblem   string            // why the gate that there was does not
	GateAway      bool              // nothing is known to refuse builds now, or to have refused them before its ledger began
	LeavingGate   bool              // the gate is about to be removed
	Unproven      string            // why it cannot be told whether we still service the controller; "" = it can
	UnprovenSince time.Time         // the first look in a row for which it could not
}

// MarkPrefix begins every offline message of ours, so that we know our own marks.
const MarkPrefix = "pitcrew: "

// loanMark begins that of an agent on loan.
const loanMark = MarkPrefix + "lent to "

// goneAfter is the number of polls without an agent after which it is looked for by name:
// absence from the list is not deletion.
const goneAfter = 2

// sweepTimeout bounds one poll; a controller's queue lock can delay it for many seconds.
const sweepTimeout = time.Minute

// observe polls until ctx ends.
func (c *Crew) observe(ctx context.Context) error {
	return every(ctx, func() time.Duration { return c.settings.Load().Poll }, c.sweep, func(ctx context.Context) {
		began := time.Now()
		c.Watch.Beat(c.id, "observe", began)
		err := c.sweepOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		c.took.Store(int64(time.Since(began)))
		c.Watch.Swept(c.id, time.Since(began), err)
		c.noteProblem(ctx, err)
	})
}

// sweepTook is how long the newest poll took.
func (c *Crew) sweepTook() time.Duration { return time.Duration(c.took.Load()) }

// lostAfter is the number of polls in a row that must fail before people are told that a controller
// is lost: a restart of it is told by its session.
const lostAfter = 5

// noteProblem remembers why the newest poll failed, and says so when it is something new.
func (c *Crew) noteProblem(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	old := c.Problem()
	c.problem.Store(&text)
	switch {
	case err != nil && old == "":
		c.Log.WarnContext(ctx, "controller cannot be polled", "err", err)
	case err == nil && old != "":
		c.Log.InfoContext(ctx, "controller can be polled again")
	}
	if err == nil {
		if c.failed >= lostAfter {
			c.tellController(ctx, "it can be polled again")
		}
		c.failed = 0
		return
	}
	if c.failed++; c.failed == lostAfter {
		what := "it cannot be polled: "
		if look := c.look.Load(); look != nil && look.Unproven == text {
			what = "nothing begins there while it cannot be told who services it: "
		}
		c.tellController(ctx, what+text)
	}
}

// tellController records that the controller was lost, or is back.
func (c *Crew) tellController(ctx context.Context, reason string) {
	if c.settings.Load().DryRun {
		return
	}
	e := hygiene.Event{
		Type: hygiene.EventController, At: time.Now(), Actor: "pitcrew", Subject: string(c.id),
		Agent: hygiene.AgentID{Controller: c.id}, Reason: reason,
	}
	if err := c.Store.Append(ctx, e.At, e); err != nil {
		c.Log.ErrorContext(ctx, "event could not be recorded", "err", err)
		return
	}
	c.Watch.Changed(e)
}

// Problem tells why the newest poll failed, or "".
func (c *Crew) Problem() string {
	if p := c.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// sweepOnce makes the two requests of a poll, and those that only a change calls for: the proof
// of ownership after a restart, and a direct look at agents that are missing.
func (c *Crew) sweepOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	at := time.Now()
	fleet, err := c.Jenkins.Fleet(ctx)
	if err != nil {
		return err
	}
	queue, err := c.Jenkins.Queue(ctx)
	if err != nil {
		return err
	}
	look := &Look{At: at, Session: fleet.Session, Version: fleet.Version, Clock: fleet.Clock, Queue: queue, Agents: make(map[string]jenkins.Agent, len(fleet.Agents))}
	for _, a := range fleet.Agents {
		look.Agents[a.Name] = a
	}
	if look.SessionSince, err = c.session(ctx, look); err != nil {
		return err
	}
	unproven := c.own(ctx, look)
	if unproven != nil && !c.marked(c.settings.Load().jobName("owner")) {
		return unproven
	}
	c.noteUnproven(look, unproven)
	if err := c.lookForMissing(ctx, look); err != nil {
		return err
	}
	if err := c.lookAtGate(ctx, look); err != nil {
		return err
	}
	c.noteBusy(look)
	c.lookAtModes(ctx, look)
	c.look.Store(look)
	c.Watch.Gated(c.id, look.gateSight())
	poke(c.wake)
	return unproven
}

// noteUnproven lets a look count although ours is not proven to be the controller's mark: we wrote it before, and an agent
// that a build takes must lose clean whatever becomes of one job. Nothing new begins.
func (c *Crew) noteUnproven(look *Look, err error) {
	if err == nil {
		return
	}
	look.Unproven, look.UnprovenSince = err.Error(), look.At
	if last := c.look.Load(); last != nil && last.Unproven != "" {
		look.UnprovenSince = last.UnprovenSince
	}
}

// session notes a new X-Jenkins-Session: the controller was restarted, and every assumption about
// left queue items, running builds and quiet executors is dropped. It returns when the present
// session was first seen to differ from the one before.
func (c *Crew) session(ctx context.Context, look *Look) (time.Time, error) {
	row, err := c.Store.Controller(ctx, c.id)
	if err != nil {
		return time.Time{}, err
	}
	clockSet := c.readClock(look.Clock, &row)
	if look.Session == "" || row.Session == look.Session {
		ahead := row.SessionSince.After(look.At)
		if !ahead && !clockSet || c.settings.Load().DryRun {
			return row.SessionSince, nil
		}
		if ahead {
			row.SessionSince = look.At // our clock was set back: the grace begins anew, and does not last until then
		}
		if err := c.Store.SaveController(ctx, row); err != nil {
			c.Log.ErrorContext(ctx, "the controller's clock could not be stored", "err", err)
		}
		return row.SessionSince, nil
	}
	first := row.Session == ""
	row.Session, row.Version = look.Session, look.Version
	if !first {
		row.SessionSince = look.At
		c.Log.InfoContext(ctx, "controller was restarted", "version", look.Version)
	}
	if !c.settings.Load().DryRun {
		if err := c.Store.SaveController(ctx, row); err != nil {
			// What this look shows must be seen all the same. The next one finds the session new again, and the grace
			// goes on until it is stored.
			c.Log.ErrorContext(ctx, "the restart of the controller could not be stored", "err", err)
		}
	}
	c.forgetOwner()
	before := c.quietIn(c.look.Load(), look)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = before
	clear(c.asked)
	c.unread = look.At
	return row.SessionSince, nil
}

// lookForMissing looks directly at managed agents that several polls did not list.
func (c *Crew) lookForMissing(ctx context.Context, look *Look) error {
	m := lists.Get().(*list)
	defer lists.Put(m)
	agents, err := c.Store.AppendAgents(ctx, m.stored[:0], c.id)
	if err != nil {
		return err
	}
	m.stored = agents
	for i := range agents {
		a := &agents[i]
		_, listed := look.Agents[a.ID.Name]
		if !c.countMissing(a, listed) {
			continue
		}
		seen, err := c.Jenkins.Agent(ctx, a.ID.Name)
		switch {
		case jenkins.IsNotFound(err):
			if look.Gone == nil {
				look.Gone = map[string]bool{}
			}
			look.Gone[a.ID.Name] = true
		case err != nil:
			c.Log.WarnContext(ctx, "an agent that is not listed could not be looked for", "agent", a.ID.Name, "err", err)
		default:
			look.Agents[a.ID.Name] = seen
		}
	}
	return nil
}

// countMissing reports whether an agent to which we have duties has been missing long enough to be
// looked for.
func (c *Crew) countMissing(a *hygiene.Agent, listed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if listed || !a.Managed() && a.Mark == "" {
		delete(c.missing, a.ID.Name)
		return false
	}
	c.missing[a.ID.Name]++
	return c.missing[a.ID.Name] >= goneAfter
}

// noteBusy remembers since when each agent has been busy with what it is busy with.
func (c *Crew) noteBusy(look *Look) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, a := range look.Agents {
		b, ok := c.busySince[name]
		if a.Idle {
			delete(c.busySince, name)
			continue
		}
		if !ok || replaced(b.with, a.Running) {
			b.since = look.At
		}
		if len(a.Running) > 0 { // an executor that was only just given work shows nothing yet
			b.with = a.Running
		}
		c.busySince[name] = b
	}
	for name := range c.busySince {
		if _, ok := look.Agents[name]; !ok {
			delete(c.busySince, name)
		}
	}
}

// busy is since when an agent works, and what at, as the polls saw it.
type busy struct {
	since time.Time
	with  []jenkins.Executable // of the newest look that showed anything
}

// replaced reports whether all that ran has ended and something else runs, with no idle look between.
func replaced(before, now []jenkins.Executable) bool {
	return len(before) > 0 && len(now) > 0 && !slices.ContainsFunc(now, func(e jenkins.Executable) bool {
		return slices.ContainsFunc(before, func(b jenkins.Executable) bool { return b.URL == e.URL })
	})
}

// sighting says in the domain's words what was seen of one agent at a time.
func (c *Crew) sighting(s *Settings, look *Look, seen *jenkins.Agent, at time.Time) hygiene.Sighting {
	out := hygiene.Sighting{
		At: at, Session: look.Session, SessionSince: look.SessionSince,
		Present: true, BuiltIn: seen.BuiltIn, Labels: s.Labels.Read(seen.Labels),
		Idle: seen.Idle, Hidden: seen.Hidden,
		Offline: seen.Offline, OfflineBy: offlineBy(seen), Reached: !seen.Offline || seen.TemporarilyOffline,
		Launchable: seen.LaunchSupported,
	}
	out.Gate = look.gateOf(seen.Name)
	if seen.Executors > 1 && (look.Gate == nil || look.LeavingGate) {
		out.Unfit = fmt.Sprintf("it has %d executors; an agent can only be kept clean with one", seen.Executors)
	}
	for _, e := range seen.Running {
		if s.ours(e.Job) {
			out.Own = true
		} else if !out.Real {
			out.Real, out.RealURL = true, e.URL
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.busySince[seen.Name]; ok {
		out.BusyFor = at.Sub(b.since)
	}
	if out.Refused = c.cannotManage(s, seen.Name, out.Labels, at); out.Refused != "" {
		out.Labels = 0
	}
	if mode, ok := look.Modes[seen.Name]; ok && out.Unfit == "" && look.LeavingGate && mode != jenkins.ModeExclusive {
		out.Unfit = unfitMode(mode)
	}
	return out
}

// offlineBy reads the cause's class: the text is localised, the class is not.
func offlineBy(a *jenkins.Agent) hygiene.OfflineBy {
	switch class := a.OfflineClass; {
	case !a.Offline:
		return hygiene.OnlineNow
	case strings.HasPrefix(a.OfflineReason, loanMark):
		return hygiene.ByLoan
	case strings.HasPrefix(a.OfflineReason, MarkPrefix):
		return hygiene.ByUs
	case strings.HasPrefix(class, "hudson.node_monitors.DiskSpace"):
		return hygiene.ByMonitor // of the temporary directory, too: hudson.node_monitors.TemporarySpaceMonitor
	case strings.HasPrefix(class, "hudson.node_monitors."):
		return hygiene.ByHealth
	case strings.HasSuffix(class, "$IdleOfflineCause"), class == "" && a.LaunchSupported:
		return hygiene.ByDemand
	case a.TemporarilyOffline, strings.HasSuffix(class, "$UserCause"), strings.HasSuffix(class, "$ByCLI"):
		return hygiene.ByPerson
	}
	return hygiene.ByConnection
}
