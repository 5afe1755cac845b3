// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func (c *cli) attemptCommand() *cobra.Command {
	var o connection
	var f format
	var log bool
	cmd := &cobra.Command{
		Use:   "attempt ID",
		Short: "Show one attempt, with its steps or log",
		Long: `Show one attempt: when it did what, its steps with durations, and the end of the
output of a step that failed. --log prints the kept end of its whole output instead.

"pitcrew attempts" lists the IDs.`,
		Example: "  pitcrew attempt 4711\n  pitcrew attempt 4711 --log | less",
		Args:    one("attempt"), ValidArgsFunction: c.offerAttempts(&o),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id <= 0 {
				return usage("%q is no ID of an attempt; \"pitcrew attempts\" lists them", args[0])
			}
			if log {
				return attemptError(id, d.AttemptLog(ctx, id, c.out))
			}
			return c.showAttempt(ctx, d, id, f)
		}),
	}
	cmd.Flags().BoolVar(&log, "log", false, "print the output of its program")
	f.flag(cmd, formatText, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

// offerAttempts lets the shell offer the IDs of the latest attempts.
func (c *cli) offerAttempts(o *connection) cobra.CompletionFunc {
	return func(cmd *cobra.Command, taken []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), offerLimit)
		defer cancel()
		d, ok := c.offering(o)
		if !ok || len(taken) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var q api.AttemptQuery
		q.Limit = usualLimit
		found, err := collect(d.Attempts(ctx, q))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ids := make([]string, len(found))
		for i, t := range found {
			ids[i] = fmt.Sprintf("%d\t%s, %s", t.ID, fullName(t.Controller, t.Agent), cmp.Or(t.Outcome, phaseOf(t)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

func attemptError(id int64, err error) error {
	if client.IsNotFound(err) {
		return fmt.Errorf("attempt %d: %w; \"pitcrew attempts\" lists those that are kept", id, err)
	}
	return err
}

func (c *cli) showAttempt(ctx context.Context, d *daemon, id int64, f format) error {
	t, err := d.Attempt(ctx, id)
	if err != nil {
		return attemptError(id, err)
	}
	if f.structured() {
		return c.print(f, t)
	}
	var b strings.Builder
	b.WriteString(describe(c.attemptFacts(t.Attempt), c.width()))
	var report recipe.Report
	if json.Unmarshal(t.Report, &report) == nil {
		b.WriteString(c.reportText(report))
	}
	if t.HasLog {
		fmt.Fprintf(&b, "\nThe output: pitcrew attempt %d --log\n", id)
	}
	_, err = io.WriteString(c.out, b.String())
	return err
}

func (c *cli) attemptFacts(t api.Attempt) []fact {
	agent := ""
	if t.ID != 0 { // else it is shown with its agent
		agent = fmt.Sprintf("%s, attempt %d", fullName(t.Controller, t.Agent), t.Number)
	}
	state := c.outcome(t) + because(attemptReason(t))
	if t.Asked != "" {
		state += ", asked for a " + t.Asked
	}
	return []fact{
		{"Agent", agent},
		{"Outcome", state},
		{"Recipe", strings.TrimSpace(fmt.Sprintf("%s %s", t.Recipe, short(t.Revision)))},
		{"Need", t.Need},
		{"Depth", t.Depth},
		{"Delivery", cmp.Or(t.Delivery, "-") + because(t.URL)},
		{"Claimed", c.moment(t.Claimed)},
		{"Handed over", c.later(t.Claimed, t.Handed)},
		{"Started", c.later(t.Claimed, t.Started)},
		{"Proved", c.later(t.Claimed, t.Proved)},
		{"Ended", c.later(t.Claimed, t.Ended)},
	}
}

// later tells a time by how long after another it was.
func (c *cli) later(from, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return took(from, t) + " later"
}

// reportText shows what the program said of its steps.
func (c *cli) reportText(r recipe.Report) string {
	var b strings.Builder
	rows := make([][]string, len(r.Steps))
	for i, s := range r.Steps {
		rows[i] = []string{
			s.Name, string(s.Phase), c.paint(outcomeColour(string(s.Outcome)), string(s.Outcome)),
			fmt.Sprintf("%ds", s.Seconds), strconv.Itoa(s.Tries), oneLine(s.Reason),
		}
	}
	b.WriteString(c.section("Steps", tabular([]string{"STEP", "PHASE", "OUTCOME", "TOOK", "TRIES", "REASON"}, rows, c.narrow())))
	b.WriteString(c.residueText(r))
	for _, s := range r.Steps {
		if s.Tail != "" {
			b.WriteString(c.section("Output of "+s.Name, s.Tail))
		}
	}
	b.WriteString(c.section("Machine", describe([]fact{
		{"Host", strings.TrimSpace(r.Machine.Hostname + " " + r.Machine.Arch + " " + strings.Join(slices.Compact(strings.Fields(r.Machine.OS)), " "))},
		{"User", r.Machine.User},
		{"Disk", fmt.Sprintf("%s free before, %s after", bytesText(r.Disk.Before.BytesFree), bytesText(r.Disk.After.BytesFree))},
	}, c.narrow())))
	return b.String()
}

// residueText shows what the steps found that did not belong or was not as their goals ask, and what is still there.
func (c *cli) residueText(r recipe.Report) string {
	var found, differs, left [][]string
	for _, s := range r.Steps {
		if s.Scrub == nil {
			continue
		}
		for _, f := range s.Scrub.Found {
			culprit := ""
			if f.Culprit != nil {
				culprit = f.Culprit.Job
				if f.Culprit.Build > 0 {
					culprit += fmt.Sprintf(" #%d", f.Culprit.Build)
				}
			}
			size := ""
			if f.Bytes > 0 {
				size = bytesText(f.Bytes)
			}
			found = append(found, []string{size, f.Owner, oneLine(culprit), thing(f)})
		}
		for _, f := range s.Scrub.Differs {
			differs = append(differs, []string{s.Name, thing(f)})
		}
		switch more := fmt.Sprintf("and %d more of %s", s.Scrub.More, s.Name); {
		case s.Scrub.More == 0:
		case len(s.Scrub.Differs) > 0:
			differs = append(differs, []string{"", more})
		default:
			found = append(found, []string{"", "", "", more})
		}
		for _, p := range s.Scrub.Problems {
			left = append(left, []string{oneLine(p.ID), oneLine(p.Why)})
		}
	}
	text := ""
	if len(found) > 0 {
		text += c.section("Residue", tabular([]string{"SIZE", "OWNER", "LEFT BY", "WHAT"}, found, c.narrow()))
	}
	if len(differs) > 0 {
		text += c.section("Was not as wanted", tabular([]string{"STEP", "WHAT"}, differs, c.narrow()))
	}
	if len(left) > 0 {
		text += c.section("Still there", tabular([]string{"WHAT", "WHY"}, left, c.narrow()))
	}
	return text
}

// thing is what a step found, on one line.
func thing(f spec.Residue) string {
	return strings.TrimSpace(f.Kind + " " + oneLine(f.ID) + " " + oneLine(f.What))
}
