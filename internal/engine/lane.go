// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// lane is the line of one kind's keys. The queue does what must not go wrong: a key waits in line
// once, has one worker at a time, and is worked once more when it was added meanwhile. Its
// delaying sibling is not used: that wakes up every ten seconds for as long as it lives, which a
// simulation of a month in virtual time feels, and outlives its shutdown.
type lane struct {
	kind    string
	shared  *Options
	queue   *workqueue.Typed[string]
	handle  Handler // set before any worker starts, as the options
	options HandlerOptions

	mu       sync.Mutex // guards what follows
	closed   bool
	waiting  map[string]wait
	failures map[string]int // in a row, by key
}

// wait is a key's timer.
type wait struct {
	until time.Time
	timer *time.Timer
}

func newLane(kind string, shared *Options) *lane {
	return &lane{
		kind: kind, shared: shared, queue: workqueue.NewTyped[string](),
		waiting: map[string]wait{}, failures: map[string]int{},
	}
}

// after adds the key once d is over, or at an earlier time for which it waits already.
func (l *lane) after(key string, d time.Duration) {
	if d <= 0 {
		l.queue.Add(key)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until := time.Now().Add(d)
	old, ok := l.waiting[key]
	if l.closed || ok && !until.Before(old.until) {
		return
	}
	if ok {
		old.timer.Stop()
	}
	l.waiting[key] = wait{until, time.AfterFunc(d, func() { l.due(key, until) })}
}

// due adds the key whose timer fired, unless an earlier one took that timer's place.
func (l *lane) due(key string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w, ok := l.waiting[key]; ok && w.until.Equal(until) {
		delete(l.waiting, key)
		l.queue.Add(key)
	}
}

// close ends the workers; what waits is dropped.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for key, w := range l.waiting {
		w.timer.Stop()
		delete(l.waiting, key)
	}
	l.queue.ShutDown()
}

func (l *lane) work(ctx context.Context) {
	for {
		key, closed := l.queue.Get()
		if closed {
			return
		}
		if ctx.Err() == nil { // a closed queue still hands out what is in it
			l.step(ctx, key)
		}
		l.queue.Done(key)
	}
}

// step works one key and notes when to work it again. The note comes before the queue's Done, so
// that no other worker is at the key yet.
func (l *lane) step(ctx context.Context, key string) {
	started := time.Now()
	again, err := l.call(ctx, key)
	if l.shared.Observe != nil {
		l.shared.Observe(Ran{Kind: l.kind, Key: key, Took: time.Since(started), Err: err})
	}
	if err != nil {
		wait := l.failed(key)
		if ctx.Err() == nil { // at the end, errors are what an ended context causes
			l.shared.Logger.ErrorContext(ctx, "work failed", "kind", l.kind, "key", key, "err", err, "again_in", wait)
		}
		l.after(key, wait)
		return
	}
	l.succeeded(key)
	if again >= 0 {
		l.after(key, again)
	}
}

func (l *lane) call(ctx context.Context, key string) (again time.Duration, err error) {
	if l.options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.options.Timeout)
		defer cancel()
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return l.handle(ctx, key)
}

// failed counts a failure and returns the back-off: the first one doubled for each further
// failure, then spread over 75 % to 125 %, so that what failed together is not tried together.
func (l *lane) failed(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.shared.First
	for range l.failures[key] {
		if d >= l.shared.Max/2 {
			d = l.shared.Max
			break
		}
		d *= 2
	}
	l.failures[key]++
	return d*3/4 + rand.N(d/2+1) //nolint:gosec // nobody gains from guessing it
}

func (l *lane) succeeded(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.failures, key)
}
