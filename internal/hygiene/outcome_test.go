// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

var pool = hygiene.Policy{
	Pool: "el7", Recipe: "el7", Revision: "r1", Backoff: hygiene.Backoff{First: time.Minute, Max: time.Hour},
	QuarantineAfter: 3, QuarantineLook: 24 * time.Hour, Limits: hygiene.Limits{Grant: time.Minute},
}

// running claims a due agent and hands its program over.
func running(t *testing.T, a hygiene.Agent, now time.Time) (hygiene.Agent, hygiene.Attempt) {
	t.Helper()
	a, attempt, err := hygiene.Claim(a, pool, "s1", "nonce", now)
	if err != nil {
		t.Fatal(err)
	}
	a, err = a.To(hygiene.Running, "handed over", now)
	if err != nil {
		t.Fatal(err)
	}
	return a, attempt
}

func good(t hygiene.Attempt) hygiene.Verdict {
	return hygiene.Verdict{Number: t.Number, Nonce: t.Nonce, On: id.Name, Outcome: hygiene.Cleaned, Verified: true}
}

func TestSuccessIsGranted(t *testing.T) {
	t.Parallel()
	a := agentIn(hygiene.Due)
	a.Failures, a.Quarantine = 4, &hygiene.Quarantine{Reason: "old"}
	a, attempt := running(t, a, epoch)
	a, attempt, err := hygiene.Judge(a, attempt, good(attempt), pool, epoch.Add(time.Minute))
	if err != nil || a.State != hygiene.Granting {
		t.Fatalf("got %s, %v, want granting", a.State, err)
	}
	a, attempt, err = hygiene.Grant(a, attempt, "e1", epoch.Add(2*time.Minute))
	if err != nil || a.State != hygiene.Clean || a.Failures != 0 || a.Quarantine != nil || attempt.Outcome != hygiene.Cleaned || a.Epoch != "e1" {
		t.Errorf("got %+v %+v %v", a, attempt, err)
	}
	if _, _, err := hygiene.Grant(a, attempt, "e1", epoch); !errors.Is(err, hygiene.ErrStale) {
		t.Errorf("granting twice: got %v, want a stale result", err)
	}
}

// TestFence: nothing but the current attempt's number and nonce, from that very agent, counts.
func TestFence(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*hygiene.Attempt, *hygiene.Verdict){
		"another number":     func(_ *hygiene.Attempt, v *hygiene.Verdict) { v.Number-- },
		"another nonce":      func(_ *hygiene.Attempt, v *hygiene.Verdict) { v.Nonce = "guess" },
		"no nonce":           func(_ *hygiene.Attempt, v *hygiene.Verdict) { v.Nonce = "" },
		"another agent":      func(_ *hygiene.Attempt, v *hygiene.Verdict) { v.On = "linux-8" },
		"an earlier attempt": func(a *hygiene.Attempt, v *hygiene.Verdict) { a.Number--; v.Number-- },
		"an ended attempt":   func(a *hygiene.Attempt, _ *hygiene.Verdict) { a.Ended = epoch },
	}
	for name, bend := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, attempt := running(t, agentIn(hygiene.Due), epoch)
			v := good(attempt)
			bend(&attempt, &v)
			after, _, err := hygiene.Judge(a, attempt, v, pool, epoch)
			if !errors.Is(err, hygiene.ErrStale) || after.State != hygiene.Running {
				t.Errorf("got %s, %v, want the stale result ignored", after.State, err)
			}
		})
	}
}

func TestABackoffWithoutALimitGrowsForAYear(t *testing.T) {
	t.Parallel()
	b := hygiene.Backoff{First: time.Minute}
	for n, want := range map[int]time.Duration{1: time.Minute, 2: 2 * time.Minute, 5: 16 * time.Minute, 200: 365 * 24 * time.Hour} {
		if got := b.After(n, "a"); got < want*3/4 || got > want*5/4 {
			t.Errorf("after %d failures: %s, want %s within a quarter", n, got, want)
		}
	}
}

func TestFailuresBackOffAndEndInQuarantine(t *testing.T) {
	t.Parallel()
	a, now := agentIn(hygiene.Due), epoch
	var waits []time.Duration
	for range 4 {
		var attempt hygiene.Attempt
		a, attempt = running(t, a, now)
		v := good(attempt)
		v.Outcome, v.Reason, v.Step = hygiene.Failed, "step mounts: busy", "mounts"
		var err error
		if a, _, err = hygiene.Judge(a, attempt, v, pool, now); err != nil {
			t.Fatal(err)
		}
		waits = append(waits, a.NextLook.Sub(now))
		now = a.NextLook
	}
	for i, base := range []time.Duration{time.Minute, 2 * time.Minute} {
		if waits[i] < base*3/4 || waits[i] > base*5/4 {
			t.Errorf("wait %d is %s, want %s within a quarter", i, waits[i], base)
		}
	}
	if a.Quarantine == nil || a.Hygiene() != hygiene.IsQuarantined || waits[2] != 24*time.Hour || a.Quarantine.NextLook != a.NextLook {
		t.Errorf("after %d failures: %+v, next look in %s; want a quarantine with its next look", a.Failures, a.Quarantine, waits[2])
	}
	if a.Quarantine.Since != epoch.Add(waits[0]+waits[1]) {
		t.Errorf("a quarantine that goes on began %s, want the first time kept", a.Quarantine.Since)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		verdict  func(hygiene.Attempt) hygiene.Verdict
		state    hygiene.State
		failures int
		quarant  bool
	}{
		{"cleaned without verification is a failure", func(a hygiene.Attempt) hygiene.Verdict { v := good(a); v.Verified = false; return v }, hygiene.Due, 1, false},
		{"a reconnect is awaited", func(a hygiene.Attempt) hygiene.Verdict { v := good(a); v.Outcome = hygiene.Reconnect; return v }, hygiene.Reconnecting, 0, false},
		{"a reboot is awaited", func(a hygiene.Attempt) hygiene.Verdict { v := good(a); v.Outcome = hygiene.Reboot; return v }, hygiene.Reconnecting, 0, false},
		{"what cannot be mended is quarantined at once", func(a hygiene.Attempt) hygiene.Verdict {
			v := good(a)
			v.Outcome, v.Permanent = hygiene.Failed, true
			return v
		}, hygiene.Due, 1, true},
		{"a missing report is a failure", func(hygiene.Attempt) hygiene.Verdict {
			return hygiene.Verdict{Outcome: hygiene.Failed, Reason: "no report"}
		}, hygiene.Due, 1, false},
		{"an attempt lost with its connection is none", func(hygiene.Attempt) hygiene.Verdict { return hygiene.Verdict{Outcome: hygiene.Lost} }, hygiene.Due, 0, false},
		{"a claim given back is none", func(hygiene.Attempt) hygiene.Verdict { return hygiene.Verdict{Outcome: hygiene.GivenBack} }, hygiene.Due, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, attempt := running(t, agentIn(hygiene.Due), epoch)
			a, _, err := hygiene.Judge(a, attempt, tt.verdict(attempt), pool, epoch)
			if err != nil || a.State != tt.state || a.Failures != tt.failures || (a.Quarantine != nil) != tt.quarant {
				t.Errorf("got %s, %d failures, quarantine %v, %v", a.State, a.Failures, a.Quarantine, err)
			}
		})
	}
}

func TestEndlessReconnectsFail(t *testing.T) {
	t.Parallel()
	a, attempt := running(t, agentIn(hygiene.Due), epoch)
	for range 2 {
		v := good(attempt)
		v.Outcome = hygiene.Reconnect
		var err error
		if a, attempt, err = hygiene.Judge(a, attempt, v, pool, epoch); err != nil || a.State != hygiene.Reconnecting {
			t.Fatalf("got %s, %v", a.State, err)
		}
		if a, err = a.To(hygiene.Running, "back", epoch); err != nil {
			t.Fatal(err)
		}
	}
	v := good(attempt)
	v.Outcome = hygiene.Reconnect
	if a, _, err := hygiene.Judge(a, attempt, v, pool, epoch); err != nil || a.State != hygiene.Due || a.Failures != 1 {
		t.Errorf("got %s with %d failures, %v, want a failure", a.State, a.Failures, err)
	}
}

func TestFailedVerificationOnlyAsksForAWholeCleanup(t *testing.T) {
	t.Parallel()
	a := agentIn(hygiene.Due)
	a.Need = hygiene.NeedVerify
	a, attempt := running(t, a, epoch)
	v := good(attempt)
	v.Outcome = hygiene.Failed
	a, _, err := hygiene.Judge(a, attempt, v, pool, epoch)
	if err != nil || a.Need != hygiene.NeedCleanup || a.Failures != 0 || a.NextLook.After(epoch) {
		t.Errorf("got need %s, %d failures, next look %s, %v", a.Need, a.Failures, a.NextLook, err)
	}
}

func TestVerificationOnAnotherMachineThanWasCleanedAsksForAWholeCleanup(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cleaned, verified string
		need              hygiene.Need
		want              hygiene.State
	}{
		"the same":                       {"m1", "m1", hygiene.NeedVerify, hygiene.Granting},
		"another":                        {"m1", "m2", hygiene.NeedVerify, hygiene.Due},
		"another, which was cleaned now": {"m1", "m2", hygiene.NeedCleanup, hygiene.Granting},
		"it does not tell":               {"m1", "", hygiene.NeedVerify, hygiene.Granting},
		"it told nothing before":         {"", "m2", hygiene.NeedVerify, hygiene.Granting},
	} {
		a := agentIn(hygiene.Due)
		a.Need, a.Machine = c.need, c.cleaned
		a, attempt := running(t, a, epoch)
		v := good(attempt)
		v.Machine = c.verified
		a, attempt, err := hygiene.Judge(a, attempt, v, pool, epoch)
		if err != nil || a.State != c.want || a.Failures != 0 || a.NextLook.After(epoch) {
			t.Errorf("%s: got %s with %d failures, next look %s, %v", name, a.State, a.Failures, a.NextLook, err)
		}
		if c.want == hygiene.Due && (a.Need != hygiene.NeedCleanup || attempt.Outcome != hygiene.Failed || a.Machine != c.verified) {
			t.Errorf("%s: it needs %s, on %s, after the attempt %s", name, a.Need, a.Machine, attempt.Outcome)
		}
	}
}

func TestVerificationAloneIsNotGrantedWhenAWholeCleanupIsDueSince(t *testing.T) {
	t.Parallel()
	a := agentIn(hygiene.Due)
	a.Need = hygiene.NeedVerify
	a, attempt := running(t, a, epoch)
	a, attempt, err := hygiene.Judge(a, attempt, good(attempt), pool, epoch)
	if err != nil || !a.NeedAll() || a.NeedAll() {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, _, err := hygiene.Grant(a, attempt, "e", epoch); !errors.Is(err, hygiene.ErrOvertaken) {
		t.Errorf("granted: %v", err)
	}
	a, _, err = hygiene.End(a, attempt, hygiene.Verdict{Outcome: hygiene.Lost, Unused: true}, pool, epoch)
	if err != nil || a.Need != hygiene.NeedCleanup {
		t.Errorf("got need %s, %v", a.Need, err)
	}
}

// TestABuildBeforeTheGrantForbidsItUnlessItsLabelLetItIn: one that came without the label found an agent that nobody had opened.
func TestABuildBeforeTheGrantForbidsItUnlessItsLabelLetItIn(t *testing.T) {
	t.Parallel()
	for _, letIn := range []bool{false, true} {
		a, attempt := running(t, agentIn(hygiene.Due), epoch)
		a, attempt, err := hygiene.Judge(a, attempt, good(attempt), pool, epoch)
		if err != nil {
			t.Fatal(err)
		}
		attempt.Run.Used, attempt.Run.LetIn = "http://ci.test/job/app/1/", letIn
		if ready, _ := hygiene.MayGrant(a, attempt, hygiene.Sighting{At: epoch.Add(1)}, pool, epoch); ready != hygiene.GrantNever {
			t.Errorf("let in %t: the label may be written %s", letIn, ready)
		}
		granted, attempt, err := hygiene.Grant(a, attempt, "e", epoch)
		if letIn && (err != nil || granted.State != hygiene.Clean || attempt.Outcome != hygiene.Cleaned || attempt.Run.Used == "") {
			t.Errorf("got %s, %+v, %v", granted.State, attempt, err)
		}
		if !letIn && !errors.Is(err, hygiene.ErrOvertaken) {
			t.Errorf("granted: %v", err)
		}
	}
}

func TestAnAttemptIsForWhatItsAgentNeedsWhenItIsHandedOver(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		began time.Time
		want  hygiene.Need
	}{
		"before": {time.Time{}, hygiene.NeedCleanup},
		"after":  {epoch, hygiene.NeedVerify},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempt := hygiene.Attempt{Need: hygiene.NeedVerify, Began: tt.began}
			attempt.Suit(hygiene.Agent{Need: hygiene.NeedVerify})
			if attempt.Need != hygiene.NeedVerify {
				t.Errorf("without need it became a %s", attempt.Need)
			}
			if attempt.Suit(hygiene.Agent{Need: hygiene.NeedCleanup}); attempt.Need != tt.want {
				t.Errorf("got a %s, want a %s", attempt.Need, tt.want)
			}
		})
	}
}

// TestI4MayStart covers what can come between the decision and the hand-over of the program.
func TestI4MayStart(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	for name, c := range map[string]struct {
		with func(*hygiene.Sighting, *hygiene.Policy)
		want string // part of the reason; "" = it may
	}{
		"nothing in the way":   {func(*hygiene.Sighting, *hygiene.Policy) {}, ""},
		"it does not exist":    {func(s *hygiene.Sighting, _ *hygiene.Policy) { *s = hygiene.Sighting{Gone: true} }, "vanished"},
		"it is not listed":     {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Present = false }, "vanished"},
		"dirty did not stick":  {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Labels = hygiene.ShowDue }, "not cleanable dirty"},
		"withdrawn":            {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Labels = hygiene.LabelDirty }, "not cleanable dirty"},
		"somebody adds clean":  {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Labels |= hygiene.LabelClean }, "not cleanable dirty"},
		"a build sneaked in":   {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Real = false, true }, "a build started on it"},
		"one that is starting": {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle, s.Hidden = false, true }, "a build started on it"},
		"a person's mark": {func(s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByPerson
		}, "a person took it offline"},
		"a monitor's mark, for a cleanup over SSH": {func(s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.OfflineBy = true, hygiene.ByMonitor
		}, ""},
		"a build on its machine":                       {func(s *hygiene.Sighting, _ *hygiene.Policy) { s.Neighbour.Real = "b" }, "on b"},
		"a build on its machine, with disjoint recipe": {func(s *hygiene.Sighting, p *hygiene.Policy) { s.Neighbour.Real, p.Disjoint = "b", true }, ""},
		"the gate was lost": {func(s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Gate = hygiene.Gate{Mode: hygiene.GateLost, Problem: "gone"}
		}, "the gate was lost: gone"},
	} {
		s, p := idle(hygiene.ShowDirty, now), pool
		c.with(&s, &p)
		reason, ok := hygiene.MayStart(s, p)
		if ok != (c.want == "") || ok != (reason == "") || !strings.Contains(reason, c.want) {
			t.Errorf("%s: got %v (%s), want %q", name, ok, reason, c.want)
		}
	}
}

// What a person said of an agent outlasts attempts that ended without a word on the agent itself.
func TestAPersonsQuarantineOutlastsAttempts(t *testing.T) {
	t.Parallel()
	until := epoch.Add(48 * time.Hour)
	for _, outcome := range []hygiene.Outcome{hygiene.GivenBack, hygiene.Lost, hygiene.Failed} {
		a, attempt := running(t, agentIn(hygiene.Due), epoch)
		a.Quarantine = &hygiene.Quarantine{Reason: "smells", By: "ann", Since: epoch, NextLook: until}
		a, _, err := hygiene.Judge(a, attempt, hygiene.Verdict{Outcome: outcome, Reason: "because"}, pool, epoch.Add(time.Minute))
		if err != nil || !a.NextLook.Equal(until) || a.Quarantine == nil || a.Quarantine.Reason != "smells" {
			t.Errorf("%s: next look %s, quarantine %+v, %v", outcome, a.NextLook, a.Quarantine, err)
		}
	}
}

func TestAnAgentThatMayNotBeCalledCleanIsKeptOutWithoutBlame(t *testing.T) {
	t.Parallel()
	a, attempt := running(t, agentIn(hygiene.Due), epoch)
	a, attempt, err := hygiene.Judge(a, attempt, hygiene.Verdict{Outcome: hygiene.GivenBack, Permanent: true, Reason: "two executors"}, pool, epoch)
	if err != nil || a.Failures != 0 || attempt.Outcome != hygiene.GivenBack {
		t.Fatalf("got %+v, %v", a, err)
	}
	if q := a.Quarantine; q == nil || q.Reason != "two executors" || !q.NextLook.After(epoch) || !q.NextLook.Equal(a.NextLook) || a.NextLook.Sub(epoch) > time.Hour {
		t.Errorf("quarantine %+v, next look %s", q, a.NextLook)
	}
}

func TestAProofThatNothingUsedIsVerifiedAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bend func(*hygiene.Agent, *hygiene.Attempt, *hygiene.Verdict)
		want hygiene.Need
	}{
		"nothing came in between": {func(*hygiene.Agent, *hygiene.Attempt, *hygiene.Verdict) {}, hygiene.NeedVerify},
		"a build may have":        {func(_ *hygiene.Agent, _ *hygiene.Attempt, v *hygiene.Verdict) { v.Unused = false }, hygiene.NeedCleanup},
		"a build was seen":        {func(_ *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Verdict) { t.Run.Used = "u" }, hygiene.NeedCleanup},
		"a deeper one was asked for": {func(a *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Verdict) {
			a.Depth, t.Depth = hygiene.Deep, hygiene.Light
		}, hygiene.NeedCleanup},
		"a whole cleanup is due since": {func(_ *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Verdict) { t.Need = hygiene.NeedVerify }, hygiene.NeedCleanup},
	} {
		a, attempt := running(t, agentIn(hygiene.Due), epoch)
		v := hygiene.Verdict{Outcome: hygiene.Lost, Unused: true, Reason: "its connection was lost after it was proved"}
		c.bend(&a, &attempt, &v)
		a, _, err := hygiene.End(a, attempt, v, pool, epoch)
		if err != nil || a.Need != c.want || a.Failures != 0 || a.NextLook.After(epoch) {
			t.Errorf("%s: needs %s, next look %s, %v; want %s at once", name, a.Need, a.NextLook, err, c.want)
		}
	}
}

// TestMayGrant covers what can come between the proof and the label clean.
func TestMayGrant(t *testing.T) {
	t.Parallel()
	now := epoch.Add(time.Hour)
	tests := []struct {
		name string
		with func(*hygiene.Agent, *hygiene.Attempt, *hygiene.Sighting, *hygiene.Policy)
		want hygiene.Readiness
	}{
		{"nothing in the way", nil, hygiene.GrantNow},
		{"an older look", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.At = now.Add(-2 * time.Minute)
		}, hygiene.GrantLater},
		{"executor not free yet", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) { s.Idle = false }, hygiene.GrantLater},
		{"a build sneaked in", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) { s.Real = true }, hygiene.GrantNever},
		{"connection lost", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Offline, s.Reached = true, false
		}, hygiene.GrantNever},
		{"controller restarted", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) { s.Session = "s2" }, hygiene.GrantNever},
		{"too late", func(_ *hygiene.Agent, a *hygiene.Attempt, s *hygiene.Sighting, p *hygiene.Policy) {
			a.Proved = now.Add(-2 * p.Limits.Grant)
		}, hygiene.GrantNever},
		{"machine still being cleaned", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Neighbour.Waiting = "b"
		}, hygiene.GrantWait},
		{"quarantined by a person meanwhile", func(a *hygiene.Agent, _ *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Quarantine = &hygiene.Quarantine{By: "ann", NextLook: now.Add(time.Hour)}
		}, hygiene.GrantNever},
		{"a person's quarantine whose time is up", func(a *hygiene.Agent, _ *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Quarantine = &hygiene.Quarantine{By: "ann", NextLook: now}
		}, hygiene.GrantNow},
		{"held meanwhile", func(a *hygiene.Agent, _ *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Hold = &hygiene.Hold{Reason: "x"}
		}, hygiene.GrantNever},
		{"a deeper one was asked for meanwhile", func(a *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Depth, t.Depth = hygiene.Deep, hygiene.Standard
		}, hygiene.GrantNever},
		{"a lighter one was asked for meanwhile", func(a *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			a.Depth, t.Depth = hygiene.Light, hygiene.Standard
		}, hygiene.GrantNow},
		{"it does not exist", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) { s.Gone = true }, hygiene.GrantNever},
		{"it is not listed", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) { s.Present = false }, hygiene.GrantWait},
		{"a build was seen since the clean phase", func(_ *hygiene.Agent, t *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) {
			t.Run.Used = "u"
		}, hygiene.GrantNever},
		{"unfit", func(_ *hygiene.Agent, _ *hygiene.Attempt, s *hygiene.Sighting, _ *hygiene.Policy) {
			s.Unfit = "mode NORMAL"
		}, hygiene.GrantNever},
		{"another attempt", func(a *hygiene.Agent, _ *hygiene.Attempt, _ *hygiene.Sighting, _ *hygiene.Policy) { a.Attempt++ }, hygiene.GrantNever},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, s, p := agentIn(hygiene.Granting), idle(hygiene.ShowDirty, now), pool
			attempt := hygiene.Attempt{Number: a.Attempt, Session: "s1", Proved: now.Add(-30 * time.Second)}
			if tt.with != nil {
				tt.with(&a, &attempt, &s, &p)
			}
			if got, reason := hygiene.MayGrant(a, attempt, s, p, now); got != tt.want {
				t.Errorf("got %s (%s), want %s", got, reason, tt.want)
			}
		})
	}
}

func TestTransitionTable(t *testing.T) {
	t.Parallel()
	for _, from := range hygiene.States {
		for _, to := range hygiene.States {
			a := agentIn(from)
			after, err := a.To(to, "because", epoch.Add(1))
			var refused *hygiene.StateError
			switch {
			case from == to:
				if err != nil || after.Since != a.Since {
					t.Errorf("%s to itself: %v, since %s", from, err, after.Since)
				}
			case hygiene.CanGo(from, to):
				if err != nil || after.State != to || after.Since != epoch.Add(1) {
					t.Errorf("%s to %s: %v, %+v", from, to, err, after)
				}
			case !errors.As(err, &refused) || after.State != from:
				t.Errorf("%s to %s: got %v, want it refused", from, to, err)
			}
		}
	}
	// Nothing reaches clean but by granting, and nothing reaches granting but by a running program.
	for _, e := range hygiene.Edges {
		if e.To == hygiene.Clean && e.From != hygiene.Granting || e.To == hygiene.Granting && e.From != hygiene.Running {
			t.Errorf("edge %s to %s opens a way around the proof", e.From, e.To)
		}
	}
}

func TestLostAttemptsAreCountedInARowOfOneRevision(t *testing.T) {
	t.Parallel()
	lost := hygiene.Attempt{Revision: "r1", Began: epoch, Ended: epoch, Outcome: hygiene.Lost}
	with := func(f func(*hygiene.Attempt)) hygiene.Attempt {
		t := lost
		f(&t)
		return t
	}
	open := with(func(t *hygiene.Attempt) { t.Ended, t.Outcome = time.Time{}, "" })
	given := with(func(t *hygiene.Attempt) { t.Outcome = hygiene.GivenBack })
	unbegun := with(func(t *hygiene.Attempt) { t.Began = time.Time{} })
	proved := with(func(t *hygiene.Attempt) { t.Proved = epoch })
	failed := with(func(t *hygiene.Attempt) { t.Outcome = hygiene.Failed })
	cleaned := with(func(t *hygiene.Attempt) { t.Outcome, t.Proved = hygiene.Cleaned, epoch })
	other := with(func(t *hygiene.Attempt) { t.Revision = "r0" })
	tests := map[string]struct {
		attempts []hygiene.Attempt
		want     int
	}{
		"none":                          {nil, 0},
		"the open one is none":          {[]hygiene.Attempt{open, lost, lost}, 2},
		"given back ones are none":      {[]hygiene.Attempt{lost, given, lost, given}, 2},
		"a success ends the row":        {[]hygiene.Attempt{lost, cleaned, lost}, 1},
		"a failure does":                {[]hygiene.Attempt{lost, failed, lost}, 1},
		"a proof does":                  {[]hygiene.Attempt{lost, proved, lost}, 1},
		"another revision does":         {[]hygiene.Attempt{lost, other}, 1},
		"one whose program never began": {[]hygiene.Attempt{unbegun, lost}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := hygiene.CountLosses(tt.attempts, "r1"); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestLostAttemptsInARowBackOffAndCostTheAgentNothing(t *testing.T) {
	t.Parallel()
	p := hygiene.Policy{Backoff: hygiene.Backoff{First: time.Minute, Max: time.Hour}, QuarantineAfter: 1}
	var last time.Duration
	for n := range 12 {
		a := agentIn(hygiene.Running)
		a, _, err := hygiene.End(a, hygiene.Attempt{Agent: a.ID, Number: a.Attempt}, hygiene.Verdict{Outcome: hygiene.Lost, Reason: "gone", Losses: n}, p, epoch)
		if err != nil {
			t.Fatal(err)
		}
		wait := a.NextLook.Sub(epoch)
		switch {
		case n <= hygiene.LossesAtOnce && wait != 0:
			t.Errorf("after %d losses it waits %s", n, wait)
		case n > hygiene.LossesAtOnce && (wait < time.Minute*3/4 || wait > time.Hour*5/4 || n < 8 && wait <= last):
			t.Errorf("after %d losses it waits %s, before that %s", n, wait, last)
		case n > hygiene.LossesAtOnce && !strings.Contains(a.Reason, "in a row"):
			t.Errorf("after %d losses the reason is %q", n, a.Reason)
		case a.Failures != 0 || a.Quarantine != nil:
			t.Errorf("the agent was blamed: %+v", a)
		}
		last = wait
	}
}

func TestAttemptsThatProveAnAgentCleanInVainBackOff(t *testing.T) {
	t.Parallel()
	vain := hygiene.Attempt{Ended: epoch, Proved: epoch, Outcome: hygiene.Lost}
	used := vain
	used.Run.Used = "http://ci.test/job/app/1/"
	for want, attempts := range [][]hygiene.Attempt{
		0: {{}, {Ended: epoch, Proved: epoch, Outcome: hygiene.Cleaned}, vain},
		1: {vain, used, vain},
		2: {{}, vain, {Ended: epoch, Outcome: hygiene.GivenBack}, vain, {Ended: epoch, Outcome: hygiene.Lost}, vain},
	} {
		if got := hygiene.CountUngranted(attempts); got != want {
			t.Errorf("counted %d, want %d", got, want)
		}
	}
	p := hygiene.Policy{Backoff: hygiene.Backoff{First: time.Minute, Max: time.Hour}, QuarantineAfter: 1}
	for n, want := range []time.Duration{0, 0, 0, time.Minute, 2 * time.Minute, 4 * time.Minute} {
		a := agentIn(hygiene.Granting)
		verdict := hygiene.Verdict{Outcome: hygiene.Lost, Reason: "somebody changed its labels", Unused: true, Ungranted: n}
		a, _, err := hygiene.End(a, hygiene.Attempt{Agent: a.ID, Number: a.Attempt, Need: hygiene.NeedCleanup, Proved: epoch}, verdict, p, epoch)
		if wait := a.NextLook.Sub(epoch); err != nil || a.Failures != 0 || a.Quarantine != nil || wait < want*8/10 || wait > want*12/10 {
			t.Errorf("after %d in a row it waits for %s, want %s and a fifth either way: %+v, %v", n, wait, want, a, err)
		}
		if said := strings.Contains(a.Reason, fmt.Sprintf("%d attempts in a row", n)); said != (want > 0) {
			t.Errorf("after %d in a row: %s", n, a.Reason)
		}
	}
}

func TestAttemptsThatWereGivenBackInARowBackOffWhereAPersonMustDoSomething(t *testing.T) {
	t.Parallel()
	given := hygiene.Attempt{Ended: epoch, Outcome: hygiene.GivenBack}
	for want, attempts := range [][]hygiene.Attempt{
		0: {{}, {Ended: epoch, Outcome: hygiene.Cleaned}, given},
		1: {given},
		2: {{}, given, given, {Ended: epoch, Outcome: hygiene.Lost}, given},
	} {
		if got := hygiene.CountGivenBack(attempts); got != want {
			t.Errorf("counted %d, want %d", got, want)
		}
	}
	p := hygiene.Policy{Backoff: hygiene.Backoff{First: time.Minute, Max: time.Hour}, QuarantineAfter: 1}
	wait := func(n int) time.Duration {
		a := agentIn(hygiene.Claimed)
		a, _, err := hygiene.End(a, hygiene.Attempt{Agent: a.ID, Number: a.Attempt}, hygiene.Verdict{Outcome: hygiene.GivenBack, Reason: "forbidden", Hindered: n}, p, epoch)
		if err != nil || a.Failures != 0 || a.Quarantine != nil {
			t.Errorf("the agent was blamed: %+v, %v", a, err)
		}
		return a.NextLook.Sub(epoch)
	}
	if wait(0) != wait(1) {
		t.Errorf("the first waits %s, want %s as any that is given back", wait(1), wait(0))
	}
	for n := 2; n < 12; n++ {
		if w := wait(n); w > 19*time.Minute || n < 6 && w <= wait(n-1) || n > 8 && w < 11*time.Minute {
			t.Errorf("the one after %d waits %s, before that %s", n, w, wait(n-1))
		}
	}
}
