// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"time"
)

// Evidence is what is known about the revisions of a pool, all since [EvidenceSince]. What does not matter in the
// present stage is left out here, not by the caller.
type Evidence struct {
	Rehearsal Rehearsal // of the new revision
	Cleanups  []Cleanup // in the order of their ends, with whatever revision
	Builds    []Build
	Places    int // different machines that the pool's agents are on now; 0 = nobody knows
}

// EvidenceSince is the time since when the evidence about a rollout is to be supplied.
func EvidenceSince(r Rollout, p Policy) time.Time { return r.Started.Add(-p.Baseline) }

// Cleanup is an ended cleanup. Attempts that were lost or given back are none, nor are those that ran the verify
// phase alone: they say nothing about a recipe, or too little.
type Cleanup struct {
	Agent    AgentID
	Machine  string // where other agents of the pool may be, too; "" = it is alone, as far as is known
	Revision Revision
	Failed   bool
	Step     string // the failing step
	At       time.Time
}

// spot is what may be sick together: a machine, or an agent alone.
type spot struct {
	machine string
	agent   AgentID
}

func (c Cleanup) where() spot {
	if c.Machine != "" {
		return spot{machine: c.Machine}
	}
	return spot{agent: c.Agent}
}

// Build is an ended real build that took an agent which a revision had made clean. One that was aborted is none, nor
// is one of which the result is not known.
type Build struct {
	Agent    AgentID
	Revision Revision
	Failed   bool
	At       time.Time
}

// Rehearsal is what the newest rehearsal of the new revision came to.
type Rehearsal struct {
	Result RehearsalResult
	Reason string // why it failed, or why there is no result yet
	At     time.Time
}

// RehearsalResult is how a rehearsal ended. A rehearsal that could not be run has no result.
type RehearsalResult string

// The results.
const (
	NoResult        RehearsalResult = ""
	RehearsalPassed RehearsalResult = "passed"
	RehearsalFailed RehearsalResult = "failed"
)

// Count is how often something was done, and how often it failed.
type Count struct {
	Ran, Failed int
	On          []AgentID // where it failed, each once, in order
	Places      int       // how many different machines these are
}

// Rate is the part that failed, 0 of none.
func (c Count) Rate() float64 {
	if c.Ran == 0 {
		return 0
	}
	return float64(c.Failed) / float64(c.Ran)
}

func (c Count) String() string { return fmt.Sprintf("%d of %d", c.Failed, c.Ran) }

// Comparison is how the new revision does beside the old one.
type Comparison struct {
	New, Old Count
}

// Rise is by how much the rate of the new one is higher; 0 where there is nothing to compare with.
func (c Comparison) Rise() float64 {
	if c.Old.Ran == 0 || c.New.Ran == 0 {
		return 0
	}
	return c.New.Rate() - c.Old.Rate()
}

// over reports whether the new one surely fails more often than at a rate of most.
func (c Comparison) over(most float64) bool {
	return BinomialTail(c.New.Failed, c.New.Ran, most) < chance
}

// risen reports whether the new one fails more often than the old one by more than most, and that hardly by chance.
func (c Comparison) risen(most float64) bool {
	return c.Rise() > most && FisherTail(c.New.Failed, c.New.Ran, c.Old.Failed, c.Old.Ran) < chance
}

// againstOld words the comparison: "2 of 3 fail, against 1 of 90 before".
func (c Comparison) againstOld() string {
	if c.Old.Ran == 0 {
		return fmt.Sprintf("%s fail, and the old revision has no record", c.New)
	}
	return fmt.Sprintf("%s fail, against %s with the old revision", c.New, c.Old)
}

// few reports whether the pool has no third machine: whoever waits for another to tell what fails on one waits with half of it
// out of use, or all.
func (e Evidence) few() bool { return e.Places > 0 && e.Places <= 2 }

// clockSlack is how far after now something may have ended before our clock must have been set back.
const clockSlack = time.Minute

// window is the part of the evidence that counts in the present stage: of the new revision what ended since the stage
// began, or in a pause since the rollout did, of the old one what ended within the baseline. What others did, such as a
// candidate that was given up, speaks neither for nor against an agent: they may have been bad themselves.
func (e Evidence) window(r Rollout, p Policy, now time.Time) Evidence {
	counts := func(v Revision, at time.Time) bool {
		since := EvidenceSince(r, p)
		switch {
		case v == r.To && r.Stage == Paused:
			since = r.Started
		case v == r.To:
			since = r.Since
		case v != r.From:
			return false
		}
		return !at.Before(since) && !at.After(now.Add(clockSlack))
	}
	out := Evidence{Rehearsal: e.Rehearsal, Places: e.Places}
	for _, c := range e.Cleanups {
		if counts(c.Revision, c.At) {
			out.Cleanups = append(out.Cleanups, c)
		}
	}
	for _, b := range e.Builds {
		if counts(b.Revision, b.At) {
			out.Builds = append(out.Builds, b)
		}
	}
	return out
}

// compare counts the cleanups and builds of both revisions, without those of agents that are to blame for themselves.
func (e Evidence) compare(r Rollout, sick map[AgentID]bool) (cleanups, builds Comparison) {
	places := map[Revision]map[spot]bool{r.From: {}, r.To: {}}
	for _, c := range e.Cleanups {
		if of := cleanups.of(r, c.Revision); of != nil && !sick[c.Agent] {
			of.add(c.Agent, c.Failed)
			if c.Failed {
				places[c.Revision][c.where()] = true
			}
		}
	}
	for _, b := range e.Builds {
		if of := builds.of(r, b.Revision); of != nil && !sick[b.Agent] {
			of.add(b.Agent, b.Failed)
		}
	}
	cleanups.New.Places, cleanups.Old.Places = len(places[r.To]), len(places[r.From])
	for _, c := range []*Count{&cleanups.New, &cleanups.Old, &builds.New, &builds.Old} {
		slices.Sort(c.On)
		c.On = slices.Compact(c.On)
	}
	return cleanups, builds
}

func (c *Comparison) of(r Rollout, v Revision) *Count {
	switch v {
	case r.To:
		return &c.New
	case r.From:
		return &c.Old
	}
	return nil
}

func (c *Count) add(id AgentID, failed bool) {
	c.Ran++
	if failed {
		c.Failed++
		c.On = append(c.On, id)
	}
}
