// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) jobsCommand() *cobra.Command {
	return noun("jobs", "Look at the jobs of controllers", "Look at the jobs of controllers, as they concern pitcrew.", c.auditCommand())
}

// audited is the audit of one controller.
type audited struct {
	Controller string `json:"controller"`
	api.Audit
}

// The problems of a job, as the API names them.
const (
	unprotected = "unprotected"
	stale       = "stale"
)

func (c *cli) auditCommand() *cobra.Command {
	var o connection
	var f format
	var controller string
	var hints, strict bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Find jobs that can get an agent that is not clean",
		Long: `Hold the label expressions of all jobs against the managed agents, and list those
that do not ask for clean as they should, each with the expression to use instead:

  unprotected  it can start on a managed agent that is not clean
  stale        it asks for the absence of one of pitcrew's labels, and Jenkins'
               cache goes on for minutes with agents that got it since
  unlabelled   it runs on any agent that takes jobs without a label
  unknown      it uses managed agents, and nobody can see what it asks for

Pipelines choose their agents while they run: what the queue and the executors show of
them is looked at. The first two problems end the command with code 3, for use in CI;
--strict makes all four do so. Behind a gate no build starts on an agent that is not
clean, whatever its job asks for: there, none of them does without --strict.`,
		Example: "  pitcrew jobs audit\n  pitcrew jobs audit --fix-hint\n  pitcrew jobs audit --controller main --strict -o json",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			found, err := audit(ctx, d, controller)
			if err != nil {
				return err
			}
			if err := c.showAudit(found, f, hints); err != nil {
				return err
			}
			if alarming(found, strict) {
				return notWell
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&controller, "controller", "", "only jobs of this controller")
	cmd.Flags().BoolVar(&hints, "fix-hint", false, "say more of each job: which agent it could get, and what to do")
	cmd.Flags().BoolVar(&strict, "strict", false, "end with code 3 for every finding")
	f.flag(cmd, formatTable, formatWide, formatJSON, formatYAML, formatName)
	c.offerScopes(cmd, &o)
	o.flags(cmd, patientTimeout)
	return cmd
}

// audit looks at one controller, or at all for "".
func audit(ctx context.Context, d *daemon, controller string) ([]audited, error) {
	names, err := d.controllersFor(ctx, controller)
	if err != nil {
		return nil, err
	}
	found := []audited{}
	for _, name := range names {
		a, err := d.Audit(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("audit jobs of %s: %w", name, err)
		}
		found = append(found, audited{name, a})
	}
	return found, nil
}

func alarming(found []audited, strict bool) bool {
	return slices.ContainsFunc(found, func(a audited) bool {
		return slices.ContainsFunc(a.Findings, func(f api.AuditFinding) bool {
			return strict || !a.Gated && (f.Problem == unprotected || f.Problem == stale)
		})
	})
}

func (c *cli) showAudit(found []audited, f format, hints bool) error {
	if f.structured() {
		return c.print(f, found)
	}
	var b strings.Builder
	for _, a := range found {
		switch {
		case f.value == formatName:
			for _, x := range a.Findings {
				fmt.Fprintln(&b, x.Job)
			}
		case hints:
			b.WriteString(c.hintText(a))
		case len(a.Findings) > 0:
			b.WriteString(c.auditTable(a, len(found) > 1, f.value == formatWide))
		}
	}
	if _, err := io.WriteString(c.out, b.String()); err != nil {
		return err
	}
	for _, a := range found {
		fmt.Fprintln(c.err, auditSummary(a))
	}
	return nil
}

func auditSummary(a audited) string {
	text := fmt.Sprintf("%s: %s held against %s, ", a.Controller, count(a.Jobs, "job"), count(a.Agents, "managed agent"))
	if len(a.Findings) == 0 {
		text += "all is well"
	} else {
		text += count(len(a.Findings), "finding")
	}
	if a.Gated && len(a.Findings) > 0 {
		text += "; the gate has their builds wait for an agent that is clean"
	}
	if a.Unknown > 0 {
		text += fmt.Sprintf("; %d of the jobs choose agents while they run, and were not seen doing so", a.Unknown)
	}
	return wrap(text, helpWidth)
}

func (c *cli) auditTable(a audited, several, wide bool) string {
	rows := make([][]string, len(a.Findings))
	for i, x := range a.Findings {
		job := x.Job
		if several {
			job = fullName(a.Controller, job)
		}
		row := []string{job, c.paint(problemColour(x.Problem), x.Problem)}
		if wide {
			row = append(row, x.Seen, dash(x.Agent), dash(strings.Join(x.Showing, " ")))
		}
		rows[i] = append(row, dash(x.Use), cmp.Or(x.Expression, "nothing"))
	}
	if wide {
		return tabular([]string{"JOB", "PROBLEM", "SEEN IN", "COULD GET", "SHOWING", "USE", "ASKS FOR"}, rows, 0)
	}
	return tabular([]string{"JOB", "PROBLEM", "USE", "ASKS FOR"}, rows, c.width())
}

func problemColour(problem string) colour {
	if problem == unprotected || problem == stale {
		return red
	}
	return yellow
}

// withoutHint is what to do where no expression can be told.
func withoutHint(problem string) string {
	switch problem {
	case "unlabelled":
		return "any label expression, unless all managed agents are in mode EXCLUSIVE"
	case "unknown":
		return "clean in the labels that its Pipeline asks for"
	}
	return "another expression: this one never accepts an agent that is clean"
}

// hintText tells job by job what to change.
func (c *cli) hintText(a audited) string {
	var b strings.Builder
	for _, x := range a.Findings {
		could := ""
		if x.Agent != "" {
			could = x.Agent + " while it shows: " + strings.Join(x.Showing, " ")
		}
		b.WriteString(c.paint(bold, fullName(a.Controller, x.Job)) + "\n" + describe([]fact{
			{"  problem", x.Problem},
			{"  asks for", cmp.Or(x.Expression, "nothing")},
			{"  could get", could},
			{"  use", cmp.Or(x.Use, withoutHint(x.Problem))},
		}, c.width()))
	}
	return b.String()
}
