// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Build is a real build that ran on an agent.
type Build struct {
	Controller   string    `json:"controller"`
	Agent        string    `json:"agent"`
	URL          string    `json:"url"`
	Job          string    `json:"job,omitempty" doc:"Full name"`
	Number       int64     `json:"number,omitempty"`
	At           time.Time `json:"at" doc:"Its start, by the controller's clock"`
	Attempt      int64     `json:"attempt,omitempty" doc:"Attempt whose cleaning it used up"`
	Contaminated bool      `json:"contaminated" doc:"It started while its agent was not proven clean"`
	Reason       string    `json:"reason,omitempty" doc:"Why it is contaminated"`
}

func buildOf(b store.Build) Build {
	return Build{
		Controller: string(b.Agent.Controller), Agent: b.Agent.Name, URL: b.URL, Job: b.Job, Number: b.Number,
		At: utc(b.At), Attempt: b.Attempt, Contaminated: b.Contaminated, Reason: b.Reason,
	}
}
