// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
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
	dir      string // what the agents own
	server   *http.Server
	requests atomic.Int64 // but for the shared polls

	mu     sync.Mutex
	orders []*placed
}

// placed is an order that was given to a controller.
type placed struct {
	order
	id    string
	since time.Time
}

// messScript is what users' builds do: they print a first line, work, and leave a mess. MARK, DIR
// and PREFIX are filled in; PREFIX is the cleanup for the track that cleans in band.
const messScript = `#!/bin/sh
PREFIX
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

// newTrack starts a controller with the fleet. Jobs of the demo ask for label, which has %s for
// the kind of agent.
func newTrack(ctx context.Context, root, label, prefix, cookie string, seed uint64, fleet []agentPlan, labels string) (*track, error) {
	t := &track{dir: filepath.Join(root, "own")}
	if err := prepareDirs(t.dir, fleet); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated controller: %w", err)
	}
	t.url = "http://" + l.Addr().String() + "/"
	t.jenkins, err = jenkinstest.New(jenkinstest.Options{
		RootURL: t.url, Dir: root, Seed: seed, JournalLimit: 20000, Security: security(cookie),
	})
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	t.server = &http.Server{Handler: http.HandlerFunc(t.count), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = t.server.Serve(l) }() // ends with the server's own Close
	for _, a := range fleet {
		if _, err := t.jenkins.AddAgent(jenkinstest.AgentSpec{Name: a.name, Labels: strings.TrimSpace(labels + " " + a.label)}); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	script := strings.NewReplacer("DIR", t.dir, "PREFIX", prefix, "MESSVAR", messVar, "COOKIE", cookie).Replace(messScript)
	for _, k := range kinds {
		err := t.jenkins.CreateFreeStyle(jenkinstest.JobSpec{
			Name: "app-" + k.label, Label: fmt.Sprintf(label, k.label), Script: script, Concurrent: true,
			Params: []jenkinstest.ParamSpec{{Name: "ORDER"}, {Name: "MESS"}, {Name: "WORK"}},
		})
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

// userName is the daemon's account on the simulated controller; its token is the run's cookie.
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

// count serves the controller and counts requests, but for the two of each poll.
func (t *track) count(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/computer/api/json" && r.URL.Path != "/queue/api/json" {
		t.requests.Add(1)
	}
	t.jenkins.ServeHTTP(w, r)
}

// place gives an order to the controller.
func (t *track) place(o order) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := &placed{order: o, id: fmt.Sprintf("order-%04d", len(t.orders)+1), since: time.Now()}
	_, err := t.jenkins.Schedule("app-"+o.label, map[string]string{
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
