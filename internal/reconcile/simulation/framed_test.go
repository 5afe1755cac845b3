// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// framed serves a handler as a server does, and is the transport of a client that speaks HTTP to it:
// requests and answers are written to connections in memory and read from them, connections are used
// again, and one that is reset is. It may be used inside a bubble of virtual time.
//
// The simulation calls most of its controllers without that, which takes half as long. What the client does
// with connections does not depend on fleets and days: one controller of each daemon and some of the traces are enough.
type framed struct {
	*http.Transport
	server *http.Server
	ended  sync.WaitGroup
}

func frame(h http.Handler) *framed {
	l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	f := &framed{
		Transport: &http.Transport{DialContext: l.dial, DisableCompression: true},
		server:    &http.Server{Handler: h, ReadHeaderTimeout: time.Minute},
	}
	f.ended.Go(func() { _ = f.server.Serve(l) })
	return f
}

func (f *framed) close() {
	f.CloseIdleConnections()
	_ = f.server.Close()
	f.ended.Wait()
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements [net.Listener].
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements [net.Listener].
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
