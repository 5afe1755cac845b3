// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// scheme is what a team does without pitcrew: a scheduler job runs every minute, takes clean off
// agents that are used, marks idle ones that are not clean as dirty, and starts a cleanup job on
// them, which sets clean itself at its end. It is given every advantage: it never fails, reads
// nothing back, and its own start takes no time.
type scheme struct {
	t       *testing.T
	jenkins *jenkinstest.Jenkins
	over    atomic.Bool // nothing is judged any more
}

// schemePeriod is how often the scheduler job runs.
const schemePeriod = time.Minute

func schemeAtWork(t *testing.T, agents int, w *stopwatch) {
	t.Helper()
	s := &scheme{t: t}
	var err error
	s.jenkins, err = jenkinstest.New(jenkinstest.Options{
		Execute: newWorkshop(compile(t)).timed(s.cleaned), RootURL: root, Timing: quick, Seed: 1, JournalLimit: 1, FeedLimit: 64, OnEntry: w.entry,
		Security: jenkinstest.Security{Users: []jenkinstest.User{{Name: "scheduler", Tokens: []string{"11aa"}, Admin: true}}},
	})
	must(t, err)
	defer s.jenkins.Close()
	for _, spec := range benchAgents(agents) {
		_, err := s.jenkins.AddAgent(spec)
		must(t, err)
		must(t, s.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "scheme-" + spec.Name, Label: spec.Name, Script: "clean", KeepBuilds: 2}))
	}
	s.jenkins.Inject(wire)
	app(t, s.jenkins)
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() {
		s.over.Store(true)
		close(stop)
		<-stopped
	}()
	go func() {
		defer close(stopped)
		s.schedule(stop)
	}()
	time.Sleep(5 * time.Minute)
	traffic(t, s.jenkins, agents, warmUpTime, 0)
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	traffic(t, s.jenkins, agents, benchTime, 1<<20)
}

func (s *scheme) schedule(stop <-chan struct{}) {
	tick := time.NewTicker(schemePeriod)
	defer tick.Stop()
	for {
		s.once()
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// once is one run of the scheduler job. It works on the agents side by side.
func (s *scheme) once() {
	var fleet struct {
		Computer []struct {
			DisplayName    string
			Idle           bool
			AssignedLabels []struct{ Name string }
		}
	}
	must(s.t, json.Unmarshal(s.do(http.MethodGet, "computer/api/json?tree="+url.QueryEscape("computer[displayName,idle,assignedLabels[name]]"), nil), &fleet))
	done := make(chan struct{})
	n := 0
	for _, c := range fleet.Computer {
		var labels []string
		for _, l := range c.AssignedLabels {
			labels = append(labels, l.Name)
		}
		if !slices.Contains(labels, "cleanable") || slices.Contains(labels, "dirty") || c.Idle && slices.Contains(labels, "clean") {
			continue
		}
		n++
		go func() {
			defer func() { done <- struct{}{} }()
			if !c.Idle {
				s.show(c.DisplayName, hygiene.ShowDue)
				return
			}
			s.show(c.DisplayName, hygiene.ShowDirty)
			s.do(http.MethodPost, "job/scheme-"+c.DisplayName+"/build?delay=0sec", nil)
		}()
	}
	for range n {
		<-done
	}
}

// cleaned is the end of the cleanup job.
func (s *scheme) cleaned(agent string) { s.show(agent, hygiene.ShowClean) }

var labelText = regexp.MustCompile(`\n  <label>[^<]*</label>`)

// show writes our labels of an agent.
func (s *scheme) show(agent string, want hygiene.Labels) {
	path := "computer/" + agent + "/config.xml"
	labels := hygiene.DefaultNames.Apply(labelexpr.Tokens(s.jenkins.Labels(agent)), want)
	doc := labelText.ReplaceAll(s.do(http.MethodGet, path, nil), []byte("\n  <label>"+labelexpr.Join(labels)+"</label>"))
	s.do(http.MethodPost, path, doc)
}

func (s *scheme) do(method, path string, body []byte) []byte {
	req, err := http.NewRequestWithContext(s.t.Context(), method, root+path, bytes.NewReader(body))
	must(s.t, err)
	req.SetBasicAuth("scheduler", "11aa")
	resp, err := s.jenkins.Transport().RoundTrip(req)
	if err != nil && s.over.Load() {
		return nil
	}
	must(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(s.t, err)
	if resp.StatusCode >= 400 {
		must(s.t, fmt.Errorf("%s %s: %s", method, path, resp.Status))
	}
	return text
}

// timed runs steps that only take their time; cleaned is called at the end of a cleanup.
func (w *workshop) timed(cleaned func(string)) func(context.Context, jenkinstest.Step) jenkinstest.StepResult {
	return func(ctx context.Context, s jenkinstest.Step) jenkinstest.StepResult {
		r := idle(ctx, benchTakes(s))
		if r.Exit == 0 && strings.HasPrefix(s.Job, "scheme-") {
			cleaned(s.Agent)
		}
		return r
	}
}
