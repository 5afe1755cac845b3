// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Options configure an engine; the zero value is useful.
type Options struct {
	First, Max time.Duration // back-off after the first failure, and at most; 0 = 1 s and 5 min
	Logger     *slog.Logger  // nil: nothing is logged
	Observe    func(Ran)     // called after each run, by the worker; nil: nobody
}

// Ran is one run of a handler, for metrics.
type Ran struct {
	Kind, Key string
	Took      time.Duration
	Err       error
}

// InProcess is an engine within one process. Create it with [NewInProcess].
type InProcess struct {
	options Options

	mu      sync.Mutex // guards what follows
	lanes   map[string]*lane
	periods []period
	running context.Context //nolint:containedctx // ends when Run does; nil before
	work    sync.WaitGroup  // goroutines of Run
}

type period struct {
	kind, key string
	every     time.Duration
}

var _ Engine = (*InProcess)(nil)

// NewInProcess returns an engine that keeps its keys in memory. It owns no goroutine outside Run.
func NewInProcess(o Options) *InProcess {
	o.First, o.Max = cmp.Or(o.First, time.Second), cmp.Or(o.Max, 5*time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &InProcess{options: o, lanes: map[string]*lane{}}
}

// Register implements [Engine].
func (e *InProcess) Register(kind string, h Handler, o HandlerOptions) {
	l := e.lane(kind)
	e.mu.Lock()
	defer e.mu.Unlock()
	l.handle, l.options = h, o
}

// Enqueue implements [Engine].
func (e *InProcess) Enqueue(kind, key string) { e.lane(kind).queue.Add(key) }

// EnqueueAfter implements [Engine].
func (e *InProcess) EnqueueAfter(kind, key string, d time.Duration) { e.lane(kind).after(key, d) }

// Periodic implements [Engine].
func (e *InProcess) Periodic(kind, key string, every time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := period{kind, key, every}
	if e.running == nil {
		e.periods = append(e.periods, p)
		return
	}
	e.start(e.running, p)
}

// lane returns the lane of a kind. Keys may be enqueued before their handler is registered.
func (e *InProcess) lane(kind string) *lane {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lanes[kind]
	if l == nil {
		l = newLane(kind, &e.options)
		e.lanes[kind] = l
		if e.running != nil {
			e.options.Logger.Error("enqueued for a kind without a handler", "kind", kind)
			l.close()
		}
	}
	return l
}

// Run implements [Engine].
func (e *InProcess) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.begin(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	e.mu.Lock()
	for _, l := range e.lanes {
		l.close()
	}
	e.mu.Unlock()
	e.work.Wait()
	return nil
}

func (e *InProcess) begin(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running != nil {
		return errors.New("run engine: it was run before")
	}
	for kind, l := range e.lanes {
		if l.handle == nil {
			return fmt.Errorf("run engine: kind %q has no handler", kind)
		}
	}
	e.running = ctx
	for _, l := range e.lanes {
		for range max(1, l.options.Workers) {
			e.work.Go(func() { l.work(ctx) })
		}
	}
	for _, p := range e.periods {
		e.start(ctx, p)
	}
	return nil
}

// start enqueues periodically until ctx, that of Run, ends. The caller holds the lock.
func (e *InProcess) start(ctx context.Context, p period) {
	if ctx.Err() != nil {
		return
	}
	e.work.Go(func() {
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			e.Enqueue(p.kind, p.key)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}
