// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// garage is a daemon that services simulated controllers, all in this process.
type garage struct {
	dir      string
	jenkins  map[string]*jenkinstest.Jenkins
	servers  []*http.Server
	app      *app.App
	cancel   context.CancelFunc
	finished chan error
}

// jenkinsToken is the daemon's on each controller. No output may show it.
const jenkinsToken = "canary-jenkins-token"

// fleet is what each controller of a garage has: names, and labels beside cleanable.
var fleet = map[string]string{"el9-1": "el9", "el9-2": "el9", oddAgent: "el8"}

// oddAgent has what shells, addresses and tables stumble over.
const oddAgent = `büro (2)`

// openGarage starts controllers with these names and a daemon that services them, and waits until
// all of their agents are clean and seen to be.
func openGarage(ctx context.Context, dir string, controllers ...string) (_ *garage, err error) {
	g := &garage{dir: dir, jenkins: map[string]*jenkinstest.Jenkins{}, finished: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	blocks := ""
	for _, name := range controllers {
		url, err := g.openController(ctx, name)
		if err != nil {
			return g, err
		}
		blocks += fmt.Sprintf(controllerBlock, name, url, g.path("jenkins.token"))
	}
	if err := g.writeFiles(blocks); err != nil {
		return g, err
	}
	if err := g.serve(ctx); err != nil {
		return g, err
	}
	return g, g.awaitClean(ctx, len(controllers)*len(fleet))
}

func (g *garage) path(name string) string { return filepath.Join(g.dir, name) }

func (g *garage) openController(ctx context.Context, name string) (url string, err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	url = "http://" + l.Addr().String() + "/"
	j, err := jenkinstest.New(jenkinstest.Options{RootURL: url, Dir: g.path("controller-" + name), Seed: 1, Security: security(), Script: console(g.path("home-" + name))})
	if err != nil {
		return "", errors.Join(err, l.Close())
	}
	g.jenkins[name] = j
	server := &http.Server{Handler: j, ReadHeaderTimeout: time.Minute}
	g.servers = append(g.servers, server)
	go func() { _ = server.Serve(l) }()
	for agent, labels := range fleet {
		if _, err := j.AddAgent(jenkinstest.AgentSpec{Name: agent, Labels: "cleanable " + labels}); err != nil {
			return "", err
		}
	}
	return url, nil
}

// security gives the daemon what it needs and nothing more.
func security() jenkinstest.Security {
	return jenkinstest.Security{Users: []jenkinstest.User{{
		Name: "pitcrew", Tokens: []string{jenkinsToken},
		Permissions: []jenkinstest.Permission{
			jenkinstest.Read, jenkinstest.AgentConfigure, jenkinstest.AgentConnect, jenkinstest.AgentDisconnect,
			jenkinstest.JobRead, jenkinstest.JobCreate, jenkinstest.JobConfigure, jenkinstest.JobBuild,
			jenkinstest.JobCancel, jenkinstest.JobDelete, jenkinstest.RunUpdate,
		},
	}, {Name: "root", Tokens: []string{adminToken}, Permissions: []jenkinstest.Permission{jenkinstest.Administer}}}}
}

const controllerBlock = `- name: %s
  url: %s
  user: pitcrew
  token: file:%s
  poll: 200ms
  requests: {perSecond: 1000}
`

const daemonConfig = `version: 1
data: %s
owner: test
api: {listen: "%s"}
log: {level: error}
controllers:
%srecipes:
- {name: test, file: recipe.yaml}
pools:
- {name: el9, agents: el9, recipe: test, backoff: {first: 1h}, capacityFloor: 0}
- {name: rest, agents: el8, recipe: test, backoff: {first: 1h}, capacityFloor: 0}
`

// testRecipe fails on agents for which there is a file broken-NAME.
const testRecipe = `version: 1
name: test
disjoint: true
places: [%s]
clean:
  - name: tidy
    run: |
      if test -e "%s/broken-$NODE_NAME"; then
        echo "this agent is broken"
        exit 1
      fi
verify:
  - name: proof
    run: "true"
`

func (g *garage) writeFiles(controllers string) error {
	return errors.Join(
		os.WriteFile(g.path("jenkins.token"), []byte(jenkinsToken+"\n"), 0o600),
		os.WriteFile(g.path("recipe.yaml"), fmt.Appendf(nil, testRecipe, g.dir, g.dir), 0o600),
		os.WriteFile(g.path("daemon.yaml"), fmt.Appendf(nil, daemonConfig, g.path("data"), "127.0.0.1:0", controllers), 0o600),
	)
}

// serve runs the daemon, and leaves a configuration from which a client on this machine finds it.
func (g *garage) serve(ctx context.Context) error {
	holder, err := config.NewHolder(g.path("daemon.yaml"))
	if err != nil {
		return err
	}
	g.app, err = app.New(ctx, app.Options{Config: holder, Log: slog.New(slog.DiscardHandler), Version: api.Version{Version: "1.2.3"}})
	if err != nil {
		return err
	}
	ctx, g.cancel = context.WithCancel(ctx)
	go func() { g.finished <- g.app.Run(ctx) }()
	text, err := os.ReadFile(g.path("daemon.yaml"))
	if err != nil {
		return err
	}
	here := strings.Replace(string(text), "127.0.0.1:0", g.app.Addr().String(), 1)
	return os.WriteFile(g.path("pitcrew.yaml"), []byte(here), 0o600)
}

func (g *garage) url() string { return "http://" + g.app.Addr().String() }

// token is the first one, which the daemon left in its data directory.
func (g *garage) token() (string, error) {
	text, err := os.ReadFile(g.path("data/" + tokenName))
	return strings.TrimSpace(string(text)), err
}

// awaitClean waits until n agents are clean.
func (g *garage) awaitClean(ctx context.Context, n int) error {
	token, err := g.token()
	if err != nil {
		return err
	}
	c, err := client.New(client.Options{URL: g.url(), Token: token})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		agents, err := collect(c.Agents(ctx, api.AgentQuery{Hygiene: []string{"clean"}}))
		if err != nil {
			return err
		}
		ready := 0
		for _, a := range agents {
			if slices.Contains(a.Labels, "clean") { // as the newest poll saw it
				ready++
			}
		}
		if ready >= n {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("wait for %d clean agents, have %d: %w", n, ready, err)
		}
	}
}

func (g *garage) close() error {
	var err error
	if g.cancel != nil {
		g.cancel()
		err = <-g.finished
	}
	for _, j := range g.jenkins {
		j.Close()
	}
	for _, s := range g.servers {
		err = errors.Join(err, s.Close())
	}
	return err
}
