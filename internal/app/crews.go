// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// crewRun is a crew with what it works on.
type crewRun struct {
	config config.Controller
	client *jenkins.Client
	crew   *reconcile.Crew
	cancel context.CancelFunc // nil before it runs
}

// configure compiles the recipes and makes, changes or ends crews so that they are those of the
// configuration. Nothing changes when any part of it is bad.
func (a *App) configure(ctx context.Context) error {
	c := a.Config.Current()
	programs, err := compile(c)
	if err != nil {
		return err
	}
	next := make(map[string]*crewRun, len(c.Controllers))
	var made []*crewRun
	for _, controller := range c.Controllers {
		settings, err := a.settings(c, controller, programs)
		if err != nil {
			return err
		}
		a.mu.Lock()
		old := a.crews[controller.Name]
		a.mu.Unlock()
		if old != nil && sameConnection(old.config, controller) {
			old.config = controller
			old.crew.Apply(settings)
			next[controller.Name] = old
			continue
		}
		r, err := a.newCrew(controller, settings) //nolint:contextcheck // a crew runs under the context of Run
		if err != nil {
			return err
		}
		next[controller.Name] = r
		made = append(made, r)
	}
	a.replaceCrews(next, made)
	return ctx.Err()
}

// compile compiles every recipe once.
func compile(c *config.Config) (map[string]*recipe.Program, error) {
	programs := make(map[string]*recipe.Program, len(c.Recipes))
	disjoint := map[string]bool{}
	for _, r := range c.Recipes {
		loaded, err := recipe.Load(r.File)
		if err != nil {
			return nil, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		program, err := loaded.Compile()
		if err != nil {
			return nil, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		programs[r.Name], disjoint[r.Name] = program, loaded.Disjoint
	}
	for i := range c.Pools {
		if p := &c.Pools[i]; disjoint[p.Recipe] {
			p.Disjoint = true
		}
	}
	return programs, nil
}

// settings says in the words of package reconcile what the configuration says of a controller.
func (a *App) settings(c *config.Config, controller config.Controller, programs map[string]*recipe.Program) (reconcile.Settings, error) {
	s := reconcile.Settings{
		ID: hygiene.ControllerID(controller.Name), Labels: c.Names(), Poll: controller.Poll.Std(),
		MaxCleanups: controller.MaxCleanups, FeedEvery: controller.BuildFeedEvery.Std(), DryRun: controller.DryRun || a.DryRun,
		Jobs: reconcile.Jobs{Folder: controller.Jobs.Folder, Prefix: controller.Jobs.Prefix},
	}
	if controller.Jobs.Mode == "parameterised" {
		s.Jobs.Parameterised = controller.Jobs.Name
		if controller.Jobs.Folder != "" {
			s.Jobs.Parameterised = controller.Jobs.Folder + "/" + controller.Jobs.Name
		}
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		if len(p.Controllers) > 0 && !slices.Contains(p.Controllers, controller.Name) {
			continue
		}
		pool, err := poolOf(p, controller, programs[p.Recipe])
		if err != nil {
			return s, err
		}
		s.Pools = append(s.Pools, pool)
	}
	return s, nil
}

func poolOf(p *config.Pool, controller config.Controller, program *recipe.Program) (reconcile.Pool, error) {
	if program == nil {
		return reconcile.Pool{}, fmt.Errorf("pool %s: no recipe is called %q", p.Name, p.Recipe)
	}
	pool := reconcile.Pool{
		Name: p.Name, Agents: p.Expr(), Policy: p.Policy(&controller, program.Revision), Program: program,
		MaxCleanups: p.MaxCleanups, DeadMan: p.Deadman.Std(), Floor: p.CapacityFloor.Of,
		Breaker: hygiene.BreakerPolicy{Agents: p.Breaker.Agents, Failures: p.Breaker.Failures, Within: p.Breaker.Within.Std()},
	}
	if p.FailureDomain != nil {
		pool.Domain = reconcile.Domain{Prefix: p.FailureDomain.LabelPrefix, Max: p.FailureDomain.MaxCleanups}
	}
	if p.SSH != nil {
		pool.Target = targets(p.SSH)
	}
	return pool, nil
}

// sameConnection reports whether two configurations of a controller can share a client.
func sameConnection(a, b config.Controller) bool {
	tls := func(t *config.ClientTLS) config.ClientTLS {
		if t == nil {
			return config.ClientTLS{}
		}
		return *t
	}
	return a.URL == b.URL && a.Login == b.Login && tls(a.TLS) == tls(b.TLS) && a.Requests == b.Requests
}

// newCrew makes a crew that does not run yet.
func (a *App) newCrew(controller config.Controller, s reconcile.Settings) (*crewRun, error) {
	o := jenkins.Options{
		Name: controller.Name, URL: controller.URL, User: controller.User, Transport: a.Transport,
		RequestTimeout: controller.Requests.Timeout.Std(), RequestsPerSecond: controller.Requests.PerSecond,
		Observe: a.metrics.observe(controller.Name), Logger: a.Log.With("component", "jenkins", "controller", controller.Name),
	}
	if !controller.Token.IsZero() {
		o.Token = controller.Token.Read
	}
	if !controller.Password.IsZero() {
		o.Password = controller.Password.Read
	}
	if controller.TLS != nil {
		o.TLS = jenkins.TLSOptions{CAFile: controller.TLS.CA, CertFile: controller.TLS.Cert, KeyFile: controller.TLS.Key}
	}
	client, err := jenkins.New(o)
	if err != nil {
		return nil, fmt.Errorf("controller %s: %w", controller.Name, err)
	}
	crew := reconcile.New(reconcile.Deps{
		Jenkins: client, Store: a.store, Engine: engine.NewInProcess(engine.Options{}), SSH: a.ssh, Turn: &a.turn, Machines: a.machines,
		Owner: a.owner(), Host: a.host(), Log: a.Log.With("component", "crew"), Watch: a.metrics,
	}, s)
	return &crewRun{config: controller, client: client, crew: crew}, nil
}

// replaceCrews puts the new crews in place: those that are gone end, those that are new begin.
func (a *App) replaceCrews(next map[string]*crewRun, made []*crewRun) {
	a.mu.Lock()
	old, start := a.crews, a.start
	a.crews = next
	a.mu.Unlock()
	for name, r := range old {
		if next[name] != r && r.cancel != nil {
			r.cancel()
		}
	}
	if start == nil {
		return
	}
	for _, r := range made {
		start(r)
	}
}

// runCrews runs the crews that there are, and those that come with a reload.
func (a *App) runCrews(ctx context.Context, g *errgroup.Group) {
	start := func(r *crewRun) {
		crewCtx, cancel := context.WithCancel(ctx)
		r.cancel = cancel
		g.Go(func() error {
			defer cancel()
			defer r.client.Close()
			return r.crew.Run(crewCtx)
		})
	}
	a.mu.Lock()
	a.start = start
	crews := slices.Collect(maps.Values(a.crews))
	a.mu.Unlock()
	for _, r := range crews {
		start(r)
	}
}

// controllers are what the API serves.
func (a *App) controllers() []api.Controller {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]api.Controller, 0, len(a.crews))
	for _, name := range slices.Sorted(maps.Keys(a.crews)) {
		out = append(out, apiController(a.crews[name]))
	}
	return out
}

// Reload reads the configuration again. A bad one is refused whole, and the old one stays.
func (a *App) Reload(ctx context.Context) error {
	change, err := a.Config.Reload()
	if err != nil {
		a.Log.ErrorContext(ctx, "configuration was not reloaded", "err", err)
		return err
	}
	if err := a.configure(ctx); err != nil {
		a.Log.ErrorContext(ctx, "configuration was read, but cannot be used; the old one stays until a restart", "err", err)
		return err
	}
	a.Log.InfoContext(ctx, "configuration was reloaded", "applied", change.Applied, "needs_restart", change.Restart)
	return nil
}
