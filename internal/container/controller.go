// SPDX-License-Identifier: Apache-2.0

package container

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// vessel is what a controller of ours lives in. Its methods are called in this order, but for remove, which may come at any time.
type vessel interface {
	// launch starts it and returns the address that it listens on. An error may leave anything behind, for remove.
	launch(ctx context.Context) (url string, err error)
	// wait blocks until it has ended, all of its log has been taken, or remove was called. It returns how it ended.
	wait() error
	// remove ends it and removes all that was made, and returns when nothing is left. What is gone already is success.
	remove(ctx context.Context) error
}

// removeWithin bounds the removal of what did not start.
const removeWithin = time.Minute

// Error is a controller that did not start or has died.
type Error struct {
	Err error
	Log string // its last lines, without the token
}

func (e *Error) Error() string {
	if e.Log == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "\nits log ends with:\n" + e.Log
}

func (e *Error) Unwrap() error { return e.Err }

// errPortTaken says that somebody else was quicker to take a port that was free.
var errPortTaken = errors.New("the port was taken by somebody else")

// Controller is a controller that is ready. End it with Stop.
type Controller struct {
	url, advertised string
	user            string
	token           Token
	vessel          vessel // nil: not ours
	tail            *tail
	http            *http.Client
	done            chan struct{}
	once            sync.Once // of closing done

	mu       sync.Mutex // guards what follows
	err      error
	stopping bool
	gone     bool // nothing is left to remove
}

// Start starts a controller and returns it when it is ready. The error of one that is not holds the last lines of its log, and nothing is left
// of it then; see [Error].
func Start(ctx context.Context, s Spec) (*Controller, error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("ephemeral controller: %w", err)
	}
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, s)
		if _, fixed := s.bound(); fixed == "" && errors.Is(err, errPortTaken) && attempt < 5 && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("start controller from %s: %w", s.origin(), err)
		}
		return c, nil
	}
}

func start(ctx context.Context, s Spec) (*Controller, error) {
	c := &Controller{
		user: s.Seed.User, token: s.Seed.Token, tail: newTail(s.Log, s.Seed.Token), http: newHTTP(nil), done: make(chan struct{}),
	}
	if s.War.File != "" {
		c.vessel = newWar(s, c.tail)
	} else {
		c.vessel = newBox(s, c.tail)
	}
	url, err := c.vessel.launch(ctx)
	if err == nil {
		c.url, c.advertised = url, s.AdvertiseURL
		go c.watch()
		err = c.ready(ctx, time.Now().Add(s.ReadyWithin), !s.Seed.Bare)
	}
	if err != nil {
		rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
		defer cancel()
		left := c.Stop(rest)
		return nil, errors.Join(&Error{Err: err, Log: c.tail.text()}, left)
	}
	return c, nil
}

// watch waits for the end of the vessel.
func (c *Controller) watch() {
	how := c.vessel.wait()
	c.mu.Lock()
	if !c.stopping {
		c.err = &Error{Err: fmt.Errorf("controller at %s died: %w", c.url, how), Log: c.tail.text()}
	}
	c.mu.Unlock()
	c.end()
}

func (c *Controller) end() { c.once.Do(func() { close(c.done) }) }

// URL is the root of the controller as we reach it, without trailing slash.
func (c *Controller) URL() string { return c.url }

// AdvertiseURL is the root of the controller as agents on other machines reach it, without trailing slash.
func (c *Controller) AdvertiseURL() string {
	if c.advertised != "" {
		return trimSlash(c.advertised)
	}
	return c.url
}

// User is the user that Token belongs to.
func (c *Controller) User() string { return c.user }

// Token is an API token of User, who may do anything.
func (c *Controller) Token() Token { return c.token }

// Done is closed when the controller has ended: it died, or was stopped. One that is not ours ends for us with Stop only.
func (c *Controller) Done() <-chan struct{} { return c.done }

// Err says how the controller died, with the last lines of its log. It is nil while it runs, and after Stop.
func (c *Controller) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Log is the end of what the controller has printed.
func (c *Controller) Log() string { return c.tail.text() }

// Stop ends the controller, removes all that was made for it, and returns when it is gone. After an error it can be called again; when there
// is nothing left it does nothing. A controller that is not ours is left as it is.
func (c *Controller) Stop(ctx context.Context) error {
	c.mu.Lock()
	c.stopping = true
	gone := c.gone
	c.mu.Unlock()
	if gone {
		return nil
	}
	defer c.http.CloseIdleConnections()
	if c.vessel == nil {
		c.end()
		return nil
	}
	if err := c.vessel.remove(ctx); err != nil {
		return fmt.Errorf("remove ephemeral controller: %w", err)
	}
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	if c.url == "" {
		return nil // it was never launched, and nobody watches it
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of controller %s: %w", c.url, context.Cause(ctx))
	}
}
