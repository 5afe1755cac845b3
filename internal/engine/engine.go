// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"time"
)

// Handler works one key. It returns when to work it again: at once for 0, not by itself for less
// (Rest). With an error, again is ignored and the key backs off. The context ends when the
// engine stops or the handler's time is over.
type Handler func(ctx context.Context, key string) (again time.Duration, err error)

// Rest is what a handler returns when nothing but a new Enqueue should bring its key back.
const Rest time.Duration = -1

// HandlerOptions say how the keys of one kind are worked.
type HandlerOptions struct {
	Workers int           // keys worked at the same time; 0 = 1
	Timeout time.Duration // for one key; 0 = none
}

// Engine brings keys to handlers. Its methods may be called at any time by any goroutine, from
// handlers too, except that Register comes before Run.
type Engine interface {
	// Register names the handler of a kind. Each kind has one.
	Register(kind string, h Handler, o HandlerOptions)
	// Enqueue has the key worked as soon as a worker is free.
	Enqueue(kind, key string)
	// EnqueueAfter has the key worked once d is over. The earliest of several times holds.
	EnqueueAfter(kind, key string, d time.Duration)
	// Periodic enqueues the key now and then every so often.
	Periodic(kind, key string, every time.Duration)
	// Run works keys until ctx ends, then waits for the handlers that are at work. Keys that
	// were enqueued before are worked; those that still wait at the end are dropped. It returns
	// an error only when it cannot start.
	Run(ctx context.Context) error
}

// PanicError is a handler's panic, reported as its error.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }
