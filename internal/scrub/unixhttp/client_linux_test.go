// SPDX-License-Identifier: Apache-2.0

package unixhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/unixhttp"
)

// listen returns a client of a new socket, and what listens there.
func listen(t *testing.T) (unixhttp.Client, net.Listener) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return unixhttp.Client{Socket: socket, Limit: most}, l
}

// TestARealServerUnderstandsAndIsUnderstood asks a server of the standard library.
func TestARealServerUnderstandsAndIsUnderstood(t *testing.T) {
	t.Parallel()
	c, l := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("status") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if r.URL.Query().Has("flush") {
			_ = http.NewResponseController(w).Flush() // which makes it answer in chunks
		}
		fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
	})}
	t.Cleanup(func() { server.Close() })
	go func() { _ = server.Serve(l) }()
	for target, want := range map[string]string{
		"/a?b=c": "GET /a?b=c", "/a?flush=1": "GET /a?flush=1", "/" + unixhttp.Escape("quay.io:1/a b@sha256:ü?&%"): "GET /quay.io:1/a%20b@sha256:%C3%BC%3F%26%25",
	} {
		if got, err := c.Do(t.Context(), "GET", target); err != nil || got.Status != 200 || string(got.Body) != want {
			t.Errorf("%s: %d %q, %v; want %q", target, got.Status, got.Body, err, want)
		}
	}
	if got, err := c.Do(t.Context(), "DELETE", "/?status=1"); err != nil || got.Status != 204 || len(got.Body) > 0 {
		t.Errorf("%d %q, %v; want 204", got.Status, got.Body, err)
	}
}

// serve has each connection answered by f.
func serve(t *testing.T, l net.Listener, f func(net.Conn)) {
	t.Helper()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn)
			}()
		}
	}()
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	for name, f := range map[string]func(net.Conn){
		"before it answers": func(net.Conn) { <-ended },
		"in its head":       func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nCont"); <-ended },
		"in its body":       func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"); <-ended },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, l := listen(t)
			asked := make(chan struct{}, 1)
			serve(t, l, func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 1000))
				asked <- struct{}{}
				f(conn)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-asked; cancel() }()
			if _, err := c.Do(ctx, "GET", "/"); !errors.Is(err, context.Canceled) {
				t.Errorf("%v; want the end of the context", err)
			}
		})
	}
}

func TestAServerThatNeverAcceptsIsLeft(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: socket}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	c := unixhttp.Client{Socket: socket, Limit: most}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	errs := make(chan error, 5)
	for range cap(errs) { // more than its queue takes
		go func() {
			_, err := c.Do(ctx, "GET", "/")
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v; want the end of the context", err)
		}
	}
}

func TestWhatGoesWrongIsSaid(t *testing.T) {
	t.Parallel()
	c, l := listen(t)
	serve(t, l, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1000)) })
	if _, err := c.Do(t.Context(), "GET", "/"); err == nil || !strings.Contains(err.Error(), "without an answer") {
		t.Errorf("a connection that is closed: %v", err)
	}
	for _, target := range []string{"", "a", "/a b", "/a\r\nX: y", "/ü"} {
		if _, err := c.Do(t.Context(), "GET", target); err == nil || !strings.Contains(err.Error(), "no target") {
			t.Errorf("target %q: %v; want it refused", target, err)
		}
	}
	l.Close()
	if _, err := c.Do(t.Context(), "GET", "/"); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no socket: %v; want ENOENT", err)
	}
}
