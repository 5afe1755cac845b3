// SPDX-License-Identifier: Apache-2.0

package sshexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Options are an Executor's limits; zero values get the defaults named with them.
type Options struct {
	MaxRuns          int           // programs at once, over all targets: 32
	MaxDials         int           // handshakes at once, because they cost much of a core each: 8
	DialTimeout      time.Duration // until TCP is connected, for each hop: 10 s
	HandshakeTimeout time.Duration // until both sides have proved themselves, for each hop: 20 s
	RunTimeout       time.Duration // for one run, its connection included: 2 h
	Grace            time.Duration // between TERM and KILL, in whole seconds: 10 s
	DrainTimeout     time.Duration // how long output may stay silent, once the program has ended, while others hold it open: 2 s
	KeepAlive        time.Duration // how often a peer is asked whether it is there: 15 s
	KeepAliveTimeout time.Duration // how long it may take to answer: 30 s
	IdleTimeout      time.Duration // how long an unused connection is kept: 60 s
}

func (o Options) withDefaults() Options {
	count := func(n *int, standard int) {
		if *n <= 0 {
			*n = standard
		}
	}
	span := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	count(&o.MaxRuns, 32)
	count(&o.MaxDials, 8)
	span(&o.DialTimeout, 10*time.Second)
	span(&o.HandshakeTimeout, 20*time.Second)
	span(&o.RunTimeout, 2*time.Hour)
	span(&o.Grace, 10*time.Second)
	span(&o.DrainTimeout, 2*time.Second)
	span(&o.KeepAlive, 15*time.Second)
	span(&o.KeepAliveTimeout, 30*time.Second)
	span(&o.IdleTimeout, time.Minute)
	return o
}

// Executor runs programs over SSH. It is safe for concurrent use.
type Executor struct {
	opts  Options
	runs  chan struct{} // one token per running program
	dials chan struct{} // one token per handshake
	pool  *pool
}

// New returns an Executor that the caller must Close.
func New(o Options) *Executor {
	o = o.withDefaults()
	e := &Executor{opts: o, runs: make(chan struct{}, o.MaxRuns), dials: make(chan struct{}, o.MaxDials)}
	e.pool = &pool{executor: e, idle: o.IdleTimeout, links: map[string][]*link{}}
	return e
}

// Close ends all connections, running programs with them, and waits until that is done.
func (e *Executor) Close() error {
	e.pool.close()
	return nil
}

// Run runs the program, a text for sh, on the target with env added to the environment of its user. What it writes to standard output and
// standard error goes to out in the order written, while it runs; out is not written to after Run has returned.
//
// Run returns the exit status, 128 + n when signal n ended the program, and a nil error; or -1 and an *Error. An out that fails does not
// disturb the program: then its error comes with the exit status. When ctx ends, so does the program with its process group, and the
// error wraps the cause; its kind is Lost when nothing proves that the group has ended.
func (e *Executor) Run(ctx context.Context, target Target, program []byte, env map[string]string, out io.Writer) (int, error) {
	hops := target.hops()
	if err := check(hops, env); err != nil {
		return -1, err
	}
	j := job{addr: target.addr(), program: program, env: env, out: newOutlet(out), limits: e.opts}
	ctx, cancel := context.WithTimeoutCause(ctx, e.opts.RunTimeout, ErrRunTimeout)
	defer cancel()
	defer func() { _ = j.out.detach() }()
	select {
	case e.runs <- struct{}{}:
		defer func() { <-e.runs }()
	case <-ctx.Done():
		return -1, &Error{Kind: Unreachable, Addr: j.addr, Err: fmt.Errorf("wait for a free slot: %w", context.Cause(ctx))}
	}

	// A kept connection may have died without a word: nothing has been started then, so another one is tried once.
	exit, err := e.runOnce(ctx, hops, j)
	if errors.Is(err, errNoSession) && ctx.Err() == nil {
		exit, err = e.runOnce(ctx, hops, j)
	}
	if err != nil {
		return -1, err
	}
	if err := j.out.detach(); err != nil {
		return exit, fmt.Errorf("write output of %s: %w", j.addr, err)
	}
	return exit, nil
}

func (e *Executor) runOnce(ctx context.Context, hops []Host, j job) (int, error) {
	l, err := e.pool.acquire(ctx, hops, runsPerConnection)
	if err != nil {
		return -1, err
	}
	defer e.pool.release(l)
	exit, err := j.run(ctx, l.client)
	if errors.Is(err, errNoSession) {
		e.pool.retire(l)
	}
	return exit, err
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func check(hops []Host, env map[string]string) error {
	for _, h := range hops {
		if err := h.check(); err != nil {
			return err
		}
	}
	for name, value := range env {
		if !variableName.MatchString(name) || strings.ContainsAny(value, "\n\x00") {
			addr := hops[len(hops)-1].addr()
			return &Error{Kind: Misconfigured, Addr: addr, Err: fmt.Errorf("variable %q: a name has letters, digits and _, a value is one line", name)}
		}
	}
	return nil
}
