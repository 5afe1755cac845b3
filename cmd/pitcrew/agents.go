// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func (c *cli) agentsCommand() *cobra.Command {
	var o connection
	var q api.AgentQuery
	var f format
	var watch bool
	cmd := &cobra.Command{
		Use:   "agents",
		Short: "List agents with state and reason",
		Long: `List the agents that are managed, or about to be: what each is worth to a job, what
it is doing, and why. "--state unmanaged" lists the others.

The agents of several controllers are listed as CONTROLLER/NAME. On a terminal that
long names fill, their pools are left out; "-o wide" has all columns.`,
		Example: `  pitcrew agents
  pitcrew agents --state due,quarantined
  pitcrew agents --labels 'el9 && !gpu' -o wide
  pitcrew agents --watch`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.known(ctx, q.Controller, q.Pool); err != nil {
				return err
			}
			if watch {
				return c.watchAgents(ctx, d, q, f)
			}
			found, err := collect(d.Agents(ctx, q))
			if err != nil {
				return err
			}
			old, err := c.unseen(ctx, d, q.Controller)
			if err != nil {
				return err
			}
			if len(found) > 0 || len(old) == 0 || f.structured() {
				err = listing[api.Agent]{
					none: nobody(q), table: c.agentTable,
					name: func(a api.Agent) string { return fullName(a.Controller, a.Name) },
				}.show(c, found, f)
			}
			c.note(old)
			return err
		}),
	}
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only agents of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only agents of this pool")
	choosing(cmd, &q.Hygiene, "state", "only agents that are "+strings.Join(allHygiene, ", "), allHygiene...)
	cmd.Flags().StringVar(&q.Labels, "labels", "", "only agents whose labels satisfy this label expression")
	cmd.Flags().BoolVar(&q.Held, "held", false, "only agents that a person keeps out")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show changes as they happen, until Ctrl-C")
	f.flag(cmd, listFormats...)
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

// note says beside what was asked for that it is old, or not all.
func (c *cli) note(lines []string) {
	for _, line := range lines {
		fmt.Fprintln(c.err, line)
	}
}

// nobody explains an empty list.
func nobody(q api.AgentQuery) string {
	if q.Controller+q.Pool+q.Labels != "" || q.Held || len(q.Hygiene) > 0 {
		return "No agents match."
	}
	return "No agent is managed. Put the label cleanable, or what the configuration calls it, on one;\n" +
		"\"pitcrew doctor\" says whether its controller is seen."
}

// agentTable is for people: why comes last, because it may be long.
func (c *cli) agentTable(agents []api.Agent, wide bool, width int) string {
	name := namer(agents)
	rows := make([][]string, len(agents))
	for i, a := range agents {
		row := []string{name(a), dash(a.Pool), c.state(a), c.since(a.Since), doing(a)}
		if wide {
			row = append(row, strconv.FormatInt(a.Attempt, 10), strconv.Itoa(a.Failures), c.since(a.LastCleaned), strings.Join(a.Labels, " "))
		}
		rows[i] = append(row, c.why(a))
	}
	head := []string{"AGENT", "POOL", "STATE", "FOR", "DOING"}
	if wide {
		head = append(head, "ATTEMPT", "FAILURES", "CLEANED", "LABELS")
	}
	head, rows = leave(append(head, "WHY"), rows, "POOL", width)
	return tabular(head, rows, width)
}

// namer names agents: with their controller where there are several.
func namer(agents []api.Agent) func(api.Agent) string {
	for _, a := range agents {
		if a.Controller != agents[0].Controller {
			return func(a api.Agent) string { return fullName(a.Controller, a.Name) }
		}
	}
	return func(a api.Agent) string { return a.Name }
}

// state is what an agent is worth to a job.
func (c *cli) state(a api.Agent) string {
	text := c.paint(stateColour(a.Hygiene), a.Hygiene)
	if a.Hold != nil {
		text += c.paint(yellow, " (held)")
	}
	return text
}

func stateColour(state string) colour {
	switch hygiene.Hygiene(state) {
	case hygiene.IsClean:
		return green
	case hygiene.IsCleaning:
		return cyan
	case hygiene.IsDue:
		return yellow
	case hygiene.IsQuarantined:
		return red
	case hygiene.IsUnmanaged:
		return faint
	}
	return plain
}

// doing is short for what takes a whole phrase to say.
func doing(a api.Agent) string {
	if a.Occupancy == string(hygiene.IsSetAside) {
		return "set aside"
	}
	return a.Occupancy
}

// why says why an agent is as it is, and what it waits for.
func (c *cli) why(a api.Agent) string {
	text := a.Why
	switch {
	case a.Hold != nil:
		text = fmt.Sprintf("held by %s: %s", a.Hold.By, a.Hold.Reason)
		if !a.Hold.Expires.IsZero() {
			text += ", for " + remaining(a.Hold.Expires.Sub(c.now()))
		}
		return oneLine(text)
	case a.Quarantine != nil && a.Quarantine.NextLook.IsZero() && a.NextLook.IsZero():
		return oneLine(a.Quarantine.Reason + ", until it is released")
	case a.Quarantine != nil:
		text = a.Quarantine.Reason
	case text == a.Hygiene:
		return ""
	case text == "":
		text = a.Reason
	case a.Failures > 0 && !strings.Contains(text, a.Reason):
		text = a.Reason + ", " + text
	}
	awaited := a.Hygiene == string(hygiene.IsDue) || a.Hygiene == string(hygiene.IsQuarantined)
	if awaited && a.NextLook.After(c.now()) {
		text += ", next look in " + remaining(a.NextLook.Sub(c.now()))
	}
	return oneLine(text)
}
