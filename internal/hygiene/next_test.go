// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var id = hygiene.AgentID{Controller: "ci", Name: "linux-7"}

// agentIn is an agent that entered state an hour before the tests' now.
func agentIn(s hygiene.State) hygiene.Agent {
	return hygiene.Agent{
		ID: id, State: s, Since: epoch, LabelsAt: epoch, LastCleaned: epoch,
		Attempt: 3, Need: hygiene.NeedCleanup, Reason: "used",
	}
}

// idle is an idle, online agent with labels l, seen at now.
func idle(l hygiene.Labels, now time.Time) hygiene.Sighting {
	return hygiene.Sighting{At: now, Session: "s1", Present: true, Labels: l, Idle: true, Reached: true}
}

// TestLabelTable is the table of all label sets, known and unknown: what is written, if anything.
func TestLabelTable(t *testing.T) {
	t.Parallel()
	const (
		c = hygiene.LabelCleanable
		d = hygiene.LabelDirty
		k = hygiene.LabelClean
	)
	type want struct {
		kind   hygiene.Kind
		write  bool
		labels hygiene.Labels
	}
	none, drive := want{kind: hygiene.Rest}, want{kind: hygiene.Drive}
	withdraw := want{kind: hygiene.Withdraw, write: true}
	dirty := want{hygiene.Relabel, true, c | d}
	tests := map[hygiene.Labels]map[hygiene.State]want{
		0: {
			hygiene.Unmanaged: none, hygiene.Due: {kind: hygiene.Withdraw}, hygiene.Claimed: {kind: hygiene.Withdraw},
			hygiene.Running: {kind: hygiene.Withdraw}, hygiene.Granting: {kind: hygiene.Withdraw}, hygiene.Clean: {kind: hygiene.Withdraw},
		},
		d:     {hygiene.Unmanaged: none, hygiene.Due: withdraw, hygiene.Running: withdraw, hygiene.Clean: withdraw},
		k:     {hygiene.Unmanaged: none, hygiene.Due: withdraw, hygiene.Running: withdraw, hygiene.Clean: withdraw},
		d | k: {hygiene.Unmanaged: none, hygiene.Due: withdraw, hygiene.Running: withdraw, hygiene.Clean: withdraw},
		c: {
			hygiene.Unmanaged: {kind: hygiene.Adopt}, hygiene.Due: {kind: hygiene.Begin}, hygiene.Claimed: drive,
			hygiene.Running: dirty, hygiene.Reconnecting: dirty, hygiene.Granting: drive, hygiene.Clean: {kind: hygiene.Unclean},
		},
		c | d: {
			hygiene.Unmanaged: {kind: hygiene.Adopt}, hygiene.Due: {kind: hygiene.Begin}, hygiene.Claimed: drive,
			hygiene.Running: drive, hygiene.Reconnecting: drive, hygiene.Granting: drive, hygiene.Clean: {kind: hygiene.Unclean},
		},
		c | k: {
			hygiene.Unmanaged: {hygiene.Adopt, true, c}, hygiene.Due: {hygiene.Relabel, true, c}, hygiene.Claimed: drive,
			hygiene.Running: dirty, hygiene.Reconnecting: dirty, hygiene.Granting: drive, hygiene.Clean: none,
		},
		c | d | k: {
			hygiene.Unmanaged: {hygiene.Adopt, true, c | d}, hygiene.Due: dirty, hygiene.Claimed: drive,
			hygiene.Running: dirty, hygiene.Reconnecting: dirty, hygiene.Granting: drive, hygiene.Clean: {hygiene.Unclean, true, c | d},
		},
	}
	now := epoch.Add(time.Hour)
	for labels, states := range tests {
		for state, want := range states {
			act := hygiene.Next(agentIn(state), idle(labels, now), hygiene.Policy{}, now)
			if act.Kind != want.kind || act.Write != want.write || act.Write && act.Labels != want.labels {
				t.Errorf("%s agent with labels %s: got %s write=%v %s, want %+v", state, labels, act.Kind, act.Write, act.Labels, want)
			}
			if act.Write && act.Labels.Has(hygiene.LabelClean) {
				t.Errorf("%s agent with labels %s: a repair grants clean", state, labels)
			}
			if act.Reason == "" || act.Agent != id {
				t.Errorf("%s agent with labels %s: action without reason or agent: %+v", state, labels, act)
			}
		}
	}
}

// TestNext tells the rules one by one.
func TestNext(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	policy := hygiene.Policy{TTL: 2 * time.Hour, Settle: 5 * time.Minute, HiddenAfter: 10 * time.Second, OnDemand: true, Monitor: hygiene.MonitorLeave}
	tests := []struct {
		name   string
		state  hygiene.State
		labels hygiene.Labels
		with   func(*hygiene.Agent, *hygiene.Sighting, *hygiene.Policy)
		want   hygiene.Kind
		reason string
	}{
		{"the built-in node is never managed, whatever its labels", hygiene.Unmanaged, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.BuiltIn = true }, hygiene.Rest, "never managed"},
		{"absence from the list is not deletion", hygiene.Due, 0, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { *s = hygiene.Sighting{At: now} }, hygiene.Rest, "proves nothing"},
		{"an agent that a direct look does not find is forgotten", hygiene.Clean, 0, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			*s = hygiene.Sighting{At: now, Gone: true}
		}, hygiene.Forget, "no such agent"},
		{"a sighting older than our own write says nothing", hygiene.Due, hygiene.ShowClean, func(a *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { a.LabelsAt = s.At }, hygiene.Rest, "newer than our last write"},
		{"a visible build takes the cleanliness", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Idle, s.Real, s.RealURL = false, true, "u"
		}, hygiene.Unclean, "used by u"},
		{"a build that is just starting is not disturbed", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Hidden = false, true }, hygiene.Rest, "starting"},
		{"a foreign clean is left while a build is just starting", hygiene.Due, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Hidden = false, true }, hygiene.Rest, "starting"},
		{"a build that stays hidden counts as real", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Idle, s.Hidden, s.BusyFor = false, true, time.Minute
		}, hygiene.Unclean, "may not see"},
		{"a lost connection asks for verification", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.Reached, s.OfflineBy = true, false, hygiene.ByConnection
		}, hygiene.Unclean, "connection was lost"},
		{"a person's offline mark leaves a clean agent alone", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByPerson
		}, hygiene.Rest, "clean"},
		{"an agent clean for too long is verified again", hygiene.Clean, hygiene.ShowClean, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.LastCleaned = now.Add(-2 * time.Hour)
		}, hygiene.Refresh, "longer than"},
		{"a held clean agent leaves the pool", hygiene.Clean, hygiene.ShowClean, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Hold = &hygiene.Hold{Reason: "debugging", Expires: now.Add(1)}
		}, hygiene.Unclean, "held"},
		{"an expired hold is none", hygiene.Due, hygiene.ShowDirty, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) { a.Hold = &hygiene.Hold{Expires: now} }, hygiene.Begin, ""},
		{"a hold without expiry stays", hygiene.Due, hygiene.ShowDirty, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) { a.Hold = &hygiene.Hold{By: "ann"} }, hygiene.Rest, "held by ann"},
		{"no cleanup beside a build", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Real = false, true }, hygiene.Rest, "a build runs"},
		{"no cleanup where a person said offline", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByPerson
		}, hygiene.Rest, "a person"},
		{"no cleanup while paused", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, _ *hygiene.Sighting, p *hygiene.Policy) { p.Paused = "paused by ann" }, hygiene.Rest, "paused by ann"},
		{"a failed agent waits its back-off", hygiene.Due, hygiene.ShowDirty, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Failures, a.NextLook = 1, now.Add(time.Minute)
		}, hygiene.Rest, "waits after"},
		{"a failed agent shows dirty", hygiene.Due, hygiene.ShowDue, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) { a.Failures = 1 }, hygiene.Relabel, "kept out"},
		{"a quarantined agent is looked at when its time comes", hygiene.Due, hygiene.ShowDirty, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Failures, a.Quarantine, a.NextLook = 3, &hygiene.Quarantine{}, now
		}, hygiene.Begin, ""},
		{"after a restart a build of before may still run", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.SessionSince = now.Add(-time.Minute) }, hygiene.Rest, "restarted"},
		{"after the grace time it does not", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.SessionSince = now.Add(-5 * time.Minute)
		}, hygiene.Begin, ""},
		{"where none was seen before it, one that began since then may", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.SessionSince, s.Quiet = now.Add(-59*time.Second), true
		}, hygiene.Rest, "restarted"},
		{"for a fifth of that time", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.SessionSince, s.Quiet = now.Add(-time.Minute), true
		}, hygiene.Begin, ""},
		{"known to be finished, it is not waited for", hygiene.Due, hygiene.ShowDue, func(a *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.SessionSince, a.Settled = now, "s1"
		}, hygiene.Begin, ""},
		{"a continued build in the queue is waited for, grace or not", hygiene.Due, hygiene.ShowDue, func(a *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Awaited, a.Settled = true, "s1" }, hygiene.Rest, "come back"},
		{"our own mark does not keep it from returning", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Awaited, s.Offline, s.OfflineBy = true, true, hygiene.ByUs
		}, hygiene.Unmark, "waits for it"},
		{"agents of one machine wait until all are seen", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Neighbour.Unseen = "lab/b" }, hygiene.Rest, "until lab/b of its machine is seen"},
		{"agents of one machine wait for each other's builds", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Neighbour.Real = "b" }, hygiene.Rest, "on b"},
		{"disjoint recipes do not", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, p *hygiene.Policy) {
			s.Neighbour.Real, p.Disjoint = "b", true
		}, hygiene.Begin, ""},
		{"agents of one machine wait for each other's cleanups", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Neighbour.Cleaning = "b" }, hygiene.Rest, "is being cleaned, through b"},
		{"agents of one machine wait until none of them shows clean", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Neighbour.Leaving = "b" }, hygiene.Rest, "until b of its machine is not labelled clean"},
		{"a quarantined agent waits until its time comes", hygiene.Due, hygiene.ShowDirty, func(a *hygiene.Agent, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Failures, a.Quarantine, a.NextLook = 3, &hygiene.Quarantine{Reason: "step mounts: busy"}, now.Add(time.Hour)
		}, hygiene.Rest, "quarantined: step mounts: busy"},
		{"a clean agent that may not be called so any more is not", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Unfit = "two executors" }, hygiene.Unclean, "two executors"},
		{"a clean agent that a monitor misses space on is cleaned where marks are lifted", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, s *hygiene.Sighting, p *hygiene.Policy) {
			s.Offline, s.OfflineBy, p.Monitor = true, hygiene.ByMonitor, hygiene.MonitorLift
		}, hygiene.Unclean, "monitor"},
		{"one that is online misses none", hygiene.Clean, hygiene.ShowClean, func(_ *hygiene.Agent, _ *hygiene.Sighting, p *hygiene.Policy) { p.Monitor = hygiene.MonitorLift }, hygiene.Rest, "clean"},
		{"where labels of ours cannot be given any more, it is given up", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Refused = "a plugin gives it the label"
		}, hygiene.Withdraw, "a plugin"},
		{"a demand-launched agent is launched when wanted", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy, s.Launchable, s.Reached = true, hygiene.ByDemand, true, false
		}, hygiene.Launch, ""},
		{"one that lost its connection is, too: its strategy sees no demand for what is not clean", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy, s.Launchable, s.Reached = true, hygiene.ByConnection, true, false
		}, hygiene.Launch, ""},
		{"one that connects by itself is waited for", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy, s.Reached = true, hygiene.ByConnection, false
		}, hygiene.Rest, "offline"},
		{"a monitor's mark is left unless the policy says otherwise", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByMonitor
		}, hygiene.Rest, "monitor"},
		{"our own mark left behind is lifted", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByUs
		}, hygiene.Unmark, ""},
		{"a stray cleanup is stopped", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Own = false, true }, hygiene.Stop, "no attempt owns"},
		{"a real build is none", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Idle, s.Own, s.Real = false, true, true
		}, hygiene.Rest, "a build runs on it"},
		{"an unfit agent is not cleaned", hygiene.Due, hygiene.ShowDue, func(_ *hygiene.Agent, s *hygiene.Sighting, _ *hygiene.Policy) { s.Unfit = "two executors" }, hygiene.Rest, "two executors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, s, p := agentIn(tt.state), idle(tt.labels, now), policy
			if tt.with != nil {
				tt.with(&a, &s, &p)
			}
			act := hygiene.Next(a, s, p, now)
			if act.Kind != tt.want || !strings.Contains(act.Reason, tt.reason) {
				t.Errorf("got %s (%s), want %s (%s)", act.Kind, act.Reason, tt.want, tt.reason)
			}
			if act.Kind == hygiene.Rest && a.State == hygiene.Due && act.Wake.IsZero() {
				t.Error("a managed agent that is not clean rests without a time of next look")
			}
		})
	}
}

// What is done about labels stands in the audit trail: it says why the agent is kept out, and accuses nobody of a clean
// that may be our own, which had no time yet to be taken off.
func TestARelabelSaysWhyTheAgentIsKeptOut(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	displaced := agentIn(hygiene.Due)
	displaced.Reason = "its machine is cleaned for linux-8"
	quarantined := displaced
	quarantined.Quarantine = &hygiene.Quarantine{Reason: "loses packets", By: "ann", Since: epoch, NextLook: hygiene.UntilReleased(epoch)}
	held := displaced
	held.Hold = &hygiene.Hold{Reason: "moving", By: "ann", Since: epoch}
	for _, c := range []struct {
		agent  hygiene.Agent
		labels hygiene.Labels
		want   string
	}{
		{displaced, hygiene.LabelCleanable | hygiene.LabelClean, "labelled clean, which it is not: its machine is cleaned for linux-8"},
		{quarantined, hygiene.LabelCleanable | hygiene.LabelClean, "labelled clean, which it is not: quarantined by ann: loses packets"},
		{quarantined, hygiene.LabelCleanable, "kept out of use: quarantined by ann: loses packets"},
		{held, hygiene.LabelCleanable, "kept out of use: held: moving"},
	} {
		act := hygiene.Next(c.agent, idle(c.labels, now), hygiene.Policy{}, now)
		if act.Kind != hygiene.Relabel || act.Reason != c.want {
			t.Errorf("labels %v: %s %q, want a relabel: %q", c.labels, act.Kind, act.Reason, c.want)
		}
	}
}

func TestAQuarantineUntilReleasedIsEndless(t *testing.T) {
	t.Parallel()
	q := hygiene.Quarantine{Since: epoch, NextLook: hygiene.UntilReleased(epoch)}
	if !q.Endless() {
		t.Errorf("%+v has an end", q)
	}
	q.NextLook = epoch.AddDate(10, 0, 0)
	if q.Endless() {
		t.Errorf("%+v has no end", q)
	}
}

func TestMonitorPolicies(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	s := idle(hygiene.ShowDue, now)
	s.Offline, s.OfflineBy = true, hygiene.ByMonitor
	lift := hygiene.Next(agentIn(hygiene.Due), s, hygiene.Policy{Monitor: hygiene.MonitorLift}, now)
	ssh := hygiene.Next(agentIn(hygiene.Due), s, hygiene.Policy{Monitor: hygiene.MonitorSSH}, now)
	if lift.Kind != hygiene.Begin || !lift.Lift || ssh.Kind != hygiene.Begin || !ssh.SSH {
		t.Errorf("got %+v and %+v, want a cleanup that lifts the mark and one over SSH", lift, ssh)
	}
}

// Where a cleanup begins on an agent that is offline, it says what that takes.
func TestACleanupOfAnAgentThatIsOffline(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	type want struct {
		kind      hygiene.Kind
		lift, ssh bool
	}
	begin, lift, ssh := want{kind: hygiene.Begin}, want{kind: hygiene.Begin, lift: true}, want{kind: hygiene.Begin, ssh: true}
	for name, c := range map[string]struct {
		by      hygiene.OfflineBy
		reached bool
		need    hygiene.Need
		policy  hygiene.Policy
		want    want
	}{
		"online":                                   {hygiene.OnlineNow, true, hygiene.NeedCleanup, hygiene.Policy{}, begin},
		"our mark is needed still":                 {hygiene.ByUs, true, hygiene.NeedCleanup, hygiene.Policy{Monitor: hygiene.MonitorLift}, lift},
		"our mark on one without connection":       {hygiene.ByUs, false, hygiene.NeedCleanup, hygiene.Policy{Monitor: hygiene.MonitorLift}, want{kind: hygiene.Unmark}},
		"our mark where marks are left":            {hygiene.ByUs, true, hygiene.NeedCleanup, hygiene.Policy{Monitor: hygiene.MonitorLeave}, want{kind: hygiene.Unmark}},
		"the mark of a loan that is over":          {hygiene.ByLoan, true, hygiene.NeedCleanup, hygiene.Policy{}, lift},
		"such a mark on one without connection":    {hygiene.ByLoan, false, hygiene.NeedCleanup, hygiene.Policy{}, want{kind: hygiene.Rest}},
		"without connection, over SSH":             {hygiene.ByConnection, false, hygiene.NeedCleanup, hygiene.Policy{Delivery: hygiene.BySSH}, ssh},
		"without connection, by a job":             {hygiene.ByConnection, false, hygiene.NeedCleanup, hygiene.Policy{Delivery: hygiene.ByJob}, want{kind: hygiene.Rest}},
		"without connection, which must be proved": {hygiene.ByConnection, false, hygiene.NeedVerify, hygiene.Policy{Delivery: hygiene.BySSH}, want{kind: hygiene.Rest}},
		"a monitor that no cleanup helps":          {hygiene.ByHealth, true, hygiene.NeedCleanup, hygiene.Policy{Monitor: hygiene.MonitorLift}, want{kind: hygiene.Rest}},
	} {
		a, s := agentIn(hygiene.Due), idle(hygiene.ShowDue, now)
		a.Need, s.Offline, s.OfflineBy, s.Reached = c.need, c.by != hygiene.OnlineNow, c.by, c.reached
		act := hygiene.Next(a, s, c.policy, now)
		if got := (want{act.Kind, act.Lift, act.SSH}); got != c.want {
			t.Errorf("%s: got %+v (%s), want %+v", name, got, act.Reason, c.want)
		}
	}
}

func TestAPoolWhoseRecipeIsDisjointDisplacesNobody(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	s := idle(hygiene.ShowDue, now)
	s.Neighbour.Clean = []string{"linux-8"}
	if act := hygiene.Next(agentIn(hygiene.Due), s, hygiene.Policy{Disjoint: true}, now); act.Kind != hygiene.Begin || len(act.Displace) > 0 {
		t.Errorf("got %+v, want a cleanup that leaves the neighbour clean", act)
	}
}

func TestAllNeighboursAreDisplacedBeforeTheirMachineIsCleaned(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	s := idle(hygiene.ShowDue, now)
	s.Neighbour.Clean = []string{"linux-8", "linux-9"}
	if act := hygiene.Next(agentIn(hygiene.Due), s, hygiene.Policy{}, now); act.Kind != hygiene.Begin || !slices.Equal(act.Displace, s.Neighbour.Clean) {
		t.Errorf("got %+v, want a cleanup that displaces both", act)
	}
}

func TestAMarkThatStaysDuringACleanupOverSSHIsNoNewLackOfSpace(t *testing.T) {
	t.Parallel()
	a := hygiene.Agent{ID: hygiene.AgentID{Controller: "ci", Name: "a"}, State: hygiene.Clean, LastCleaned: base, Since: base, LabelsAt: base}
	p := hygiene.Policy{Monitor: hygiene.MonitorSSH}
	for after, want := range map[time.Duration]hygiene.Kind{time.Minute: hygiene.Rest, time.Hour: hygiene.Rest, 2 * time.Hour: hygiene.Unclean} {
		now := base.Add(after)
		s := hygiene.Sighting{At: now, Present: true, Idle: true, Reached: true, Offline: true, OfflineBy: hygiene.ByMonitor, Labels: hygiene.ShowClean}
		if got := hygiene.Next(a, s, p, now); got.Kind != want {
			t.Errorf("%s after its cleaning: %s (%s), want %s", after, got.Kind, got.Reason, want)
		}
	}
}
