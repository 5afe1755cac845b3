// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/engine"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// duo is one daemon with the controllers a and b. Each has an agent of its name, both on one machine.
type duo struct {
	*pit
	servers  map[hygiene.ControllerID]*jenkinstest.Jenkins
	clients  map[hygiene.ControllerID]*jenkins.Client
	crews    map[hygiene.ControllerID]*reconcile.Crew
	stops    map[hygiene.ControllerID]func()
	machines *reconcile.Machines
	turn     turn
	set      func(*reconcile.Settings)
}

// turn is a lock whose waiting lets a bubble's time go on.
type turn chan struct{}

func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

func inDuo(t *testing.T, f func(*duo)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pit{t: t, takes: 30 * time.Second, watch: &watcher{}, path: filepath.Join(t.TempDir(), "pitcrew.db"), owner: "pit", program: compile(t)}
		p.bend(func(r recipe.Report) recipe.Report { r.Machine.ID = "the-one-machine"; return r })
		d := &duo{
			pit: p, servers: map[hygiene.ControllerID]*jenkinstest.Jenkins{}, clients: map[hygiene.ControllerID]*jenkins.Client{},
			crews: map[hygiene.ControllerID]*reconcile.Crew{}, stops: map[hygiene.ControllerID]func(){},
		}
		for _, id := range []hygiene.ControllerID{"a", "b"} {
			root := "http://" + string(id) + ".test/"
			server, err := jenkinstest.New(jenkinstest.Options{Execute: p.execute, RootURL: root, Security: jenkinstest.Security{NoCrumbs: true}})
			must(t, err)
			defer server.Close()
			_, err = server.AddAgent(jenkinstest.AgentSpec{Name: string(id), Labels: "cleanable el7 rack-1"})
			must(t, err)
			must(t, server.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
			client, err := jenkins.New(jenkins.Options{Name: string(id), URL: root, Transport: server.Transport(), RequestsPerSecond: -1})
			must(t, err)
			defer client.Close()
			d.servers[id], d.clients[id] = server, client
		}
		f(d)
	})
}

// up starts the daemon; down ends it.
func (d *duo) up() {
	d.t.Helper()
	var err error
	d.store, err = store.Open(d.t.Context(), store.Options{Path: d.path, Owner: d.owner})
	must(d.t, err)
	d.machines, d.turn = reconcile.NewMachines(), make(turn, 1)
	d.machines.Serve("a", "b")
	deps := reconcile.Deps{
		Store: d.store, Turn: d.turn, Machines: d.machines, Owner: d.owner, Host: "pit.test",
		Log: slog.New(slog.NewTextHandler(d.t.Output(), nil)), Watch: d.watch,
	}
	for id := range d.servers {
		deps.Jenkins, deps.Engine = d.clients[id], engine.NewInProcess(engine.Options{})
		s := d.settings()
		s.ID = id
		if d.set != nil {
			d.set(&s)
		}
		crew := reconcile.New(deps, s)
		d.crew = crew // whose decisions a wait in vain tells of
		ctx, cancel := context.WithCancel(d.t.Context())
		ended := make(chan error, 1)
		go func() { ended <- crew.Run(ctx) }()
		d.crews[id], d.stops[id] = crew, func() {
			cancel()
			must(d.t, <-ended)
			delete(d.stops, id)
		}
	}
}

func (d *duo) down() {
	d.t.Helper()
	for _, stop := range d.stops {
		stop()
	}
	must(d.t, d.store.Close())
}

func (d *duo) is(id hygiene.ControllerID, state hygiene.State) bool {
	a, _, err := d.store.Agent(d.t.Context(), hygiene.AgentID{Controller: id, Name: string(id)})
	return err == nil && a.State == state
}

func (d *duo) bothClean() {
	d.t.Helper()
	d.wait(time.Hour, "both clean", func() bool { return d.is("a", hygiene.Clean) && d.is("b", hygiene.Clean) })
}

// use lets a build run on the agent of b while that of a is due.
func (d *duo) use() {
	d.t.Helper()
	_, err := d.servers["b"].Schedule("app", nil)
	must(d.t, err)
	d.wait(time.Minute, "a build", func() bool { return d.is("b", hygiene.Due) })
	must(d.t, d.crews["a"].OrderClean(d.t.Context(), "a", "ann", "test", ""))
}

func (d *duo) waitReason(id hygiene.ControllerID, want string) {
	d.t.Helper()
	d.wait(time.Minute, "a reason to wait", func() bool {
		decision, _ := d.crews[id].Explain(string(id))
		return strings.Contains(decision.Reason, want)
	})
}

// spans are the times in which builds of one kind ran at a controller.
func (d *duo) spans(id hygiene.ControllerID, ours bool) [][2]time.Time {
	var out [][2]time.Time
	for _, e := range d.servers[id].Journal() {
		switch {
		case strings.HasPrefix(e.Job, "pitcrew-slot-") != ours:
		case e.Kind == jenkinstest.EntryBuildStart:
			out = append(out, [2]time.Time{e.At, time.Now()})
		case e.Kind == jenkinstest.EntryBuildEnd:
			out[len(out)-1][1] = e.At
		}
	}
	return out
}

// apart holds that none of those overlap.
func (d *duo) apart(what string, a, b [][2]time.Time) {
	d.t.Helper()
	for _, x := range a {
		for _, y := range b {
			if x[0].Before(y[1]) && y[0].Before(x[1]) {
				d.t.Errorf("%s: %s to %s and %s to %s", what, x[0].Format(time.TimeOnly), x[1].Format(time.TimeOnly), y[0].Format(time.TimeOnly), y[1].Format(time.TimeOnly))
			}
		}
	}
}

func TestAControllerThatIsServicedNoMoreKeepsNobodyWaiting(t *testing.T) {
	inDuo(t, func(d *duo) {
		d.up()
		defer d.down()
		d.bothClean()
		d.use()
		d.waitReason("a", "a build runs on its machine, on b/b")
		d.stops["b"]()
		d.machines.Serve("a")
		d.wait(5*time.Minute, "the other being clean", func() bool { return d.is("a", hygiene.Clean) })
	})
}

func TestAMachineWaitsAfterARestartForControllersThatAreSlow(t *testing.T) {
	inDuo(t, func(d *duo) {
		d.up()
		d.bothClean()
		d.use()
		d.down()
		heal := d.servers["b"].Inject(jenkinstest.Fault{Method: http.MethodGet, Status: http.StatusServiceUnavailable})
		d.up()
		defer d.down()
		d.waitReason("a", "waits until b/b of its machine is seen")
		time.Sleep(10 * time.Second)
		heal()
		d.bothClean()
		d.apart("I4: a cleanup runs beside a build on its machine", d.spans("a", true), d.spans("b", false))
	})
}

func TestTwoCrewsDoNotCleanOneMachineAtOnce(t *testing.T) {
	inDuo(t, func(d *duo) {
		d.up()
		defer d.down()
		d.bothClean()
		first := len(d.spans("a", true)) // nobody knew that they share a machine
		d.turn.Lock()                    // both decide before one has claimed
		for _, id := range []hygiene.ControllerID{"a", "b"} {
			must(d.t, d.crews[id].OrderClean(d.t.Context(), string(id), "ann", "test", ""))
		}
		time.Sleep(10 * time.Second)
		d.turn.Unlock()
		d.wait(time.Minute, "a cleanup", func() bool { return len(d.spans("a", true))+len(d.spans("b", true)) > 2*first })
		d.bothClean()
		d.apart("two cleanups of one machine", d.spans("a", true)[first:], d.spans("b", true)[first:])
	})
}

func TestTheCapOfAFailureDomainHoldsOverAllControllers(t *testing.T) {
	inDuo(t, func(d *duo) {
		d.bend(nil)
		d.set = func(s *reconcile.Settings) { s.Pools[0].Domain = reconcile.Domain{Prefix: "rack-", Max: 1} }
		d.up()
		defer d.down()
		d.bothClean()
		d.apart("two cleanups in one failure domain", d.spans("a", true), d.spans("b", true))
	})
}
