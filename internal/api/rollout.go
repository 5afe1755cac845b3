// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

// Rollout is how far a pool has come from one revision of its recipe to the next.
type Rollout struct {
	Pool    string `json:"pool"`
	Number  int64  `json:"number,omitempty" doc:"Of the pool's rollouts; absent: it has had none"`
	Stage   string `json:"stage" enum:"pinned,rehearsing,canary,share,paused,done,rolled back"`
	Where   string `json:"where" doc:"The stage with its share, for people" example:"share 50%"`
	Share   int    `json:"share,omitempty" doc:"Percent of the pool that get the new revision in this stage"`
	From    string `json:"from,omitempty" doc:"Revision of before"`
	To      string `json:"to,omitempty" doc:"Revision that is rolled out"`
	Pinned  string `json:"pinned,omitempty" doc:"Revision that the pool pins"`
	Offered string `json:"offered" doc:"Revision that the pool's recipe is now"`

	Started time.Time `json:"started,omitzero"`
	Since   time.Time `json:"since,omitzero" doc:"When the stage was entered"`
	By      string    `json:"by,omitempty" doc:"Who changed it last" example:"pitcrew"`
	Reason  string    `json:"reason,omitempty" doc:"Of the last change"`

	Canaries []string `json:"canaries" doc:"Agents that get the new revision first"`
	Shares   []int    `json:"shares" doc:"Percent of the pool in each stage after the canaries"`

	Decided time.Time `json:"decided,omitzero" doc:"When it was decided about last"`
	Waits   string    `json:"waits,omitempty" doc:"What was decided then: why it goes on, or what it waits for"`

	Rehearsal string            `json:"rehearsal,omitempty" enum:"passed,failed" doc:"Result of the newest rehearsal of the new revision"`
	Report    string            `json:"report,omitempty" doc:"What that rehearsal said"`
	Cleanups  RolloutEvidence   `json:"cleanups" doc:"Of this stage"`
	Builds    RolloutEvidence   `json:"builds" doc:"Real builds on agents of either revision"`
	Blames    []RolloutBlame    `json:"blames" doc:"What failures are blamed on"`
	Agents    RolloutAgents     `json:"agents"`
	Standings []RolloutStanding `json:"standings,omitempty" doc:"Each agent; absent in lists"`
}

// RolloutEvidence is how the new revision does beside the old one.
type RolloutEvidence struct {
	New RolloutCount `json:"new"`
	Old RolloutCount `json:"old"`
}

// RolloutCount is how often something was done and failed.
type RolloutCount struct {
	Ran    int      `json:"ran"`
	Failed int      `json:"failed"`
	On     []string `json:"on,omitempty" doc:"Agents on which it failed"`
}

// RolloutBlame is a finding about failures, with the failures that it rests on.
type RolloutBlame struct {
	Culprit  string           `json:"culprit" enum:"revision,agent,nobody,surroundings"`
	Revision string           `json:"revision,omitempty"`
	Agent    string           `json:"agent,omitempty"`
	Reason   string           `json:"reason"`
	Then     string           `json:"then,omitempty" enum:"pause revision,quarantine agent" doc:"What follows"`
	Failures []RolloutFailure `json:"failures"`
}

// RolloutFailure is one failed cleanup.
type RolloutFailure struct {
	Agent    string    `json:"agent"`
	Machine  string    `json:"machine,omitempty" doc:"Where other agents may be, too"`
	Revision string    `json:"revision"`
	Step     string    `json:"step,omitempty"`
	At       time.Time `json:"at"`
}

// RolloutAgents counts the agents of a pool by the revision of their newest attempt.
type RolloutAgents struct {
	Total int `json:"total"`
	New   int `json:"new" doc:"Have the new revision"`
	Old   int `json:"old" doc:"Have the old one"`
	Other int `json:"other" doc:"Have another, or none yet"`
	Wants int `json:"wants" doc:"Get the new revision with their next cleanup"`
}

// RolloutStanding is one agent.
type RolloutStanding struct {
	Agent string `json:"agent"`
	Has   string `json:"has,omitempty" doc:"Revision of its newest attempt"`
	Wants string `json:"wants,omitempty" doc:"Revision that its next attempt will be made with"`
}

func rolloutOf(s *rollout.Status, whole bool) Rollout {
	r, d := &s.Rollout, &s.Decision
	w := Rollout{
		Pool: r.Pool, Number: r.Number, Stage: r.Stage.Name(), Where: r.Where(), Share: r.Percent(), From: string(r.From), To: string(r.To), Pinned: string(r.Pinned()),
		Offered: string(s.Offered), Started: utc(r.Started), Since: utc(r.Since), By: r.By, Reason: r.Reason,
		Canaries: agentNames(r.Canaries), Shares: append([]int{}, r.Plan.Shares...), Decided: utc(s.Decided), Waits: d.Reason,
		Rehearsal: string(s.Rehearsal.Result), Report: s.Rehearsal.Reason,
		Cleanups: comparisonOf(d.Cleanups), Builds: comparisonOf(d.Builds), Blames: each(d.Blames, blameOf),
	}
	w.Agents.Total = len(s.Agents)
	for _, a := range s.Agents {
		switch {
		case a.Has == r.To && r.To != "":
			w.Agents.New++
		case a.Has == r.From:
			w.Agents.Old++
		default:
			w.Agents.Other++
		}
		if a.Wants == r.To && r.To != "" {
			w.Agents.Wants++
		}
		if whole {
			w.Standings = append(w.Standings, RolloutStanding{Agent: string(a.ID), Has: string(a.Has), Wants: string(a.Wants)})
		}
	}
	return w
}

func agentNames(ids []rollout.AgentID) []string {
	return each(ids, func(id rollout.AgentID) string { return string(id) })
}

func comparisonOf(c rollout.Comparison) RolloutEvidence {
	count := func(c rollout.Count) RolloutCount {
		return RolloutCount{Ran: c.Ran, Failed: c.Failed, On: agentNames(c.On)}
	}
	return RolloutEvidence{New: count(c.New), Old: count(c.Old)}
}

func blameOf(b rollout.Blame) RolloutBlame {
	return RolloutBlame{
		Culprit: string(b.Culprit), Revision: string(b.Revision), Agent: string(b.Agent), Reason: b.Reason, Then: string(b.Then),
		Failures: each(b.Failures, func(c rollout.Cleanup) RolloutFailure {
			return RolloutFailure{Agent: string(c.Agent), Machine: c.Machine, Revision: string(c.Revision), Step: c.Step, At: utc(c.At)}
		}),
	}
}
