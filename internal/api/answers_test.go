// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// furnish fills the house with one of everything.
func furnish(t *testing.T, h *house) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"el9-1", "el9-2", odd} {
		h.adopt(t, name)
		h.crew.see(name, "cleanable", "el9")
	}
	first := hygiene.AgentID{Controller: "main", Name: "el9-1"}
	for _, reason := range []string{"/dev/loop3 is busy", "/dev/loop3 is still busy"} {
		h.claim(t, first)
		h.fail(t, first, reason)
	}
	log := "cleaning\n#### " + nonce + " report\n"
	must(h.store.SaveReport(ctx, first, 2, []byte(`{"outcome":"failed","steps":[{"name":"processes","exit":1}]}`), []byte(log)))
	h.claim(t, hygiene.AgentID{Controller: "main", Name: "el9-2"})
	h.stick(t, hygiene.AgentID{Controller: "main", Name: "el9-2"})
	_, err := h.store.RecordBuilds(ctx, first, began, []store.Build{
		{Agent: first, URL: "http://jenkins.example/job/a/1/", Job: "a", Number: 1, At: began, Attempt: 1},
		{Agent: first, URL: "http://jenkins.example/job/a/2/", Job: "a", Number: 2, At: began.Add(time.Minute), Contaminated: true, Reason: "it is not the first build since the agent was cleaned"},
	})
	must(err)
	must(h.store.SaveResidue(ctx, first, 2, []store.Residue{
		{Pool: "linux", At: began, Kind: "process", Culprit: store.Suspect{Job: "a", Build: 1}, By: "environment", Things: 3, Oldest: time.Hour, Example: "4711 sleep"},
		{Pool: "linux", At: began, Kind: "directory", By: "history", Suspects: []store.Suspect{{Job: "a", Build: 2}, {Job: "b", Build: 7}}, Things: 1, Bytes: 4096, Example: "/srv/ci/x"},
	}))
	must(h.store.SaveSlot(ctx, store.Slot{Controller: "main", Job: "ci/pitcrew-slot-01", Digest: "d", Content: "c", Agent: "el9-2", Attempt: 1}))
	must(h.store.SaveSlot(ctx, store.Slot{Controller: "main", Job: "ci/pitcrew-slot-02", Digest: "d", Refused: "job ci/pitcrew-slot-02 was changed by somebody"}))
	must(h.store.SetPause(ctx, store.Pause{Scope: "pool:linux", Reason: "new switch", By: "the operator", Since: began}))
	must(h.store.SaveBreaker(ctx, store.BreakerRow{Pool: "main/linux", Revision: "sha256:0001", Opened: began, Reason: "3 failures on 3 agents"}))
	must(h.store.SavePoolState(ctx, store.PoolRow{Pool: "main/linux", DeadSince: began}))
	h.crew.jobs = []jenkins.JobInfo{
		{FullName: "open", LabelExpression: "el9", LabelKnown: true}, {FullName: "pitcrew-slot-01", LabelExpression: "el9-1", LabelKnown: true},
	}
}

// volatile are times that are the test's own.
var volatile = regexp.MustCompile(`"(at|started|last_sweep|since|until|expires|next_look)": ?"20[^"]*"`)

func steady(body []byte) []byte {
	return volatile.ReplaceAllFunc(body, func(m []byte) []byte {
		if bytes.Contains(m, []byte("2026-11-22T1")) && bytes.Contains(m, []byte(":00Z")) {
			return m // began, and what was counted from it
		}
		name, _, _ := bytes.Cut(m, []byte(":"))
		return append(name, `:"(now)"`...)
	})
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, target string }{
		{"agents", "/api/v1/agents"},
		{"agents-filtered", "/api/v1/agents?state=quarantined&labels=el9+%26%26+!gpu&pool=linux&controller=main"},
		{"agent", "/api/v1/agents/main/el9-1"},
		{"attempts", "/api/v1/attempts?outcome=failed&limit=1"},
		{"attempts-open", "/api/v1/attempts?open=true"},
		{"builds", "/api/v1/builds?contaminated=true"},
		{"culprits", "/api/v1/residue?since=2026-11-22T00:00:00Z"},
		{"residue", "/api/v1/agents/main/el9-1/residue"},
		{"controllers", "/api/v1/controllers"},
		{"pools", "/api/v1/pools"},
		{"pauses", "/api/v1/pauses"},
		{"slots", "/api/v1/controllers/main/slots"},
		{"events", "/api/v1/events?type=cleanup.failed,cleanup.claimed&agent=el9-1&controller=main"},
		{"plan", "/api/v1/plan?all=true"},
		{"overview", "/api/v1/overview"},
		{"tokens", "/api/v1/tokens"},
		{"version", "/api/v1/version"},
		{"audit", "/api/v1/controllers/main/audit"},
	}
	h := setup(t)
	furnish(t, h)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := h.ask(t, store.Admin, http.MethodGet, tt.target, "")
			status(t, w, http.StatusOK)
			goldenJSON(t, tt.name, steady(w.Body.Bytes()))
		})
	}
}

func TestAnAttemptShowsItsReportAndItsLogButNoNonce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	furnish(t, h)
	id := newestFailed(t, h)
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/attempts/"+id, "")
	status(t, w, http.StatusOK)
	for _, want := range []string{`"report":{"outcome":"failed"`, `"has_log":true`, `"number":2`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the attempt does not show %s: %s", want, w.Body)
		}
	}
	w = h.ask(t, store.Viewer, http.MethodGet, "/api/v1/attempts/"+id+"/log", "")
	status(t, w, http.StatusOK)
	if want := "cleaning\n#### [nonce] report\n"; w.Body.String() != want {
		t.Errorf("log %q, want %q", w.Body, want)
	}
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain") {
		t.Errorf("content type %q, want text/plain", got)
	}
}

var idOf = regexp.MustCompile(`"id":(\d+)`)

func newestFailed(t *testing.T, h *house) string {
	t.Helper()
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/attempts?outcome=failed&limit=1", "")
	m := idOf.FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatalf("no failed attempt in %s", w.Body)
	}
	return m[1]
}

// No answer of any operation, right or wrong, holds a token's secret or a nonce: but that of the
// operation that makes a token, once.
func TestNoAnswerHoldsASecret(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) { o.Config = func() (string, error) { return "token: env:TOKEN\n", nil } })
	furnish(t, h)
	h.EndStreams()
	secrets := []string{nonce}
	for _, secret := range h.tokens {
		secrets = append(secrets, secret)
	}
	replace := strings.NewReplacer("{controller}", "main", "{agent}", "el9-1", "{id}", newestFailed(t, h), "{scope}", "all", "{job}", "x", "{name}", "x")
	for _, o := range h.operations(t) {
		for _, role := range rank {
			for _, body := range []string{"", `{"reason":"x","name":"made by ` + string(role) + `","role":"viewer"}`} {
				w := h.ask(t, role, o.Method, replace.Replace(o.Path), body)
				for _, secret := range secrets {
					if strings.Contains(w.Body.String(), secret) {
						t.Errorf("%s as %q shows a secret: %s", o.ID, role, w.Body)
					}
				}
			}
		}
	}
}

func TestOddNamesGoThroughEveryOperation(t *testing.T) {
	t.Parallel()
	names := []string{odd, "a b", "a+b", "100%", "%41", "ÄÖ", "日本", `"quoted"`, "(1)", "a;b=c", "#1", "?", "..a", "a..b", "~", "\\"}
	h := setup(t)
	for _, name := range names {
		h.adopt(t, name)
		h.crew.see(name, "cleanable")
	}
	for _, name := range names {
		for _, encode := range []func(string) string{escape, url.PathEscape} {
			path := "/api/v1/agents/main/" + encode(name)
			w := h.ask(t, store.Viewer, http.MethodGet, path, "")
			status(t, w, http.StatusOK)
			if got := decode[api.AgentDetail](t, w).Name; got != name {
				t.Errorf("asked for %q, got %q", name, got)
			}
			w = h.ask(t, store.Operator, http.MethodPost, path+"/hold", `{"reason":"x","for":"1h"}`)
			status(t, w, http.StatusOK)
			if got := decode[api.Agent](t, w); got.Name != name || got.Hold == nil || got.Hold.By != "the operator" {
				t.Errorf("held %q, got %+v", name, got)
			}
		}
		query := url.Values{"controller": {"main"}, "agent": {name}, "type": {"agent.held"}}
		w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/events?"+query.Encode(), "")
		if got := len(decode[api.Page[api.Event]](t, w).Items); got != 2 {
			t.Errorf("%d holds of %q in the audit trail, want 2", got, name)
		}
	}
}

func TestBackupWritesACopyAndOverwritesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	body := `{"path":"` + path + `"}`
	w := h.ask(t, store.Admin, http.MethodPost, "/api/v1/backup", body)
	status(t, w, http.StatusOK)
	if got := decode[api.Backup](t, w); got.Path != path || got.Bytes == 0 {
		t.Errorf("got %+v", got)
	}
	h.refused(t, store.Admin, http.MethodPost, "/api/v1/backup", body, http.StatusConflict)
}

func TestDoctorAsksEachController(t *testing.T) {
	t.Parallel()
	h := setup(t)
	furnish(t, h)
	w := h.ask(t, store.Admin, http.MethodGet, "/api/v1/doctor", "")
	status(t, w, http.StatusOK)
	d := decode[api.Doctor](t, w)
	if len(d.Controllers) != 1 || len(d.Controllers[0].Findings) != 1 || d.Controllers[0].Findings[0].Remedy != "set one" {
		t.Errorf("controllers %+v", d.Controllers)
	}
	if d.Store.Path != h.store.Path() || d.Store.Bytes == 0 || d.Store.Starts != 2 || d.Process.PID == 0 || d.Health.Status != "failing" {
		t.Errorf("store %+v, process %+v, health %+v", d.Store, d.Process, d.Health)
	}
	h.refused(t, store.Admin, http.MethodGet, "/api/v1/doctor?controller=other", "", http.StatusNotFound)
}

func TestDoctorNamesClones(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for i := range 7 {
		h.change(t, h.adopt(t, fmt.Sprintf("vm-%d", i)), func(c *store.Change) ([]hygiene.Event, error) {
			c.Agent.Machine, c.Agent.Boots = "3d1219c7", hygiene.Boots{{ID: fmt.Sprint(i), From: began, To: began.Add(time.Hour)}}
			return []hygiene.Event{{Type: hygiene.EventStale}}, nil
		})
	}
	d := decode[api.Doctor](t, h.ask(t, store.Admin, http.MethodGet, "/api/v1/doctor", ""))
	want := api.Finding{
		Level: "warn", Topic: "machines",
		Message: "agents main/vm-0, main/vm-1, main/vm-2, main/vm-3, main/vm-4 and 2 more report one machine id, 3d1219c7, and are proved to be on several machines: clones of one image",
	}
	if !slices.ContainsFunc(d.Controllers[0].Findings, func(f api.Finding) bool { f.Remedy = ""; return f == want }) {
		t.Errorf("findings: %+v", d.Controllers[0].Findings)
	}
}

func TestDoctorFindsRecipesThatEmptyAnAgentsOwnDirectory(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, name := range []string{"a2", "a1", "b", "off"} {
		h.crew.see(name, "cleanable")
	}
	findings := func() (all []string) {
		t.Helper()
		w := h.ask(t, store.Admin, http.MethodGet, "/api/v1/doctor", "")
		status(t, w, http.StatusOK)
		for _, f := range decode[api.Doctor](t, w).Controllers[0].Findings {
			if f.Topic == "recipes" {
				all = append(all, f.Level+": "+f.Message)
			}
		}
		return all
	}
	if got := findings(); len(got) > 0 {
		t.Errorf("a pool of which nothing is known: %q", got)
	}
	h.crew.view.Pools[0].Endangers = func(dir string) []string {
		if dir == "/srv/ci" {
			return []string{"step \"x\": it empties " + dir}
		}
		return nil
	}
	const untold = "warn: whether a recipe empties the own directory of an agent cannot be told: "
	if got := findings(); len(got) != 1 || !strings.HasPrefix(got[0], untold+"the controller does not show") {
		t.Errorf("no directory is told: %q", got)
	}
	h.crew.roots = map[string]string{"a1": "/srv/ci", "a2": "/srv/ci", "b": "/srv/b", "unmanaged": "/srv/ci"}
	if want := []string{`fail: recipe scrub, pool linux, agent a1 and 1 more: step "x": it empties /srv/ci`}; !slices.Equal(findings(), want) {
		t.Errorf("found %q; want %q", findings(), want)
	}
	delete(h.crew.roots, "a2")
	if want := []string{`fail: recipe scrub, pool linux, agent a1: step "x": it empties /srv/ci`}; !slices.Equal(findings(), want) {
		t.Errorf("found %q; want %q", findings(), want)
	}
	h.crew.fault = errors.New("no answer")
	if got := findings(); len(got) != 1 || got[0] != untold+"no answer" {
		t.Errorf("the controller does not answer: %q", got)
	}
}
