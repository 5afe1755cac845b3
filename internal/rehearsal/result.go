// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// conclude sums up what was found, at the end. What the slowest agent did not spend on the candidate or for its sake is overhead.
func conclude(r *report.Report) {
	r.Duration = time.Since(r.StartedAt)
	var all []report.Case
	var longest time.Duration
	for i := range r.Agents {
		a := &r.Agents[i]
		a.Verdict = verdictOf(a.Cases)
		all = append(all, a.Cases...)
		var tried time.Duration
		for _, c := range a.Cases {
			if c.Name != caseReturn {
				tried += c.Duration
			}
		}
		longest = max(longest, tried)
	}
	r.Verdict, r.Overhead = verdictOf(all), r.Duration-longest
}

// verdictOf is failed if the candidate is at fault anywhere, else broken if anything could not be tried, or nothing was.
func verdictOf(cases []report.Case) report.Verdict {
	verdict := report.Broken
	broken := false
	for _, c := range cases {
		switch c.Verdict {
		case report.Failed:
			return report.Failed
		case report.Passed:
			verdict = report.Passed
		case report.Broken:
			broken = true
		case report.Skipped:
		}
	}
	if broken {
		return report.Broken
	}
	return verdict
}

// tell keeps what a run reported.
func tell(c *report.Case, r recipe.Report) {
	c.Outcome, c.Steps = string(r.Outcome), nil
	for _, s := range r.Steps {
		c.Steps = append(c.Steps, report.Step{
			Phase: string(s.Phase), Name: s.Name, Outcome: string(s.Outcome), Duration: time.Duration(s.Seconds) * time.Second, Message: s.Reason,
		})
	}
}

// maxTail bounds what is kept of a log.
const maxTail = 16 << 10

// keep keeps the end of what a build printed.
func keep(c *report.Case, log []byte) {
	c.Log = strings.ToValidUTF8(string(log[max(0, len(log)-maxTail):]), "?")
}
