// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/gate"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func freeStyle(name, expression string) jenkins.JobInfo {
	return jenkins.JobInfo{FullName: name, LabelExpression: expression, LabelKnown: true}
}

func TestAuditNamesTheExpressionToUseInstead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		job     jenkins.JobInfo
		problem string // "" = none
		use     string
	}{
		{"asks for clean", freeStyle("j", "clean && el9"), "", ""},
		{"asks for el9 only", freeStyle("j", "el9"), "unprotected", "el9 && clean"},
		{"asks for agents that are not ours", freeStyle("j", "windows"), "", ""},
		{"asks for one agent by its name", freeStyle("j", "el9-1"), "unprotected", "el9-1 && clean"},
		{"asks for the absence of dirty", freeStyle("j", "el9 && !dirty"), "unprotected", "el9 && clean"},
		{"asks for clean and the absence of dirty", freeStyle("j", "clean && !dirty && el9"), "stale", "el9 && clean"},
		{"asks for dirty ones", freeStyle("j", "dirty"), "unprotected", ""},
		{"asks for nothing", freeStyle("j", ""), "unlabelled", "clean"},
		{"is disabled", jenkins.JobInfo{FullName: "j", LabelExpression: "el9", LabelKnown: true, Disabled: true}, "", ""},
		{"is ours", freeStyle("pitcrew-slot-01", "el9-1"), "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.crew.see("el9-1", "cleanable", "el9", "el9-1")
			h.crew.see("win", "windows")
			h.crew.jobs = []jenkins.JobInfo{tt.job}
			got := h.audit(t)
			if tt.problem == "" {
				if len(got.Findings) != 0 {
					t.Errorf("got %+v, want none", got.Findings)
				}
				return
			}
			if len(got.Findings) != 1 || got.Findings[0].Problem != tt.problem || got.Findings[0].Use != tt.use {
				t.Errorf("got %+v, want %s and %q", got.Findings, tt.problem, tt.use)
			}
		})
	}
}

func (h *house) audit(t *testing.T) api.Audit {
	t.Helper()
	w := h.ask(t, store.Viewer, http.MethodGet, "/api/v1/controllers/main/audit", "")
	status(t, w, http.StatusOK)
	return decode[api.Audit](t, w)
}

func TestAuditSeesPipelinesWhereTheyShow(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.see("el9-1", "cleanable", "el9")
	pipeline := func(name string) jenkins.JobInfo { return jenkins.JobInfo{FullName: name, Class: "WorkflowJob"} }
	h.crew.jobs = []jenkins.JobInfo{pipeline("good"), pipeline("hidden"), pipeline("queued"), pipeline("running"), pipeline("waiting")}
	h.crew.view.Look.Queue.Items = []jenkins.QueueItem{
		{ID: 1, Job: "queued", LabelExpression: "el9", LabelKnown: true},
		{ID: 2, Job: "queued", LabelExpression: "el9", LabelKnown: true},
		{ID: 3, Job: "good", LabelExpression: "clean && el9", LabelKnown: true},
		{ID: 4, Job: "hidden", LabelExpression: "el9-1"}, // or a label that this agent alone has
		{ID: 5, Job: "hidden"},
		{ID: 6, Job: "waiting", LabelExpression: "el9"},
	}
	seen := h.crew.view.Look.Agents["el9-1"]
	seen.Running = []jenkins.Executable{{Job: "running", URL: "http://jenkins.example/job/running/1/"}}
	h.crew.view.Look.Agents["el9-1"] = seen
	got := h.audit(t)
	want := []api.AuditFinding{
		{Job: "queued", Problem: "unprotected", Expression: "el9", Agent: "el9-1", Showing: []string{"cleanable", "el9"}, Use: "el9 && clean", Seen: "queue"},
		{Job: "running", URL: "http://jenkins.example/job/running/1/", Problem: "unknown", Agent: "el9-1", Seen: "executor"},
		{Job: "waiting", Problem: "unprotected", Expression: "el9", Agent: "el9-1", Showing: []string{"cleanable", "el9"}, Use: "el9 && clean", Seen: "queue"},
	}
	if diff := cmp.Diff(want, got.Findings); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if got.Jobs != 5 || got.Unknown != 1 || got.Agents != 1 {
		t.Errorf("got %d jobs, %d unknown, %d agents; want 5, 1, 1", got.Jobs, got.Unknown, got.Agents)
	}
}

func TestAuditSaysWhetherAGateHolds(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.see("el9-1", "cleanable", "el9")
	h.crew.jobs = []jenkins.JobInfo{freeStyle("j", "el9")}
	for name, c := range map[string]struct {
		gate api.GateView
		want bool
	}{
		"labels alone": {api.GateView{}, false}, "a gate": {api.GateView{Status: &gate.Status{}}, true},
		"a lost one": {api.GateView{Status: &gate.Status{}, Problem: "gone"}, false}, "one that is taken out": {api.GateView{Status: &gate.Status{}, Leaving: true}, false},
	} {
		h.crew.view.Look.Gate = c.gate
		if got := h.audit(t); got.Gated != c.want || len(got.Findings) != 1 {
			t.Errorf("%s: gated %v with %d findings", name, got.Gated, len(got.Findings))
		}
	}
}

func TestAuditOfAControllerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.crew.fault = &jenkins.Error{Op: "list jobs", Status: 503, Kind: jenkins.KindRetryable}
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/controllers/main/audit", "", http.StatusBadGateway)
	h.crew.view.Look, h.crew.view.Problem = nil, "connection refused"
	h.refused(t, store.Viewer, http.MethodGet, "/api/v1/controllers/main/audit", "", http.StatusServiceUnavailable)
}
