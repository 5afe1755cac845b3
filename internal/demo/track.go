// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// track is one of the two controllers, with its agents and its builds.
type track struct {
	jenkins  *jenkinstest.Jenkins
	url      string
	token    string // of the daemon's account
	dir      string // what the agents own
	server   *http.Server
	requests atomic.Int64 // of the daemon, but for the shared polls
	ledger   *ledger

	mu     sync.Mutex
	orders []*placed
}

// trackSpec says in what the two controllers differ, and what they share.
type trackSpec struct {
	root, cookie string
	seed         uint64
	fleet        []agentPlan
	labels       string // of every agent, beside its kind
	wants        string // what every job asks for, before the kind
	first        string // what every job does before its own script
}

// messScript is what users' builds do: they print a first line, work, and leave a mess. FIRST,
// DIR, MESSVAR and COOKIE are filled in. The time of the first line is written to a file.
const messScript = `#!/bin/sh
FIRST
echo "first line of $ORDER"
date +%s%N >"DIR/first/$ORDER"
export MESSVAR="COOKIE:$NODE_NAME"
mess="DIR/$NODE_NAME/mess"
case $MESS in
files) mkdir -p "$mess/target" && for i in 1 2 3 4 5 6 7 8; do echo "$i" >"$mess/target/$i.o"; done ;;
full) mkdir -p "$mess/cache" && dd if=/dev/zero of="$mess/cache/blob" bs=65536 count=16 2>/dev/null ;;
process) BUILD_ID=dontKillMe setsid sh -c 'while sleep 1; do :; done' >/dev/null 2>&1 </dev/null & ;;
esac
sleep "$WORK"
`

// newTrack starts a controller with its agents and jobs.
func newTrack(ctx context.Context, spec trackSpec) (_ *track, err error) {
	t := &track{dir: filepath.Join(spec.root, "own"), token: rand.Text(), ledger: newLedger()}
	if err := prepareDirs(t.dir, spec.fleet); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated controller: %w", err)
	}
	t.url = "http://" + l.Addr().String() + "/"
	t.jenkins, err = jenkinstest.New(jenkinstest.Options{
		RootURL: t.url, Dir: spec.root, Seed: spec.seed, JournalLimit: journalLimit, OnEntry: t.ledger.note,
		Security: security(t.token),
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	t.server = &http.Server{Handler: http.HandlerFunc(t.count), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = t.server.Serve(l) }() // ends with the server's own Close
	if err := errors.Join(t.addAgents(spec), t.addJobs(spec)); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// Bounds of what a controller keeps of a long demo.
const (
	journalLimit = 1000
	keptBuilds   = 500 // of each job
)

func (t *track) addAgents(spec trackSpec) error {
	for _, a := range spec.fleet {
		labels := strings.TrimSpace(spec.labels + " " + a.label)
		if _, err := t.jenkins.AddAgent(jenkinstest.AgentSpec{Name: a.name, Labels: labels}); err != nil {
			return err
		}
	}
	return nil
}

func (t *track) addJobs(spec trackSpec) error {
	script := strings.NewReplacer("FIRST", spec.first, "DIR", t.dir, "MESSVAR", messVar, "COOKIE", spec.cookie).Replace(messScript)
	for _, k := range kinds {
		for _, project := range projects {
			err := t.jenkins.CreateFreeStyle(jenkinstest.JobSpec{
				Name: jobName(project, k.label), Label: spec.wants + k.label, Script: script, Concurrent: true, KeepBuilds: keptBuilds,
				Params: []jenkinstest.ParamSpec{{Name: "ORDER"}, {Name: "MESS"}, {Name: "WORK"}},
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func jobName(project, label string) string { return project + "-" + label }

// userName is the daemon's account on the simulated controller.
const userName = "pitcrew"

// security gives the daemon what it needs and nothing more, and lets everybody look.
func security(token string) jenkinstest.Security {
	return jenkinstest.Security{
		Anonymous: []jenkinstest.Permission{jenkinstest.Read, jenkinstest.JobRead},
		Users: []jenkinstest.User{{
			Name: userName, Tokens: []string{token},
			Permissions: []jenkinstest.Permission{
				jenkinstest.Read, jenkinstest.AgentConfigure, jenkinstest.AgentConnect, jenkinstest.AgentDisconnect,
				jenkinstest.JobRead, jenkinstest.JobCreate, jenkinstest.JobConfigure, jenkinstest.JobBuild,
				jenkinstest.JobCancel, jenkinstest.JobDelete, jenkinstest.RunUpdate,
			},
		}},
	}
}

// count serves the controller and counts the daemon's requests, but for the two of each poll.
// People who look with a browser are not counted.
func (t *track) count(w http.ResponseWriter, r *http.Request) {
	user, _, _ := r.BasicAuth()
	if user == userName && r.URL.Path != "/computer/api/json" && r.URL.Path != "/queue/api/json" {
		t.requests.Add(1)
	}
	t.jenkins.ServeHTTP(w, r)
}

// place gives an order to the controller.
func (t *track) place(o order) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &placed{order: o, id: fmt.Sprintf("order-%04d", len(t.orders)+1), since: time.Now()}
	_, err := t.jenkins.Schedule(jobName(o.project, o.label), map[string]string{
		"ORDER": p.id, "MESS": o.mess, "WORK": fmt.Sprintf("%.1f", o.work.Seconds()),
	})
	if err != nil {
		return fmt.Errorf("place %s: %w", p.id, err)
	}
	t.orders = append(t.orders, p)
	return nil
}

// close ends the controller with all its processes.
func (t *track) close() error {
	t.jenkins.Close()
	return t.server.Close()
}
