// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// Audit is what the jobs of a controller ask for, held against its managed agents.
type Audit struct {
	At       time.Time      `json:"at"`
	Jobs     int            `json:"jobs" doc:"Jobs looked at: all that we may read, without disabled ones and ours"`
	Agents   int            `json:"agents" doc:"Managed agents that they were held against"`
	Gated    bool           `json:"gated,omitempty" doc:"A gate holds: builds wait for an agent that is clean, whatever their jobs ask for"`
	Unknown  int            `json:"unknown" doc:"Jobs that choose their agents while they run, and of which nothing was seen"`
	Findings []AuditFinding `json:"findings" doc:"Ordered by job"`
}

// AuditFinding is a job that can disturb the scheme, and what to do.
type AuditFinding struct {
	Job        string   `json:"job" doc:"Full name"`
	URL        string   `json:"url,omitempty"`
	Problem    string   `json:"problem" enum:"unprotected,stale,unlabelled,unknown" doc:"unprotected: it can start on a managed agent that is not clean; stale: Jenkins' cache answers for minutes with agents that do not satisfy it any more; unlabelled: it runs on any agent that takes jobs without a label; unknown: it uses managed agents, and nobody can see what it asks for"`
	Expression string   `json:"expression,omitempty" doc:"What it asks for"`
	Agent      string   `json:"agent,omitempty" doc:"One managed agent that it could get"`
	Showing    []string `json:"showing,omitempty" doc:"The labels of that agent at such a moment"`
	Use        string   `json:"use,omitempty" doc:"The expression to use instead; absent when there is none"`
	Seen       string   `json:"seen" enum:"configuration,queue,executor" doc:"Where its label expression was seen"`
}

func (s *Server) auditRoutes() {
	register(s, operation{
		id: "auditJobs", method: http.MethodGet, path: "/controllers/{controller}/audit", role: store.Viewer, tag: "controllers",
		summary: "Find jobs that can start on a managed agent that is not clean",
		detail:  "Asks the controller for all of its jobs, one audit at a time.",
	}, s.audit)
}

func (s *Server) audit(ctx context.Context, in *controllerInput) (*answer[Audit], error) {
	c, ok := s.controller(in.Controller)
	if !ok {
		return nil, noController(in.Controller)
	}
	v := c.View()
	if v.Look == nil {
		return nil, refusal(http.StatusServiceUnavailable, "the controller was not seen yet"+because(v.Problem))
	}
	if err := s.takeSurvey(ctx); err != nil {
		return nil, err
	}
	defer s.endSurvey()
	a := newAuditor(v)
	for job, err := range c.Jenkins.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		if !job.Disabled && !v.owns(job.FullName) {
			a.job(job.FullName, job.URL, job.LabelExpression, job.LabelKnown)
		}
	}
	a.lookAtPipelines()
	return answered(a.result(), nil)
}

// takeSurvey waits for its turn: surveys are long rows of requests to a controller.
func (s *Server) takeSurvey(ctx context.Context) error {
	select {
	case s.surveys <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) endSurvey() { <-s.surveys }

// auditor holds jobs against agents.
type auditor struct {
	view    View
	names   labelexpr.Names
	managed []string            // names of managed agents, in order
	hidden  map[string]bool     // jobs that choose agents while they run, and whether something was seen of them
	known   map[string][]string // by expression: the names of the agent and its labels, nil if it is protected
	audit   Audit
}

func newAuditor(v View) *auditor {
	a := &auditor{
		view: v, names: labelexpr.Names(v.Labels), hidden: map[string]bool{}, known: map[string][]string{},
		audit: Audit{At: utc(v.Look.At), Gated: v.gate().mode() == modeGate, Findings: []AuditFinding{}},
	}
	for name, seen := range v.Look.Agents {
		if !seen.BuiltIn && slices.Contains(seen.Labels, v.Labels.Cleanable) {
			a.managed = append(a.managed, name)
		}
	}
	slices.Sort(a.managed)
	a.audit.Agents = len(a.managed)
	return a
}

func (a *auditor) job(name, url, expression string, known bool) {
	a.audit.Jobs++
	if !known {
		a.hidden[name] = false
		return
	}
	a.judge(AuditFinding{Job: name, URL: url, Expression: expression, Seen: "configuration"})
}

// judge adds the finding if its expression is at fault.
func (a *auditor) judge(f AuditFinding) {
	e := labelexpr.ParseLenient(f.Expression)
	switch showing := a.unprotected(f.Expression, e); {
	case e.IsZero():
		f.Problem = "unlabelled"
	case showing != nil:
		f.Problem, f.Agent, f.Showing = "unprotected", showing[0], showing[1:]
	case a.stale(e):
		f.Problem = "stale"
	default:
		return
	}
	if better, ok := labelexpr.Suggest(e, a.names); ok {
		f.Use = better.String()
	}
	a.audit.Findings = append(a.audit.Findings, f)
}

// unprotected returns an agent that the expression could get while it is not clean, followed by the
// labels of that agent then; nil if there is none. Many jobs ask for the same.
func (a *auditor) unprotected(text string, e labelexpr.Expr) []string {
	if found, ok := a.known[text]; ok {
		return found
	}
	var found []string
	for _, name := range a.managed {
		if showing, open := labelexpr.Unprotected(e, a.view.Look.Agents[name].Labels, a.names); open {
			found = append([]string{name}, showing...)
			break
		}
	}
	a.known[text] = found
	return found
}

// stale reports whether the expression asks for the absence of a label that we write: Jenkins does
// not notice for minutes that the agents behind such an expression changed
// (jenkins.model.Jenkins#trimLabels).
func (a *auditor) stale(e labelexpr.Expr) bool {
	return slices.ContainsFunc(e.Negated(), func(label string) bool {
		return label == a.names.Clean || label == a.names.Dirty || label == a.names.Cleanable
	})
}

// lookAtPipelines judges what the queue and the executors show of jobs that choose agents while
// they run.
func (a *auditor) lookAtPipelines() {
	for _, item := range a.view.Look.Queue.Items {
		if _, pipeline := a.hidden[item.Job]; pipeline && a.tells(item) {
			a.hidden[item.Job] = true
			a.judge(AuditFinding{Job: item.Job, URL: item.URL, Expression: item.LabelExpression, Seen: "queue"})
		}
	}
	for _, name := range a.managed {
		for _, e := range a.view.Look.Agents[name].Running {
			if seen, pipeline := a.hidden[e.Job]; pipeline && !seen {
				a.hidden[e.Job] = true
				a.audit.Findings = append(a.audit.Findings, AuditFinding{Job: e.Job, URL: e.URL, Problem: "unknown", Agent: name, Seen: "executor"})
			}
		}
	}
}

// tells reports whether it is certain what a queued item asks for. A text that names a label may name the only agent that has
// it instead; what is no agent's name is the label.
func (a *auditor) tells(item jenkins.QueueItem) bool {
	_, agent := a.view.Look.Agents[item.LabelExpression]
	return item.LabelKnown || item.LabelExpression != "" && !agent
}

func (a *auditor) result() Audit {
	for _, seen := range a.hidden {
		if !seen {
			a.audit.Unknown++
		}
	}
	slices.SortStableFunc(a.audit.Findings, func(x, y AuditFinding) int {
		return cmp.Or(cmp.Compare(x.Job, y.Job), cmp.Compare(x.Expression, y.Expression))
	})
	a.audit.Findings = slices.CompactFunc(a.audit.Findings, func(x, y AuditFinding) bool {
		return x.Job == y.Job && x.Expression == y.Expression && x.Problem == y.Problem
	})
	return a.audit
}
