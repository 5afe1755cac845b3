// SPDX-License-Identifier: Apache-2.0

package notify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/notify"
)

// outbox keeps notices and positions as the store does, and can be out of order.
type outbox struct {
	mu      sync.Mutex
	notices []notify.Notice
	cursors map[string]int64
	watches []chan struct{}
	deaf    bool  // watches are told nothing
	broken  error // what saving answers
}

func newOutbox() *outbox { return &outbox{cursors: map[string]int64{}} }

// add appends notices of these types.
func (o *outbox) add(types ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, kind := range types {
		position := int64(len(o.notices) + 1)
		o.notices = append(o.notices, notify.Notice{
			Position: position, ID: fmt.Sprintf("e1-%d", position), Type: kind, Time: time.Now(),
			Subject: notify.Subject{Controller: "ci", Agent: "el9-1", Pool: "el9"}, Summary: "summary",
		})
	}
	for _, watch := range o.watches {
		if !o.deaf {
			select {
			case watch <- struct{}{}:
			default:
			}
		}
	}
}

func (o *outbox) breakSaving(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.broken = err
}

func (o *outbox) Notices(_ context.Context, after int64, limit int) ([]notify.Notice, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	left := slices.Clone(o.notices[max(after, 0):])
	return left[:min(len(left), limit)], nil
}

func (o *outbox) Latest(context.Context) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return int64(len(o.notices)), nil
}

func (o *outbox) Cursor(_ context.Context, reader string) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cursors[reader], nil
}

func (o *outbox) SaveCursor(_ context.Context, reader string, after int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken == nil {
		o.cursors[reader] = after
	}
	return o.broken
}

func (o *outbox) saved() map[string]int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.cursors)
}

func (o *outbox) WatchEvents() (<-chan struct{}, func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	watch := make(chan struct{}, 1)
	o.watches = append(o.watches, watch)
	return watch, func() {}
}

// receiver remembers what it took, and can refuse.
type receiver struct {
	mu     sync.Mutex
	taken  []string // types, in the order of arrival
	tries  []time.Time
	answer func(notify.Notice) error
}

func (r *receiver) Send(_ context.Context, n notify.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries = append(r.tries, time.Now())
	if r.answer != nil {
		if err := r.answer(n); err != nil {
			return err
		}
	}
	r.taken = append(r.taken, n.Type)
	return nil
}

func (r *receiver) answers(f func(notify.Notice) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *receiver) tried() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tries)
}

var errDown = errors.New("receiver is down")

// down answers every notice with err.
func down(err error) func(notify.Notice) error { return func(notify.Notice) error { return err } }

// start runs a Notifier and returns what stops it and waits for its end.
func start(t *testing.T, o notify.Options) (stop func()) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	n, err := notify.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
