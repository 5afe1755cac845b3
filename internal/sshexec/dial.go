// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

var errHandshakeTimeout = errors.New("ssh handshake takes too long")

// dial connects to h: through via, or directly when via is nil.
func (e *Executor) dial(ctx context.Context, h Host, via *ssh.Client) (*ssh.Client, error) {
	select {
	case e.dials <- struct{}{}:
		defer func() { <-e.dials }()
	case <-ctx.Done():
		return nil, &Error{Kind: Unreachable, Addr: h.addr(), Err: context.Cause(ctx)}
	}
	conn, err := e.connect(ctx, h.addr(), via)
	if err != nil {
		return nil, &Error{Kind: Unreachable, Addr: h.addr(), Err: err}
	}
	client, err := e.handshake(ctx, h, conn)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return client, nil
}

func (e *Executor) connect(ctx context.Context, addr string, via *ssh.Client) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.opts.DialTimeout)
	defer cancel()
	if via != nil {
		return via.DialContext(ctx, "tcp", addr)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", addr)
}

// handshake proves both sides to each other.
func (e *Executor) handshake(ctx context.Context, h Host, conn net.Conn) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.opts.HandshakeTimeout, errHandshakeTimeout)
	defer cancel()
	keys, err := h.hostKeys()
	if err != nil {
		return nil, &Error{Kind: Misconfigured, Addr: h.addr(), Err: err}
	}
	signers, done, err := h.signers(ctx)
	if err != nil {
		return nil, &Error{Kind: Misconfigured, Addr: h.addr(), Err: err}
	}
	defer done()
	if len(signers) == 0 {
		return nil, &Error{Kind: Misconfigured, Addr: h.addr(), Err: errors.New("no key to log in with")}
	}

	// A connection through a jump host knows no deadlines, so the limit closes it.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var refused *Error
	trusted := false
	config := &ssh.ClientConfig{
		User:              h.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyAlgorithms: keys.algorithms,
		HostKeyCallback: func(name string, remote net.Addr, key ssh.PublicKey) error {
			if err := keys.check(name, remote, key); err != nil {
				refused = refusal(h.addr(), key, err)
				return refused
			}
			trusted = true
			return nil
		},
	}
	c, channels, requests, err := ssh.NewClientConn(conn, h.addr(), config)
	switch {
	case err == nil && stop():
		return ssh.NewClient(c, channels, requests), nil
	case refused != nil:
		return nil, refused
	case ctx.Err() != nil:
		return nil, &Error{Kind: Unreachable, Addr: h.addr(), Err: context.Cause(ctx)}
	default:
		return nil, &Error{Kind: handshakeKind(trusted, err), Addr: h.addr(), Err: fmt.Errorf("log in as %s: %w", h.User, err)}
	}
}

// handshakeKind tells a refusal from a broken connection: a host that we trust already and that still answers has refused our keys.
func handshakeKind(trusted bool, err error) Kind {
	var network net.Error
	var negotiation *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &negotiation):
		return Misconfigured
	case !trusted, errors.Is(err, io.EOF), errors.As(err, &network):
		return Unreachable
	}
	return AuthRefused
}

// keepalive closes the connection when the peer leaves a question unanswered; it returns when the connection is closed.
func (e *Executor) keepalive(client *ssh.Client) {
	closed := make(chan struct{})
	go func() {
		_ = client.Wait()
		close(closed)
	}()
	ticker := time.NewTicker(e.opts.KeepAlive)
	defer ticker.Stop()
	for {
		select {
		case <-closed:
			return
		case <-ticker.C:
			dead := time.AfterFunc(e.opts.KeepAliveTimeout, func() { _ = client.Close() })
			_, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
			dead.Stop()
			if err != nil {
				_ = client.Close()
			}
		}
	}
}
