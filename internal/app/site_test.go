// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// waitLimit bounds every wait for something that is sure to come.
const waitLimit = 2 * time.Minute

// site is a controller on a real socket with real agents, and a directory with a configuration for
// a daemon that services them.
type site struct {
	t       *testing.T
	jenkins *jenkinstest.Jenkins
	url     string
	dir     string
	entries *signal // of the controller's journal

	before   int          // events that the store held when the test began
	sessions atomic.Int64 // of the agent's process, where programs are only told
}

// siteToken is the daemon's token on the controller. It must appear nowhere else.
const siteToken = "canary-5b1d9e6c2f7a4083"

// siteSpec says what a site is made of; the zero value has one agent and fast polls.
type siteSpec struct {
	agents []jenkinstest.AgentSpec
	config func(string) string // changes the configuration
	recipe string
	// execute stands in for the steps of builds; nil runs them.
	execute func(context.Context, jenkinstest.Step) jenkinstest.StepResult
}

const siteRecipe = `
version: 1
name: test
clean:
  - name: sweep
    run: rm -rf "$WORKSPACE/../left-over"
verify:
  - name: swept
    run: test ! -e "$WORKSPACE/../left-over"
`

func newSite(t *testing.T, spec siteSpec) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), entries: newSignal()}
	server := httptest.NewUnstartedServer(nil)
	s.url = "http://" + server.Listener.Addr().String() + "/"
	var err error
	s.jenkins, err = jenkinstest.New(jenkinstest.Options{
		RootURL: s.url, Dir: filepath.Join(s.dir, "fleet"), Execute: spec.execute,
		Security: jenkinstest.Security{Users: []jenkinstest.User{{Name: "pitcrew", Tokens: []string{siteToken}, Admin: true}}},
		OnEntry:  func(jenkinstest.Entry) { s.entries.raise() },
	})
	must(t, err)
	server.Config.Handler = s.jenkins
	server.Start()
	t.Cleanup(func() {
		s.jenkins.Close()
		server.Close()
	})
	if spec.agents == nil {
		spec.agents = []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}}
	}
	for _, a := range spec.agents {
		_, err := s.jenkins.AddAgent(a)
		must(t, err)
	}
	if spec.recipe == "" {
		spec.recipe = siteRecipe
	}
	// All sites have an agent of one name on this one machine: in a place of its own none meets another's runs.
	must(t, os.Mkdir(s.path("place"), 0o700))
	s.write("recipe.yaml", strings.Replace(spec.recipe, "version: 1\n", "version: 1\nplaces: [\""+s.path("place")+"\"]\n", 1))
	s.write("token", siteToken)
	text := fmt.Sprintf(`version: 1
data: data
owner: test
api:
  listen: 127.0.0.1:0
controllers:
- name: ci
  url: %s
  user: pitcrew
  token: file:%s/token
  poll: 100ms
  requests: {perSecond: 10000}
recipes:
- name: test
  file: recipe.yaml
pools:
- name: all
  recipe: test
  backoff: {first: 1s, max: 2s}
`, s.url, s.dir)
	if spec.config != nil {
		text = spec.config(text)
	}
	s.write("pitcrew.yaml", text)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.path(name), []byte(text), 0o600))
}

// edit replaces a part of the configuration.
func (s *site) edit(old, replacement string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("pitcrew.yaml"))
	must(s.t, err)
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("the configuration has no %q", old)
	}
	s.write("pitcrew.yaml", strings.Replace(string(text), old, replacement, 1))
}

// await waits until ok; it is asked after each entry of the controller's journal.
func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	s.entries.await(s.t, what, ok)
}

// labelled waits until an agent shows these labels of ours and others.
func (s *site) labelled(agent, labels string) {
	s.t.Helper()
	s.await(agent+" labelled "+labels, func() bool { return s.jenkins.Labels(agent) == labels })
}

// cleanups are the builds of the slots that carry programs.
func (s *site) cleanups() []jenkinstest.BuildState {
	var all []jenkinstest.BuildState
	for i := range 10 {
		all = append(all, s.jenkins.Builds(fmt.Sprintf("pitcrew-slot-%02d", i+1))...)
	}
	return all
}

// signal wakes those who wait for a condition.
type signal struct {
	mu   sync.Mutex
	news chan struct{}
}

func newSignal() *signal { return &signal{news: make(chan struct{})} }

func (s *signal) raise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.news)
	s.news = make(chan struct{})
}

func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.news
}

func (s *signal) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(waitLimit)
	for {
		news := s.next()
		if ok() {
			return
		}
		select {
		case <-news:
		case <-limit:
			t.Fatalf("still not: %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
