// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	askEvery  = 250 * time.Millisecond
	askWithin = 10 * time.Second // one request; a controller that has just started is slow to answer its first
)

// newHTTP is a client that follows no redirects. Without a transport it has one of its own, because the environment's proxy is not for
// controllers on loopback.
func newHTTP(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second}
	}
	return &http.Client{
		Transport: transport, Timeout: askWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errFinal marks what does not mend itself by waiting.
type errFinal struct{ error }

func (e errFinal) Unwrap() error { return e.error }

// ready waits until the controller answers, and then sees that it lets us in, and if closed is true nobody else. The error is that of ctx, of the
// controller's end, or says what it answered last.
func (c *Controller) ready(ctx context.Context, deadline time.Time, closed bool) error {
	until, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	go func() { // a request to a controller that has died may hang, where somebody else has its port
		select {
		case <-c.done:
			cancel()
		case <-until.Done():
		}
	}()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	began := time.Now()
	last := errors.New("nothing was asked yet")
	for {
		err := c.ask(until, closed)
		var final errFinal
		switch {
		case err == nil:
			return c.lives()
		case errors.As(err, &final):
			if dead := c.lives(); dead != nil {
				return dead
			}
			return final.error
		case until.Err() == nil:
			last = err // what a request says that was cut short is of no interest
		}
		select {
		case <-until.Done():
			if dead := c.lives(); dead != nil {
				return dead
			}
			if ctx.Err() != nil {
				return fmt.Errorf("wait until %s is ready: %w (%w)", c.url, context.Cause(ctx), last)
			}
			return fmt.Errorf("%s was not ready within %s: %w", c.url, time.Since(began).Round(time.Second), last)
		case <-tick.C:
		}
	}
}

// lives is how the controller ended, if it did.
func (c *Controller) lives() error {
	select {
	case <-c.done:
		if err := c.Err(); err != nil {
			if with, ok := errors.AsType[*Error](err); ok {
				return with.Err // its log is added once, by the caller
			}
			return err
		}
		return errors.New("it was stopped")
	default:
		return nil
	}
}

// ask is one look. Jenkins answers 503 while it starts, and for ever after a boot that failed (hudson.util.ErrorObject#doDynamic); the first
// other answer with X-Jenkins means that it is ready (hudson.WebAppMain).
func (c *Controller) ask(ctx context.Context, closed bool) error {
	status, version, err := c.get(ctx, "/login", false)
	switch {
	case err != nil:
		return err
	case status == http.StatusServiceUnavailable && c.tail.saw(bootFailed):
		return errFinal{fmt.Errorf("its boot has failed: %s", bootFailed)}
	case status == http.StatusServiceUnavailable:
		return errors.New("it answers 503: it is starting, or its boot has failed")
	case version == "":
		return fmt.Errorf("%s answers %d and does not say that it is Jenkins", c.url, status)
	}
	const front = "/api/json?tree=mode"
	if status, _, err = c.get(ctx, front, true); err != nil {
		return err
	}
	switch status {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		return errors.New("it answers 503 again")
	case http.StatusUnauthorized, http.StatusForbidden:
		return errFinal{fmt.Errorf("%s refuses the token of %s (%d)", c.url, c.user, status)}
	default:
		return fmt.Errorf("%s answers %d to %s", c.url, status, front)
	}
	if !closed {
		return nil
	}
	status, _, err = c.get(ctx, front, false)
	if err == nil && status == http.StatusOK {
		return errFinal{fmt.Errorf("%s lets anybody in: the init scripts of its home were not run", c.url)}
	}
	return err
}

// get returns the status of an answer and the version of Jenkins that it bears.
func (c *Controller) get(ctx context.Context, path string, as bool) (status int, version string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return 0, "", fmt.Errorf("ask controller: %w", err)
	}
	if as {
		req.SetBasicAuth(c.user, string(c.token))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("ask controller: %w", err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection can be used again
	return res.StatusCode, res.Header.Get("X-Jenkins"), nil
}

func trimSlash(url string) string { return strings.TrimRight(url, "/") }
