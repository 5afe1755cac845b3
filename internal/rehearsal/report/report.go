// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/mess"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/state"
)

// Version is that of the form of a report's JSON. Fields may come at the same version; none changes its meaning or goes.
const Version = 1

// Verdict is what came of a case, of an agent, or of the whole rehearsal.
type Verdict string

// The verdicts. An agent or a rehearsal is never skipped.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"  // the candidate is at fault
	Skipped Verdict = "skipped" // it does not apply, or cannot be tried here
	Broken  Verdict = "broken"  // it could not be tried to its end: that says nothing about the candidate
)

// Report is all of a rehearsal.
type Report struct {
	Version    int           `json:"version"`
	ID         string        `json:"id"`
	StartedAt  time.Time     `json:"startedAt"`
	Duration   time.Duration `json:"duration"` // nanoseconds, as everywhere here
	Overhead   time.Duration `json:"overhead"` // what of Duration went into the controller, borrowing and returning
	Recipe     Recipe        `json:"recipe"`
	Controller string        `json:"controller"` // the kind of the ephemeral one: image, war or URL
	Verdict    Verdict       `json:"verdict"`
	Gaps       []string      `json:"gaps"` // what it does not cover, and why
	Agents     []Agent       `json:"agents"`
}

// Recipe names a revision of a recipe.
type Recipe struct {
	Name     string `json:"name"`
	Revision string `json:"revision"`
}

func (r Recipe) String() string {
	if r == (Recipe{}) {
		return "none"
	}
	return fmt.Sprintf("%s %.12s", r.Name, r.Revision)
}

// Agent is what was found on one borrowed agent.
type Agent struct {
	Name    string  `json:"name"` // controller/agent
	Pool    string  `json:"pool"`
	OS      string  `json:"os"`
	Arch    string  `json:"arch"`
	Profile string  `json:"profile,omitempty"`
	Loan    string  `json:"loan,omitempty"`
	Account string  `json:"account,omitempty"` // that the candidate ran as
	Verdict Verdict `json:"verdict"`
	Cases   []Case  `json:"cases"` // in the order in which they were tried
	// Against is the recipe that the candidate was compared with; zero if none was found.
	Against Recipe `json:"against,omitzero"`
	// Compared is whether the states after both were compared. Differences, from Against to the candidate, are for people to judge.
	Compared    bool               `json:"compared"`
	Differences []state.Difference `json:"differences,omitempty"`
}

// Case is one thing that was tried.
type Case struct {
	Name     string        `json:"name"`
	Verdict  Verdict       `json:"verdict"`
	Reason   string        `json:"reason,omitempty"` // of a verdict that is not passed, or what is peculiar about one that is
	Duration time.Duration `json:"duration"`
	// Outcome, as cleanups have them, and Steps are what the newest run of a recipe in it reported.
	Outcome      string             `json:"outcome,omitempty"`
	Steps        []Step             `json:"steps,omitempty"`
	ChangedSteps []string           `json:"changedSteps,omitempty"` // that had something to do in a second run at once
	Differences  []state.Difference `json:"differences,omitempty"`  // that such a run made
	Made         []mess.Line        `json:"made,omitempty"`         // the mess that was made before
	Left         []mess.Line        `json:"left,omitempty"`         // what the candidate left of it
	Log          string             `json:"log,omitempty"`          // the end of what the newest build printed
}

// Step is what one step did.
type Step struct {
	Phase    string        `json:"phase"`
	Name     string        `json:"name"`
	Outcome  string        `json:"outcome"`
	Duration time.Duration `json:"duration"`
	Message  string        `json:"message,omitempty"`
}

// JSON returns r for programs.
func JSON(r Report) ([]byte, error) {
	r.Version = Version
	if r.Gaps == nil {
		r.Gaps = []string{}
	}
	if r.Agents == nil { // a list without anything is a list
		r.Agents = []Agent{}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report of rehearsal %s: %w", r.ID, err)
	}
	return append(text, '\n'), nil
}

// reasons are why it did not pass, and what it does not cover.
func (r Report) reasons() []string {
	var all []string
	for _, a := range r.Agents {
		for _, c := range a.Cases {
			if c.Verdict == Failed || c.Verdict == Broken {
				all = append(all, fmt.Sprintf("%s: %s: %s: %s", a.Name, c.Name, c.Verdict, c.Reason))
			}
		}
	}
	for _, g := range r.Gaps {
		all = append(all, "not covered: "+g)
	}
	return all
}

// complaints are why a case is not as it should be, in lines for people.
func (c Case) complaints() []string {
	var all []string
	if c.Reason != "" {
		all = append(all, c.Reason)
	}
	for _, s := range c.Steps {
		if s.Outcome == "failed" || s.Outcome == "timeout" {
			line := fmt.Sprintf("step %s of %s: %s", s.Name, s.Phase, s.Outcome)
			if s.Message != "" {
				line += ": " + s.Message
			}
			all = append(all, line)
		}
	}
	for _, s := range c.ChangedSteps {
		all = append(all, "step "+s+" had something to do again")
	}
	for _, d := range c.Differences {
		all = append(all, d.String())
	}
	for _, l := range c.Left {
		all = append(all, "left of the mess "+l.Name+": "+l.Detail)
	}
	return all
}

// differences are those from what the candidate was compared with, in lines for people.
func (a Agent) differences() []string {
	lines := make([]string, len(a.Differences))
	for i, d := range a.Differences {
		lines[i] = d.String()
	}
	return lines
}
