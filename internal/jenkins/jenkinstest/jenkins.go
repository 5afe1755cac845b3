// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Jenkins is one emulated controller. Make it with [New], end it with Close.
type Jenkins struct {
	opts    Options
	version version
	log     *slog.Logger
	prefix  string          // context path, "" or "/x"
	ctx     context.Context //nolint:containedctx // ends at Close; the controller's own life
	cancel  context.CancelFunc
	crew    *crew
	wake    chan struct{} // asks for a maintenance run

	cookie    string // JENKINS_SERVER_COOKIE
	secretKey string // of agents' secrets

	mu sync.Mutex // the queue lock: guards state
	state
	edge
}

// state is the model of the controller.
type state struct {
	life     life
	fleet    fleet
	labels   labels
	queue    queue
	hooks    registry
	gate     *gate
	gates    int // that were installed anew, so that no session comes twice
	journal  journal
	root     *job
	machines map[string]*Agent
	leases   map[lease]bool
	history  map[string][]*build // FreeStyle builds by node, for its feed
	pipes    []*pipelineRun
}

// edge is what requests meet before the model; each part has a lock of its own.
type edge struct {
	doors   doors
	faults  faults
	mounts  mounts
	trees   treeCache
	answers sizes
	delays  atomic.Pointer[Timing]
	dated   atomic.Pointer[dated]
}

// New starts a controller: it is ready to serve when New returns.
func New(opts Options) (*Jenkins, error) {
	if opts.Version == "" {
		opts.Version = DefaultVersion
	}
	v, err := parseVersion(opts.Version)
	if err != nil {
		return nil, fmt.Errorf("start jenkins: %w", err)
	}
	prefix, err := contextPath(opts.RootURL)
	if err != nil {
		return nil, fmt.Errorf("start jenkins: %w", err)
	}
	if opts.Dir != "" {
		if err := os.MkdirAll(opts.Dir, 0o750); err != nil {
			return nil, fmt.Errorf("start jenkins: %w", err)
		}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Jenkins{opts: opts, version: v, log: opts.Logger, prefix: prefix, crew: newCrew(), wake: make(chan struct{}, 1)}
	j.state = state{
		fleet: newFleet(), queue: newQueue(), root: &job{children: map[string]*job{}},
		machines: map[string]*Agent{}, leases: map[lease]bool{}, history: map[string][]*build{},
		journal: journal{limit: opts.JournalLimit, onEntry: opts.OnEntry},
	}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	j.cookie, j.secretKey = j.derive("cookie")[:32], j.derive("secret")
	j.delays.Store(&opts.Timing)
	j.doors.init(j)
	j.faults.init(opts.Seed)
	j.labels = newLabels(j)
	j.boot()
	j.spawn(j.maintenance)
	return j, nil
}

// SetTiming changes the delays of the emulated server from now on.
func (j *Jenkins) SetTiming(t Timing) { j.delays.Store(&t) }

func (j *Jenkins) timing() *Timing { return j.delays.Load() }

func contextPath(root string) (string, error) {
	if root == "" {
		return "", nil
	}
	u, err := url.Parse(root)
	if err != nil {
		return "", fmt.Errorf("parse root URL: %w", err)
	}
	return strings.TrimSuffix(u.Path, "/"), nil
}

// derive makes a secret that depends on the seed and, without a seed, on chance.
func (j *Jenkins) derive(purpose string) string {
	seed := strconv.FormatUint(j.opts.Seed, 10)
	if j.opts.Seed == 0 {
		seed = rand.Text()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", purpose, seed, j.opts.RootURL))
	return hex.EncodeToString(sum[:])
}

// boot makes the built-in node and brings the controller up.
func (j *Jenkins) boot() {
	j.mu.Lock()
	j.life.begin(j)
	j.putNode(j.builtInNode())
	j.online(j.fleet.computers[""], j.newLink(""))
	j.mu.Unlock()
	if j.opts.Boot != nil {
		j.opts.Boot(j)
	}
}

func (j *Jenkins) builtInNode() *node {
	b := j.opts.BuiltIn
	n := &node{class: "hudson.model.Hudson", executors: b.Executors, mode: modeNormal, launcher: "builtin", retention: classAlways}
	if b.Exclusive {
		n.mode = modeExclusive
	}
	n.setLabels(b.Labels)
	return n
}

// crew is the goroutines of a controller. A few stay for the next piece of work: a new one has to grow its stack first,
// which takes longer than most requests.
type crew struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
	idle   int           // goroutines that wait for work
	hands  chan func()   // takes work to one of them
	home   chan struct{} // closed when no more work comes
}

// mostIdle bounds how many goroutines wait for work.
const mostIdle = 16

func newCrew() *crew { return &crew{hands: make(chan func()), home: make(chan struct{})} }

// spawn runs f on a goroutine that Close waits for; false after Close.
func (j *Jenkins) spawn(f func()) bool { return j.crew.spawn(f) }

func (c *crew) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false
	case c.idle > 0:
		c.idle--
		c.hands <- f // somebody waits, or is about to
	default:
		c.wg.Go(func() { c.work(f) })
	}
	return true
}

// work runs f and what comes after it.
func (c *crew) work(f func()) {
	for f != nil {
		f()
		f = c.next()
	}
}

// next waits for work; nil when this goroutine is not needed any more.
func (c *crew) next() func() {
	c.mu.Lock()
	if c.closed || c.idle == mostIdle {
		c.mu.Unlock()
		return nil
	}
	c.idle++
	c.mu.Unlock()
	select {
	case f := <-c.hands:
		return f
	case <-c.home:
		return nil
	}
}

// dismiss lets no more goroutines start and waits for those that run.
func (c *crew) dismiss() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.home)
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// Close ends every build, connection, process and goroutine. Requests that arrive
// later are refused.
func (j *Jenkins) Close() {
	j.mu.Lock()
	j.life.phase = phaseClosed
	j.life.kill()
	for _, c := range j.fleet.sorted {
		if c.link != nil {
			c.link.Close("controller is closed")
		}
	}
	j.mu.Unlock()
	j.cancel()
	j.crew.dismiss()
	j.killStrays()
}

// Context ends when the controller is closed.
func (j *Jenkins) Context() context.Context { return j.ctx }

// Mount serves a handler below the root, without authentication or crumbs, as Jenkins'
// unprotected root actions are: a pattern that ends in a slash is a prefix. The
// handler sees the path without the context path. It stays over restarts, but is
// not reached while the controller is down.
func (j *Jenkins) Mount(pattern string, h http.Handler) { j.mounts.add(pattern, h) }
