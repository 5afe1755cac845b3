// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"strings"
	"time"
)

// Verdict is what a [Decision] asks for.
type Verdict string

// The verdicts.
const (
	Stay     Verdict = "stay"
	Promote  Verdict = "promote"  // to the next stage or share
	Finish   Verdict = "finish"   // the pool pins the new revision
	Pause    Verdict = "pause"    // no further agent gets it
	RollBack Verdict = "rollback" // all get the old revision again
)

// Decision is one decision about a rollout as data, with what it rests on. [Apply] carries it out.
type Decision struct {
	Verdict Verdict
	Reason  string

	Cleanups Comparison // of this stage, beside those with the old revision; without those of agents to blame
	Builds   Comparison // real builds on agents of either
	Blames   []Blame    // what the failures of both tell; the consequences for agents are the caller's to bring about

	NextLook time.Time // look again then, if nothing changes before; zero = only when something does

	number int64 // of the rollout, and the stage of it, that was decided about
	stage  Stage
	step   int
}

// lookAgain is the longest time for which a rollout under way goes without a look.
const lookAgain = 5 * time.Minute

// Next says what is to become of rollout r at now, by what the evidence tells. A pause ends by a person's word alone.
func Next(r Rollout, e Evidence, p Policy, now time.Time) Decision {
	d := Decision{Verdict: Stay, number: r.Number, stage: r.Stage, step: r.Step}
	switch r.Stage {
	case Pinned:
		d.Reason = fmt.Sprintf("no rollout: the pool pins revision %s", r.From.Short())
	case Done, RolledBack:
		d.Reason = fmt.Sprintf("%s by %s: %s", r.Stage, r.By, r.Reason)
	case Rehearsing:
		d.rehearse(r, e.Rehearsal, p, now)
	case Canary, Share:
		d.weigh(r, e.window(r, p, now), p, now)
		d.hear(r, e.Rehearsal, p)
	case Paused:
		e = e.window(r, p, now)
		d.Blames = Attribute(e.Cleanups, p)
		d.Cleanups, d.Builds = e.compare(r, sickOf(d.Blames))
		d.Reason = fmt.Sprintf("%s by %s: %s", r.Where(), r.By, r.Reason)
	}
	return d
}

func (d *Decision) rehearse(r Rollout, got Rehearsal, p Policy, now time.Time) {
	switch got.Result {
	case RehearsalPassed:
		d.Verdict, d.Reason = Promote, "rehearsing: the rehearsal passed"
		return
	case RehearsalFailed:
		d.Verdict, d.Reason = RollBack, "rehearsing: the rehearsal failed"
		if got.Reason != "" {
			d.Reason += ": " + got.Reason
		}
		return
	case NoResult:
	}
	why := "waits for the rehearsal"
	if got.Reason != "" {
		why += ": " + got.Reason
	}
	d.wait(r, why, p, now)
}

// hear gives a rehearsal its due that failed while agents had the revision already, where one has to pass. As all evidence it counts
// for the stage in which it came: whoever resumed or promoted the rollout after that knew of it.
func (d *Decision) hear(r Rollout, got Rehearsal, p Policy) {
	if !p.RehearsalRequired || got.Result != RehearsalFailed || got.At.Before(r.Since) {
		return
	}
	d.Verdict, d.Reason, d.NextLook = RollBack, strings.TrimSuffix(r.Where()+": a rehearsal failed: "+got.Reason, ": "), time.Time{}
	if p.OnFailure == PauseOnFailure {
		d.Verdict = Pause
	}
}

// minFailures is how many failures it takes to undo anything: a single one may always be a coincidence, whatever the
// limits say. It holds a promotion up.
const minFailures = 2

// weigh decides about a canary stage or a share. What speaks against the revision comes first.
func (d *Decision) weigh(r Rollout, e Evidence, p Policy, now time.Time) {
	d.Blames = Attribute(e.Cleanups, p)
	d.Cleanups, d.Builds = e.compare(r, sickOf(d.Blames))
	var blame Blame
	for _, b := range d.Blames {
		if b.Revision == r.To && b.Culprit != TheAgent {
			blame = b
		}
	}
	c := d.Cleanups
	bad := c.New.Failed >= minFailures && (c.over(p.MaxFailureRate) || c.risen(p.MaxRise))
	say := func(v Verdict, why string) { d.Verdict, d.Reason = v, r.Where()+": "+why }
	switch {
	case blame.Culprit == TheSurroundings:
		d.wait(r, blame.Reason, p, now)
	case bad && c.New.Places < minAgents && e.few() && p.OnFailure != PauseOnFailure:
		say(RollBack, fmt.Sprintf("%s, all on %s: in so small a pool only the old revision can tell whether it or its agent is to blame, and is tried there", c.againstOld(), among(c.New.On)))
	case bad && c.New.Places < minAgents:
		say(Pause, fmt.Sprintf("%s, all on %s: the revision or its agent, that does not tell", c.againstOld(), among(c.New.On)))
	case bad && p.OnFailure == PauseOnFailure:
		say(Pause, fmt.Sprintf("%s, on %s", c.againstOld(), among(c.New.On)))
	case bad:
		say(RollBack, fmt.Sprintf("%s, on %s", c.againstOld(), among(c.New.On)))
	case blame.Culprit == TheRevision:
		say(Pause, blame.Reason)
	case d.Builds.New.Failed >= minFailures && d.Builds.risen(p.MaxBuildFailureRise):
		say(Pause, fmt.Sprintf("real builds on its agents: %s, on %s", d.Builds.againstOld(), among(d.Builds.New.On)))
	default:
		d.promote(r, p, now)
	}
}

// promote moves on once nothing is wanted any more.
func (d *Decision) promote(r Rollout, p Policy, now time.Time) {
	if why := d.wants(r, p, now); why != "" {
		d.wait(r, why, p, now)
		return
	}
	d.Verdict = Promote
	next, to := r, "the whole pool"
	if next.Stage, next.Step = r.following(); next.Stage == Done {
		d.Verdict = Finish
	} else {
		to = next.Where()
	}
	c := d.Cleanups
	d.Reason = fmt.Sprintf("%s: %d of %d cleanups succeeded, goes to %s%s", r.Where(), c.New.Ran-c.New.Failed, c.New.Ran, to, d.left())
}

// wants says what a stage still needs, "" for nothing.
func (d *Decision) wants(r Rollout, p Policy, now time.Time) string {
	c, b := d.Cleanups, d.Builds
	want := max(p.MinCleanups, 1)
	have := c.New.Ran - c.New.Failed
	switch {
	case have < want:
		why := fmt.Sprintf("%d of %d cleanups, %d more wanted", have, want, want-have)
		if c.New.Failed > 0 {
			why += fmt.Sprintf("; %d failed, on %s", c.New.Failed, among(c.New.On))
		}
		return why + d.left()
	case c.New.Rate() > p.MaxFailureRate:
		return fmt.Sprintf("%s cleanups fail, on %s, and %.3g%% may: more are wanted to tell%s", c.New, among(c.New.On), 100*p.MaxFailureRate, d.left())
	case c.Rise() > p.MaxRise:
		return fmt.Sprintf("%s: more cleanups are wanted to tell%s", c.againstOld(), d.left())
	case b.New.Failed >= minFailures && b.Rise() > p.MaxBuildFailureRise:
		return fmt.Sprintf("real builds on its agents: %s: more are wanted to tell", b.againstOld())
	case now.Before(r.Since.Add(p.Soak)):
		return fmt.Sprintf("%d of %d cleanups succeeded, soaks until %s", have, c.New.Ran, r.Since.Add(p.Soak).UTC().Format(time.RFC3339))
	}
	return ""
}

// left names the agents whose cleanups are left out, because they are to blame themselves.
func (d *Decision) left() string {
	var ids []AgentID
	for _, b := range d.Blames {
		if b.Culprit == TheAgent {
			ids = append(ids, b.Agent)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return "; without " + among(ids) + ", where different revisions fail"
}

// wait stays, for no longer than the pool is patient.
func (d *Decision) wait(r Rollout, why string, p Policy, now time.Time) {
	d.Verdict, d.Reason = Stay, r.Where()+": "+why
	d.NextLook = now.Add(lookAgain)
	sooner := func(at time.Time) {
		if at.After(now) && at.Before(d.NextLook) {
			d.NextLook = at
		}
	}
	sooner(r.Since.Add(p.Soak))
	if p.Patience <= 0 {
		return
	}
	if end := r.Since.Add(p.Patience); now.Before(end) {
		sooner(end)
		return
	}
	d.Verdict, d.NextLook = Pause, time.Time{}
	d.Reason = fmt.Sprintf("%s: not told within %s: %s", r.Where(), brief(p.Patience), why)
}

// brief spells a duration without the parts that are nothing: 72h, not 72h0m0s.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func sickOf(blames []Blame) map[AgentID]bool {
	sick := map[AgentID]bool{}
	for _, b := range blames {
		if b.Culprit == TheAgent {
			sick[b.Agent] = true
		}
	}
	return sick
}

// Apply carries a decision out on the rollout that it was made about; of the order the agents and the time count. A
// decision about another stage is refused: the rollout has changed since.
func Apply(r Rollout, d Decision, o Order) (Rollout, error) {
	if d.number != r.Number || d.stage != r.Stage || d.step != r.Step {
		return r, r.refuse(string(d.Verdict), ErrChanged, "it has gone on to %s since that was decided", r.Where())
	}
	c := change{by: byUs, reason: d.Reason, at: o.Now}
	switch d.Verdict {
	case Promote, Finish:
		stage, step := r.following()
		return r.enter(stage, step, o, c)
	case Pause:
		return r.pause(c)
	case RollBack:
		return r.rollBack(c)
	case Stay:
	}
	return r, nil
}
