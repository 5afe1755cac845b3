// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/engine/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func inProcess(*testing.T) engine.Engine {
	return engine.NewInProcess(engine.Options{First: enginetest.FirstBackoff})
}

func TestInProcessKeepsItsPromises(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, inProcess)
}

func TestInProcessKeepsItsPromisesInVirtualTime(t *testing.T) {
	t.Parallel()
	for _, c := range enginetest.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { c.Run(t, inProcess(t)) })
		})
	}
}

func TestBackoffDoublesUpToItsMaximum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := engine.NewInProcess(engine.Options{First: time.Second, Max: 10 * time.Second})
		var at []time.Time
		e.Register("agent", func(context.Context, string) (time.Duration, error) {
			at = append(at, time.Now())
			return 0, errors.New("bad")
		}, engine.HandlerOptions{})
		e.Enqueue("agent", "a")
		run(t, e, time.Minute)
		for i, want := range []time.Duration{1, 2, 4, 8, 10} {
			want *= time.Second
			if got := at[i+1].Sub(at[i]); got < want*3/4 || got > want*5/4 {
				t.Errorf("after failure %d: came again after %v, want %v give or take a quarter", i+1, got, want)
			}
		}
	})
}

func TestEveryRunIsObserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []engine.Ran
		e := engine.NewInProcess(engine.Options{Observe: func(r engine.Ran) { seen = append(seen, r) }})
		e.Register("agent", func(_ context.Context, key string) (time.Duration, error) {
			time.Sleep(time.Second)
			if key == "bad" {
				panic("boom")
			}
			return engine.Rest, nil
		}, engine.HandlerOptions{})
		e.Enqueue("agent", "good")
		e.Enqueue("agent", "bad")
		run(t, e, 2500*time.Millisecond)
		if len(seen) != 2 || seen[0] != (engine.Ran{Kind: "agent", Key: "good", Took: time.Second}) {
			t.Fatalf("got %+v, want two runs, the good one first", seen)
		}
		var panicked *engine.PanicError
		if !errors.As(seen[1].Err, &panicked) || panicked.Value != "boom" || len(panicked.Stack) == 0 {
			t.Errorf("got %v, want the panic with its stack", seen[1].Err)
		}
	})
}

func TestAnEngineRunsOnce(t *testing.T) {
	t.Parallel()
	e := engine.NewInProcess(engine.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); err != nil {
		t.Errorf("first run: %v", err)
	}
	if err := e.Run(ctx); err == nil {
		t.Error("second run: got no error")
	}
}

// run runs the engine for a while of virtual time.
func run(t *testing.T, e engine.Engine, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := e.Run(ctx); err != nil {
		t.Error(err)
	}
}

// BenchmarkEnqueue measures a key's way through the engine: enqueued, worked, at rest.
func BenchmarkEnqueue(b *testing.B) {
	e := engine.NewInProcess(engine.Options{})
	done := make(chan struct{}, 1024)
	e.Register("agent", func(context.Context, string) (time.Duration, error) {
		done <- struct{}{}
		return engine.Rest, nil
	}, engine.HandlerOptions{Workers: 4})
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	for i := range b.N {
		e.Enqueue("agent", strconv.Itoa(i))
		if i >= 1000 {
			<-done
		}
	}
	cancel()
	for {
		select {
		case <-done:
		case err := <-ended:
			if err != nil {
				b.Error(err)
			}
			return
		}
	}
}
