// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

// usualLimit is how much of a long history is listed.
const usualLimit = 30

func (c *cli) attemptsCommand() *cobra.Command {
	var o connection
	var q api.AttemptQuery
	var f format
	var agent string
	cmd := &cobra.Command{
		Use:   "attempts",
		Short: "List attempts to clean agents",
		Long: `List attempts to clean agents, newest first. The ID is for "pitcrew attempt"; the
number counts the attempts of one agent, and is what reasons and events name.`,
		Example: "  pitcrew attempts --outcome failed\n  pitcrew attempts --agent el9-7 --limit 5\n  pitcrew attempts --open",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.narrowTo(ctx, agent, &q.Controller, &q.Agent); err != nil {
				return err
			}
			found, err := collect(d.Attempts(ctx, q))
			if err == nil && len(found) == 0 {
				err = d.known(ctx, q.Controller, q.Pool)
			}
			if err != nil {
				return err
			}
			return listing[api.Attempt]{
				none: "No attempts match.", table: c.attemptTable,
				name: func(t api.Attempt) string { return strconv.FormatInt(t.ID, 10) },
			}.show(c, found, f)
		}),
	}
	cmd.Flags().StringVar(&agent, "agent", "", "only attempts on this agent")
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only attempts on agents of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only attempts of this pool")
	choose(cmd, &q.Outcome, "outcome", "only attempts that ended so",
		string(hygiene.Cleaned), string(hygiene.Failed), string(hygiene.Lost), string(hygiene.GivenBack))
	cmd.Flags().BoolVar(&q.Open, "open", false, "only attempts in progress")
	limited(cmd, &q.Limit, "most attempts to list; 0 lists all")
	c.offerForAgent(cmd, &o)
	c.offerScopes(cmd, &o)
	f.flag(cmd, listFormats...)
	o.flags(cmd, usualTimeout)
	return cmd
}

// narrowTo fills a filter in with the agent that a flag names; "" leaves it alone.
func (d *daemon) narrowTo(ctx context.Context, arg string, controller, agent *string) error {
	if arg == "" {
		return nil
	}
	if *controller != "" && !strings.Contains(arg, "/") {
		arg = fullName(*controller, arg)
	}
	a, err := d.agent(ctx, arg)
	*controller, *agent = a.Controller, a.Name
	return err
}

// offerForAgent lets the shell offer names of agents for the flag --agent.
func (c *cli) offerForAgent(cmd *cobra.Command, o *connection) {
	if err := cmd.RegisterFlagCompletionFunc("agent", c.offerAgents(o, true)); err != nil {
		panic(err) // the flag does not exist: a mistake in this program
	}
}

func (c *cli) attemptTable(attempts []api.Attempt, wide bool, width int) string {
	rows := make([][]string, len(attempts))
	for i, t := range attempts {
		row := []string{strconv.FormatInt(t.ID, 10), fullName(t.Controller, t.Agent), strconv.FormatInt(t.Number, 10), c.since(t.Claimed), took(t.Claimed, t.Ended), c.outcome(t)}
		if wide {
			row = append(row, dash(t.Pool), dash(t.Recipe), short(t.Revision), dash(t.Need), dash(t.Depth), dash(t.Delivery), dash(t.URL))
		}
		rows[i] = append(row, oneLine(attemptReason(t)))
	}
	head := []string{"ID", "AGENT", "NUMBER", "AGO", "TOOK", "OUTCOME"}
	if wide {
		head = append(head, "POOL", "RECIPE", "REVISION", "NEED", "DEPTH", "DELIVERY", "BUILD")
	}
	head = append(head, "REASON")
	spare(head, rows, "AGENT", width)
	return tabular(head, rows, width)
}

// attemptReason is the reason of an attempt for where its outcome stands beside it.
func attemptReason(t api.Attempt) string { return stepFirst(t.Step, beside(t.Outcome, t.Reason)) }

// stepFirst has a reason begin with the step that failed: it tells more than the rest.
func stepFirst(step, reason string) string {
	if step != "" && !strings.Contains(reason, step) {
		return strings.TrimSuffix(step+": "+reason, ": ")
	}
	return reason
}

// beside is a reason for where the outcome stands beside it: programs begin theirs with "failed: ".
func beside(outcome, reason string) string { return strings.TrimPrefix(reason, outcome+": ") }

func (c *cli) outcome(t api.Attempt) string {
	if t.Outcome == "" {
		return c.paint(cyan, phaseOf(t))
	}
	return c.paint(outcomeColour(t.Outcome), t.Outcome)
}

func outcomeColour(outcome string) colour {
	switch outcome {
	case string(hygiene.Cleaned), "ok":
		return green
	case string(hygiene.Failed), "timeout":
		return red
	case "warned":
		return yellow
	}
	return faint
}

// short is enough of a digest to tell it from others.
func short(digest string) string { return dash(digest[:min(len(digest), 12)]) }
