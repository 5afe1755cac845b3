// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// How many users share one connection. sshd allows ten sessions (MaxSessions), and each run may want a second one to be ended;
// what a jump host forwards does not count as a session.
const (
	runsPerConnection  = 4
	jumpsPerConnection = 100
)

var errIdle = errors.New("connection was idle for long")

// pool keeps connections open for the next run: a handshake costs far more than a session.
type pool struct {
	executor *Executor
	idle     time.Duration

	mu     sync.Mutex
	links  map[string][]*link // by poolKey
	closed bool
	tasks  sync.WaitGroup // dialling, keeping alive
}

// link is one connection. The fields below ready are set before ready is closed.
type link struct {
	key     string
	cancel  context.CancelCauseFunc // ends dialling, or the connection
	users   int                     // under pool.mu
	retired bool                    // under pool.mu: nobody new gets it
	timer   *time.Timer             // under pool.mu: retires the link when it has been idle for long

	ready  chan struct{}
	client *ssh.Client
	err    error
}

// acquire returns a connection along the hops, its own or a shared one. The caller must release it.
func (p *pool) acquire(ctx context.Context, hops []Host, share int) (*link, error) {
	l, err := p.claim(ctx, hops, share)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		p.release(l)
		return nil, &Error{Kind: Unreachable, Addr: hops[len(hops)-1].addr(), Err: context.Cause(ctx)}
	}
	if l.err != nil {
		p.release(l)
		return nil, l.err
	}
	return l, nil
}

func (p *pool) claim(ctx context.Context, hops []Host, share int) (*link, error) {
	key := poolKey(hops)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, &Error{Kind: Unreachable, Addr: hops[len(hops)-1].addr(), Err: ErrClosed}
	}
	for _, l := range p.links[key] {
		if !l.retired && l.users < share {
			l.users++
			if l.timer != nil {
				l.timer.Stop()
			}
			return l, nil
		}
	}
	// Dialling serves everybody who waits for the link, so it must not end with the one who came first.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	l := &link{key: key, cancel: cancel, users: 1, ready: make(chan struct{})}
	p.links[key] = append(p.links[key], l)
	p.tasks.Go(func() { p.keep(ctx, l, hops) })
	return l, nil
}

// keep dials the link and holds it until ctx or the peer ends it.
func (p *pool) keep(ctx context.Context, l *link, hops []Host) {
	defer l.cancel(nil)
	defer p.forget(l)
	var via *ssh.Client
	if jumps := hops[:len(hops)-1]; len(jumps) > 0 {
		up, err := p.acquire(ctx, jumps, jumpsPerConnection)
		if err == nil {
			via = up.client
			defer p.release(up)
		}
		l.err = err
	}
	if l.err == nil {
		l.client, l.err = p.executor.dial(ctx, hops[len(hops)-1], via)
	}
	close(l.ready)
	if l.err == nil {
		stop := context.AfterFunc(ctx, func() { _ = l.client.Close() })
		defer stop()
		p.executor.keepalive(l.client)
	}
}

// forget takes the link out of the pool, so that nobody new gets it.
func (p *pool) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.links[l.key] = slices.DeleteFunc(p.links[l.key], func(other *link) bool { return other == l })
	if len(p.links[l.key]) == 0 {
		delete(p.links, l.key)
	}
}

func (p *pool) release(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.users--
	if l.users > 0 {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(p.idle, func() { p.expire(l) })
	} else {
		l.timer.Reset(p.idle)
	}
}

// expire retires the link and ends it, unless somebody has taken it since the timer fired.
func (p *pool) expire(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.users == 0 {
		l.retired = true
		l.cancel(errIdle)
	}
}

// retire lets nobody new have the link.
func (p *pool) retire(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.retired = true
}

// close refuses new users, ends every connection and waits until all is over.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, links := range p.links {
		for _, l := range links {
			l.cancel(ErrClosed)
		}
	}
	p.mu.Unlock()
	p.tasks.Wait()
}
