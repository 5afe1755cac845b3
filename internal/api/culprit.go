// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Culprit is a job with all that its builds left on agents.
type Culprit struct {
	Controller string    `json:"controller"`
	Job        string    `json:"job,omitempty" doc:"Full name; absent: what nobody can tell whose it was"`
	Things     int64     `json:"things" doc:"How many things were found"`
	Bytes      int64     `json:"bytes" doc:"What they held, as far as that was learnt"`
	Agents     int64     `json:"agents" doc:"On how many agents"`
	Attempts   int64     `json:"attempts" doc:"By how many attempts"`
	LastSeen   time.Time `json:"last_seen" doc:"When something of it was found last"`
	Kinds      []Share   `json:"kinds" doc:"Of what kinds, the most things first"`
	Worst      []Share   `json:"worst" doc:"On which agents, the most things first; a few"`
	By         []Share   `json:"by" doc:"By what evidence: environment, workspace, label; history, where only the builds before the find tell; without a name, none"`
}

// Share is a part of what a culprit left.
type Share struct {
	Name   string `json:"name"`
	Things int64  `json:"things"`
	Bytes  int64  `json:"bytes"`
}

// Residue is what one attempt found of one kind that one build had left.
type Residue struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at" doc:"When the program that found it began"`
	Attempt int64     `json:"attempt" doc:"Number of the attempt among those of the agent"`
	Pool    string    `json:"pool,omitempty"`
	Kind    string    `json:"kind" example:"process"`
	Things  int64     `json:"things"`
	Bytes   int64     `json:"bytes" doc:"What they held, as far as that was learnt"`
	Oldest  float64   `json:"oldest_seconds,omitempty" doc:"Age of the oldest, where that was learnt"`
	Example string    `json:"example,omitempty" doc:"One of them"`

	Job      string    `json:"job,omitempty" doc:"Full name of the job that left it; absent where nobody can tell"`
	Build    int64     `json:"build,omitempty" doc:"Number of that job's build, where it is known"`
	By       string    `json:"by,omitempty" doc:"The evidence: environment, workspace, label; history, where only the builds before the find tell"`
	Suspects []Suspect `json:"suspects,omitempty" doc:"Builds of which one left it, where the history leaves several jobs"`
}

// Suspect is a build that may have left something behind.
type Suspect struct {
	Job   string `json:"job"`
	Build int64  `json:"build,omitempty"`
}

func culpritOf(c store.Culprit) Culprit {
	return Culprit{
		Controller: string(c.Controller), Job: c.Job, Things: c.Things, Bytes: c.Bytes, Agents: c.Agents, Attempts: c.Attempts,
		LastSeen: utc(c.LastSeen), Kinds: each(c.Kinds, shareOf), Worst: each(c.Worst, shareOf), By: each(c.By, shareOf),
	}
}

func shareOf(s store.Share) Share { return Share(s) }

func residueOf(r store.Residue) Residue {
	w := Residue{
		ID: r.ID, At: utc(r.At), Attempt: r.Attempt, Pool: r.Pool, Kind: r.Kind, Things: r.Things, Bytes: r.Bytes,
		Oldest: r.Oldest.Seconds(), Example: r.Example, Job: r.Culprit.Job, Build: r.Culprit.Build, By: r.By,
	}
	for _, s := range r.Suspects {
		w.Suspects = append(w.Suspects, Suspect(s))
	}
	return w
}
