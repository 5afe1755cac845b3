// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func (c *cli) planCommand() *cobra.Command {
	var o connection
	var q api.PlanQuery
	var f format
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Show what would be done now, and why",
		Long: `Show what the daemon would do to which agent now, and why, as of its newest look, in
the order in which it chooses. What "waits" must wait for a place; an agent that cannot be
kept clean as it is configured is there to be mended. In a dry run ("pitcrew
serve --dry-run") this is all that is ever done.

Ends with code 3 when a controller was not looked at lately, and says why.`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.known(ctx, q.Controller, q.Pool); err != nil {
				return err
			}
			found, err := d.Plan(ctx, q)
			if err != nil {
				return err
			}
			unseen, err := c.unseen(ctx, d, q.Controller)
			if err != nil {
				return err
			}
			if err := c.showPlan(f, found, len(unseen) == 0); err != nil || len(unseen) == 0 {
				return err
			}
			c.note(unseen)
			return notWell
		}),
	}
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only agents of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only agents of this pool")
	cmd.Flags().BoolVar(&q.All, "all", false, "also agents with which nothing is to be done")
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	c.offerScopes(cmd, &o)
	o.flags(cmd, usualTimeout)
	return cmd
}

// unseen says of each controller, or of the one that is named, why what is known of it is not news.
func (c *cli) unseen(ctx context.Context, d *daemon, only string) ([]string, error) {
	states, err := d.Controllers(ctx)
	var out []string
	for _, s := range states {
		text := "Controller " + s.Name + " has not been looked at yet"
		if !s.LastSweep.IsZero() {
			text = "Controller " + s.Name + " was last looked at " + c.moment(s.LastSweep)
		}
		switch {
		case only != "" && s.Name != only:
		case s.Problem != "":
			out = append(out, text+": "+oneLine(s.Problem))
		case s.LastSweep.IsZero():
			out = append(out, text+": the daemon has just started")
		}
	}
	return out, err
}

// showPlan shows what was found. That nothing was means something only where all was looked at.
func (c *cli) showPlan(f format, found []api.Plan, seen bool) error {
	switch {
	case f.structured():
		return c.print(f, found)
	case len(found) == 0 && seen:
		fmt.Fprintln(c.err, "Nothing is to be done.")
		return nil
	case len(found) == 0:
		return nil
	case slices.ContainsFunc(found, func(p api.Plan) bool { return p.DryRun }):
		fmt.Fprintln(c.err, "Dry run: nothing of this is done"+onlyTo(found)+".")
	}
	_, err := io.WriteString(c.out, c.planTable(found))
	return err
}

// onlyTo names the pools that are shown a dry run, where others are not.
func onlyTo(found []api.Plan) string {
	var pools []string
	for _, p := range found {
		if p.DryRun {
			pools = append(pools, p.Pool)
		}
	}
	if len(pools) == len(found) {
		return ""
	}
	slices.Sort(pools)
	return " in pool " + strings.Join(slices.Compact(pools), ", ")
}

func (c *cli) planTable(found []api.Plan) string {
	rows := make([][]string, len(found))
	for i, p := range found {
		when := "now"
		switch {
		case p.Action == string(hygiene.Rest):
			when = "-"
		case !p.Now:
			when = "waits"
		}
		rows[i] = []string{fullName(p.Controller, p.Agent), p.Action, when, dash(p.Labels), oneLine(strings.TrimPrefix(p.Reason, "waits: "))}
	}
	head, rows := leave([]string{"AGENT", "ACTION", "WHEN", "LABELS", "REASON"}, rows, "LABELS", c.width())
	return tabular(head, rows, c.width())
}
