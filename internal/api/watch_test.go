// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// wire carries requests to a handler within the process, so that virtual time goes on.
type wire struct {
	handler http.Handler
	mu      sync.Mutex
	cut     func() // ends the newest connection
	dialled int
	refuse  bool
}

type wireWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	once   sync.Once
	ready  chan int
}

func (w *wireWriter) Header() http.Header { return w.header }

func (w *wireWriter) WriteHeader(status int) { w.once.Do(func() { w.ready <- status }) }

func (w *wireWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

func (w *wireWriter) Flush() {}

func (x *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(r.Context())
	x.mu.Lock()
	x.dialled++
	refuse := x.refuse
	x.cut = func() { cancel(); writer.CloseWithError(io.ErrUnexpectedEOF) }
	x.mu.Unlock()
	if refuse {
		cancel()
		return nil, io.ErrUnexpectedEOF
	}
	context.AfterFunc(ctx, func() { writer.CloseWithError(ctx.Err()) })
	w := &wireWriter{header: http.Header{}, pipe: writer, ready: make(chan int, 1)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	go func() {
		defer cancel()
		defer writer.Close()
		x.handler.ServeHTTP(w, r.WithContext(ctx))
		w.WriteHeader(http.StatusOK)
	}()
	return &http.Response{StatusCode: <-w.ready, Header: w.header, Body: reader, Request: r}, nil
}

func (x *wire) lose() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cut()
}

func (x *wire) down(is bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuse = is
}

// follow watches in the background and keeps what it was told.
type follower struct {
	mu  sync.Mutex
	got []string
	err error
}

func (f *follower) run(ctx context.Context, c *client.Client, q api.EventSelect, after int64) {
	for e, err := range c.Watch(ctx, q, after) {
		f.mu.Lock()
		if err != nil {
			f.err = err
		} else {
			f.got = append(f.got, e.Reason)
		}
		f.mu.Unlock()
	}
}

func (f *follower) reasons() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

func dial(t *testing.T, h *house, token string) (*client.Client, *wire) {
	t.Helper()
	x := &wire{handler: h}
	c, err := client.New(client.Options{URL: "http://pitcrew.example", Token: token, Transport: x})
	if err != nil {
		t.Fatal(err)
	}
	return c, x
}

func TestAWatchThatLosesItsConnectionMissesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		id := h.adopt(t, "el9-1")
		c, x := dial(t, h, h.tokens[store.Viewer])
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var f follower
		go f.run(ctx, c, api.EventSelect{Agent: "el9-1", Controller: "main"}, -1)
		synctest.Wait()
		var want []string
		n := 0
		happen := func(times int) {
			for range times {
				h.append(t, id, n)
				want = append(want, strconv.Itoa(n))
				n++
			}
		}
		x.lose() // before its first event
		happen(3)
		time.Sleep(time.Minute)
		happen(2)
		synctest.Wait()
		x.down(true)
		x.lose()
		happen(1200) // more than are read at once
		time.Sleep(time.Minute)
		x.down(false)
		time.Sleep(time.Minute)
		happen(1)
		synctest.Wait()
		if diff := cmp.Diff(want, f.reasons()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if x.dialled < 4 {
			t.Errorf("connected %d times: the test cut nothing", x.dialled)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAQuietWatchBeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		_, x := dial(t, h, "")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pitcrew.example/api/v1/events/watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+h.tokens[store.Viewer])
		res, err := x.RoundTrip(r) //nolint:bodyclose // it is closed, behind the check of the error
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var mu sync.Mutex
		var text strings.Builder
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := res.Body.Read(buf)
				mu.Lock()
				text.Write(buf[:n])
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		time.Sleep(61 * time.Second)
		mu.Lock()
		got := text.String()
		mu.Unlock()
		if want := "retry: 2000\nid: 0\n\n" + strings.Repeat(": still here\n\n", 4); got != want {
			t.Errorf("a minute of silence is %q, want %q", got, want)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAWatchEndsWithItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		c, _ := dial(t, h, h.tokens[store.Viewer])
		var f follower
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.run(t.Context(), c, api.EventSelect{}, -1)
		}()
		synctest.Wait()
		if err := h.store.RevokeToken(t.Context(), "the viewer"); err != nil {
			t.Fatal(err)
		}
		<-done
		if !client.IsUnauthorized(f.err) {
			t.Errorf("the watch ended with %v, want unauthorized", f.err)
		}
	})
}

func TestAWatchEndsWhenTheDaemonStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		x := &wire{handler: h}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://pitcrew.example/api/v1/events/watch", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+h.tokens[store.Viewer])
		res, err := x.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		h.EndStreams()
		if _, err := io.ReadAll(res.Body); err != nil {
			t.Errorf("the stream ended with %v, want its end", err)
		}
	})
}

// A restored backup has not come as far as those who watched the store of before.
func TestAWatchOfARestoredStoreGoesOnWithWhatHappensNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		id := h.adopt(t, "el9-1")
		c, x := dial(t, h, h.tokens[store.Viewer])
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var f follower
		go f.run(ctx, c, api.EventSelect{Agent: "el9-1", Controller: "main"}, 1_000_000)
		synctest.Wait()
		h.append(t, id, 1)
		synctest.Wait()
		x.lose()
		h.append(t, id, 2)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"1", "2"}, f.reasons()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAWatchThatCannotBeginSaysWhy(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, x := dial(t, h, "pitcrew_nobody")
	var f follower
	f.run(t.Context(), c, api.EventSelect{}, -1)
	if !client.IsUnauthorized(f.err) {
		t.Errorf("got %v, want unauthorized", f.err)
	}
	x.down(true)
	f.run(t.Context(), c, api.EventSelect{}, -1)
	if !client.IsUnreachable(f.err) {
		t.Errorf("got %v, want unreachable", f.err)
	}
}

func TestAWatchShowsOnlyWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := setup(t)
		first, second := h.adopt(t, "el9-1"), h.adopt(t, "el9-2")
		c, _ := dial(t, h, h.tokens[store.Viewer])
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all, some follower
		go all.run(ctx, c, api.EventSelect{}, 0)
		go some.run(ctx, c, api.EventSelect{Controller: "main", Agent: "el9-2", Type: []string{string(hygiene.EventRelabelled)}}, 0)
		synctest.Wait()
		h.append(t, first, 1)
		h.append(t, second, 2)
		synctest.Wait()
		if got := len(all.reasons()); got != 4 {
			t.Errorf("%d events in all, want 4", got)
		}
		if diff := cmp.Diff([]string{"2"}, some.reasons()); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		cancel()
		synctest.Wait()
	})
}
