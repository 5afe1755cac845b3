// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/sshexec"
	"github.com/pitcrew-ci/pitcrew/internal/store"
	"github.com/pitcrew-ci/pitcrew/internal/web"
)

// Options are what a daemon is made of.
type Options struct {
	Config  *config.Holder
	Log     *slog.Logger
	Version api.Version
	// DryRun shows what would be done on every controller as for a first start, and writes nothing
	// there nor in the data directory: the store is a new one, removed at the end.
	DryRun bool
	// Anonymous is what requests without a token may do; "" = nothing, or in a dry run on a loopback
	// address look: its store is too new to have handed out tokens.
	Anonymous store.Role
	// Transport replaces the connections to all controllers, for tests and the demo.
	Transport http.RoundTripper
	// Hosts returns the owner's host name; nil means os.Hostname.
	Hostname func() (string, error)
}

// App is a daemon that was set up and not yet run.
type App struct {
	Options
	store    *store.Store
	scratch  string // directory to remove at the end, in a dry run
	listener net.Listener
	handler  http.Handler
	streams  func()
	metrics  *metrics
	ssh      *sshexec.Executor

	turn     sync.Mutex // of the crews, for choosing
	machines *reconcile.Machines
	rollouts *reconcile.Rollouts

	borrowers *reconcile.Borrowers
	lender    *reconcile.Lender

	reload sync.Mutex // one change of configuration at a time; taken before mu

	mu    sync.Mutex          // guards what follows
	crews map[string]*crewRun // by controller

	borrowing []*jenkins.Client // of borrowers that are not serviced
	revisions map[string]string // of the recipes in force, by name
	start     func(*crewRun)    // set while running
}

// shutdownLimit bounds how long open requests may take at the end.
const shutdownLimit = 5 * time.Second

// New sets a daemon up. What it opened is closed again when it fails.
func New(ctx context.Context, o Options) (_ *App, err error) {
	if o.Hostname == nil {
		o.Hostname = os.Hostname
	}
	a := &App{Options: o, crews: map[string]*crewRun{}, metrics: newMetrics(), machines: reconcile.NewMachines(), borrowers: reconcile.NewBorrowers()}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	if err := a.openStore(ctx); err != nil {
		return nil, err
	}
	a.ssh = sshexec.New(sshexec.Options{})
	a.rollouts = a.newRollouts()
	first, err := a.plan(a.Config.Current()) //nolint:contextcheck // crews run under the context of Run
	if err != nil {
		return nil, err
	}
	a.follow(first)
	a.lender = a.newLender()
	if err := a.listen(ctx); err != nil {
		return nil, err
	}
	a.serveAPI() //nolint:contextcheck // each request brings its own context
	return a, a.bootstrapToken(ctx)
}

// openStore opens the database, or for a dry run one that is thrown away.
func (a *App) openStore(ctx context.Context) error {
	c := a.Config.Current()
	dir := c.Data
	if a.DryRun {
		var err error
		if dir, err = os.MkdirTemp("", "pitcrew-dry-run-"); err != nil {
			return fmt.Errorf("make a directory for the dry run: %w", err)
		}
		a.scratch = dir
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w; set data in the configuration to a directory that %s may write to", err, account())
	}
	a.warnOfOthers(ctx, dir)
	var err error
	a.store, err = store.Open(ctx, store.Options{Path: filepath.Join(dir, "pitcrew.db"), Owner: a.owner(), Logger: a.Log})
	return err
}

// warnOfOthers says that others may write to the data directory: they could put another database, and another token, in the
// place of ours.
func (a *App) warnOfOthers(ctx context.Context, dir string) {
	info, err := os.Stat(dir)
	if err != nil || runtime.GOOS == "windows" { // the store says what is wrong; modes mean nothing there
		return
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		a.Log.WarnContext(ctx, "others may write to the data directory: take that from them", "directory", dir, "mode", fmt.Sprintf("%04o", mode))
	}
}

func account() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return fmt.Sprintf("user %d", os.Geteuid())
}

// owner is the id by which controllers know this daemon.
func (a *App) owner() string {
	if owner := a.Config.Current().Owner; owner != "" {
		return owner
	}
	return a.host()
}

func (a *App) host() string {
	host, err := a.Hostname()
	if err != nil {
		return "unknown"
	}
	return host
}

// serveAPI makes the handler of the API.
func (a *App) serveAPI() {
	s := api.New(api.Options{
		Store: a.store, Controllers: a.controllers, Anonymous: a.anonymous(), Version: a.Version,
		Metrics: a.metrics.handler(), Reload: a.Reload, Logger: a.Log.With("component", "api"),
		Lend: a.desk(), Rollouts: a.rolloutDesk(),
		Config: func() (string, error) {
			text, err := a.Config.Current().Show()
			return string(text), err
		},
	})
	a.handler, a.streams = web.New(web.Options{API: s, Logger: a.Log.With("component", "web")}), s.EndStreams
}

// desk is where loans are dealt with; a dry run lends nothing.
func (a *App) desk() api.LoanDesk {
	if a.DryRun {
		return nil
	}
	return a.lender
}

// anonymous is what requests without a token may do.
func (a *App) anonymous() store.Role {
	if local, ok := a.listener.Addr().(*net.TCPAddr); a.Anonymous == "" && a.DryRun && ok && local.IP.IsLoopback() {
		return store.Viewer
	}
	return a.Anonymous
}

func (a *App) listen(ctx context.Context) error {
	address, pair := a.Config.Current().API.Listen, a.Config.Current().API.TLS
	if pair != nil { // it is read again to be served; what is wrong with it would show once agents are serviced
		if _, err := tls.LoadX509KeyPair(pair.Cert, pair.Key); err != nil {
			return fmt.Errorf("read api.tls, cert %s and key %s: %w", pair.Cert, pair.Key, err)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok { // it would name the address again
			err = op.Err
		}
		return fmt.Errorf("listen on %s: %w; change api.listen in the configuration, or stop what uses it", address, err)
	}
	a.listener = l
	return nil
}

// Addr is the address that the API listens on.
func (a *App) Addr() net.Addr { return a.listener.Addr() }

// Store is the open store, for callers in the same process.
func (a *App) Store() *store.Store { return a.store }

// Run serves until ctx ends, and returns nil then. Parts end in order: no new request is taken,
// cleanups in progress are left to be found again, the store is closed last.
func (a *App) Run(ctx context.Context) error {
	defer a.close()
	g, ctx := errgroup.WithContext(ctx)
	a.runCrews(ctx, g)
	g.Go(func() error { return a.serve(ctx) })
	g.Go(func() error { return a.notify(ctx) })
	g.Go(func() error { return a.purge(ctx) })
	if !a.DryRun {
		g.Go(func() error { return a.lender.Run(ctx) })
	}
	if a.DryRun {
		a.Log.InfoContext(ctx, "dry run: pitcrew shows what it would do, and does nothing")
	}
	a.Log.InfoContext(ctx, "pitcrew serves", "address", a.Addr().String(), "controllers", len(a.crews), "owner", a.owner())
	err := g.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	a.Log.InfoContext(ctx, "pitcrew has ended")
	return nil
}

// serve answers HTTP requests until ctx ends.
func (a *App) serve(ctx context.Context) error {
	server := &http.Server{
		Handler: a.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(a.streams)
	done := make(chan error, 1)
	go func() {
		if pair := a.Config.Current().API.TLS; pair != nil {
			done <- server.ServeTLS(a.listener, pair.Cert, pair.Key)
			return
		}
		done <- server.Serve(a.listener)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("serve api: %w", err)
	case <-ctx.Done():
		a.Log.InfoContext(ctx, "pitcrew ends")
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		a.Log.WarnContext(ctx, "requests were cut off at the end", "err", err)
		return server.Close()
	}
	return nil
}

// close releases what New opened, in reverse order.
func (a *App) close() {
	if a.listener != nil {
		_ = a.listener.Close()
	}
	if a.ssh != nil {
		if err := a.ssh.Close(); err != nil {
			a.Log.Warn("ssh connections did not end well", "err", err)
		}
	}
	for _, r := range a.crews {
		r.client.Close()
	}
	for _, client := range a.borrowing {
		client.Close()
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.Log.Error("store did not close well", "err", err)
		}
	}
	if a.scratch != "" {
		if err := os.RemoveAll(a.scratch); err != nil {
			a.Log.Warn("scratch directory of the dry run is left behind", "err", err)
		}
	}
}
