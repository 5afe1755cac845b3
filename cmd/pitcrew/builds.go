// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) buildsCommand() *cobra.Command {
	var o connection
	var q api.BuildQuery
	var f format
	var agent string
	var past lasting
	cmd := &cobra.Command{
		Use:   "builds",
		Short: "List real builds that used agents",
		Long: `List the real builds that are known to have used managed agents, newest first. Those
that started while their agent was not proven clean are contaminated: their results
may be the fault of a build before them.`,
		Example: "  pitcrew builds --contaminated --past 7d\n  pitcrew builds --agent el9-7 -o json",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.narrowTo(ctx, agent, &q.Controller, &q.Agent); err != nil {
				return err
			}
			if past.Std() > 0 {
				q.Since = c.now().Add(-past.Std())
			}
			found, err := collect(d.Builds(ctx, q))
			if err == nil && len(found) == 0 {
				err = d.known(ctx, q.Controller, "")
			}
			if err != nil {
				return err
			}
			return listing[api.Build]{
				none: "No builds match.", table: c.buildTable,
				name: func(b api.Build) string { return b.URL },
			}.show(c, found, f)
		}),
	}
	cmd.Flags().BoolVar(&q.Contaminated, "contaminated", false, "only builds that started on an agent that was not proven clean")
	cmd.Flags().Var(&past, "past", "only builds of this past time, such as 8h or 7d")
	cmd.Flags().StringVar(&agent, "agent", "", "only builds on this agent")
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only builds on agents of this controller")
	limited(cmd, &q.Limit, "most builds to list; 0 lists all")
	c.offerForAgent(cmd, &o)
	c.offerScopes(cmd, &o)
	f.flag(cmd, listFormats...)
	o.flags(cmd, usualTimeout)
	return cmd
}

func (c *cli) buildTable(builds []api.Build, wide bool, width int) string {
	head := []string{"AGO", "AGENT", "BUILD"}
	if wide {
		head = append(head, "ATTEMPT", "URL")
	}
	rows := make([][]string, len(builds))
	for i, b := range builds {
		row := []string{c.since(b.At), fullName(b.Controller, b.Agent), buildName(b)}
		if wide {
			row = append(row, strconv.FormatInt(b.Attempt, 10), b.URL)
		}
		note := ""
		if b.Contaminated {
			note = c.paint(red, cmp.Or(oneLine(b.Reason), "contaminated"))
		}
		rows[i] = append(row, note)
	}
	head = append(head, "CONTAMINATED")
	spare(head, rows, "AGENT", width)
	return tabular(head, rows, width)
}

func buildName(b api.Build) string {
	if b.Job == "" {
		return b.URL
	}
	return fmt.Sprintf("%s #%d", b.Job, b.Number)
}
