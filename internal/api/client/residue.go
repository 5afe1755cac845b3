// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"iter"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Culprits yields the jobs that left residue on agents, the worst first.
func (c *Client) Culprits(ctx context.Context, q api.CulpritQuery) iter.Seq2[api.Culprit, error] {
	return pages[api.Culprit](ctx, c, "/residue", values(q))
}

// Residue yields what cleanups found on the agent that the query names, newest first.
func (c *Client) Residue(ctx context.Context, q api.ResidueQuery) iter.Seq2[api.Residue, error] {
	return pages[api.Residue](ctx, c, where("agents", q.Controller, q.Agent, "residue"), values(q))
}
