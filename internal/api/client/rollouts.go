// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Rollouts returns the newest rollout of each pool that rolls out.
func (c *Client) Rollouts(ctx context.Context) ([]api.Rollout, error) {
	return list[api.Rollout](ctx, c, "/rollouts", nil)
}

// Rollout returns a pool's newest rollout with all of its agents.
func (c *Client) Rollout(ctx context.Context, pool string) (api.Rollout, error) {
	return get[api.Rollout](ctx, c, where("rollouts", pool), nil)
}

// StartRollout begins to roll a revision out; "" is what the pool's recipe is now.
func (c *Client) StartRollout(ctx context.Context, pool, revision, reason string) (api.Rollout, error) {
	return c.rollout(ctx, pool, "start", api.RolloutStart{Revision: revision, Reason: reason})
}

// PromoteRollout lets a rollout go on by one stage or share from where it was seen, whatever the evidence says.
func (c *Client) PromoteRollout(ctx context.Context, pool string, p api.Promotion) (api.Rollout, error) {
	return c.rollout(ctx, pool, "promote", p)
}

// PauseRollout keeps further agents from getting the new revision.
func (c *Client) PauseRollout(ctx context.Context, pool, reason string) (api.Rollout, error) {
	return c.rollout(ctx, pool, "pause", api.Order{Reason: reason})
}

// ResumeRollout lets a paused rollout go on where it was.
func (c *Client) ResumeRollout(ctx context.Context, pool, reason string) (api.Rollout, error) {
	return c.rollout(ctx, pool, "resume", api.Order{Reason: reason})
}

// RollBackRollout gives all agents of a pool the old revision again.
func (c *Client) RollBackRollout(ctx context.Context, pool, reason string) (api.Rollout, error) {
	return c.rollout(ctx, pool, "rollback", api.Order{Reason: reason})
}

// ReportRehearsal tells what a rehearsal came to.
func (c *Client) ReportRehearsal(ctx context.Context, pool string, r api.RehearsalResult) (api.Rollout, error) {
	return c.rollout(ctx, pool, "rehearsal", r)
}

func (c *Client) rollout(ctx context.Context, pool, verb string, body any) (api.Rollout, error) {
	var out api.Rollout
	err := c.call(ctx, http.MethodPost, where("rollouts", pool, verb), nil, body, &out)
	return out, err
}
