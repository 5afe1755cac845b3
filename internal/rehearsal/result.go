// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// Outcome is what became of a case.
type Outcome string

// The outcomes of cases.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"  // the candidate is at fault
	Skipped Outcome = "skipped" // it does not apply, or cannot be tried here; Reason says why
	Broken  Outcome = "broken"  // it could not be tried to its end: no word about the candidate
)

// Result is what a rehearsal found.
type Result struct {
	ID       string        `json:"id"`
	Recipe   string        `json:"recipe"`
	Revision string        `json:"revision"`
	Began    time.Time     `json:"began"`
	Ended    time.Time     `json:"ended"`
	Agents   []AgentResult `json:"agents"`
	Gaps     []Gap         `json:"gaps,omitempty"` // what it does not cover
}

// AgentResult is what was found on one agent.
type AgentResult struct {
	Offer
	Loan    string `json:"loan,omitempty"`
	Account string `json:"account,omitempty"` // that the candidate ran as
	Against string `json:"against,omitempty"` // revision of the production recipe that it was compared with
	Cases   []Case `json:"cases"`
	// Differs is how the end state of the candidate differs from that of the production recipe: for people to judge.
	Differs  []state.Difference `json:"differs,omitempty"`
	Compared bool               `json:"compared"`
	// Clean: the production recipe has proved the agent after its return.
	Clean bool `json:"clean"`

	against report.Recipe
}

// Case is one thing that was tried.
type Case struct {
	Name    string        `json:"name"`
	Outcome Outcome       `json:"outcome"`
	Reason  string        `json:"reason,omitempty"`
	Took    time.Duration `json:"took"` // in nanoseconds
	// Ended and Steps are what the newest run of it reported.
	Ended   string             `json:"ended,omitempty"`
	Steps   []report.Step      `json:"steps,omitempty"`
	Changed []string           `json:"changed,omitempty"` // steps that had something to do again
	Differs []state.Difference `json:"differs,omitempty"` // from before to after, where nothing was to change
	Made    []mess.Line        `json:"made,omitempty"`
	Left    []mess.Line        `json:"left,omitempty"` // of what was made, by the candidate
	Log     string             `json:"log,omitempty"`
}

// Outcome is that of the whole: failed if the candidate is at fault anywhere, else broken if anything could not be tried.
func (r *Result) Outcome() Outcome {
	var all []Case
	for i := range r.Agents {
		all = append(all, r.Agents[i].Cases...)
	}
	return outcomeOf(all)
}

func outcomeOf(cases []Case) Outcome {
	worst := Broken // nothing was tried
	for _, c := range cases {
		switch c.Outcome {
		case Failed:
			return Failed
		case Passed:
			if worst == Broken {
				worst = Passed
			}
		case Broken, Skipped:
		}
	}
	for _, c := range cases {
		if c.Outcome == Broken {
			return Broken
		}
	}
	return worst
}
