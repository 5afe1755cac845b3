// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"

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
		Long: `Show what the daemon would do to which agent now, and why, as of its newest look. In a
dry run ("pitcrew serve --dry-run") this is all that is ever done.`,
		Args: none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			found, err := d.Plan(ctx, q)
			if err != nil || f.structured() {
				return orElse(err, func() error { return c.print(f, found) })
			}
			if len(found) == 0 {
				fmt.Fprintln(c.err, "Nothing is to be done.")
				return nil
			}
			_, err = io.WriteString(c.out, c.planTable(found))
			return err
		}),
	}
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only agents of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only agents of this pool")
	cmd.Flags().BoolVar(&q.All, "all", false, "also agents with which nothing is to be done")
	f.flag(cmd, formatTable, formatJSON, formatYAML)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) planTable(found []api.Plan) string {
	rows := make([][]string, len(found))
	for i, p := range found {
		when := "now"
		switch {
		case p.Action == string(hygiene.Rest):
			when = "-"
		case p.DryRun:
			when = "never (dry run)"
		case !p.Now:
			when = "waits"
		}
		rows[i] = []string{fullName(p.Controller, p.Agent), p.Action, when, dash(p.Labels), oneLine(p.Reason)}
	}
	return tabular([]string{"AGENT", "ACTION", "WHEN", "LABELS", "REASON"}, rows, c.width())
}
