// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// TestSimulation runs a fleet through days of builds, sick recipes, lost connections, people,
// restarts and a faulty wire, and judges every step. PITCREW_LONG=1 makes it 30 days of 1,000
// agents: two daemons, which keep two cores busy, with ten controllers of 50 agents each. PITCREW_DAYS
// says for how many days instead.
func TestSimulation(t *testing.T) {
	daemons, d := 2, fleet{controllers: 2, agents: 50, days: 1, poll: 2 * time.Minute, trouble: 2 * time.Hour}
	if long() {
		d.controllers, d.days, d.trouble = 10, 30, 5*time.Hour
		if days := os.Getenv("PITCREW_DAYS"); days != "" {
			var err error
			if d.days, err = strconv.Atoi(days); err != nil || d.days < 1 {
				t.Fatalf("PITCREW_DAYS=%s: want a number of days, at least 1", days)
			}
		}
		d.poll = 4 * time.Minute // for 5 minutes Jenkins tells where an item of its queue went
	}
	percent := debug.SetGCPercent(300) // more saves little, and what an auditor remembers of weeks is multiplied by it
	began := time.Now()
	var mu sync.Mutex
	total := map[string]int{}
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		t.Logf("%d agents, %d days, poll %s: %v in %s", daemons*d.controllers*d.agents, d.days, d.poll, total, time.Since(began).Round(time.Millisecond))
	})
	for n := range daemons {
		t.Run(fmt.Sprintf("daemon %d", n+1), func(t *testing.T) {
			t.Parallel()
			f := d
			f.seed = uint64(n)
			synctest.Test(t, func(t *testing.T) { f.run(t) })
			mu.Lock()
			defer mu.Unlock()
			for what, n := range f.counts {
				total[what] += n
			}
		})
	}
}

// fleet is a simulated installation: controllers that one daemon services out of one store.
type fleet struct {
	controllers  int
	agents, days int // agents of each controller
	poll         time.Duration
	trouble      time.Duration // how often something goes wrong at each controller, on average
	seed         uint64

	t      *testing.T
	turn   chan struct{} // held while the daemon is told something, or restarted
	path   string
	store  *store.Store
	sites  []*site
	counts map[string]int
}

// site is one of its controllers.
type site struct {
	*rig
	fleet  *fleet
	number int
	rand   *rand.Rand
	calm   atomic.Bool // no recipe fails any more

	troubles int
	reported map[string]bool // contaminated builds that the daemon told of, by URL
}

// usedPerDay is how often each agent is used on average.
const usedPerDay = 8

// group is how many agents serve one label.
const group = 50

func (f *fleet) run(t *testing.T) {
	t.Helper()
	f.t, f.path, f.turn = t, filepath.Join(memoryDir(t), "pitcrew.db"), make(chan struct{}, 1)
	for i := range f.controllers {
		f.sites = append(f.sites, f.site(i))
	}
	f.start()
	f.purge()
	end := time.Now().Add(time.Duration(f.days) * 24 * time.Hour)
	var lives sync.WaitGroup
	for _, s := range f.sites {
		lives.Go(func() { s.live(end) })
	}
	lives.Wait()
	f.settle()
	f.end()
	f.counts = map[string]int{}
	for _, s := range f.sites {
		s.count(f.counts)
		s.close()
	}
	if least := f.controllers * f.agents * f.days * usedPerDay * 9 / 10; f.counts["builds"] < least || f.counts["cleanups"] < least {
		t.Errorf("want at least %d builds and cleanups", least)
	}
}

// memoryDir is a directory whose files are written to no disk, where there is such a thing: the
// store's file lives as long as the test.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pitcrew-simulation-") //nolint:usetesting // that is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (f *fleet) site(n int) *site {
	specs := make([]jenkinstest.AgentSpec, f.agents)
	for i := range specs {
		specs[i] = jenkinstest.AgentSpec{Name: agentName(n, i), Labels: fmt.Sprintf("cleanable g%d", i/group)}
	}
	s := &site{fleet: f, number: n, rand: rand.New(rand.NewPCG(f.seed, uint64(n)))}
	s.rig = newRig(f.t, jenkinstest.Timing{
		PostBuild: 150 * time.Millisecond, Notice: 2 * time.Second, Reconnect: 20 * time.Second, Down: 20 * time.Second, Boot: time.Minute,
	}, specs, f.bend)
	if n == 0 {
		s.speak() // one of them, for each that does takes twice the time
	}
	s.name, s.reported = hygiene.ControllerID(fmt.Sprintf("ci-%d", n)), map[string]bool{}
	s.audit.tell = func(problem string) { s.t.Errorf("%s: %s", s.name, problem) }
	s.shop.tell = s.audit.accuse
	s.prepare()
	return s
}

// agentName is unique in the fleet: machines are told apart by the names of their agents.
func agentName(site, i int) string { return fmt.Sprintf("agent-%02d-%02d", site, i) }

// start begins servicing; end stops it.
func (f *fleet) start() {
	f.t.Helper()
	var err error
	f.store, err = store.Open(f.t.Context(), store.Options{Path: f.path, Owner: "rig"})
	must(f.t, err)
	shared := reconcile.Deps{Turn: &sync.Mutex{}, Machines: reconcile.NewMachines()}
	for _, s := range f.sites {
		s.store, s.with = f.store, shared
		s.run()
	}
}

func (f *fleet) end() {
	f.t.Helper()
	for _, s := range f.sites {
		s.halt()
	}
	must(f.t, f.store.Close())
}

// tell lets f do something to the daemon that must not meet a restart of it.
func (f *fleet) tell(what func()) {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	what()
}

// purge lets the store forget what is old once per day, as a daemon does, and says how far things are.
func (f *fleet) purge() {
	days := 0
	var again *time.Timer
	again = time.AfterFunc(24*time.Hour, func() {
		f.tell(func() {
			for _, s := range f.sites {
				s.readReported()
			}
			day := 24 * time.Hour
			_, err := f.store.Purge(f.t.Context(), time.Now(), store.Retention{Events: 2 * day, Attempts: 2 * day, Logs: day, Builds: 2 * day})
			must(f.t, err)
		})
		days++
		builds, cleanups := 0, 0
		for _, s := range f.sites {
			builds, cleanups = builds+s.audit.ran(), cleanups+s.audit.granted()
		}
		f.t.Logf("day %d: %d builds, %d cleanups so far", days, builds, cleanups)
		again.Reset(24 * time.Hour)
	})
	f.t.Cleanup(func() { again.Stop() })
}

// readReported remembers which builds the daemon told of as contaminated, before it forgets them.
func (s *site) readReported() {
	builds, err := s.fleet.store.Builds(s.t.Context(), store.BuildFilter{Controller: s.name, Contaminated: true, Limit: 1 << 20})
	must(s.t, err)
	for _, b := range builds {
		s.reported[b.URL] = true
	}
}

// count adds up what happened at a controller. What was wrong has been told.
func (s *site) count(counts map[string]int) {
	s.audit.mu.Lock()
	defer s.audit.mu.Unlock()
	s.audit.convict(time.Now())
	counts["builds"] += s.audit.builds
	counts["cleanups"] += s.audit.cleanups
	counts["troubles"] += s.troubles
	for kind, n := range s.audit.counts {
		counts[string(kind)] += n
	}
	for _, r := range s.audit.requests {
		counts["requests"] += r.n
	}
}

func (f *fleet) bend(s *reconcile.Settings) {
	s.Poll, s.MaxCleanups, s.FeedEvery = f.poll, max(4, f.agents/10), 3*time.Hour
	p := &s.Pools[0].Policy
	p.QuarantineLook, p.TTL, p.Settle = 2*time.Hour, 0, 10*time.Minute
	p.Limits = hygiene.Limits{Queue: time.Hour, Run: time.Hour, Reconnect: time.Hour, Grant: time.Hour}
}

func (s *site) prepare() {
	s.shop.takes = func(step jenkinstest.Step) time.Duration {
		if ours(step.Job) {
			return time.Duration(60+chance(60, step.Agent, step.Env["PITCREW_ATTEMPT"])) * time.Second
		}
		return time.Duration(10+chance(40, step.Job, step.Number)) * time.Minute
	}
	s.shop.ends = func(step jenkinstest.Step) ending {
		if s.calm.Load() {
			return succeeds
		}
		switch chance(100, s.name, step.Agent, step.Env["PITCREW_ATTEMPT"], step.Env["PITCREW_PHASES"], "ends") {
		case 0:
			return fails
		case 1:
			return reconnects
		case 2:
			return silent
		default:
			return succeeds
		}
	}
	serial := []jenkinstest.ParamSpec{{Name: "SERIAL"}}
	for g := range s.fleet.groups() {
		must(s.t, s.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: fmt.Sprintf("app-%d", g), Label: fmt.Sprintf("clean&&g%d", g), Script: "make", Concurrent: true, Params: serial, KeepBuilds: 200}))
		must(s.t, s.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: fmt.Sprintf("careless-%d", g), Label: fmt.Sprintf("g%d", g), Script: "make", Concurrent: true, Params: serial, KeepBuilds: 200}))
	}
}

func (f *fleet) groups() int { return f.agents / group }

// live makes builds and trouble until the end.
func (s *site) live(end time.Time) {
	between := 24 * time.Hour / time.Duration(s.fleet.agents*usedPerDay)
	next := time.Now().Add(s.fleet.trouble / 2)
	for serial := 0; time.Now().Before(end); serial++ {
		time.Sleep(time.Duration(s.rand.ExpFloat64() * float64(between)))
		job := "app"
		if s.rand.IntN(200) == 0 {
			job = "careless"
		}
		_, _ = s.jenkins.Schedule(fmt.Sprintf("%s-%d", job, s.rand.IntN(s.fleet.groups())), map[string]string{"SERIAL": fmt.Sprint(serial)})
		if time.Now().After(next) {
			next = time.Now().Add(time.Duration(s.rand.ExpFloat64() * float64(s.fleet.trouble)))
			s.trouble()
		}
	}
}

// troubles are the words for what trouble does.
var troubles = [24]string{
	"restart of the controller", "restart of the controller", "restart of the daemon", "lost connection",
	"503 for ten minutes", "503 for ten minutes", "lost answers", "lost answers", "dropped writes", "dropped writes",
	"labels changed by a person", "labels changed by a person", "marked offline by a person", "marked offline by a person",
	"held by a person", "held by a person", "lost connection", "lost connection", "lost connection", "lost connection",
	"lost connection", "lost connection", "lost connection", "lost connection",
}

func (s *site) trouble() {
	name := agentName(s.number, s.rand.IntN(s.fleet.agents))
	agent := s.jenkins.Agent(name)
	ctx := s.t.Context()
	what := s.rand.IntN(24)
	s.audit.did(troubles[what] + ", " + name)
	switch what {
	case 0, 1:
		go func() { _ = s.jenkins.Restart(ctx, jenkinstest.RestartMode(2*s.rand.IntN(2))) }()
	case 2:
		s.fleet.tell(func() {
			s.fleet.end()
			s.fleet.start()
		})
	case 4, 5:
		remove := s.jenkins.Inject(jenkinstest.Fault{Status: 503, Probability: 0.5})
		time.AfterFunc(10*time.Minute, remove)
	case 6, 7:
		remove := s.jenkins.Inject(jenkinstest.Fault{Lose: true, Method: "POST", Probability: 0.3})
		time.AfterFunc(10*time.Minute, remove)
	case 8, 9:
		remove := s.jenkins.Inject(jenkinstest.Fault{Drop: true, Method: "POST", Path: "/computer/**", Probability: 0.5})
		time.AfterFunc(10*time.Minute, remove)
	case 10, 11:
		labels := labelexpr.Tokens(s.jenkins.Labels(name))
		s.jenkins.SaveLabels(name, labelexpr.Join(hygiene.DefaultNames.Apply(labels, hygiene.Labels(s.rand.IntN(4))<<1|hygiene.LabelCleanable)), "ann")
	case 12, 13:
		agent.MarkOffline("ann", "look at it")
		time.AfterFunc(time.Hour, agent.MonitorOnline)
	case 14, 15:
		s.fleet.tell(func() { _ = s.crew.OrderHold(ctx, name, "ann", "look at it", time.Time{}) })
		time.AfterFunc(time.Hour, func() { s.release(name) })
	default:
		agent.Disconnect()
	}
	s.troubles++
}

func (s *site) release(name string) {
	s.fleet.tell(func() { _ = s.crew.OrderRelease(s.t.Context(), name, "ann", "done") })
}

// settle lets the last builds end, and expects every agent to become clean.
func (f *fleet) settle() {
	for _, s := range f.sites {
		s.calm.Store(true)
		for i := range f.agents {
			s.release(agentName(s.number, i))
		}
	}
	for limit := time.Now().Add(12 * time.Hour); time.Now().Before(limit); {
		time.Sleep(10 * time.Minute)
		if !slices.ContainsFunc(f.sites, (*site).busy) {
			break
		}
	}
	for _, s := range f.sites {
		if dirty := s.dirty(); len(dirty) > 0 {
			d, _ := s.crew.Explain(dirty[0])
			f.t.Errorf("I6: %d agents of %s did not become clean, %s first: %s, %s", len(dirty), s.name, dirty[0], d.Action.Kind, d.Reason)
		}
	}
	time.Sleep(4 * time.Hour) // each clean agent is asked for its builds
	for _, s := range f.sites {
		s.readReported()
		s.audit.reported(s.reported)
	}
}

func (s *site) busy() bool { return len(s.dirty()) > 0 || s.jenkins.QueueLength() > 0 }

func (s *site) dirty() []string {
	agents, err := s.store.Agents(s.t.Context(), s.name)
	must(s.t, err)
	var out []string
	for _, a := range agents {
		if a.State != hygiene.Clean && !strings.HasPrefix(a.Reason, "used by") {
			out = append(out, a.ID.Name)
		}
	}
	if len(agents) != s.fleet.agents {
		out = append(out, "some are not managed")
	}
	return out
}
