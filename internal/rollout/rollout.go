// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"strconv"
	"time"
)

// Revision is the content address of a compiled recipe. It is opaque: equal or not is all that is asked.
type Revision string

// Short is what people are shown of a revision.
func (v Revision) Short() string {
	const most = 12
	if len(v) > most {
		return string(v[:most])
	}
	return string(v)
}

// AgentID names an agent among all that a pool takes, as the caller spells it. It is opaque, and sorts.
type AgentID string

// Rollout is what is stored about a pool's newest rollout. The zero Rollout with a Pool and a From is a pool that has
// had none: it pins From.
type Rollout struct {
	Pool   string
	Number int64 // of the pool's rollouts, from 1; 0 before the first
	From   Revision
	To     Revision
	Salt   string // drawn at random when it was started: who gets To early differs from rollout to rollout
	Plan   Plan

	Stage Stage
	// Step is the index of the share in the plan while Stage is [Share], and while it is [Paused] from there.
	Step   int
	Before Stage     // the stage that a pause came from; "" unless Stage is Paused
	Since  time.Time // when stage or step was entered; evidence of before does not count for it

	// Canaries are the chosen ones: those that the plan names, and those that were recruited. One that has left the
	// pool stays in the list: should it come back, it has To already.
	Canaries []AgentID
	// Bound is the place below which agents get To for their share, in the order that Salt draws. It only grows.
	Bound int64

	Started time.Time
	By      string // who changed it last: "pitcrew" or a person
	Reason  string // of the last change
	Version int64  // of the stored row; 0 = not stored
}

// byUs is who changes a rollout on evidence.
const byUs = "pitcrew"

// Plan is the part of a policy that says who gets a revision when. A rollout keeps the one it was started with: a
// share that shrank in the middle would take agents back.
type Plan struct {
	Named    []AgentID // canaries by name
	Canaries int       // how many canaries there are, with the named ones; 0 = only these, or one where none is named
	Shares   []int     // percent of the pool, rising; none = all agents after the canaries
}

// Open reports whether the rollout is under way.
func (r Rollout) Open() bool { return r.Stage.Open() }

// Pinned returns the revision that the pool pins: what an agent gets that joins it while nothing else is decided.
func (r Rollout) Pinned() Revision {
	if r.Stage == Done {
		return r.To
	}
	return r.From
}

// Percent is the share of the pool that gets To in the present stage, 0 unless that is [Share] or a pause of it.
func (r Rollout) Percent() int {
	if (r.Stage == Share || r.Before == Share) && r.Step < len(r.Plan.Shares) {
		return r.Plan.Shares[r.Step]
	}
	return 0
}

// Where names the present stage for people, with its share.
func (r Rollout) Where() string {
	stage := r.Stage
	if stage == Paused {
		stage = r.Before
	}
	where := stage.Name()
	if p := r.Percent(); p > 0 {
		where += " " + strconv.Itoa(p) + "%"
	}
	if r.Stage == Paused {
		return "paused at " + where
	}
	return where
}

// Agent is what has to be known of an agent to say which revision it gets.
type Agent struct {
	ID  AgentID
	Has Revision  // of its newest attempt, in progress or ended in whichever way; "" = none
	Got time.Time // when that attempt was claimed
}

// RevisionFor says with which revision the next attempt on an agent is made. An attempt in progress keeps its own.
//
// While a rollout goes on, an agent that got To keeps getting it: canaries and share only grow. In a pause no further
// agent gets it, and those that have it keep it: cleaning them with From at once would destroy the evidence that
// the person who has to decide wants to see, and a rollback does just that when it is wanted. After a rollback all get
// From.
func (r Rollout) RevisionFor(a Agent) Revision {
	switch r.Stage {
	case Done:
		return r.To
	case Canary, Share:
		if r.reaches(a.ID) {
			return r.To
		}
	case Paused:
		if r.reaches(a.ID) && a.Has == r.To && !a.Got.Before(r.Started) {
			return r.To
		}
	case Pinned, Rehearsing, RolledBack:
	}
	return r.From
}

// reaches reports whether To has got as far as this agent.
func (r Rollout) reaches(id AgentID) bool {
	return slices.Contains(r.Canaries, id) || place(r.Salt, id) < r.Bound
}

// change is who brings a change of stage about, why, and when.
type change struct {
	hand   bool // a person does, not the evidence
	by     string
	reason string
	at     time.Time
}

// to returns the rollout moved to a stage, or a [*StageError] when the table has no such edge.
func (r Rollout) to(stage Stage, c change) (Rollout, error) {
	if !CanGo(r.Stage, stage, c.hand) {
		return r, &StageError{Pool: r.Pool, From: r.Stage, To: stage}
	}
	r.Stage, r.Since, r.By, r.Reason = stage, c.at, c.by, c.reason
	return r, nil
}

// SetBack moves the times of a rollout that a clock wrote which was set back since to now. Evidence from before the
// stage would else not begin to count until the clock has caught up.
func (r Rollout) SetBack(now time.Time) Rollout {
	if r.Since.After(now) {
		r.Since = now
	}
	if r.Started.After(now) {
		r.Started = now
	}
	return r
}
