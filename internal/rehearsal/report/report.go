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

// Verdict is what came of a rehearsal, of one agent, or of one run.
type Verdict string

// The verdicts.
const (
	Passed Verdict = "passed"
	Failed Verdict = "failed" // the candidate is to blame
	Broken Verdict = "broken" // the rehearsal could not be carried out: it says nothing about the candidate
)

// Kind is why a run was made.
type Kind string

// The kinds of runs, in the order in which they are made.
const (
	Used            Kind = "used"              // the candidate, on the agent as it was
	Again           Kind = "again"             // the candidate at once again: nothing may change
	Messed          Kind = "messed"            // the candidate, after a mess was made
	KilledThenAgain Kind = "killed-then-again" // the candidate, after it was killed in its middle
	Production      Kind = "production"        // the production recipe, which gives the agent back
)

// About says what a kind of run is to show, for people.
func (k Kind) About() string {
	switch k {
	case Used:
		return "on the agent as it was"
	case Again:
		return "again at once: nothing may change"
	case Messed:
		return "after a mess"
	case KilledThenAgain:
		return "after a kill in mid-run"
	case Production:
		return "the production recipe"
	}
	return ""
}

// Report is all of a rehearsal.
type Report struct {
	Version    int           `json:"version"`
	ID         string        `json:"id"`
	StartedAt  time.Time     `json:"startedAt"`
	Duration   time.Duration `json:"duration"` // nanoseconds, as everywhere here
	Recipe     Recipe        `json:"recipe"`
	Against    Recipe        `json:"against"`    // the production recipe; zero if there was none to compare with
	Controller string        `json:"controller"` // the kind of the ephemeral one: image, war or URL
	Verdict    Verdict       `json:"verdict"`
	Reasons    []string      `json:"reasons"` // why it did not pass
	// Overhead is what of Duration went into starting the controller, borrowing and returning.
	Overhead time.Duration `json:"overhead"`
	Agents   []Agent       `json:"agents"`
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

// Agent is what was rehearsed on one borrowed agent.
type Agent struct {
	Name    string   `json:"name"`
	Pool    string   `json:"pool"`
	OS      string   `json:"os"`
	Arch    string   `json:"arch"`
	Profile string   `json:"profile"`
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons"`
	Runs    []Run    `json:"runs"`
	// Compared is whether the states after the candidate and after the production recipe were compared.
	Compared    bool               `json:"compared"`
	Differences []state.Difference `json:"differences"` // from production to candidate
	// DifferencesFail is whether policy makes them a failure; they are shown either way.
	DifferencesFail bool   `json:"differencesFail"`
	Returned        string `json:"returned"` // how the agent was given back
}

// Run is one run of a recipe.
type Run struct {
	Kind     Kind          `json:"kind"`
	Verdict  Verdict       `json:"verdict"`
	Outcome  string        `json:"outcome"` // as cleanups have them, or empty if there is no report
	Duration time.Duration `json:"duration"`
	Steps    []Step        `json:"steps"`
	// ChangedSteps are those that changed anything in Again, and Differences what differs after it from before.
	ChangedSteps []string           `json:"changedSteps"`
	Differences  []state.Difference `json:"differences"`
	// Made is the mess that was made before, Left what the candidate left of it: mess.Removed what undo found, mess.Left what it could not undo.
	Made  []mess.Line `json:"made"`
	Left  []mess.Line `json:"left"`
	Error string      `json:"error"` // why it has no outcome, or is not as it should be
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
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report of rehearsal %s: %w", r.ID, err)
	}
	return append(text, '\n'), nil
}

// complaints are why a run is not as it should be, in lines for people.
func (r Run) complaints() []string {
	var all []string
	if r.Error != "" {
		all = append(all, r.Error)
	}
	for _, s := range r.Steps {
		if s.Outcome == "failed" || s.Outcome == "timeout" {
			line := fmt.Sprintf("step %s of %s: %s", s.Name, s.Phase, s.Outcome)
			if s.Message != "" {
				line += ": " + s.Message
			}
			all = append(all, line)
		}
	}
	for _, s := range r.ChangedSteps {
		all = append(all, "step "+s+" changed something in a second run at once")
	}
	for _, d := range r.Differences {
		all = append(all, d.String())
	}
	for _, l := range r.Left {
		switch l.State {
		case mess.Removed:
			all = append(all, "left of the mess "+l.Name+": "+l.Detail)
		case mess.Left:
			all = append(all, "the mess "+l.Name+" is still there: "+l.Detail)
		case mess.Made, mess.Skipped, mess.Gone:
		}
	}
	return all
}
