// SPDX-License-Identifier: Apache-2.0

package hygiene

import (
	"fmt"
	"time"
)

// lookAgain is the longest time for which a managed agent that is not clean goes without a look.
const lookAgain = time.Minute

// Next returns the one action that agent a needs at now, given what was seen of it. The agent
// may be the zero Agent with an ID: it is not known to the store then.
//
// Next never asks for a write on an agent without the label cleanable (but for [Withdraw], once),
// never on the built-in node, and never one that adds clean: that is [Grant]'s alone.
func Next(a Agent, s Sighting, p Policy, now time.Time) Action {
	act := next(a, s, p, now)
	act.Agent = a.ID
	if act.Kind == Rest && act.Wake.IsZero() && a.Managed() && a.State != Clean {
		act.Wake = now.Add(lookAgain)
	}
	return act
}

func next(a Agent, s Sighting, p Policy, now time.Time) Action {
	switch {
	case s.BuiltIn:
		return rest("the built-in node is never managed")
	case s.Gone && a.Managed():
		return Action{Kind: Forget, Reason: "the controller has no such agent any more"}
	case a.owes(s):
		return Action{Kind: Remark, Reason: "its offline mark was lifted for a cleanup that did not succeed"}
	case !s.Present && a.State.InProgress():
		return Action{Kind: Drive, Reason: "an attempt is in progress"}
	case !s.Present:
		return rest("not in the controller's list; that proves nothing")
	case !a.Managed() && s.Refused != "":
		return rest("not managed: " + s.Refused)
	case !a.Managed() && s.Gate.Listed && !s.Labels.Has(LabelCleanable):
		// It left our care when the gate could not be told, or a store that is lost now had it.
		return Action{Kind: Withdraw, Reason: "not ours, and the gate refuses builds on it", Write: s.Labels != 0 && !starting(s)}
	case !a.Managed():
		return adopt(s)
	case stale(a, s):
		return rested(a, "waits for a look that is newer than our last write", now)
	case s.Refused != "":
		return Action{Kind: Withdraw, Reason: s.Refused}
	case !s.Labels.Has(LabelCleanable):
		return Action{
			Kind: Withdraw, Reason: "the label cleanable was removed",
			Write: s.Labels != 0 && !starting(s), Labels: 0,
		}
	}
	switch {
	case a.State.InProgress():
		return inProgress(a, s)
	case a.State == Clean:
		return clean(a, s, p, now)
	default:
		return due(a, s, p, now)
	}
}

// owes reports whether a lifted offline mark is to be put back now, wherever the agent has got to
// meanwhile: out of our care, or out of the controller, which ends the debt.
func (a Agent) owes(s Sighting) bool {
	return a.Mark != "" && !a.State.InProgress() && (s.Present || s.Gone)
}

// stale reports whether the sighting is not younger than what we last did to the agent.
func stale(a Agent, s Sighting) bool {
	return !s.At.After(a.LabelsAt) || !s.At.After(a.Since)
}

func rest(reason string) Action { return Action{Kind: Rest, Reason: reason} }

// rested keeps an owned agent with its owner.
func rested(a Agent, reason string, now time.Time) Action {
	if a.State.InProgress() {
		return Action{Kind: Drive, Reason: "an attempt is in progress"}
	}
	if a.State == Clean {
		reason = a.Reason
	}
	return Action{Kind: Rest, Reason: reason, Wake: now}
}

// adopt is the row "unknown to the store" of the table of label sets.
func adopt(s Sighting) Action {
	if !s.Labels.Has(LabelCleanable) {
		return rest("not labelled cleanable: not ours")
	}
	act := Action{Kind: Adopt, Reason: "labelled cleanable", Need: NeedCleanup}
	if s.Labels.Has(LabelClean) {
		act.Reason = "labelled cleanable; its clean is not ours and is taken away"
		act.Labels, act.Write = s.Labels&^LabelClean, !starting(s)
	}
	return act
}

// starting reports whether something is just being started that cannot be seen yet. A label
// edit in that moment can break the build (hudson.model.Slave#createLauncher).
func starting(s Sighting) bool { return !s.Idle && s.Hidden && !s.Real && !s.Own }

func inProgress(a Agent, s Sighting) Action {
	switch {
	case a.State == Claimed || a.State == Granting:
		// Its labels are being written by the attempt itself, which reads them back.
		return Action{Kind: Drive, Reason: "an attempt is in progress"}
	case s.Labels.Has(LabelClean) && !starting(s):
		return Action{Kind: Relabel, Reason: "somebody labelled it clean during a cleanup", Labels: ShowDirty, Write: true}
	case !s.Labels.Has(LabelDirty) && !starting(s):
		return Action{Kind: Relabel, Reason: "somebody removed dirty during a cleanup", Labels: ShowDirty, Write: true}
	}
	return Action{Kind: Drive, Reason: "an attempt is in progress"}
}

// clean is the life of a clean agent: what takes its cleanliness away, most certain first.
func clean(a Agent, s Sighting, p Policy, now time.Time) Action {
	lose := func(reason string, need Need, show Labels) Action {
		return Action{
			Kind: Unclean, Reason: reason, Need: need,
			Labels: show, Write: s.Labels != show && s.Labels.Has(LabelClean) && !starting(s),
		}
	}
	if s.Real {
		return lose("used by "+s.RealURL, NeedCleanup, ShowDue)
	}
	if reason, need := s.Gate.unclean(a); reason != "" {
		// The gate takes the label off when a build begins, which outlasts its ledger; a person who does so asks for a cleanup.
		if need == NeedVerify && !s.Labels.Has(LabelClean) {
			reason, need = reason+"; its label clean is gone, as after a build", NeedCleanup
		}
		return lose(reason, need, ShowDue)
	}
	switch {
	case s.Labels.Has(LabelDirty):
		act := lose("somebody labelled it dirty", NeedCleanup, ShowDirty)
		act.Edited = true
		return act
	case !s.Labels.Has(LabelClean):
		act := lose("somebody removed clean: a cleanup is asked for", NeedCleanup, ShowDue)
		act.Edited = true
		return act
	case !s.Idle && s.Hidden && s.BusyFor >= p.HiddenAfter:
		return lose("busy with something that we may not see", NeedCleanup, ShowDue)
	case !s.Idle:
		return Action{Kind: Rest, Reason: "something is starting on it", Wake: now}
	case s.Gate.Mode == GateLost:
		need := NeedVerify
		if s.Gate.Away { // what came and went meanwhile no poll need have seen
			need = NeedCleanup
		}
		return lose("the gate is lost: "+s.Gate.Problem, need, ShowDue)
	case a.Held(now) != nil:
		return lose("held: "+a.Held(now).Reason, NeedCleanup, ShowDirty)
	case s.Unfit != "":
		return lose(s.Unfit, NeedVerify, ShowDue)
	case s.Offline && !s.Reached:
		return lose("its connection was lost", NeedVerify, ShowDue)
	case a.lacksSpace(s, p, now):
		return lose("a node monitor took it offline", NeedCleanup, ShowDue)
	case p.TTL > 0 && !now.Before(a.LastCleaned.Add(p.TTL)) && p.Paused == "" && !s.Offline:
		return Action{Kind: Refresh, Reason: fmt.Sprintf("clean for longer than %s", p.TTL), Need: NeedVerify}
	}
	act := rest("clean")
	if p.TTL > 0 {
		act.Wake = a.LastCleaned.Add(p.TTL)
	}
	return act
}

// monitorLooks is how often a node monitor looks at an agent, and lifts its mark when all is well, with a margin
// (hudson.node_monitors.AbstractNodeMonitorDescriptor: once per hour).
const monitorLooks = 65 * time.Minute

// lacksSpace reports whether a monitor took a clean agent offline for want of space that a cleanup may give back. Where the
// mark is lifted for a cleanup it was set since; over SSH it stays until the monitor has looked again.
func (a Agent) lacksSpace(s Sighting, p Policy, now time.Time) bool {
	if !s.Offline || s.OfflineBy != ByMonitor {
		return false
	}
	return p.Monitor == MonitorLift || p.Monitor == MonitorSSH && !now.Before(a.LastCleaned.Add(monitorLooks))
}

// due is the life of an agent that waits: repair of its labels first, then every reason not to
// start a cleanup now, and at last the cleanup.
func due(a Agent, s Sighting, p Policy, now time.Time) Action {
	show := Project(a, now)
	switch {
	case starting(s):
		return Action{Kind: Rest, Reason: "something is starting on it", Wake: now}
	case s.Labels.Has(LabelClean):
		act := Action{
			Kind: Relabel, Reason: "labelled clean, which it is not: " + a.out(now),
			Labels: s.Labels&^LabelClean | show, Write: true,
		}
		if a.Loan != nil {
			act.Reason = a.Reason // its loan may be about to take the label off itself
		}
		return act
	case s.Gate.open():
		return Action{Kind: Relabel, Reason: "the gate has it as clean, and that is not so any more", Labels: s.Labels&^LabelClean | show, Write: true}
	case show.Has(LabelDirty) && !s.Labels.Has(LabelDirty):
		return Action{Kind: Relabel, Reason: "kept out of use: " + a.out(now), Labels: ShowDirty, Write: true}
	}
	if act, ok := notNow(a, s, p, now); ok {
		return act
	}
	return begin(s, p, a)
}

// notNow holds every reason to leave a due agent alone for the moment.
func notNow(a Agent, s Sighting, p Policy, now time.Time) (Action, bool) {
	wait := func(reason string, until time.Time) (Action, bool) {
		return Action{Kind: Rest, Reason: reason, Wake: until}, true
	}
	hold := a.Held(now)
	switch {
	case a.Loan != nil:
		return a.onLoan(), true
	case hold != nil:
		return wait(fmt.Sprintf("held by %s: %s", hold.By, hold.Reason), hold.Expires)
	case !s.Idle && s.Own && !s.Real:
		return Action{Kind: Stop, Reason: "a cleanup that no attempt owns runs on it"}, true
	case !s.Idle:
		return wait("a build runs on it", time.Time{})
	case p.Paused != "":
		return wait(p.Paused, time.Time{})
	case s.Gate.Mode == GateLost:
		return wait("the gate is lost: "+s.Gate.Problem, time.Time{})
	case now.Before(a.NextLook) && a.Quarantine != nil:
		return wait("quarantined: "+a.Quarantine.Reason, a.NextLook)
	case now.Before(a.NextLook):
		return wait("waits after: "+a.Reason, a.NextLook)
	case s.Unfit != "":
		return wait(s.Unfit, time.Time{})
	case s.Offline && s.OfflineBy == ByPerson:
		return wait("a person took it offline", time.Time{})
	case s.Awaited && s.Offline && s.OfflineBy == ByUs:
		return Action{Kind: Unmark, Reason: "a build that began before the controller's restart waits for it"}, true
	case s.Offline && s.OfflineBy == ByLoan:
		// It was clean when it was lent, so that nothing of before the controller's restart can come back to it.
	case s.Awaited:
		return wait("a build that began before the controller's restart may come back to it", time.Time{})
	case settling(a, s, p, now):
		return wait("the controller was restarted; a build of before may still run", s.SessionSince.Add(p.settle(s)))
	}
	return beside(s, p)
}

// beside holds the reasons that other agents of the machine are.
func beside(s Sighting, p Policy) (Action, bool) {
	wait := func(reason string) (Action, bool) { return rest(reason), true }
	switch {
	case p.Disjoint:
		return Action{}, false
	case s.Neighbour.Real != "":
		return wait("a build runs on its machine, on " + s.Neighbour.Real)
	case s.Neighbour.Cleaning != "":
		return wait("its machine is being cleaned, through " + s.Neighbour.Cleaning)
	case s.Neighbour.Unseen != "":
		return wait("waits until " + s.Neighbour.Unseen + " of its machine is seen: a build may run on it")
	case s.Neighbour.Leaving != "":
		return wait("waits until " + s.Neighbour.Leaving + " of its machine is not labelled clean any more")
	}
	return Action{}, false
}

// settling reports whether a build from before a controller restart may still live on an idle
// executor's machine (durable steps go on without their controller).
func settling(a Agent, s Sighting, p Policy, now time.Time) bool {
	return !s.SessionSince.IsZero() && a.Settled != s.Session && now.Before(s.SessionSince.Add(p.settle(s)))
}

// settle is the grace for an agent after a controller restart. Where no build was seen before it, only one that began
// since that look can live. A Pipeline queues the block of such a one again as soon as the controller has loaded it, which
// takes no time like that of an agent which has to connect again; once queued the block is awaited without a limit.
func (p Policy) settle(s Sighting) time.Duration {
	if s.Quiet {
		return p.Settle / 5
	}
	return p.Settle
}

// begin is the action of a due agent that nothing speaks against.
func begin(s Sighting, p Policy, a Agent) Action {
	act := Action{Kind: Begin, Reason: a.Reason, Need: a.Need}
	if !p.Disjoint {
		act.Displace = s.Neighbour.Clean
	}
	if act.Need == "" {
		act.Need = NeedCleanup
	}
	if !s.Offline {
		return act
	}
	switch s.OfflineBy {
	case ByLoan:
		if !s.Reached {
			break
		}
		act.Lift = true
		return act
	case ByUs:
		if p.Monitor != MonitorLift || !s.Reached {
			return Action{Kind: Unmark, Reason: "our own offline mark is not needed any more"}
		}
		act.Lift = true
		return act
	case ByMonitor:
		switch p.Monitor {
		case MonitorLift:
			act.Lift = true
			return act
		case MonitorSSH:
			act.SSH = true
			return act
		case MonitorLeave:
		}
		return rest("a node monitor took it offline")
	case ByHealth:
		return rest("a node monitor took it offline, for something that no cleanup mends")
	case ByConnection:
		if p.Delivery == BySSH && a.Need == NeedCleanup {
			act.SSH = true
			return act
		}
	case ByDemand, ByPerson, OnlineNow:
	}
	if p.OnDemand && s.Launchable && (s.OfflineBy == ByDemand || s.OfflineBy == ByConnection || s.OfflineBy == ByLoan) {
		return Action{Kind: Launch, Reason: "offline until it is wanted"}
	}
	return rest("offline")
}
