// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/moby/moby/client"

	"github.com/pitcrew-ci/pitcrew/internal/container"
)

// relay is a socket that leads to an engine.
type relay struct {
	socket string
	server *http.Server
	waits  *atomic.Int64 // requests that wait for a container's end
}

// startRelay calls seen for each request that changes something, before it is passed on and when it was answered.
func startRelay(t *testing.T, e engine, seen func(answered bool)) relay {
	t.Helper()
	r := relay{socket: filepath.Join(t.TempDir(), "s"), waits: new(atomic.Int64)}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
		FlushInterval: -1, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", e.Socket)
			},
		},
	}
	r.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/wait") {
			r.waits.Add(1)
		} else if req.Method != http.MethodGet && req.Method != http.MethodHead {
			seen(false)
			defer seen(true)
		}
		defer func() { _ = recover() }() // an answer that breaks off
		proxy.ServeHTTP(w, req)
	})}
	l, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	go r.server.Serve(l)
	t.Cleanup(func() { r.server.Close() })
	return r
}

// changes of a start are the making of the volume and of the container, the seed, the start, and the root URL.
const changes = 5

// cancelledAnywhere ends the context before and after each request that changes something, before all of them, and while a controller boots.
func cancelledAnywhere(t *testing.T, e engine) {
	t.Helper()
	cut := errors.New("cut")
	for _, late := range []bool{false, true} {
		for at := int64(1); at <= changes+1; at++ {
			if at > changes && !late {
				continue // one proof that there are no more of them is enough
			}
			t.Run(fmt.Sprintf("request %d, answered %v", at, late), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				var count atomic.Int64
				r := startRelay(t, e, func(answered bool) {
					if answered == late && count.Add(1) == at {
						cancel(cut)
					}
				})
				s := named(t, e.spec())
				s.Image.Engine = r.socket
				c, err := container.Start(ctx, s)
				switch {
				case at > changes && err == nil:
					if err := c.Stop(context.WithoutCancel(ctx)); err != nil {
						t.Error(err)
					}
				case at > changes || err == nil || ctx.Err() == nil:
					t.Errorf("it says %v", err)
				case !errors.Is(err, cut) && !errors.Is(err, context.Canceled):
					t.Errorf("it says %v; want that it was cancelled", err)
				}
				if left := e.has(t, t.Name()); len(left) != 0 {
					t.Errorf("left: %q", left)
				}
			})
		}
	}
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cut)
		if _, err := container.Start(ctx, named(t, e.spec())); !errors.Is(err, cut) {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("boot", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := named(t, e.spec("dead=waits"))
		s.Log = &log{told: func(line string) {
			if strings.Contains(line, "waits") {
				cancel(cut)
			}
		}}
		_, err := container.Start(ctx, s)
		if !errors.Is(err, cut) && !errors.Is(err, context.Canceled) {
			t.Errorf("it says %v", err)
		}
		if left := e.has(t, t.Name()); len(left) != 0 {
			t.Errorf("left: %q", left)
		}
	})
}

// engineConnectionIsLost cuts all connections to the engine, as its restart does, while the controller lives on.
func engineConnectionIsLost(t *testing.T, e engine) {
	t.Helper()
	r := startRelay(t, e, func(bool) {})
	s := named(t, e.spec())
	s.Image.Engine = r.socket
	c := start(t, s)
	r.server.Close()
	again := startRelay(t, e, func(bool) {})
	// The same socket: the name of the new one takes its place.
	if err := os.Rename(again.socket, r.socket); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it asks the engine again how the container is", func() bool { return again.waits.Load() >= 1 })
	select {
	case <-c.Done():
		t.Fatalf("it is taken for dead: %v", c.Err())
	default:
	}
	serves(t, c)
	if _, err := e.client.ContainerKill(t.Context(), e.only(t), client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	if err := dies(t, c); !strings.Contains(err.Error(), "137") {
		t.Errorf("it says %v", err)
	}
	if err := c.Stop(t.Context()); err != nil { // before the relay goes
		t.Error(err)
	}
}
