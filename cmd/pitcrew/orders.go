// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// order is a command that asks for something to be done to agents.
type order struct {
	verb, done     string // "hold", "is held"
	short, long    string
	example        string
	reasonRequired bool
	lasts          string // what the flag --for says; "" = there is none
	give           func(ctx context.Context, d *daemon, a api.Agent, reason string, l lasting) (api.Agent, error)
}

func (c *cli) holdCommand() *cobra.Command {
	return c.orderCommand(&connection{}, order{
		verb: "hold", done: "is held", short: "Keep agents out, for a person",
		long: `Keep agents out of service: no cleanup starts there and no build gets them, until they
are released or the time is up. A cleanup in progress runs
to its end. Its agent is not called clean for it, so that it is recorded as lost;
after the hold the agent is verified.`,
		example:        "  pitcrew hold el9-7 --reason 'disk is replaced' --for 4h",
		reasonRequired: true, lasts: "end by itself after this time, such as 90m, 36h or 7d",
		give: func(ctx context.Context, d *daemon, a api.Agent, reason string, l lasting) (api.Agent, error) {
			return d.Hold(ctx, a.Controller, a.Name, reason, l.Std())
		},
	})
}

func (c *cli) releaseCommand() *cobra.Command {
	return c.orderCommand(&connection{}, order{
		verb: "release", done: "is released", short: "End hold and quarantine of agents",
		long:    "End hold and quarantine of agents. They are cleaned before they are used again.",
		example: "  pitcrew release el9-7",
		give: func(ctx context.Context, d *daemon, a api.Agent, reason string, _ lasting) (api.Agent, error) {
			return d.Release(ctx, a.Controller, a.Name, reason)
		},
	})
}

func (c *cli) quarantineCommand() *cobra.Command {
	return c.orderCommand(&connection{}, order{
		verb: "quarantine", done: "is in quarantine", short: "Keep agents out as broken",
		long: `Keep agents out as broken. When the time is up, one cleanup is tried: if it succeeds
the agent is back in service.`,
		example:        "  pitcrew quarantine el9-7 --reason 'loses packets' --for 1d",
		reasonRequired: true, lasts: "try a cleanup after this time (default: not before release)",
		give: func(ctx context.Context, d *daemon, a api.Agent, reason string, l lasting) (api.Agent, error) {
			return d.Quarantine(ctx, a.Controller, a.Name, reason, l.Std())
		},
	})
}

// errNoReason refuses what others will wonder about.
var errNoReason = usage("--reason is required: others must be able to understand it later")

// orderCommand makes the command of an order.
func (c *cli) orderCommand(o *connection, kind order) *cobra.Command {
	var reason string
	var l lasting
	cmd := &cobra.Command{
		Use: kind.verb + " AGENT...", Short: kind.short, Long: kind.long, Example: kind.example,
		Args: some("agent"), ValidArgsFunction: c.offerAgents(o, true),
		RunE: c.asking(o, func(ctx context.Context, d *daemon, args []string) error {
			if kind.reasonRequired && oneLine(reason) == "" {
				return errNoReason
			}
			_, err := c.give(ctx, d, kind, args, reason, l)
			return err
		}),
	}
	note := "why, for the audit trail"
	if kind.reasonRequired {
		note += " (required)"
	}
	cmd.Flags().StringVarP(&reason, "reason", "r", "", note)
	if kind.lasts != "" {
		cmd.Flags().Var(&l, "for", kind.lasts)
	}
	o.flags(cmd, usualTimeout)
	return cmd
}

// give gives an order for all agents. It stops at the first refusal: what was done was said.
func (c *cli) give(ctx context.Context, d *daemon, kind order, args []string, reason string, l lasting) ([]api.Agent, error) {
	agents, err := d.agents(ctx, args)
	if err != nil {
		return nil, err
	}
	for _, a := range agents {
		after, err := kind.give(ctx, d, a, reason, l)
		if err != nil {
			return nil, d.explain(fmt.Errorf("%s %s: %w", kind.verb, fullName(a.Controller, a.Name), err))
		}
		fmt.Fprintf(c.err, "%s %s\n", fullName(after.Controller, after.Name), kind.done)
	}
	return agents, nil
}
