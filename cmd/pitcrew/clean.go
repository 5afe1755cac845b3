// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func (c *cli) cleanCommand() *cobra.Command {
	var o connection
	var reason, depth string
	var wait bool
	limit := lasting{}
	cmd := &cobra.Command{
		Use:   "clean AGENT...",
		Short: "Have agents cleaned soon",
		Long: `Have agents cleaned soon, whatever back-off and quarantine say. A clean agent becomes
due; a build that runs there ends first; a cleanup in progress is left to
end, and followed by a whole one if it only verifies.

With --depth they are cleaned so thoroughly until that succeeded once, whatever
their pools say; a cleanup in progress that is lighter is followed by one that
is not. The newest word counts; without the flag an earlier one stands.

With --wait the command ends when each agent was cleaned, with code 3 if a cleanup
failed or the time was over. A daemon that restarts is waited for, up to two
minutes. Ctrl-C ends only the waiting.`,
		Example:           "  pitcrew clean el9-7\n  pitcrew clean el9-7 el9-8 --wait --for 20m\n  pitcrew clean el9-7 --depth deep --reason 'before the audit'",
		Args:              some("agent"),
		ValidArgsFunction: c.offerAgents(&o, true),
		RunE: c.asking(&o, func(ctx context.Context, d *daemon, args []string) error {
			if limit.Std() > 0 && !wait {
				return usage("--for says how long to wait: it needs --wait")
			}
			agents, err := c.give(ctx, d, cleanOrder(depth), args, reason, limit)
			if err != nil || !wait {
				return err
			}
			return c.awaitClean(ctx, d, agents, hygiene.Depth(depth), limit.Std())
		}),
	}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", "why, for the audit trail")
	chooseDepth(cmd, &depth)
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait until the agents were cleaned")
	cmd.Flags().Var(&limit, "for", "longest wait (default: as long as it takes)")
	o.flags(cmd, usualTimeout)
	return cmd
}

func cleanOrder(depth string) order {
	return order{
		verb: "clean", done: "will be cleaned",
		give: func(ctx context.Context, d *daemon, a api.Agent, reason string, _ lasting) (api.Agent, error) {
			return d.Clean(ctx, a.Controller, a.Name, reason, depth)
		},
	}
}

// awaitClean waits for the cleanups, of a depth or deeper, of agents that were as given when they were ordered.
func (c *cli) awaitClean(ctx context.Context, d *daemon, agents []api.Agent, depth hygiene.Depth, limit time.Duration) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	p := c.newProgress()
	defer p.clear()
	failed := false
	for _, a := range agents {
		w := waiting{cli: c, d: d, before: a, depth: depth, progress: p}
		ok, err := w.wait(ctx)
		if err != nil {
			return err
		}
		failed = failed || !ok
	}
	if failed {
		return notWell
	}
	return nil
}
