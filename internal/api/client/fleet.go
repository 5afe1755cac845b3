// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Overview returns what a person wants to see first.
func (c *Client) Overview(ctx context.Context) (api.Overview, error) {
	return get[api.Overview](ctx, c, "/overview", nil)
}

// Controllers returns the controllers that are serviced.
func (c *Client) Controllers(ctx context.Context) ([]api.ControllerState, error) {
	return list[api.ControllerState](ctx, c, "/controllers", nil)
}

// Gate returns what is known of a controller's gate.
func (c *Client) Gate(ctx context.Context, controller string) (api.Gate, error) {
	return get[api.Gate](ctx, c, where("controllers", controller, "gate"), nil)
}

// LeaveGate announces that a controller's gate is about to be removed, or gives up one that is lost.
func (c *Client) LeaveGate(ctx context.Context, controller, reason string) (api.Gate, error) {
	var out api.Gate
	err := c.call(ctx, http.MethodPost, where("controllers", controller, "gate", "leave"), nil, api.Order{Reason: reason}, &out)
	return out, err
}

// Certificates says how clean the agents were that a build took.
func (c *Client) Certificates(ctx context.Context, build string) ([]api.Certificate, error) {
	return list[api.Certificate](ctx, c, "/certificates", url.Values{"build": {build}})
}

// Pools returns the pools of all controllers.
func (c *Client) Pools(ctx context.Context) ([]api.Pool, error) {
	return list[api.Pool](ctx, c, "/pools", nil)
}

// Plan returns what would be done now.
func (c *Client) Plan(ctx context.Context, q api.PlanQuery) ([]api.Plan, error) {
	return list[api.Plan](ctx, c, "/plan", values(q))
}

// Audit finds the jobs of a controller that can start on a managed agent that is not clean.
func (c *Client) Audit(ctx context.Context, controller string) (api.Audit, error) {
	return get[api.Audit](ctx, c, where("controllers", controller, "audit"), nil)
}

// Pauses returns the pauses in force.
func (c *Client) Pauses(ctx context.Context) ([]api.Pause, error) {
	return list[api.Pause](ctx, c, "/pauses", nil)
}

// Pause starts no new cleanups in a scope (all, controller:NAME or pool:NAME) for some time; zero is
// until somebody resumes.
func (c *Client) Pause(ctx context.Context, scope, reason string, lasting time.Duration) (api.Pause, error) {
	var out api.Pause
	body := api.ReasonedOrder{Reason: reason, For: duration(lasting)}
	err := c.call(ctx, http.MethodPut, where("pauses", scope), nil, body, &out)
	return out, err
}

// Resume ends the pause of a scope.
func (c *Client) Resume(ctx context.Context, scope string) error {
	return c.call(ctx, http.MethodDelete, where("pauses", scope), nil, nil, nil)
}

// Slots returns the jobs of a controller that carry programs to agents.
func (c *Client) Slots(ctx context.Context, controller string) ([]api.Slot, error) {
	return list[api.Slot](ctx, c, where("controllers", controller, "slots"), nil)
}

// ResetSlot uses a slot again that was refused.
func (c *Client) ResetSlot(ctx context.Context, controller, job, reason string) (api.Slot, error) {
	var out api.Slot
	err := c.call(ctx, http.MethodPost, where("controllers", controller, "slots", job, "reset"), nil, api.Order{Reason: reason}, &out)
	return out, err
}

// list asks for a list that has one page.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	page, err := get[api.Page[T]](ctx, c, path, query)
	return page.Items, err
}
