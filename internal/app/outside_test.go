// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestMetricsAreNamedByTheRulesAndBeginAtZero(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteSpec{})
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	want := []string{
		`pitcrew_agents{controller="ci",hygiene="clean",occupancy="idle",pool="all"} 1`,
		`pitcrew_cleanups_total{controller="ci",outcome="cleaned",pool="all"} 1`,
		`pitcrew_cleanups_total{controller="ci",outcome="failed",pool="all"} 0`,
		`pitcrew_contaminated_builds_total{controller="ci",pool="all"} 0`,
		`pitcrew_residue_found_total{controller="ci",kind="processes",pool="all"} 0`,
		`pitcrew_residue_removed_bytes_total{controller="ci",kind="files",pool="all"} 0`,
		`pitcrew_stuck_agents{controller="ci",pool="all"} 0`,
		`pitcrew_sweeps_total{controller="ci",result="failed"} 0`,
		`pitcrew_cleanup_duration_seconds_count{controller="ci",depth="standard",pool="all"} 1`,
		`pitcrew_jenkins_requests_total{controller="ci",operation="read fleet",status="200"}`,
		`pitcrew_last_sweep_timestamp_seconds{controller="ci"}`,
		`pitcrew_loop_heartbeat_timestamp_seconds{controller="ci",loop="contain"}`,
		`pitcrew_loop_heartbeat_timestamp_seconds{controller="ci",loop="decide"}`,
		`pitcrew_loop_heartbeat_timestamp_seconds{controller="ci",loop="listen"}`,
		`pitcrew_loop_heartbeat_timestamp_seconds{controller="ci",loop="observe"}`,
		`pitcrew_cleanup_wait_seconds_count{controller="ci",pool="all"} 1`,
		`pitcrew_jenkins_request_duration_seconds_count{controller="ci",operation="build"} 1`,
	}
	var text string
	ticker := time.NewTicker(20 * time.Millisecond) // the end of a cleanup is counted just after it is stored
	defer ticker.Stop()
	for limit := time.After(waitLimit); len(want) > 0; {
		select {
		case <-ticker.C:
		case <-limit:
			t.Fatalf("no lines %q in\n%s", want, text)
		}
		_, text = d.get("/metrics")
		want = slices.DeleteFunc(want, func(line string) bool { return strings.Contains(text, "\n"+line) })
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(t, err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "pitcrew_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// receiver is a webhook that keeps what it is told. A notice that comes again bears the same id: the
// sender may have died before it noted the delivery.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	known map[string]bool // ids
	types []string
	news  *signal
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{news: newSignal(), known: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var envelope struct {
			ID   string `json:"id"`
			Type string `json:"type"`
		}
		if err := json.NewDecoder(req.Body).Decode(&envelope); err != nil {
			t.Errorf("envelope: %v", err)
		}
		_, kind, _ := strings.Cut(envelope.Type, "pitcrew-ci.")
		r.mu.Lock()
		if !r.known[envelope.ID] {
			r.known[envelope.ID] = true
			r.types = append(r.types, kind)
		}
		r.mu.Unlock()
		r.news.raise()
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.types)
}

func TestPeopleAreToldOncePerChangeOfStateAndNeverPerAttempt(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t)
	s := newSite(t, siteSpec{
		recipe: strings.Replace(siteRecipe, `test ! -e "$WORKSPACE/../left-over"`, "test -e OKFILE", 1),
		config: func(text string) string {
			return text + "notifications:\n- name: hook\n  webhook: {url: '" + hook.URL + "'}\n  events: [quarantined, released, contaminated, deadman, breaker]\n"
		},
	})
	recipe, err := os.ReadFile(s.path("recipe.yaml"))
	must(t, err)
	s.write("recipe.yaml", strings.Replace(string(recipe), "OKFILE", s.path("ok"), 1))
	d := s.run()
	d.committed(hygiene.EventFailed, 3)
	d.committed(hygiene.EventQuarantined, 1)
	s.write("ok", "")
	if status, text := d.ask(http.MethodPost, "/api/v1/agents/ci/linux-7/clean", `{"reason":"mended"}`); status >= 300 {
		t.Fatalf("the order was answered %d: %s", status, text)
	}
	d.committed(hygiene.EventGranted, 1)
	hook.news.await(t, "the release being told", func() bool { return slices.Contains(hook.told(), string(hygiene.EventReleased)) })
	want := []string{string(hygiene.EventQuarantined), string(hygiene.EventReleased)}
	if got := hook.told(); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	d.end()
	d = s.run() // a new process tells nothing again
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventGranted, 2)
	d.end()
	if got := hook.told(); !slices.Equal(got, want) {
		t.Errorf("after a restart: told %q, want %q", got, want)
	}
}
