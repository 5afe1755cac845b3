// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// Event is one line of the audit trail.
type Event struct {
	ID         int64             `json:"id" doc:"Ascending"`
	Type       string            `json:"type" example:"agent.clean"`
	At         time.Time         `json:"at"`
	Actor      string            `json:"actor" doc:"\"pitcrew\", or the name of the token that asked"`
	Subject    string            `json:"subject" doc:"Agent, pool, controller or job that it is about"`
	Controller string            `json:"controller,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Pool       string            `json:"pool,omitempty"`
	Attempt    int64             `json:"attempt,omitempty"`
	Before     string            `json:"before,omitempty" doc:"State of the agent before"`
	After      string            `json:"after,omitempty" doc:"State of the agent after"`
	Reason     string            `json:"reason,omitempty"`
	Data       map[string]string `json:"data,omitempty" doc:"What else is known, by event type"`
}

func eventOf(e hygiene.Event) Event {
	return Event{
		ID: e.ID, Type: string(e.Type), At: utc(e.At), Actor: e.Actor, Subject: e.Subject,
		Controller: string(e.Agent.Controller), Agent: e.Agent.Name, Pool: e.Pool, Attempt: e.Attempt,
		Before: string(e.Before), After: string(e.After), Reason: e.Reason, Data: e.Data,
	}
}
