// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"
)

const (
	batch      = 100              // notices read at once
	pollEvery  = 30 * time.Second // for the case that no watch told
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	longestAsk = time.Hour // that a receiver may ask us to wait
	saveLimit  = 5 * time.Second
	// atStart is the saved position of a sink that started before the first notice; 0 is that of one never seen.
	atStart = -1
)

// Sink is one receiver.
type Sink struct {
	Name   string // unique: its position is saved under it
	Filter Filter
	Sender Sender
}

// Delivery is one try to deliver a notice, for metrics.
type Delivery struct {
	Sink     string
	Notice   Notice
	Duration time.Duration
	Err      error // nil: delivered
	GivenUp  bool  // it is not tried again, although it failed
}

// Options are what a Notifier works with.
type Options struct {
	Outbox  Outbox
	Sinks   []Sink
	MaxAge  time.Duration  // older notices are given up; 0 = 24 h
	Observe func(Delivery) // may be nil
	Logger  *slog.Logger
}

// Notifier delivers notices to sinks.
type Notifier struct {
	opts Options
}

// New returns a Notifier, or an error when two sinks have one name.
func New(o Options) (*Notifier, error) {
	names := map[string]bool{}
	for _, s := range o.Sinks {
		if s.Name == "" || names[s.Name] {
			return nil, fmt.Errorf("notification sink %q: every sink needs a name of its own", s.Name)
		}
		names[s.Name] = true
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 24 * time.Hour
	}
	if o.Observe == nil {
		o.Observe = func(Delivery) {}
	}
	o.Logger = o.Logger.With("component", "notify")
	return &Notifier{opts: o}, nil
}

// Run delivers until ctx ends; then it returns nil.
func (n *Notifier) Run(ctx context.Context) error {
	var sinks errgroup.Group
	for _, s := range n.opts.Sinks {
		sinks.Go(func() error {
			n.serve(ctx, s)
			return nil
		})
	}
	return sinks.Wait()
}

// serve moves one sink forward until ctx ends.
func (n *Notifier) serve(ctx context.Context, s Sink) {
	log := n.opts.Logger.With("sink", s.Name)
	wake, stop := n.opts.Outbox.WatchEvents()
	defer stop()
	pause := newPause()
	var at progress
	for ctx.Err() == nil {
		before := at.done
		err := n.catchUp(ctx, s, &at, log)
		if err == nil || at.done != before {
			pause.Reset()
		}
		switch {
		case err == nil:
			wake = wait(ctx, wake, pollEvery)
		case ctx.Err() == nil:
			delay := max(pause.NextBackOff(), asked(err))
			log.WarnContext(ctx, "notices cannot be delivered now", "retry_in", delay, "err", err)
			_ = wait(ctx, nil, delay)
		}
	}
}

// asked is how long the receiver wants us to wait.
func asked(err error) time.Duration {
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		return min(refusal.After, longestAsk)
	}
	return 0
}

func newPause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = firstRetry, 2, lastRetry
	return b
}

// wait returns after the delay, a value on wake, or the end of ctx. A closed wake is not waited on again.
func wait(ctx context.Context, wake <-chan struct{}, delay time.Duration) <-chan struct{} {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case _, open := <-wake:
		if !open {
			return nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return wake
}
