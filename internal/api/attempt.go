// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Attempt is one try to run a recipe on one agent. Its nonce is a secret and is not shown.
type Attempt struct {
	ID         int64  `json:"id,omitempty" doc:"Among the attempts of all agents"`
	Controller string `json:"controller"`
	Agent      string `json:"agent"`
	Number     int64  `json:"number" doc:"Among the attempts of this agent"`
	Pool       string `json:"pool,omitempty"`
	Recipe     string `json:"recipe,omitempty"`
	Revision   string `json:"revision,omitempty" doc:"Content address of the compiled recipe"`
	Need       string `json:"need,omitempty" enum:"cleanup,verify" doc:"How much of the recipe it runs"`
	Depth      string `json:"depth,omitempty" enum:"light,standard,deep" doc:"How deep its program was asked to clean; absent where that is not recorded"`
	Delivery   string `json:"delivery,omitempty" enum:"job,ssh"`

	Claimed time.Time `json:"claimed"`
	Handed  time.Time `json:"handed,omitzero" doc:"When the program was handed over"`
	Started time.Time `json:"started,omitzero" doc:"When the program was first known to run"`
	Proved  time.Time `json:"proved,omitzero" doc:"When its report said cleaned and verified"`
	Ended   time.Time `json:"ended,omitzero" doc:"Absent while it is in progress"`

	Outcome string `json:"outcome,omitempty" enum:"cleaned,failed,lost,given back" doc:"Absent while it is in progress"`
	Reason  string `json:"reason,omitempty"`
	Step    string `json:"step,omitempty" doc:"The step that failed"`
	Asked   string `json:"asked,omitempty" enum:"reconnect,reboot" doc:"What it asked for last"`

	Job     string `json:"job,omitempty" doc:"Job that carries the program"`
	Build   int64  `json:"build,omitempty" doc:"Number of the build that runs it"`
	URL     string `json:"url,omitempty" doc:"Of that build"`
	QueueID int64  `json:"queue_id,omitempty"`
}

func attemptOf(r store.AttemptRecord) Attempt {
	t := r.Attempt
	return Attempt{
		ID: r.ID, Controller: string(t.Agent.Controller), Agent: t.Agent.Name, Number: t.Number, Pool: t.Pool,
		Recipe: t.Recipe, Revision: t.Revision, Need: string(t.Need), Depth: string(t.Depth), Delivery: string(t.Delivery),
		Claimed: utc(t.Claimed), Handed: utc(t.Handed), Started: utc(t.Started), Proved: utc(t.Proved), Ended: utc(t.Ended),
		Outcome: string(t.Outcome), Reason: t.Reason, Step: t.Step, Asked: string(t.Asked),
		Job: t.Run.Job, Build: t.Run.Build, URL: t.Run.URL, QueueID: t.Run.QueueID,
	}
}
