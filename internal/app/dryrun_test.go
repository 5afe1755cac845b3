// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// dryRun runs a daemon that only shows what it would do.
func (s *site) dryRun() *daemon {
	s.t.Helper()
	d := &daemon{t: s.t, ended: make(chan error, 1), log: &logBuffer{news: newSignal()}}
	holder, err := config.NewHolder(s.path("pitcrew.yaml"))
	must(s.t, err)
	d.App, err = app.New(s.t.Context(), app.Options{Config: holder, Log: slog.New(slog.NewTextHandler(d.log, nil)), DryRun: true})
	must(s.t, err)
	d.url = "http://" + d.Addr().String()
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	go func() { d.ended <- d.Run(ctx) }()
	s.t.Cleanup(d.end)
	return d
}

// bare asks the API with a token, or without any.
func (d *daemon) bare(method, path, token string) (int, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+path, http.NoBody)
	must(d.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	must(d.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(d.t, err)
	return resp.StatusCode, string(text)
}

func TestADryRunOfAFreshInstallationIsLookedAtWithoutAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	var mu sync.Mutex
	writes := map[string]bool{}
	s.jenkins.Inject(jenkinstest.Fault{Match: func(r *http.Request) bool {
		if r.Method != http.MethodGet {
			mu.Lock()
			defer mu.Unlock()
			writes[r.Method+" "+r.URL.RequestURI()] = true
		}
		return false
	}})
	d := s.dryRun()
	d.log.news.await(t, "a plan in the log", func() bool { return strings.Contains(d.log.String(), `would="clean the agent"`) })
	if code, text := d.bare(http.MethodGet, "/api/v1/plan", ""); code != http.StatusOK || !strings.Contains(text, `"action":"begin"`) {
		t.Errorf("the plan is answered with %d: %s", code, text)
	}
	if code, _ := d.bare(http.MethodPost, "/api/v1/agents/ci/linux-7/clean", ""); code != http.StatusConflict {
		t.Errorf("an order without a token is answered with %d", code)
	}
	if code, _ := d.bare(http.MethodGet, "/api/v1/plan", "pitcrew_nonsense"); code != http.StatusUnauthorized {
		t.Errorf("an unknown token is answered with %d", code)
	}
	scratch := d.Store().Path()
	d.end()
	if _, err := os.Stat(s.path("data")); !os.IsNotExist(err) {
		t.Errorf("there is a data directory: %v", err)
	}
	if _, err := os.Stat(scratch); !os.IsNotExist(err) {
		t.Errorf("its own store is left: %v", err)
	}
	if got := s.jenkins.Labels("linux-7"); got != "cleanable el7" || len(s.cleanups()) > 0 {
		t.Errorf("the controller was changed: labels %q, %d cleanups", got, len(s.cleanups()))
	}
	// The checks of a controller ask for permissions by two forms that Jenkins refuses whoever sends them.
	delete(writes, "POST /createItem")
	delete(writes, "POST /computer/linux-7/configSubmit")
	if len(writes) > 0 {
		t.Errorf("it sent %v", slices.Sorted(maps.Keys(writes)))
	}
}

func TestADryRunThatOthersCanReachWantsAToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{config: func(text string) string { return strings.Replace(text, "127.0.0.1:0", "0.0.0.0:0", 1) }})
	d := s.dryRun()
	d.url = strings.Replace(d.url, "[::]", "127.0.0.1", 1)
	if code, text := d.bare(http.MethodGet, "/api/v1/plan", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token it is answered with %d: %s", code, text)
	}
}

func TestADryRunKnowsTheTokenThatTheDaemonLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	s.run().end()
	text, err := os.ReadFile(s.path("data/" + app.TokenFile))
	must(t, err)
	d := s.dryRun()
	if code, text := d.bare(http.MethodGet, "/api/v1/doctor", strings.TrimSpace(string(text))); code != http.StatusOK {
		t.Errorf("the doctor is answered with %d: %s", code, text)
	}
}
