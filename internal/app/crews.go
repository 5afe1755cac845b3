// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

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
	ended  chan struct{}      // closed when it does not run any more
}

// plan is what a configuration asks for, with everything in it that can fail done already.
type plan struct {
	next map[string]*crewRun // by controller
	made []*crewRun
	kept []func() // make the crews that stay work by it

	revisions map[string]string // by recipe

	offers    []reconcile.Offer
	borrowers map[string]reconcile.Borrower
	clients   []*jenkins.Client // of borrowers, made for this plan
}

// plan compiles the recipes and makes the crews that are new. It changes nothing that runs.
func (a *App) plan(c *config.Config) (_ *plan, err error) {
	recipes, err := compile(c)
	if err != nil {
		return nil, err
	}
	p := &plan{next: make(map[string]*crewRun, len(c.Controllers)), offers: offersOf(c, recipes), revisions: revisionsOf(recipes)}
	defer func() {
		if err != nil {
			p.abandon()
		}
	}()
	a.mu.Lock()
	running := a.crews
	a.mu.Unlock()
	for _, controller := range c.Controllers {
		settings, err := a.settings(c, controller, recipes)
		if err != nil {
			return nil, err
		}
		if old := running[controller.Name]; old != nil && sameConnection(old.config, controller) {
			p.next[controller.Name] = old
			p.kept = append(p.kept, func() {
				old.config = controller
				a.metrics.expect(settings)
				old.crew.Apply(settings)
			})
			continue
		}
		r, err := a.newCrew(controller, settings)
		if err != nil {
			return nil, err
		}
		p.next[controller.Name] = r
		p.made = append(p.made, r)
	}
	p.borrowers, p.clients, err = a.makeBorrowers(c, p.next)
	return p, err
}

// abandon closes what the plan opened.
func (p *plan) abandon() {
	for _, r := range p.made {
		r.client.Close()
	}
}

// compiled is a recipe ready for use.
type compiled struct {
	program  *recipe.Program
	disjoint bool
}

// compile compiles every recipe once.
func compile(c *config.Config) (map[string]compiled, error) {
	recipes := make(map[string]compiled, len(c.Recipes))
	for _, r := range c.Recipes {
		loaded, err := recipe.Load(r.File)
		if err != nil {
			return nil, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		program, err := loaded.Compile()
		if err != nil {
			return nil, fmt.Errorf("recipe %s: %w", r.Name, err)
		}
		recipes[r.Name] = compiled{program, loaded.Disjoint}
	}
	return recipes, nil
}

func revisionsOf(recipes map[string]compiled) map[string]string {
	revisions := make(map[string]string, len(recipes))
	for name, r := range recipes {
		revisions[name] = r.program.Revision
	}
	return revisions
}

// renewed names the recipes whose revision is not the one of before.
func (p *plan) renewed(before map[string]string) []string {
	var names []string
	for name, revision := range p.revisions {
		if before[name] != revision {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// settings says in the words of package reconcile what the configuration says of a controller.
func (a *App) settings(c *config.Config, controller config.Controller, recipes map[string]compiled) (reconcile.Settings, error) {
	s := reconcile.Settings{
		ID: hygiene.ControllerID(controller.Name), Labels: c.Names(), Poll: controller.Poll.Std(),
		MaxCleanups: controller.MaxCleanups, FeedEvery: controller.BuildFeedEvery.Std(), DryRun: controller.DryRun || a.DryRun,
		Jobs: reconcile.Jobs{Folder: controller.Jobs.Folder, Prefix: controller.Jobs.Prefix},
	}
	if controller.Jobs.Mode == "parameterised" {
		s.Jobs.Parameterised, s.Jobs.NodeParameter = controller.Jobs.Name, controller.Jobs.NodeParameter
		if controller.Jobs.Folder != "" {
			s.Jobs.Parameterised = controller.Jobs.Folder + "/" + controller.Jobs.Name
		}
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		if len(p.Controllers) > 0 && !slices.Contains(p.Controllers, controller.Name) {
			continue
		}
		pool, err := poolOf(p, controller, recipes[p.Recipe])
		if err != nil {
			return s, err
		}
		pool.Domain.Max = c.DomainCap(pool.Domain.Prefix)
		s.Pools = append(s.Pools, pool)
	}
	return s, nil
}

func poolOf(p *config.Pool, controller config.Controller, r compiled) (reconcile.Pool, error) {
	if r.program == nil {
		return reconcile.Pool{}, fmt.Errorf("pool %s: no recipe is called %q", p.Name, p.Recipe)
	}
	pool := reconcile.Pool{
		Name: p.Name, Agents: p.Expr(), Policy: p.Policy(&controller, r.program.Revision), Program: r.program,
		MaxCleanups: p.MaxCleanups, DeadMan: p.Deadman.Std(), Floor: p.CapacityFloor.Of, Keeps: p.CapacityFloor.Besides,
		Breaker: hygiene.BreakerPolicy{Agents: p.Breaker.Agents, Failures: p.Breaker.Failures, Within: p.Breaker.Within.Std()},
	}
	pool.Policy.Disjoint = p.Disjoint || r.disjoint
	pool.Lend = lendingOf(p)
	if p.FailureDomain != nil {
		pool.Domain = reconcile.Domain{Prefix: p.FailureDomain.LabelPrefix}
	}
	if p.SSH != nil {
		pool.Target, pool.Way = targets(p.SSH), way(p.SSH)
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

// newClient makes a client of a controller that answers edits of labels only when these are advertised as they were
// edited.
func (a *App) newClient(controller config.Controller, advertised ...string) (*jenkins.Client, error) {
	o := jenkins.Options{
		Name: controller.Name, URL: controller.URL, User: controller.User, Transport: a.Transport,
		RequestTimeout: controller.Requests.Timeout.Std(), RequestsPerSecond: controller.Requests.PerSecond,
		Advertised: advertised,
		Observe:    a.metrics.observe(controller.Name), Logger: a.Log.With("component", "jenkins", "controller", controller.Name),
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
	return jenkins.New(o)
}

// newCrew makes a crew that does not run yet.
func (a *App) newCrew(controller config.Controller, s reconcile.Settings) (*crewRun, error) {
	client, err := a.newClient(controller, s.Labels.Clean)
	if err != nil {
		return nil, fmt.Errorf("controller %s: %w", controller.Name, err)
	}
	crew := reconcile.New(reconcile.Deps{
		Jenkins: client, Store: a.store, Engine: engine.NewInProcess(engine.Options{Logger: a.Log.With("component", "engine", "controller", controller.Name)}), SSH: a.ssh, Reach: reach, Turn: &a.turn, Machines: a.machines, Rollouts: a.rollouts,
		Owner: a.owner(), Host: a.host(), Log: a.Log.With("component", "crew"), Watch: a.metrics,
	}, s)
	a.metrics.expect(s)
	return &crewRun{config: controller, client: client, crew: crew}, nil
}

// follow carries a plan out: crews that are gone end, and only then those that are new begin, so that
// no controller is serviced twice.
func (a *App) follow(p *plan) {
	a.rollouts.Apply(p.offers) // before a crew has its new recipes
	for _, apply := range p.kept {
		apply()
	}
	a.mu.Lock()
	old, start, before := a.crews, a.start, a.borrowing
	a.crews, a.borrowing, a.revisions = p.next, p.clients, p.revisions
	a.mu.Unlock()
	a.borrowers.Apply(p.borrowers)
	for _, client := range before {
		client.Close()
	}
	for name, r := range old {
		if start != nil && p.next[name] != r {
			r.cancel()
			<-r.ended
		}
		if p.next[name] == nil {
			a.metrics.forget(name)
		}
	}
	serviced := make([]hygiene.ControllerID, 0, len(p.next))
	for name := range p.next {
		serviced = append(serviced, hygiene.ControllerID(name))
	}
	a.machines.Serve(serviced...)
	if start == nil {
		return
	}
	for _, r := range p.made {
		start(r)
	}
}

// runCrews runs the crews that there are, and until ctx ends those that come with a reload.
func (a *App) runCrews(ctx context.Context, g *errgroup.Group) {
	start := func(r *crewRun) {
		crewCtx, cancel := context.WithCancel(ctx)
		r.cancel, r.ended = cancel, make(chan struct{})
		g.Go(func() error {
			var checks sync.WaitGroup
			defer close(r.ended)
			defer r.client.Close()
			defer checks.Wait()
			defer cancel()
			checks.Go(func() { onConnect(crewCtx, r.crew.Seen, func(ctx context.Context) { a.check(ctx, r) }) })
			return r.crew.Run(crewCtx)
		})
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	a.mu.Lock()
	a.start = start
	crews := slices.Collect(maps.Values(a.crews))
	a.mu.Unlock()
	for _, r := range crews {
		start(r)
	}
	g.Go(func() error { // keeps the group open for crews to come
		<-ctx.Done()
		a.reload.Lock()
		defer a.reload.Unlock()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.start = nil
		return nil
	})
}

// controllers are what the API serves.
func (a *App) controllers() []api.Controller {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]api.Controller, 0, len(a.crews))
	for _, name := range slices.Sorted(maps.Keys(a.crews)) {
		out = append(out, apiController(a.crews[name], a.Version.Version))
	}
	return out
}

// Reload reads the configuration again, because actor asked for it. One that is bad, or names a recipe
// that is, is refused whole: the old one stays.
func (a *App) Reload(ctx context.Context, actor string) error {
	a.reload.Lock()
	defer a.reload.Unlock()
	var next *plan
	change, err := a.Config.Reload(func(c *config.Config) (err error) { //nolint:contextcheck // crews run under the context of Run
		next, err = a.plan(c)
		return err
	})
	if err != nil {
		a.Log.ErrorContext(ctx, "configuration was not reloaded", "err", err)
		return errors.Join(err, a.noteReload(ctx, hygiene.EventConfig, actor, err.Error()))
	}
	recipes := next.renewed(a.revisions) // nothing but a reload writes them
	a.follow(next)
	a.Log.InfoContext(ctx, "configuration was reloaded", "applied", change.Applied, "recipes", recipes, "needs_restart", change.Restart)
	return a.noteReload(ctx, hygiene.EventConfigTaken, actor, reloaded(change, recipes))
}

// reloaded says in words what a reload changed: settings, and recipes that have another revision now.
func reloaded(c config.Change, recipes []string) string {
	list := func(what string, keys []string) string {
		if len(keys) == 0 {
			return ""
		}
		return what + strings.Join(keys, ", ")
	}
	parts := slices.DeleteFunc([]string{
		list("changed: ", c.Applied), list("new revisions of recipes: ", recipes), list("changes at the next start: ", c.Restart),
	}, func(s string) bool { return s == "" })
	if len(parts) == 0 {
		return "nothing changed, and no recipe"
	}
	return strings.Join(parts, "; ")
}

// noteReload records what became of a reload.
func (a *App) noteReload(ctx context.Context, kind hygiene.EventType, actor, reason string) error {
	if a.DryRun {
		return nil
	}
	return a.store.Append(ctx, time.Now(), hygiene.Event{
		Type: kind, Actor: actor, Subject: "configuration", Reason: reason,
	})
}
