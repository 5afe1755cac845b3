// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	breakerFailures = 5                // in a row, of availability only
	breakerPause    = 10 * time.Second // then one request is let through to see
)

// breaker leaves a controller alone that does not answer. Only availability counts: refusals, conflicts and requests
// that the caller gave up say nothing about the controller's health.
type breaker struct {
	cb *gobreaker.CircuitBreaker[struct{}]

	mu    sync.Mutex
	until time.Time // end of the pause
	cause string    // the last availability error, for those who are refused
}

func newBreaker(name string, logger *slog.Logger) *breaker {
	b := &breaker{}
	b.cb = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        name,
		MaxRequests: 1,
		Timeout:     breakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return n.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool {
			return !unavailable(err)
		},
		IsExcluded: func(err error) bool { return err != nil && KindOf(err) == KindCancelled },
		OnStateChange: func(name string, from, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.pauseFrom(time.Now())
			}
			logger.LogAttrs(context.Background(), slog.LevelInfo, "controller breaker changed",
				slog.String("controller", name), slog.String("from", from.String()), slog.String("to", to.String()))
		},
	})
	return b
}

func (b *breaker) pauseFrom(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = now.Add(breakerPause)
}

// do runs f unless the controller is left alone just now; then the error tells until when, and why.
func (b *breaker) do(op, object string, f func() error) error {
	_, err := b.cb.Execute(func() (struct{}, error) {
		err := f()
		if unavailable(err) {
			b.mu.Lock()
			b.cause = err.Error()
			b.mu.Unlock()
		}
		return struct{}{}, err
	})
	if !errors.Is(err, gobreaker.ErrOpenState) && !errors.Is(err, gobreaker.ErrTooManyRequests) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	// Half open, the one request that looks whether the controller is back is under way: ask again soon.
	wait := max(time.Until(b.until), time.Second)
	return &Error{
		Op: op, Object: object, Kind: KindRetryable, RetryAfter: wait,
		Err: fmt.Errorf("%w since: %s", ErrBreakerOpen, b.cause),
	}
}
