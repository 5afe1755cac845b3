// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) residueCommand() *cobra.Command {
	var o connection
	var q api.CulpritQuery
	var f format
	var agent string
	var since lasting
	cmd := &cobra.Command{
		Use:   "residue",
		Short: "List the jobs that leave the most behind on agents",
		Long: `List the jobs whose builds left processes, mounts, files and other things behind, as
cleanups found them: the worst first. What scrub learnt on the machine counts; where it
learnt nothing, the builds that ran before the find are suspected, and a job is named
only if they are all of that job. "-" is all of which nobody can tell whose it was.

"pitcrew agent" shows what was found on one agent, "pitcrew attempt" each thing.`,
		Example: "  pitcrew residue\n  pitcrew residue --kind process --since 24h\n  pitcrew residue --pool el9 --order bytes -o wide",
		Args:    none,
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, _ []string) error {
			if err := d.narrowTo(ctx, agent, &q.Controller, &q.Agent); err != nil {
				return err
			}
			if since.Std() > 0 {
				q.Since = c.now().Add(-since.Std())
			}
			found, err := collect(d.Culprits(ctx, q))
			if err == nil && len(found) == 0 {
				err = d.known(ctx, q.Controller, q.Pool)
			}
			none := "No residue was found."
			if err == nil && len(found) == 0 && q.Kind != "" {
				none, err = d.noneOfKind(ctx, q)
			}
			if err != nil {
				return err
			}
			if len(found) == 0 && f.structured() {
				c.note([]string{none})
			}
			return listing[api.Culprit]{
				none: none, table: c.culpritTable,
				name: func(k api.Culprit) string { return k.Job },
			}.show(c, found, f)
		}),
	}
	cmd.Flags().StringVar(&agent, "agent", "", "only what was found on this agent")
	cmd.Flags().StringVar(&q.Controller, "controller", "", "only what was found on agents of this controller")
	cmd.Flags().StringVar(&q.Pool, "pool", "", "only what was found by attempts of this pool")
	cmd.Flags().StringVar(&q.Kind, "kind", "", "only things of this kind, such as process or directory")
	cmd.Flags().Var(&since, "since", "only what was found in this past time, such as 8h or 30d (default 7d)")
	choose(cmd, &q.Order, "order", "what makes a job the worst", "things", "bytes")
	limited(cmd, &q.Limit, "most jobs to list; 0 lists all")
	c.offerForAgent(cmd, &o)
	c.offerScopes(cmd, &o)
	f.flag(cmd, listFormats...)
	o.flags(cmd, usualTimeout)
	return cmd
}

// noneOfKind says that nothing of a kind was found, and of which kinds something was: what kinds there are the recipes decide.
func (d *daemon) noneOfKind(ctx context.Context, q api.CulpritQuery) (string, error) {
	kind := q.Kind
	q.Kind, q.Limit = "", 0
	found, err := collect(d.Culprits(ctx, q))
	things := map[string]int64{}
	for _, k := range found {
		for _, s := range k.Kinds {
			things[oneLine(s.Name)] += s.Things
		}
	}
	text := fmt.Sprintf("No residue of the kind %q was found", kind)
	if len(things) > 0 {
		kinds := slices.SortedFunc(maps.Keys(things), func(a, b string) int {
			return cmp.Or(cmp.Compare(things[b], things[a]), strings.Compare(a, b))
		})
		text += ", but of: " + strings.Join(kinds, ", ")
	}
	return text + ".", err
}

func (c *cli) culpritTable(found []api.Culprit, wide bool, width int) string {
	head := []string{"FOUND", "SIZE", "AGENTS", "LAST", "KIND"}
	if wide {
		head = []string{"FOUND", "SIZE", "AGENTS", "ATTEMPTS", "LAST", "KINDS", "MOST ON", "EVIDENCE", "CONTROLLER"}
	}
	rows := make([][]string, len(found))
	for i, k := range found {
		row := []string{strconv.FormatInt(k.Things, 10), sizeText(k.Bytes), strconv.FormatInt(k.Agents, 10)}
		if wide {
			row = append(row, strconv.FormatInt(k.Attempts, 10), c.since(k.LastSeen), sharesText(k.Kinds, ""), sharesText(k.Worst, ""), sharesText(k.By, "none"), k.Controller)
		} else {
			row = append(row, c.since(k.LastSeen), commonest(k.Kinds))
		}
		rows[i] = append(row, dash(oneLine(k.Job)))
	}
	return tabular(append(head, "JOB"), rows, width)
}

// sizeText is a size, "" where none was learnt.
func sizeText(n int64) string {
	if n == 0 {
		return ""
	}
	return bytesText(n)
}

// commonest is the kind of most things, and how many others there are.
func commonest(kinds []api.Share) string {
	switch len(kinds) {
	case 0:
		return ""
	case 1:
		return kinds[0].Name
	}
	return fmt.Sprintf("%s +%d", kinds[0].Name, len(kinds)-1)
}

func sharesText(shares []api.Share, nameless string) string {
	parts := make([]string, len(shares))
	for i, s := range shares {
		parts[i] = fmt.Sprintf("%s %d", cmp.Or(oneLine(s.Name), nameless), s.Things)
	}
	return strings.Join(parts, ", ")
}

// residueLines tell what the newest attempts on an agent found.
func (c *cli) residueLines(found []api.Residue) string {
	if len(found) == 0 {
		return ""
	}
	found = found[:min(len(found), shownOfAgent)]
	rows := make([][]string, len(found))
	for i, r := range found {
		rows[i] = []string{
			c.since(r.At), strconv.FormatInt(r.Attempt, 10), strconv.FormatInt(r.Things, 10), oneLine(r.Kind), sizeText(r.Bytes), leftBy(r),
		}
	}
	return tabular([]string{"AGO", "ATTEMPT", "FOUND", "KIND", "SIZE", "LEFT BY"}, rows, c.narrow())
}

// leftBy names the culprit, and says so where only the history of builds tells.
func leftBy(r api.Residue) string {
	build := func(job string, number int64) string {
		if number == 0 {
			return oneLine(job)
		}
		return fmt.Sprintf("%s #%d", oneLine(job), number)
	}
	if r.Job != "" {
		text := build(r.Job, r.Build)
		if r.By == "history" {
			text += ", by its history"
		}
		return text
	}
	if len(r.Suspects) == 0 {
		return "-"
	}
	names := make([]string, len(r.Suspects))
	for i, s := range r.Suspects {
		names[i] = build(s.Job, s.Build)
	}
	return "one of " + strings.Join(names, ", ")
}
