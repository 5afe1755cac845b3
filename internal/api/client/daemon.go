// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// Version says what runs.
func (c *Client) Version(ctx context.Context) (api.Version, error) {
	return get[api.Version](ctx, c, "/version", nil)
}

// WhoAmI says whose token this is, and what it may do.
func (c *Client) WhoAmI(ctx context.Context) (api.Identity, error) {
	return get[api.Identity](ctx, c, "/whoami", nil)
}

// Tokens returns all tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]api.Token, error) {
	return list[api.Token](ctx, c, "/tokens", nil)
}

// CreateToken makes a token. Its secret cannot be had again.
func (c *Client) CreateToken(ctx context.Context, r api.TokenRequest) (api.NewToken, error) {
	var out api.NewToken
	err := c.call(ctx, http.MethodPost, "/tokens", nil, r, &out)
	return out, err
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, where("tokens", name), nil, nil, nil)
}

// Backup copies the store to a file on the daemon's machine.
func (c *Client) Backup(ctx context.Context, path string) (api.Backup, error) {
	var out api.Backup
	err := c.call(ctx, http.MethodPost, "/backup", nil, api.BackupRequest{Path: path}, &out)
	return out, err
}

// Reload makes the daemon read its configuration again.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/reload", nil, nil, nil)
}

// Config returns the configuration in force, as YAML without secrets.
func (c *Client) Config(ctx context.Context) (string, error) {
	text, err := get[api.ConfigText](ctx, c, "/config", nil)
	return text.YAML, err
}

// Doctor returns everything that a support engineer would ask for; of one controller, or of all for
// "". With jobs it also looks at all jobs, which takes long.
func (c *Client) Doctor(ctx context.Context, controller string, jobs bool) (api.Doctor, error) {
	query := url.Values{}
	if controller != "" {
		query.Set("controller", controller)
	}
	if jobs {
		query.Set("jobs", "true")
	}
	return get[api.Doctor](ctx, c, "/doctor", query)
}

// Health says whether the daemon does its work. It needs no token, and a daemon that does not work
// is no error.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	var h api.Health
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+"/healthz", nil)
	if err != nil {
		return h, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return h, &UnreachableError{URL: c.base.Redacted(), Err: err}
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxProblem)).Decode(&h); err != nil {
		return h, fmt.Errorf("read health: %w", err)
	}
	return h, nil
}
