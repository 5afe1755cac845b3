// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// pageSize is how much is asked for at once when everything is wanted.
const pageSize = 1000

// Agents yields all agents that match, page by page.
func (c *Client) Agents(ctx context.Context, q api.AgentQuery) iter.Seq2[api.Agent, error] {
	return pages[api.Agent](ctx, c, "/agents", values(q))
}

// Agent returns everything that is known of one agent.
func (c *Client) Agent(ctx context.Context, controller, name string) (api.AgentDetail, error) {
	return get[api.AgentDetail](ctx, c, where("agents", controller, name), nil)
}

// Clean asks for a cleanup of an agent and returns the agent as it is then. The depth is light, standard or deep; ""
// leaves it to what was asked for before, or else to the agent's pool.
func (c *Client) Clean(ctx context.Context, controller, name, reason, depth string) (api.Agent, error) {
	return c.order(ctx, controller, name, "clean", api.CleanOrder{Order: api.Order{Reason: reason}, Depth: depth})
}

// Release ends hold and quarantine of an agent.
func (c *Client) Release(ctx context.Context, controller, name, reason string) (api.Agent, error) {
	return c.order(ctx, controller, name, "release", api.Order{Reason: reason})
}

// Exclusive makes an agent fit to be kept clean: usage EXCLUSIVE, one executor.
func (c *Client) Exclusive(ctx context.Context, controller, name, reason string) (api.Agent, error) {
	return c.order(ctx, controller, name, "exclusive", api.Order{Reason: reason})
}

// Hold keeps an agent out for some time; zero is until it is released.
func (c *Client) Hold(ctx context.Context, controller, name, reason string, lasting time.Duration) (api.Agent, error) {
	return c.order(ctx, controller, name, "hold", api.ReasonedOrder{Reason: reason, For: duration(lasting)})
}

// Quarantine keeps an agent out until it is tried again after some time; zero is until it is released.
func (c *Client) Quarantine(ctx context.Context, controller, name, reason string, lasting time.Duration) (api.Agent, error) {
	return c.order(ctx, controller, name, "quarantine", api.ReasonedOrder{Reason: reason, For: duration(lasting)})
}

func (c *Client) order(ctx context.Context, controller, name, verb string, body any) (api.Agent, error) {
	var out api.Agent
	err := c.call(ctx, http.MethodPost, where("agents", controller, name, verb), nil, body, &out)
	return out, err
}

// pages yields the items of a list, asking for the next page when it is needed. A limit in the
// query is how much is yielded in all. It ends after an error.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		query := maps.Clone(query)
		left := wanted(query)
		for left != 0 {
			page, err := get[api.Page[T]](ctx, c, path, query)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
				if left--; left == 0 {
					return
				}
			}
			if page.Next == "" {
				return
			}
			query.Set("cursor", page.Next)
		}
	}
}
