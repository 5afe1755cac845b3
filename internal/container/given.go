// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Address is a controller that somebody else has started.
type Address struct {
	URL   string // root, http or https
	User  string
	Token Token

	AdvertiseURL string            // see [Spec]; default: URL
	ReadyWithin  time.Duration     // default: 30 s
	Transport    http.RoundTripper // for a private certificate; default: one of its own
}

// Given returns a controller that is not ours to stop, when it is ready and lets User in.
func Given(ctx context.Context, a Address) (*Controller, error) {
	u, err := url.Parse(a.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "":
		return nil, errors.New("given controller: want a URL with http:// or https://, a host, and no credentials")
	case a.User == "" || a.Token == "":
		return nil, fmt.Errorf("given controller %s: give a user and an API token of his", a.URL)
	}
	if a.ReadyWithin <= 0 {
		a.ReadyWithin = 30 * time.Second
	}
	c := &Controller{
		url: trimSlash(a.URL), advertised: a.AdvertiseURL, user: a.User, token: a.Token, tail: newTail(io.Discard, a.Token),
		http: newHTTP(a.Transport), done: make(chan struct{}),
	}
	if err := c.ready(ctx, time.Now().Add(a.ReadyWithin), false); err != nil {
		c.http.CloseIdleConnections()
		return nil, fmt.Errorf("given controller: %w", err)
	}
	return c, nil
}
