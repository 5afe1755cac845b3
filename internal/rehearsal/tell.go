// SPDX-License-Identifier: Apache-2.0

package rehearsal

import (
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/rehearsal/report"
)

// tell keeps what a run reported.
func (c *Case) tell(r recipe.Report) {
	c.Ended, c.Steps = string(r.Outcome), nil
	for _, s := range r.Steps {
		c.Steps = append(c.Steps, report.Step{
			Phase: string(s.Phase), Name: s.Name, Outcome: string(s.Outcome), Duration: time.Duration(s.Seconds) * time.Second, Message: s.Reason,
		})
	}
}

// kindsOf says which kind of run a case is; others are no runs.
var kindsOf = map[string]report.Kind{
	caseProduction: report.Production, caseFirst: report.Used, caseAgain: report.Again, caseMess: report.Messed,
	caseStopped: report.KilledThenAgain, caseKilled: report.KilledThenAgain,
}

var verdicts = map[Outcome]report.Verdict{Passed: report.Passed, Failed: report.Failed, Broken: report.Broken}

// Report is the result in the form in which CI and people read it. Controller is the kind of the ephemeral one.
func (r *Result) Report(controller string) report.Report {
	whole := report.Report{
		Version: report.Version, ID: r.ID, StartedAt: r.Began, Duration: r.Ended.Sub(r.Began), Controller: controller,
		Recipe: report.Recipe{Name: r.Recipe, Revision: r.Revision}, Verdict: verdicts[r.Outcome()],
	}
	for _, g := range r.Gaps {
		whole.Reasons = append(whole.Reasons, "not covered: "+g.String())
	}
	for i := range r.Agents {
		a := r.Agents[i].report()
		whole.Agents = append(whole.Agents, a)
		if against := r.Agents[i].against; whole.Against == (report.Recipe{}) {
			whole.Against = against
		}
		for _, why := range a.Reasons {
			whole.Reasons = append(whole.Reasons, a.Name+": "+why)
		}
	}
	return whole
}

func (a *AgentResult) report() report.Agent {
	out := report.Agent{
		Name: a.Name(), Pool: a.Pool, OS: a.OS, Arch: a.Arch, Profile: a.Profile, Compared: a.Compared, Differences: a.Differs,
		Verdict: verdicts[outcomeOf(a.Cases)], Returned: "it was returned, and its end was not waited for",
	}
	for _, c := range a.Cases {
		if c.Name == caseReturn {
			out.Returned = "clean again, by the production recipe"
			if c.Reason != "" {
				out.Returned = c.Reason
			}
		}
		if c.Outcome != Passed {
			out.Reasons = append(out.Reasons, c.Name+": "+string(c.Outcome)+": "+c.Reason)
		}
		kind, run := kindsOf[c.Name]
		if !run || c.Outcome == Skipped {
			continue
		}
		one := report.Run{
			Kind: kind, Verdict: verdicts[c.Outcome], Outcome: c.Ended, Duration: c.Took, Steps: c.Steps,
			ChangedSteps: c.Changed, Differences: c.Differs, Made: c.Made, Left: c.Left,
		}
		if c.Outcome != Passed {
			one.Error = c.Reason
		}
		out.Runs = append(out.Runs, one)
	}
	return out
}
