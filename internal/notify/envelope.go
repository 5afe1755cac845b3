// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/json"
	"time"
)

// typePrefix makes our types unique among everybody's, as CloudEvents asks.
const typePrefix = "io.github.pitcrew-ci."

// contentType is that of a CloudEvents envelope as JSON.
const contentType = "application/cloudevents+json; charset=utf-8"

// envelope is CloudEvents 1.0 in its JSON format.
type envelope struct {
	SpecVersion     string  `json:"specversion"`
	ID              string  `json:"id"`
	Source          string  `json:"source"` // the installation, as a URI reference
	Type            string  `json:"type"`
	Subject         string  `json:"subject,omitempty"`
	Time            string  `json:"time"`
	DataContentType string  `json:"datacontenttype"`
	Data            content `json:"data"`
}

type content struct {
	Summary    string            `json:"summary"`
	Controller string            `json:"controller,omitempty"`
	Agent      string            `json:"agent,omitempty"`
	Pool       string            `json:"pool,omitempty"`
	Before     string            `json:"before,omitempty"`
	After      string            `json:"after,omitempty"`
	Reason     string            `json:"reason,omitempty"`
	Details    map[string]string `json:"details,omitempty"`
}

// encode returns the notice in its envelope. The same notice gives the same bytes.
func encode(n Notice, source string) ([]byte, error) {
	return json.Marshal(envelope{
		SpecVersion: "1.0", ID: n.ID, Source: source, Type: typePrefix + n.Type, Subject: n.Subject.String(),
		Time: n.Time.UTC().Format(time.RFC3339Nano), DataContentType: "application/json",
		Data: content{
			Summary: n.Summary, Controller: n.Subject.Controller, Agent: n.Subject.Agent, Pool: n.Subject.Pool,
			Before: n.Before, After: n.After, Reason: n.Reason, Details: n.Data,
		},
	})
}
