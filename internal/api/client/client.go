// SPDX-License-Identifier: Apache-2.0

package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say where the daemon is, and who asks.
type Options struct {
	URL       string            // such as http://127.0.0.1:8473
	Token     string            // "" = none
	Transport http.RoundTripper // nil: the default one
	UserAgent string
	// Field is what a part of a request, such as body.for, is called by whoever typed it; nil: as the API calls it.
	Field func(location string) string
}

// Client asks one daemon. Make it with [New].
type Client struct {
	base  *url.URL
	token string
	agent string
	field func(string) string
	http  *http.Client
}

// New returns a client. It sends nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(o.URL, "/"))
	switch {
	case err != nil:
		return nil, errors.New("read address of the daemon: it is not a URL: want http://host:port") // the error would repeat a password in it
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("read address of the daemon: want http://host:port, got %q", base.Redacted())
	}
	return &Client{
		base: base, token: o.Token, agent: o.UserAgent, field: o.Field,
		// The token must not follow a redirect to another host, and no answer of the daemon is one.
		http: &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// maxAnswer bounds what is read of one answer.
const maxAnswer = 64 << 20

// call makes one request below /api/v1 and reads a JSON answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	res, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read answer of %s %s: %w", method, path, err)
	}
	return nil
}

// send makes one request and returns an answer that says yes, or the error that it says.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	req, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.base.Redacted(), err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, &UnreachableError{URL: c.base.Redacted(), Err: err}
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		defer res.Body.Close()
		return nil, c.refused(res)
	}
	return res, nil
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := c.base.String() + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	return req, nil
}

// get asks for one thing.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.call(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// where joins the segments of a path, whatever characters they have.
func where(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// duration spells how long an order lasts; zero is until somebody ends it.
func duration(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return d.String()
}
