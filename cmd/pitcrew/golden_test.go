// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

// noon is when everything in these tests happens, so that output can be compared with files.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// fakeDaemon answers requests with what never changes.
type fakeDaemon struct {
	url     string
	ordered chan string // what the rollout of el9 was told, and with which words

	mu   sync.Mutex
	then map[string]func() // by pattern: called at each request
}

func newFakeDaemon(t *testing.T) *fakeDaemon {
	t.Helper()
	f := &fakeDaemon{then: map[string]func(){}, ordered: make(chan string, 10)}
	mux := http.NewServeMux()
	for path, body := range answers() {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			f.looked(path)
			body := body
			if agents, ok := body.(api.Page[api.Agent]); ok && r.URL.Query().Has("name") {
				body = page(agents.Items[0])
			}
			if culprits, ok := body.(api.Page[api.Culprit]); ok && r.URL.Query().Has("kind") {
				body = page(slices.DeleteFunc(slices.Clone(culprits.Items), func(k api.Culprit) bool {
					return !slices.ContainsFunc(k.Kinds, func(s api.Share) bool { return s.Name == r.URL.Query().Get("kind") })
				})...)
			}
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(body); err != nil {
				t.Error(err)
			}
		})
	}
	mux.HandleFunc("POST /api/v1/agents/main/{agent}/clean", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"controller":"main","name":"el9-1"}`)) // the client has the status
	})
	mux.HandleFunc("POST /api/v1/rollouts/el9/{verb}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.ordered <- r.PathValue("verb") + " " + strings.TrimSpace(string(body))
		_, _ = w.Write([]byte(`{"pool":"el9","where":"share 10%"}`)) // the client has the status
	})
	mux.HandleFunc("GET /api/v1/events/watch", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			if _, err := w.Write([]byte("data: {\"type\":\"agent.clean\"}\n\n")); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil || pause(r.Context(), 10*time.Millisecond) != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// onLook calls then at the n-th look at what a pattern serves.
func (f *fakeDaemon) onLook(pattern string, n int, then func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.then[pattern] = func() {
		if n--; n == 0 {
			then()
		}
	}
}

func (f *fakeDaemon) looked(pattern string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if then := f.then[pattern]; then != nil {
		then()
	}
}

const (
	agentList   = "/api/v1/agents"
	agentDetail = "/api/v1/agents/main/{agent}"
)

// run runs a command in this process, at noon.
func (f *fakeDaemon) run(ctx context.Context, s streams, env map[string]string, args ...string) int {
	c := &cli{streams: s, now: func() time.Time { return noon }, getenv: func(name string) string {
		switch name {
		case envServer:
			return f.url
		case envConfig:
			return filepath.Join("testdata", "pitcrew.yaml")
		}
		return env[name]
	}}
	return c.run(ctx, args)
}

func page[T any](items ...T) api.Page[T] { return api.Page[T]{Items: items} }

// answers are one of everything that output shows.
func answers() map[string]any {
	clean := api.Agent{
		Controller: "main", Name: "el9-1", Pool: "el9", Hygiene: "clean", Occupancy: "idle", State: "clean", Since: ago(3 * time.Minute),
		Reason: "cleaned and verified by attempt 12", Next: "rest", Why: "clean", Labels: []string{"clean", "cleanable", "el9", "el9-1"},
		Attempt: 12, LastCleaned: ago(3 * time.Minute),
	}
	sick := api.Agent{
		Controller: "main", Name: "büro (2)", Pool: "rest", Hygiene: "quarantined", Occupancy: "offline", State: "due", Since: ago(26 * time.Hour),
		Reason: "failed: disk", Next: "rest", Why: "quarantined", NextLook: noon.Add(90 * time.Minute), Labels: []string{"büro (2)", "cleanable", "dirty"},
		Attempt: 7, Failures: 3, Depth: "deep", Stuck: &api.Stuck{Reason: "its labels cannot be made cleanable dirty: grant pitcrew's user Agent/Configure on it", Since: ago(25 * time.Hour)}, Quarantine: &api.Quarantine{Reason: "3 failures, the last: failed: disk", By: "pitcrew", Since: ago(26 * time.Hour), NextLook: noon.Add(90 * time.Minute)},
	}
	held := api.Agent{
		Controller: "main", Name: "el9-2", Pool: "el9", Hygiene: "due", Occupancy: "offline by a person", State: "due", Since: ago(30 * time.Second),
		Reason: "held", Next: "rest", Labels: []string{"cleanable", "el9", "el9-2"}, Attempt: 4,
		Hold: &api.Hold{Reason: "the disk is replaced by somebody from the data centre", By: "anna", Since: ago(30 * time.Second), Expires: noon.Add(2 * time.Hour)},
	}
	attempt := api.Attempt{
		ID: 41, Controller: "main", Agent: "büro (2)", Number: 7, Pool: "rest", Recipe: "linux", Revision: "0123456789abcdef0123", Need: "cleanup", Depth: "standard", Delivery: "job",
		Claimed: ago(26 * time.Hour), Handed: ago(26*time.Hour - time.Second), Started: ago(26*time.Hour - 2*time.Second), Ended: ago(26*time.Hour - 95*time.Second),
		Outcome: "failed", Step: "disk", Reason: "failed: disk", Job: "pitcrew-slot-01", Build: 9, URL: "https://jenkins.example/job/pitcrew-slot-01/9/",
	}
	running := api.Attempt{ID: 42, Controller: "main", Agent: "el9-1", Number: 13, Recipe: "linux", Revision: "0123456789abcdef0123", Claimed: ago(12 * time.Second), Handed: ago(11 * time.Second), Started: ago(9 * time.Second)}
	events := []api.Event{
		{ID: 9, Type: "agent.quarantined", At: ago(26 * time.Hour), Actor: "pitcrew", Subject: "main/büro (2)", Controller: "main", Agent: "büro (2)", Reason: "3 failures, the last: failed: disk"},
		{ID: 8, Type: "agent.held", At: ago(30 * time.Second), Actor: "anna", Subject: "main/el9-2", Controller: "main", Agent: "el9-2", Reason: "the disk is replaced by somebody from the data centre"},
	}
	builds := []api.Build{{
		Controller: "main", Agent: "el9-2", URL: "https://jenkins.example/job/team/job/app/17/", Job: "team/app", Number: 17, At: ago(50 * time.Minute),
		Contaminated: true, Reason: "second build on one cleaning",
	}, {Controller: "main", Agent: "el9-1", URL: "https://jenkins.example/job/team/job/app/16/", Job: "team/app", Number: 16, At: ago(time.Hour), Attempt: 11}}
	findings := []api.AuditFinding{
		{Job: "team/app", Problem: "unprotected", Expression: "el9", Agent: "el9-1", Showing: []string{"cleanable", "dirty", "el9"}, Use: "el9 && clean", Seen: "configuration"},
		{Job: "team/nightly", Problem: "stale", Expression: "el9 && !dirty", Use: "el9 && clean", Seen: "configuration"},
		{Job: "tools/report", Problem: "unlabelled", Seen: "configuration"},
	}
	state := api.ControllerState{
		Name: "main", URL: "https://jenkins.example/", Version: "2.541.3", LastSweep: ago(2 * time.Second), Poll: "5s", Queue: 4,
		Counts: api.Counts{Managed: 3, Clean: 1, Due: 1, Quarantined: 1, Held: 1, Offline: 2},
	}
	residue := []api.Residue{
		{ID: 3, At: ago(26 * time.Hour), Attempt: 7, Kind: "process", Things: 12, Oldest: 7200, Example: "4242 sleep", Job: "team/app", Build: 17, By: "environment"},
		{ID: 2, At: ago(26 * time.Hour), Attempt: 7, Kind: "directory", Things: 1, Bytes: 3 << 30, Job: "team/nightly", By: "history"},
		{ID: 1, At: ago(50 * time.Hour), Attempt: 6, Kind: "mount", Things: 2, By: "history", Suspects: []api.Suspect{{Job: "team/app", Build: 16}, {Job: "team/nightly", Build: 4}, {Job: "tools/report"}}},
	}
	culprits := []api.Culprit{
		{
			Controller: "main", Job: "team/app", Things: 140, Bytes: 3 << 30, Agents: 12, Attempts: 60, LastSeen: ago(time.Hour),
			Kinds: []api.Share{{Name: "process", Things: 130}, {Name: "directory", Things: 10, Bytes: 3 << 30}}, Worst: []api.Share{{Name: "büro (2)", Things: 90}, {Name: "el9-1", Things: 20}},
			By: []api.Share{{Name: "environment", Things: 130}, {Name: "history", Things: 10, Bytes: 3 << 30}},
		},
		{
			Controller: "main", Job: "platform/integration/tests-of-everything-that-a-release-contains/x86_64", Things: 9, Agents: 1, Attempts: 1, LastSeen: ago(72 * time.Hour),
			Kinds: []api.Share{{Name: "process", Things: 9}}, Worst: []api.Share{{Name: "el9-1", Things: 9}}, By: []api.Share{{Name: "environment", Things: 9}},
		},
		{Controller: "main", Things: 2, Agents: 1, Attempts: 1, LastSeen: ago(26 * time.Hour), Kinds: []api.Share{{Name: "mount", Things: 2}}, Worst: []api.Share{{Name: "el9-2", Things: 2}}, By: []api.Share{{Things: 2}}},
	}
	slots := []api.Slot{
		{Controller: "main", Job: "pitcrew-slot-01", Content: "89abcdef01234567", Agent: "el9-1", Attempt: 13},
		{Controller: "main", Job: "pitcrew-slot-02", Refused: "somebody changed the job: its digest is not ours"},
	}
	pauses := []api.Pause{{Scope: "pool:el9", Reason: "recipe is being mended", By: "anna", Since: ago(5 * time.Minute), Until: noon.Add(55 * time.Minute)}}
	canary := api.Rollout{
		Pool: "el9", Number: 4, Stage: "canary", Where: "canary", From: "0123456789abcdef0123", To: "456789abcdef01234567", Pinned: "0123456789abcdef0123", Offered: "456789abcdef01234567",
		Started: ago(3 * time.Hour), Since: ago(3 * time.Hour), By: "pitcrew", Reason: "revision 456789abcdef is new", Canaries: []string{"main/el9-1", "main/el9-7"}, Shares: []int{10, 50, 100},
		Decided: ago(time.Minute), Waits: "canary: 1 of 3 cleanups, 2 more wanted; without main/el9-7, where different revisions fail",
		Cleanups: api.RolloutEvidence{New: api.RolloutCount{Ran: 2, Failed: 1, On: []string{"main/el9-1"}}, Old: api.RolloutCount{Ran: 90, Failed: 1, On: []string{"main/el9-3"}}},
		Builds:   api.RolloutEvidence{New: api.RolloutCount{Ran: 1}, Old: api.RolloutCount{Ran: 88, Failed: 4}},
		Blames: []api.RolloutBlame{
			{Culprit: "agent", Agent: "main/el9-7", Then: "quarantine agent", Reason: `revisions 0123456789ab and 456789abcdef fail on it, in step "mounts"`, Failures: []api.RolloutFailure{
				{Agent: "main/el9-7", Revision: "0123456789abcdef0123", Step: "mounts", At: ago(5 * time.Hour)}, {Agent: "main/el9-7", Revision: "456789abcdef01234567", Step: "mounts", At: ago(2 * time.Hour)},
			}},
			{Culprit: "nobody", Revision: "456789abcdef01234567", Reason: `revision 456789abcdef fails on main/el9-1, in step "disk": it takes 2 different agents to blame the revision, or another revision to blame the agent`, Failures: []api.RolloutFailure{
				{Agent: "main/el9-1", Revision: "456789abcdef01234567", Step: "disk", At: ago(time.Hour)},
			}},
		},
		Agents: api.RolloutAgents{Total: 12, New: 2, Old: 10, Wants: 2}, Rehearsal: "passed", Report: "12 steps on 2 agents",
	}
	return map[string]any{
		"/api/v1/rollouts":               page(canary, api.Rollout{Pool: "rest", Stage: "pinned", Where: "pinned", Pinned: "89abcdef012345678901", From: "89abcdef012345678901", Offered: "89abcdef012345678901", Since: ago(72 * time.Hour)}),
		"/api/v1/rollouts/el9":           canary,
		agentList:                        page(sick, clean, held),
		agentDetail:                      life(sick, attempt, running, events, builds, residue),
		"/api/v1/attempts":               page(running, attempt),
		"/api/v1/attempts/41":            api.AttemptDetail{Attempt: attempt, HasLog: true, Report: json.RawMessage(reportText)},
		"/api/v1/events":                 page(events...),
		"/api/v1/builds":                 page(builds...),
		"/api/v1/residue":                page(culprits...),
		"/api/v1/controllers":            page(state),
		"/api/v1/controllers/main/audit": api.Audit{At: noon, Jobs: 12, Agents: 3, Unknown: 1, Findings: findings},
		"/api/v1/controllers/main/slots": page(slots...),
		"/api/v1/controllers/main/gate":  api.Gate{Controller: "main", Mode: "gate", Version: "1.2.3", Protocol: 1, Hook: "init script", Asked: 4711, Vetoed: 42, States: api.GateStates{Clean: 3, Claimed: 1, Used: 2}, Drifted: []api.GateDrift{{Agent: "büro (2)", Drift: "label"}}},
		"/api/v1/certificates": page(api.Certificate{
			Build: builds[1].URL, Controller: "main", Agent: "el9-1", Pool: "el9", Cleaned: ago(61 * time.Minute), Used: ago(time.Hour), Attempt: 11, AttemptID: 40,
			Recipe: "linux", Revision: "0123456789abcdef0123", Ran: "cleanup", Depth: "standard", Delivery: "job", By: "https://jenkins.example/job/pitcrew-slot-01/8/",
			Proof: "all phases of the recipe ran on the agent, and its verify phase found it as it has to be",
		}),
		"/api/v1/pauses": page(pauses...),
		"/api/v1/tokens": page(api.Token{Name: "anna", Role: "operator", Created: ago(time.Hour)}),
		"/api/v1/plan":   page(api.Plan{Controller: "main", Agent: "el9-1", Pool: "el9", Action: "begin", Now: true, Turn: 1, Labels: "cleanable dirty", Reason: "used by build app 17"}, api.Plan{Controller: "main", Agent: "el9-2", Pool: "rest", Action: "begin", Turn: 2, DryRun: true, Reason: "waits: the controller's cap on cleanups is reached"}),
		"/api/v1/whoami": api.Identity{Name: "anna", Role: "admin"},
		"/healthz":       api.Health{Status: "ok"},
		"/api/v1/doctor": diagnosed(state, slots, pauses),
	}
}

func life(a api.Agent, attempt, running api.Attempt, events []api.Event, builds []api.Build, residue []api.Residue) api.AgentDetail {
	running.ID = 0
	return api.AgentDetail{
		Agent: a, Machine: "3d1219c7c4c5404aaa1f6d2a48adfda4", Offline: "disk space is too low", Used: &api.Use{URL: builds[0].URL, At: builds[0].At},
		Current: &running, Attempts: []api.Attempt{attempt}, Events: events, Builds: builds, Residue: residue,
	}
}

func diagnosed(state api.ControllerState, slots []api.Slot, pauses []api.Pause) api.Doctor {
	return api.Doctor{
		At: noon, Version: api.Version{Version: "1.2.3", Commit: "0123456789abcdef"}, Started: ago(70 * time.Hour), Platform: "linux/s390x",
		Process: api.DoctorProcess{Host: "ci-lab", PID: 4711, UID: 990, CPUs: 2, Goroutines: 40, HeapBytes: 50 << 20},
		Store:   api.DoctorStore{Path: "/var/lib/pitcrew/pitcrew.db", Bytes: 3 << 20, Epoch: "a1b2", Starts: 3},
		Counts:  state.Counts, Pauses: pauses,
		Alerts: []api.Alert{{Level: "fail", About: "pool rest", Text: "none of its agents was cleaned for 26h"}},
		Controllers: []api.DoctorController{{ControllerState: state, Slots: slots, Findings: []api.Finding{
			{Level: "ok", Topic: "credentials", Message: "user pitcrew is known"},
			{Level: "fail", Topic: "permission", Message: "Agent/Configure is missing: labels cannot be written on any agent of this controller", Remedy: "Grant Agent/Configure to pitcrew."},
		}}},
	}
}

const reportText = `{"version":1,"attempt":7,"agent":"büro (2)","outcome":"failed","reason":"failed: disk","steps":[
{"name":"processes","phase":"clean","outcome":"ok","seconds":2,"tries":1,"scrub":{"kind":"processes","state":"changed","removed":1,"bytes":0,
"milliseconds":1800,"found":[{"kind":"process","id":"4242","what":"sleep (started by an earlier build)","owner":"jenkins","age":7200,
"culprit":{"job":"folder/app_master","build":77,"by":"environment"}}]}},
{"name":"files","phase":"clean","outcome":"failed","exit":1,"seconds":3,"tries":1,"reason":"/home/jenkins/workspace/app: something is mounted there",
"scrub":{"kind":"files","state":"unmet","removed":1,"bytes":52428800,"milliseconds":2400,"more":3,
"found":[{"kind":"directory","id":"/home/jenkins/workspace/app@tmp","owner":"jenkins","bytes":52428800,"culprit":{"job":"app","by":"workspace"}}],
"problems":[{"id":"/home/jenkins/workspace/app","why":"something is mounted there, or it is a file system of its own"}]}},
{"name":"disk","phase":"clean","outcome":"failed","exit":1,"seconds":91,"tries":3,"reason":"exit code 1","tail":"df: /srv: Input/output error\ngave up\n"},
{"name":"services","phase":"setup","outcome":"ok","seconds":1,"tries":1,"scrub":{"kind":"services","state":"changed","removed":0,"bytes":0,
"milliseconds":700,"more":1,"differs":[{"kind":"service","id":"chronyd.service","what":"not running"}]}},
{"name":"empty","phase":"verify","outcome":"skipped","reason":"an earlier step failed"}],
"disk":{"before":{"bytesFree":1073741824},"after":{"bytesFree":2147483648}},
"machine":{"hostname":"buero-2","arch":"x86_64","os":"linux debian debian12 debian12","user":"jenkins"}}`

// TestOutputFits80Columns holds what people see against files; "go test -update" writes them.
func TestOutputFits80Columns(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	for name, args := range map[string]string{
		"agents": "agents", "agent": "agent main/x", "attempts": "attempts", "attempt": "attempt 41", "events": "events", "builds": "builds",
		"rollouts": "rollout status", "rollout": "rollout status el9", "residue": "residue", "residue-names": "residue -o name", "residue-none": "residue --kind processes",
		"audit": "jobs audit", "audit-hints": "jobs audit --fix-hint", "slots": "slots list", "pauses": "pauses", "plan": "plan",
		"tokens": "token list", "doctor": "doctor", "gate": "gate status", "certificate": "certificate https://jenkins.example/job/team/job/app/16/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			f.run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &errs}, map[string]string{"COLUMNS": "80"}, strings.Fields(args)...)
			text := out.String() + errs.String()
			text = strings.NewReplacer(f.url, "http://daemon", runtime.Version(), "GOVERSION", runtime.GOOS+"/"+runtime.GOARCH, "PLATFORM", version().Version, "VERSION").Replace(text)
			for line := range strings.Lines(text) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			golden(t, filepath.Join("testdata", "output", name+".txt"), text)
		})
	}
}

// golden compares text with a file, or writes the file with -update.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with: go test ./cmd/pitcrew -update", err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s differs (-file +now); if that is right: go test ./cmd/pitcrew -update\n%s", path, diff)
	}
}
