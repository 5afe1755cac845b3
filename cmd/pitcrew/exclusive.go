// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func (c *cli) exclusiveCommand() *cobra.Command {
	return c.orderCommand(&connection{}, order{
		verb: "exclusive", done: "is exclusive, with one executor", short: "Make agents fit to be kept clean",
		long: `Set the usage of agents to EXCLUSIVE ("only build jobs with label expressions matching
this node") and their executors to one, in their configuration in Jenkins. An agent
that is not so is never granted clean: a job without labels, or a second one beside
the first, could get it.

This is the only command that changes more of an agent than pitcrew's labels.`,
		example: "  pitcrew exclusive el9-7 el9-8",
		give: func(ctx context.Context, d *daemon, a api.Agent, reason string, _ lasting) (api.Agent, error) {
			return d.Exclusive(ctx, a.Controller, a.Name, reason)
		},
	})
}
