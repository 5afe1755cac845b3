// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// How long the daemon is watched, and how many agents a controller has.
const (
	scaleWarmUp   = 45 * time.Second
	scaleWatch    = 90 * time.Second
	perController = 200
)

// BenchmarkScale measures the real program `pitcrew serve` in a process of its own, over sockets,
// with each agent used every ten minutes by a recipe that takes no time. The controllers live in
// the process of the test and are not counted.
func BenchmarkScale(b *testing.B) {
	if !long() {
		b.Skip("takes minutes: set PITCREW_LONG=1")
	}
	program := built(b)
	for _, agents := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) {
			for b.Loop() {
				scale(b, program, agents)
			}
		})
	}
}

// BenchmarkDaemon measures the program at rest: its size, the time until it is ready, its memory.
func BenchmarkDaemon(b *testing.B) {
	program := built(b)
	info, err := os.Stat(program)
	must(b, err)
	for b.Loop() {
		y := newYard(b, program, 1, 1)
		began := time.Now()
		d := y.serve()
		d.awaitReady()
		ready := time.Since(began)
		wait(b, 5*time.Second)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(info.Size())/(1<<20), "binary-MiB")
		b.ReportMetric(ready.Seconds(), "ready-s")
		b.ReportMetric(d.memory(), "rest-MiB")
		d.end()
		y.close()
	}
}

func scale(b *testing.B, program string, agents int) {
	b.Helper()
	y := newYard(b, program, agents/perController, perController)
	defer y.close()
	d := y.serve()
	defer d.end()
	d.awaitReady()
	stop := y.traffic()
	defer stop()
	wait(b, scaleWarmUp)
	cpu, cleanups, began := d.cpu(), y.cleanups(), time.Now()
	wait(b, scaleWatch)
	spent, lasted := d.cpu()-cpu, time.Since(began)
	done := y.cleanups() - cleanups
	if want := int(lasted.Seconds() * float64(agents) / usedEvery.Seconds() * 9 / 10); done < want {
		b.Errorf("%d cleanups, want at least %d: this is not the traffic that is to be measured", done, want)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*spent.Seconds()/lasted.Seconds(), "%core")
	b.ReportMetric(spent.Seconds()*1e6/lasted.Seconds()/float64(agents), "µs/agent/s")
	b.ReportMetric(float64(done)/lasted.Seconds(), "cleanups/s")
	b.ReportMetric(d.memory(), "rss-MiB")
}

func wait(b *testing.B, d time.Duration) {
	b.Helper()
	select {
	case <-time.After(d):
	case <-b.Context().Done():
	}
}

// built is the program as it is released.
func built(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "pitcrew")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "github.com/pitcrew-ci/pitcrew/cmd/pitcrew")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build pitcrew: %v\n%s", err, out)
	}
	return program
}

// yard is some controllers behind sockets, and a daemon's configuration for them.
type yard struct {
	b       *testing.B
	program string
	dir     string
	api     string
	shop    *workshop

	controllers []*jenkinstest.Jenkins
	servers     []*http.Server
	mu          sync.Mutex
	ended       int
}

func newYard(b *testing.B, program string, controllers, agents int) *yard {
	b.Helper()
	y := &yard{b: b, program: program, dir: b.TempDir(), api: freeAddress(b)}
	recipeFile := filepath.Join(y.dir, "recipe.yaml")
	must(b, os.WriteFile(recipeFile, []byte("version: 1\nname: test\nclean:\n- name: sweep\n  run: 'true'\nverify:\n- name: swept\n  run: 'true'\n"), 0o600))
	r, err := recipe.Load(recipeFile)
	must(b, err)
	compiled, err := r.Compile()
	must(b, err)
	y.shop = newWorkshop(compiled)
	y.shop.takes = func(s jenkinstest.Step) time.Duration {
		if ours(s.Job) {
			return 0
		}
		return 8 * time.Second // longer than the poll
	}
	var config strings.Builder
	fmt.Fprintf(&config, "version: 1\ndata: %s\nowner: bench\napi:\n  listen: %s\nrecipes:\n- {name: test, file: recipe.yaml}\npools:\n- {name: all, agents: el9, recipe: test}\ncontrollers:\n", y.dir, y.api)
	for i := range controllers {
		fmt.Fprintf(&config, "- {name: c%02d, url: '%s', user: ada, token: 'env:TOKEN', maxCleanups: 20}\n", i, y.controller(i, agents))
	}
	must(b, os.WriteFile(filepath.Join(y.dir, "pitcrew.yaml"), []byte(config.String()), 0o600))
	y.seed(controllers, agents)
	return y
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	return l.Addr().String()
}

// controller starts one with agents that are clean, and returns its address.
func (y *yard) controller(site, agents int) string {
	l, err := (&net.ListenConfig{}).Listen(y.b.Context(), "tcp", "127.0.0.1:0")
	must(y.b, err)
	address := "http://" + l.Addr().String() + "/"
	j, err := jenkinstest.New(jenkinstest.Options{
		RootURL: address, Execute: y.shop.execute, JournalLimit: 1, FeedLimit: 64, OnEntry: y.entry, Timing: quick,
		Security: jenkinstest.Security{Users: []jenkinstest.User{{Name: "ada", Tokens: []string{"11aa"}, Admin: true}}},
	})
	must(y.b, err)
	for i := range agents {
		_, err := j.AddAgent(jenkinstest.AgentSpec{Name: agentName(site, i), Labels: "cleanable el9 x86_64 clean"})
		must(y.b, err)
	}
	must(y.b, j.CreateFreeStyle(jenkinstest.JobSpec{
		Name: "app", Label: "clean&&el9", Script: "make", Concurrent: true, Params: []jenkinstest.ParamSpec{{Name: "SERIAL"}}, KeepBuilds: 50,
	}))
	server := &http.Server{Handler: j, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	y.controllers, y.servers = append(y.controllers, j), append(y.servers, server)
	return address
}

func (y *yard) entry(e jenkinstest.Entry) {
	if e.Kind == jenkinstest.EntryBuildEnd && ours(e.Job) {
		y.mu.Lock()
		defer y.mu.Unlock()
		y.ended++
	}
}

func (y *yard) cleanups() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.ended
}

// seed makes a store that has cleaned every agent once, so that the benchmark need not wait for that.
func (y *yard) seed(controllers, agents int) {
	s, err := store.Open(y.b.Context(), store.Options{Path: filepath.Join(y.dir, "pitcrew.db"), Owner: "bench"})
	must(y.b, err)
	for c := range controllers {
		for i := range agents {
			y.cleaned(s, hygiene.AgentID{Controller: hygiene.ControllerID(fmt.Sprintf("c%02d", c)), Name: agentName(c, i)})
		}
	}
	must(y.b, s.Close())
}

func (y *yard) cleaned(s *store.Store, id hygiene.AgentID) {
	policy := hygiene.Policy{Pool: "all", Recipe: "test", Revision: y.shop.program().Revision, Delivery: hygiene.ByJob}
	now := time.Now()
	for _, state := range []hygiene.State{hygiene.Due, hygiene.Claimed, hygiene.Running, hygiene.Granting, hygiene.Clean} {
		must(y.b, s.Change(y.b.Context(), id, now, func(c *store.Change) ([]hygiene.Event, error) {
			var err error
			switch state { //nolint:exhaustive // the others only move on
			case hygiene.Claimed:
				var t hygiene.Attempt
				c.Agent, t, err = hygiene.Claim(c.Agent, policy, "", "nonce", now)
				c.Attempt = &t
			case hygiene.Clean:
				t := *c.Attempt
				c.Agent, t, err = hygiene.Grant(c.Agent, t, c.Epoch, now)
				c.Attempt = &t
			default:
				c.Agent, err = c.Agent.To(state, "seeded", now)
				c.Agent.Pool = "all"
				if state == hygiene.Granting {
					c.Attempt.Proved = now
				}
			}
			return []hygiene.Event{{Type: hygiene.EventGranted, At: now}}, err
		}))
	}
}

// traffic uses each agent every ten minutes on average.
func (y *yard) traffic() (stop func()) {
	ctx, cancel := context.WithCancel(y.b.Context())
	var wg sync.WaitGroup
	for i, j := range y.controllers {
		wg.Go(func() {
			for serial := 0; ctx.Err() == nil; serial++ {
				_, _ = j.Schedule("app", map[string]string{"SERIAL": fmt.Sprint(serial)})
				pause := time.Duration(chance(2000, i, serial)) * usedEvery / perController / 1000
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

func (y *yard) close() {
	for i, s := range y.servers {
		_ = s.Close()
		y.controllers[i].Close()
	}
}

// daemon is a running pitcrew.
type daemon struct {
	*yard
	cmd *exec.Cmd
	log bytes.Buffer
}

func (y *yard) serve() *daemon {
	d := &daemon{yard: y}
	d.cmd = exec.CommandContext(y.b.Context(), y.program, "serve", "--config", filepath.Join(y.dir, "pitcrew.yaml"))
	d.cmd.Env = append(os.Environ(), "TOKEN=11aa")
	d.cmd.Stderr = &d.log
	must(y.b, d.cmd.Start())
	return d
}

func (d *daemon) awaitReady() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); wait(d.b, 5*time.Millisecond) {
		req, err := http.NewRequestWithContext(d.b.Context(), http.MethodGet, "http://"+d.api+"/readyz", nil)
		must(d.b, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	d.b.Fatalf("the daemon is not ready: %s", d.log.String())
}

func (d *daemon) end() {
	_ = d.cmd.Process.Signal(os.Interrupt)
	if err := d.cmd.Wait(); err != nil {
		d.b.Errorf("daemon: %v\n%s", err, d.log.String())
	}
}

// cpu is the processor time that the daemon has used, in the kernel's ticks of 10 ms.
func (d *daemon) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	must(d.b, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	must(d.b, err)
	system, err := strconv.Atoi(fields[12])
	must(d.b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is the resident set in MiB.
func (d *daemon) memory() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(d.b, err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	must(d.b, err)
	return float64(kib) / 1024
}
