// SPDX-License-Identifier: Apache-2.0

package rehearsal

import "time"

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
	Differs []Difference `json:"differs,omitempty"`
	// Clean: the production recipe has proved the agent after its return.
	Clean bool `json:"clean"`
}

// Case is one thing that was tried.
type Case struct {
	Name    string        `json:"name"`
	Outcome Outcome       `json:"outcome"`
	Reason  string        `json:"reason,omitempty"`
	Took    time.Duration `json:"took"` // in nanoseconds
	Log     string        `json:"log,omitempty"`
}

// Outcome is that of the whole: failed if the candidate is at fault anywhere, else broken if anything could not be tried.
func (r *Result) Outcome() Outcome {
	worst, tried := Passed, false
	for i := range r.Agents {
		for _, c := range r.Agents[i].Cases {
			switch c.Outcome {
			case Failed:
				return Failed
			case Broken:
				worst = Broken
			case Passed:
				tried = true
			case Skipped:
			}
		}
	}
	if !tried {
		return Broken
	}
	return worst
}
