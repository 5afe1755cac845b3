// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// told is evidence of cleanups that a story tells, of the minutes after a stage began at base, and a good record of old.
func told(lines ...string) rollout.Evidence {
	var e rollout.Evidence
	for i := range 200 {
		e.Cleanups = append(e.Cleanups, rollout.Cleanup{Agent: rollout.AgentID(fmt.Sprint("ci/w", i%20)), Revision: oldRev, At: base.Add(time.Duration(i-240) * time.Minute)})
	}
	for i, c := range story(lines...) {
		c.At = base.Add(time.Duration(i+1) * time.Minute)
		e.Cleanups = append(e.Cleanups, c)
	}
	return e
}

// of is evidence about a pool on so many machines.
func of(places int, e rollout.Evidence) rollout.Evidence {
	e.Places = places
	return e
}

func (b builds) evidence() (out []rollout.Build) {
	for v, n := range map[rollout.Revision][2]int{newRev: b.new, oldRev: b.old} {
		for i := range n[1] {
			out = append(out, rollout.Build{Agent: rollout.AgentID(fmt.Sprint("ci/", v, i%2)), Revision: v, Failed: i < n[0], At: base.Add(time.Minute)})
		}
	}
	return out
}

// builds is how many failed, of how many.
type builds struct{ new, old [2]int }

func TestNextInCanary(t *testing.T) {
	t.Parallel()
	good := []string{"new a", "new b", "new a"}
	for name, c := range map[string]struct {
		evidence rollout.Evidence
		builds   builds
		policy   func(*rollout.Policy)
		after    time.Duration // since the stage began; 0 = two hours
		want     rollout.Verdict
		reason   string
		look     time.Duration // after now
	}{
		"nothing yet": {
			evidence: told(), want: rollout.Stay, reason: "canary: 0 of 3 cleanups, 3 more wanted", look: 5 * time.Minute,
		},
		"not enough": {
			evidence: told("new a", "new b"), want: rollout.Stay, reason: "canary: 2 of 3 cleanups, 1 more wanted", look: 5 * time.Minute,
		},
		"enough": {
			evidence: told(good...), want: rollout.Promote, reason: "canary: 3 of 3 cleanups succeeded, goes to share 10%",
		},
		"enough, and no shares": {
			evidence: told(good...), policy: func(p *rollout.Policy) { p.Plan.Shares = nil },
			want: rollout.Finish, reason: "canary: 3 of 3 cleanups succeeded, goes to the whole pool",
		},
		"soaks": {
			evidence: told(good...), after: 58 * time.Minute,
			want: rollout.Stay, reason: "canary: 3 of 3 cleanups succeeded, soaks until 2026-03-01T13:00:00Z", look: 2 * time.Minute,
		},
		"cleanups before the stage do not count": {
			evidence: rollout.Evidence{Cleanups: story(good...)}, want: rollout.Stay, reason: "canary: 0 of 3 cleanups, 3 more wanted", look: 5 * time.Minute,
		},
		"nor do those of a clock that ran ahead": {
			evidence: told(good...), after: time.Minute, policy: func(p *rollout.Policy) { p.Soak = 0 },
			want: rollout.Stay, reason: "canary: 2 of 3 cleanups, 1 more wanted", look: 5 * time.Minute,
		},
		"one failure undoes nothing": {
			evidence: told("new a fails", "new b"), want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: 1 of 3 cleanups, 2 more wanted; 1 failed, on ci/a",
		},
		"one failure holds it up": {
			evidence: told("new a fails", "new a", "new b", "new b"), want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: 1 of 4 cleanups fail, on ci/a, and 10% may: more are wanted to tell",
		},
		"one failure holds it up because of the old one": {
			evidence: told("new a fails", "new a", "new b", "new b"), policy: func(p *rollout.Policy) { p.MaxFailureRate = 0.5 }, want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: 1 of 4 fail, against 0 of 200 with the old revision: more cleanups are wanted to tell",
		},
		"fails on two agents": {
			evidence: told("new a fails", "new b fails"), want: rollout.RollBack,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, on ci/a, ci/b",
		},
		"fails on two agents, and the policy pauses": {
			evidence: told("new a fails", "new b fails"), policy: func(p *rollout.Policy) { p.OnFailure = rollout.PauseOnFailure }, want: rollout.Pause,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, on ci/a, ci/b",
		},
		"fails on two agents of one machine": {
			evidence: told("new a on m fails", "new b on m fails"), want: rollout.Pause,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, all on ci/a, ci/b: the revision or its agent, that does not tell",
		},
		"fails on its only agent": {
			evidence: told("new a fails", "new a fails"), want: rollout.Pause,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, all on ci/a: the revision or its agent, that does not tell",
		},
		"fails on its only agent, in a pool of two": {
			evidence: of(2, told("new a fails", "new a fails")), want: rollout.RollBack,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, all on ci/a: in so small a pool only the old revision can tell whether it or its agent is to blame, and is tried there",
		},
		"fails on its only agent, in a pool of three": {
			evidence: of(3, told("new a fails", "new a fails")), want: rollout.Pause,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, all on ci/a: the revision or its agent, that does not tell",
		},
		"fails on its only agent, in a pool of one whose policy pauses": {
			evidence: of(1, told("new a fails", "new a fails")), policy: func(p *rollout.Policy) { p.OnFailure = rollout.PauseOnFailure }, want: rollout.Pause,
			reason: "canary: 2 of 2 fail, against 0 of 200 with the old revision, all on ci/a: the revision or its agent, that does not tell",
		},
		"is blamed before rates tell": {
			evidence: rollout.Evidence{Cleanups: told("new a fails", "new b fails").Cleanups[200:]}, want: rollout.Pause,
			reason: "canary: revision new fails on ci/a, ci/b, of 2 that tried it",
		},
		"three of three is over any small limit": {
			evidence: rollout.Evidence{Cleanups: told("new a fails", "new b fails", "new a fails").Cleanups[200:]}, want: rollout.RollBack,
			reason: "canary: 3 of 3 fail, and the old revision has no record, on ci/a, ci/b",
		},
		"a sick agent does not count": {
			evidence: told("old a fails", "new a fails", "new b", "new b", "new b"), want: rollout.Promote,
			reason: "canary: 3 of 3 cleanups succeeded, goes to share 10%; without ci/a, where different revisions fail",
		},
		"a revision that was given up speaks against no agent": {
			evidence: told("gone a fails", "gone a fails", "new a fails", "new b"), want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: 1 of 3 cleanups, 2 more wanted; 1 failed, on ci/a",
		},
		"all fail at once": {
			evidence: told("new a fails", "old w1 fails", "old w2 fails", "new b fails", "new a fails"), want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: revision new fails on ci/a, ci/b, and others fail on other agents at the same time: what they share is likelier at fault",
		},
		"builds fail on its agents": {
			evidence: told(good...), builds: builds{new: [2]int{3, 4}, old: [2]int{5, 100}}, want: rollout.Pause,
			reason: "canary: real builds on its agents: 3 of 4 fail, against 5 of 100 with the old revision, on ci/new0, ci/new1",
		},
		"builds may fail on its agents": {
			evidence: told(good...), builds: builds{new: [2]int{2, 4}, old: [2]int{20, 100}}, want: rollout.Stay, look: 5 * time.Minute,
			reason: "canary: real builds on its agents: 2 of 4 fail, against 20 of 100 with the old revision: more are wanted to tell",
		},
		"builds fail as before": {
			evidence: told(good...), builds: builds{new: [2]int{2, 8}, old: [2]int{20, 100}}, want: rollout.Promote,
			reason: "canary: 3 of 3 cleanups succeeded, goes to share 10%",
		},
		"one build fails": {
			evidence: told(good...), builds: builds{new: [2]int{1, 1}, old: [2]int{0, 100}}, want: rollout.Promote,
			reason: "canary: 3 of 3 cleanups succeeded, goes to share 10%",
		},
		"patience ends": {
			evidence: told("new a"), after: 72 * time.Hour, want: rollout.Pause,
			reason: "canary: not told within 72h: 1 of 3 cleanups, 2 more wanted",
		},
		"patience is about to end": {
			evidence: told("new a"), after: 72*time.Hour - time.Minute, want: rollout.Stay,
			reason: "canary: 1 of 3 cleanups, 2 more wanted", look: time.Minute,
		},
		"without patience": {
			evidence: told("new a"), after: 1000 * time.Hour, policy: func(p *rollout.Policy) { p.Patience = 0 }, want: rollout.Stay,
			reason: "canary: 1 of 3 cleanups, 2 more wanted", look: 5 * time.Minute,
		},
	} {
		p := policy()
		if c.policy != nil {
			c.policy(&p)
		}
		if c.after == 0 {
			c.after = 2 * time.Hour
		}
		now := base.Add(c.after)
		c.evidence.Builds = c.builds.evidence()
		d := rollout.Next(started(t, p, fleet(20)), c.evidence, p, now)
		if d.Verdict != c.want || d.Reason != c.reason {
			t.Errorf("%s:\n got %s: %s\nwant %s: %s", name, d.Verdict, d.Reason, c.want, c.reason)
		}
		if look := d.NextLook; c.look == 0 && !look.IsZero() || c.look > 0 && !look.Equal(now.Add(c.look)) {
			t.Errorf("%s: looks again at %s, %s after now", name, look, look.Sub(now))
		}
	}
}

func TestNextInOtherStages(t *testing.T) {
	t.Parallel()
	rollouts := inEach(t)
	for _, c := range []struct {
		stage    rollout.Stage
		evidence rollout.Evidence
		want     rollout.Verdict
		reason   string
	}{
		{rollout.Pinned, told("new a fails"), rollout.Stay, "no rollout: the pool pins revision old"},
		{rollout.Rehearsing, told("new a"), rollout.Stay, "rehearsing: waits for the rehearsal"},
		{rollout.Rehearsing, rollout.Evidence{Rehearsal: rollout.Rehearsal{Reason: "no agent to borrow"}}, rollout.Stay, "rehearsing: waits for the rehearsal: no agent to borrow"},
		{rollout.Rehearsing, rollout.Evidence{Rehearsal: rollout.Rehearsal{Result: rollout.RehearsalPassed}}, rollout.Promote, "rehearsing: the rehearsal passed"},
		{rollout.Rehearsing, rollout.Evidence{Rehearsal: rollout.Rehearsal{Result: rollout.RehearsalFailed, Reason: "the second run changed /etc"}}, rollout.RollBack, "rehearsing: the rehearsal failed: the second run changed /etc"},
		{rollout.Share, told("new a", "new b", "new c"), rollout.Promote, "share 10%: 3 of 3 cleanups succeeded, goes to share 50%"},
		{rollout.Share, told("new a fails", "new b fails", "new c"), rollout.RollBack, "share 10%: 2 of 3 fail, against 0 of 200 with the old revision, on ci/a, ci/b"},
		{rollout.Paused, told("new a", "new b", "new c"), rollout.Stay, "paused at share 10% by ann: the mirror is down"},
		{rollout.Done, told("new a fails", "new b fails"), rollout.Stay, "done by ann: promoted by hand"},
		{rollout.RolledBack, told("new a"), rollout.Stay, "rolled back by ann: the mirror is down"},
	} {
		now := base.Add(2 * time.Hour)
		d := rollout.Next(rollouts[c.stage], c.evidence, policy(), now)
		if d.Verdict != c.want || d.Reason != c.reason {
			t.Errorf("%q: %s: %s, want %s: %s", c.stage, d.Verdict, d.Reason, c.want, c.reason)
		}
		working := c.stage.Open() && c.stage != rollout.Paused
		if wait := working && d.Verdict == rollout.Stay; wait == d.NextLook.IsZero() {
			t.Errorf("%q: looks again at %s", c.stage, d.NextLook)
		}
	}
	last := at(t, policy(), fleet(10), rollout.Share, 2)
	if d := rollout.Next(last, told("new a", "new b", "new c"), policy(), base.Add(2*time.Hour)); d.Verdict != rollout.Finish {
		t.Errorf("after the last share: %s: %s", d.Verdict, d.Reason)
	}
}

// What a rehearsal finds when the first agents have the revision already stops it as well, where the pool wants one passed.
func TestARehearsalThatFailsLaterStopsTheRollout(t *testing.T) {
	t.Parallel()
	rollouts := inEach(t)
	for name, c := range map[string]struct {
		stage  rollout.Stage
		bend   func(*rollout.Policy)
		after  time.Duration // the stage began
		result rollout.RehearsalResult
		want   rollout.Verdict
		reason string
	}{
		"in canary":        {rollout.Canary, nil, time.Minute, rollout.RehearsalFailed, rollout.RollBack, "canary: a rehearsal failed: el9 is left dirty"},
		"in a share":       {rollout.Share, nil, 0, rollout.RehearsalFailed, rollout.RollBack, "share 10%: a rehearsal failed: el9 is left dirty"},
		"to be looked at":  {rollout.Canary, func(p *rollout.Policy) { p.OnFailure = rollout.PauseOnFailure }, time.Minute, rollout.RehearsalFailed, rollout.Pause, "canary: a rehearsal failed: el9 is left dirty"},
		"known before":     {rollout.Canary, nil, -time.Minute, rollout.RehearsalFailed, rollout.Promote, "canary: 3 of 3 cleanups succeeded, goes to share 10%"},
		"passed again":     {rollout.Canary, nil, time.Minute, rollout.RehearsalPassed, rollout.Promote, "canary: 3 of 3 cleanups succeeded, goes to share 10%"},
		"not to be passed": {rollout.Canary, func(p *rollout.Policy) { p.RehearsalRequired = false }, time.Minute, rollout.RehearsalFailed, rollout.Promote, "canary: 3 of 3 cleanups succeeded, goes to share 10%"},
		"in a pause":       {rollout.Paused, nil, time.Minute, rollout.RehearsalFailed, rollout.Stay, "paused at share 10% by ann: the mirror is down"},
	} {
		p, e := policy(), told("new a", "new b", "new c")
		p.RehearsalRequired = true
		if c.bend != nil {
			c.bend(&p)
		}
		r := rollouts[c.stage]
		e.Rehearsal = rollout.Rehearsal{Result: c.result, Reason: "el9 is left dirty", At: r.Since.Add(c.after)}
		if d := rollout.Next(r, e, p, base.Add(2*time.Hour)); d.Verdict != c.want || d.Reason != c.reason {
			t.Errorf("%s: %s: %s, want %s: %s", name, d.Verdict, d.Reason, c.want, c.reason)
		}
	}
}

func TestAPauseShowsTheEvidenceOfBefore(t *testing.T) {
	t.Parallel()
	r := started(t, policy(), fleet(10))
	o := order(nil)
	o.Now = base.Add(time.Hour)
	paused, err := r.Pause(o)
	if err != nil {
		t.Fatal(err)
	}
	d := rollout.Next(paused, told("new a fails", "new b fails"), policy(), base.Add(2*time.Hour))
	if d.Cleanups.New.Failed != 2 || d.Cleanups.Old.Ran != 200 || len(d.Blames) != 1 {
		t.Errorf("%+v, %+v", d.Cleanups, d.Blames)
	}
}

func TestApplyCarriesOutWhatWasDecided(t *testing.T) {
	t.Parallel()
	p, agents := policy(), fleet(10)
	r := started(t, p, agents)
	now := base.Add(2 * time.Hour)
	for _, c := range []struct {
		evidence rollout.Evidence
		want     string
	}{
		{told("new a"), "canary"},
		{told("new a", "new b", "new a"), "share 10%"},
		{told("new a fails", "new a fails"), "paused at canary"},
		{told("new a fails", "new b fails"), "rolled back"},
	} {
		d := rollout.Next(r, c.evidence, p, now)
		next, err := rollout.Apply(r, d, rollout.Order{Agents: agents, Now: now})
		if err != nil || next.Where() != c.want {
			t.Errorf("%s: %s, %v, want %s", d.Reason, next.Where(), err, c.want)
			continue
		}
		if d.Verdict == rollout.Stay {
			continue
		}
		if next.By != "pitcrew" || next.Reason != d.Reason || !next.Since.Equal(now) {
			t.Errorf("stored as done by %s at %s: %s", next.By, next.Since, next.Reason)
		}
		if _, err := rollout.Apply(next, d, rollout.Order{Agents: agents, Now: now}); !errors.Is(err, rollout.ErrChanged) {
			t.Errorf("%s, applied once more: %v", d.Verdict, err)
		}
	}
}
