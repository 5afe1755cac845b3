// SPDX-License-Identifier: Apache-2.0

// Package enginetest holds what every engine promises, as tests that any engine can be run
// through. They wait for what must happen, never for time to pass alone, so they hold in real
// time and in the virtual time of testing/synctest.
//
//nolint:thelper // these are tests: a failure is to show its own line
package enginetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
)

// FirstBackoff is the first back-off that the engines under test must be given.
const FirstBackoff = 20 * time.Millisecond

// Case is one promise.
type Case struct {
	Name string
	Run  func(t *testing.T, e engine.Engine)
}

// Cases are all promises. Each wants an engine of its own that was not yet run.
var Cases = []Case{
	{"a key that was enqueued is worked", worked},
	{"what was enqueued before the start is not lost", workedFromBefore},
	{"a key waits in line once", deduplicated},
	{"a key is never worked twice at a time", exclusive},
	{"a key that is enqueued while it is worked is worked once more", notLost},
	{"keys of different kinds do not meet", kindsApart},
	{"as many keys are worked at a time as there are workers", parallel},
	{"a handler says when its key comes again", comesAgain},
	{"a delayed key comes at the earliest of its times", delayed},
	{"a failed key backs off, and less after a success", backsOff},
	{"a panic is an error like any other", panics},
	{"a periodic key comes at once and again and again", periodic},
	{"a handler's time is limited", timesOut},
	{"the end waits for handlers and starts no more", ends},
	{"a kind without a handler is no start", noHandler},
}

// Run runs all cases in parallel, each with an engine from open.
func Run(t *testing.T, open func(t *testing.T) engine.Engine) {
	for _, c := range Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			c.Run(t, open(t))
		})
	}
}

const kind = "agent"

// start runs the engine until the test ends, or stop is called.
func start(t *testing.T, e engine.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// get waits for a value; a promise that takes this long is broken.
func get[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s: nothing happened", what)
		panic("unreachable")
	}
}

// keys is a handler that tells which keys it works, and rests.
func keys() (engine.Handler, chan string) {
	ch := make(chan string, 1000)
	return func(_ context.Context, key string) (time.Duration, error) {
		ch <- key
		return engine.Rest, nil
	}, ch
}

func worked(t *testing.T, e engine.Engine) {
	h, ran := keys()
	e.Register(kind, h, engine.HandlerOptions{})
	start(t, e)
	for _, key := range []string{"a", "b", "a"} {
		e.Enqueue(kind, key)
		if got := get(t, ran, "enqueue"); got != key {
			t.Errorf("got key %q, want %q", got, key)
		}
	}
}

func workedFromBefore(t *testing.T, e engine.Engine) {
	e.Enqueue(kind, "a")
	e.EnqueueAfter(kind, "b", time.Millisecond)
	h, ran := keys()
	e.Register(kind, h, engine.HandlerOptions{})
	start(t, e)
	got := map[string]bool{get(t, ran, "first key"): true, get(t, ran, "second key"): true}
	if !got["a"] || !got["b"] {
		t.Errorf("got keys %v, want a and b", got)
	}
}

func deduplicated(t *testing.T, e engine.Engine) {
	h, ran := keys()
	e.Register(kind, h, engine.HandlerOptions{})
	for range 100 {
		e.Enqueue(kind, "a")
	}
	e.Enqueue(kind, "last")
	start(t, e)
	if a, b := get(t, ran, "first key"), get(t, ran, "second key"); a != "a" || b != "last" {
		t.Errorf("got %q and %q, want each key once", a, b)
	}
}

func exclusive(t *testing.T, e engine.Engine) {
	const rounds = 200
	var at, runs atomic.Int32
	done := make(chan struct{})
	e.Register(kind, func(context.Context, string) (time.Duration, error) {
		if at.Add(1) > 1 {
			t.Error("two workers are at the key")
		}
		e.Enqueue(kind, "a") // from inside, as a handler's events do
		n := runs.Add(1)
		at.Add(-1)
		if n == rounds {
			close(done)
		}
		if n >= rounds {
			return engine.Rest, nil
		}
		return 0, nil
	}, engine.HandlerOptions{Workers: 8})
	start(t, e)
	for range 8 {
		e.Enqueue(kind, "a")
	}
	get(t, done, "rounds")
}

func notLost(t *testing.T, e engine.Engine) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	e.Register(kind, func(context.Context, string) (time.Duration, error) {
		entered <- struct{}{}
		<-leave
		return engine.Rest, nil
	}, engine.HandlerOptions{Workers: 4})
	start(t, e)
	e.Enqueue(kind, "a")
	get(t, entered, "first run")
	for range 3 {
		e.Enqueue(kind, "a")
	}
	leave <- struct{}{}
	get(t, entered, "second run")
	leave <- struct{}{}
	select {
	case <-entered:
		t.Error("three wake-ups during one run gave more than one more run")
		leave <- struct{}{}
	case <-time.After(2 * FirstBackoff):
	}
}

func kindsApart(t *testing.T, e engine.Engine) {
	h1, ran1 := keys()
	h2, ran2 := keys()
	e.Register(kind, h1, engine.HandlerOptions{})
	e.Register("controller", h2, engine.HandlerOptions{})
	start(t, e)
	e.Enqueue(kind, "x")
	e.Enqueue("controller", "y")
	if a, b := get(t, ran1, "agent"), get(t, ran2, "controller"); a != "x" || b != "y" {
		t.Errorf("got %q and %q, want x and y", a, b)
	}
}

func parallel(t *testing.T, e engine.Engine) {
	entered, leave := make(chan string, 10), make(chan struct{})
	e.Register(kind, func(_ context.Context, key string) (time.Duration, error) {
		entered <- key
		<-leave
		return engine.Rest, nil
	}, engine.HandlerOptions{Workers: 2})
	start(t, e)
	for _, key := range []string{"a", "b", "c"} {
		e.Enqueue(kind, key)
	}
	get(t, entered, "first worker")
	get(t, entered, "second worker")
	select {
	case key := <-entered:
		t.Errorf("two workers work three keys, %q too", key)
	case <-time.After(2 * FirstBackoff):
	}
	close(leave)
	get(t, entered, "third key")
}

func comesAgain(t *testing.T, e engine.Engine) {
	const wait = 30 * time.Millisecond
	at := make(chan time.Time, 10)
	answers := []time.Duration{0, wait, engine.Rest}
	n := 0
	e.Register(kind, func(context.Context, string) (time.Duration, error) {
		at <- time.Now()
		n++
		return answers[n-1], nil
	}, engine.HandlerOptions{})
	start(t, e)
	e.Enqueue(kind, "a")
	get(t, at, "first run")
	second, third := get(t, at, "run at once"), get(t, at, "run later")
	if got := third.Sub(second); got < wait {
		t.Errorf("came again after %v, want at least %v", got, wait)
	}
	select {
	case <-at:
		t.Error("came again although it rests")
	case <-time.After(2 * wait):
	}
}

func delayed(t *testing.T, e engine.Engine) {
	const soon, late = 30 * time.Millisecond, time.Hour
	at := make(chan time.Time, 10)
	e.Register(kind, func(context.Context, string) (time.Duration, error) {
		at <- time.Now()
		return engine.Rest, nil
	}, engine.HandlerOptions{})
	start(t, e)
	began := time.Now()
	e.EnqueueAfter(kind, "a", late)
	e.EnqueueAfter(kind, "a", soon)
	e.EnqueueAfter(kind, "a", late)
	if got := get(t, at, "delayed run").Sub(began); got < soon {
		t.Errorf("came after %v, want at least %v", got, soon)
	}
	e.Enqueue(kind, "a") // a delay does not hold up what is enqueued now
	get(t, at, "run at once")
}

func backsOff(t *testing.T, e engine.Engine) {
	at := make(chan time.Time, 10)
	bad := errors.New("bad")
	answers := []error{bad, bad, bad, nil, bad, nil}
	n := 0
	e.Register(kind, func(context.Context, string) (time.Duration, error) {
		at <- time.Now()
		n++
		return engine.Rest, answers[n-1]
	}, engine.HandlerOptions{})
	start(t, e)
	e.Enqueue(kind, "a")
	last := get(t, at, "first run")
	for i, atLeast := range []time.Duration{FirstBackoff, 2 * FirstBackoff, 4 * FirstBackoff} {
		next := get(t, at, "run after a failure")
		if got := next.Sub(last); got < atLeast*3/4 { // it is spread
			t.Errorf("after failure %d: came again after %v, want about %v", i+1, got, atLeast)
		}
		last = next
	}
	e.Enqueue(kind, "a") // it has succeeded and rests
	failed := get(t, at, "failing run")
	if got := get(t, at, "last run").Sub(failed); got < FirstBackoff*3/4 {
		t.Errorf("after a success, the first failure: came again after %v, want about %v", got, FirstBackoff)
	}
}

func panics(t *testing.T, e engine.Engine) {
	ran := make(chan string, 10)
	n := 0
	e.Register(kind, func(_ context.Context, key string) (time.Duration, error) {
		ran <- key
		if n++; n == 1 {
			panic("boom")
		}
		return engine.Rest, nil
	}, engine.HandlerOptions{})
	start(t, e)
	e.Enqueue(kind, "a")
	get(t, ran, "the run that panics")
	get(t, ran, "the run after it")
}

func periodic(t *testing.T, e engine.Engine) {
	h, ran := keys()
	e.Register(kind, h, engine.HandlerOptions{})
	e.Periodic(kind, "before", 10*time.Millisecond)
	start(t, e)
	e.Periodic(kind, "after", 10*time.Millisecond)
	got := map[string]int{}
	for got["before"] < 3 || got["after"] < 3 {
		got[get(t, ran, "periodic run")]++
	}
}

func timesOut(t *testing.T, e engine.Engine) {
	said := make(chan error, 1)
	e.Register(kind, func(ctx context.Context, _ string) (time.Duration, error) {
		<-ctx.Done()
		said <- ctx.Err()
		return engine.Rest, nil
	}, engine.HandlerOptions{Timeout: 10 * time.Millisecond})
	start(t, e)
	e.Enqueue(kind, "a")
	if err := get(t, said, "timeout"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline exceeded", err)
	}
}

func ends(t *testing.T, e engine.Engine) {
	entered, ended := make(chan struct{}, 10), make(chan struct{})
	var left atomic.Bool
	e.Register(kind, func(ctx context.Context, key string) (time.Duration, error) {
		if key != "a" {
			t.Errorf("key %q was started after the end", key)
			return engine.Rest, nil
		}
		entered <- struct{}{}
		<-ctx.Done()
		<-ended // still busy for a while
		left.Store(true)
		return 0, ctx.Err()
	}, engine.HandlerOptions{})
	stop := start(t, e)
	e.Enqueue(kind, "a")
	get(t, entered, "run")
	for _, key := range []string{"b", "c"} {
		e.Enqueue(kind, key)
	}
	time.AfterFunc(10*time.Millisecond, func() { close(ended) })
	stop()
	if !left.Load() {
		t.Error("run returned while a handler was at work")
	}
	e.Enqueue(kind, "d")
	e.EnqueueAfter(kind, "d", 0)
}

func noHandler(t *testing.T, e engine.Engine) {
	e.Enqueue("nobody's", "a")
	if err := e.Run(t.Context()); err == nil {
		t.Error("run: got no error, want one that names the kind")
	}
}
