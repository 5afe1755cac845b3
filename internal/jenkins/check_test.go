// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// admin is a controller in perfect order, as far as a check looks; tests spoil one answer each.
func admin() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /api/json":                       answering(200, `{"url":"http://ci/","quietingDown":false,"useSecurity":true,"useCrumbs":true,"jobs":[{"name":"good","labelExpression":"clean && cleanable"}]}`, "X-Jenkins", "2.541.3", "X-Jenkins-Session", "s"),
		"GET /whoAmI/api/json":                answering(200, `{"name":"pit","anonymous":false,"authenticated":true}`),
		"GET /computer/api/json":              answering(200, `{"computer":[`+idleComputer+`]}`),
		"POST /createItem":                    answering(400, "", "X-Error", "No Content-Type header set"),
		"GET /computer/linux-7/config.xml":    answering(200, fmt.Sprintf(linux7, "cleanable clean")),
		"POST /computer/linux-7/configSubmit": answering(400, "This page expects a form submission"),
		"GET /computer/linux-7/api/json":      answering(200, `{"_class":"x","monitorData":{"hudson.node_monitors.ArchitectureMonitor":"Linux (amd64)"}}`),
		"GET /label/cleanable/api/json":       answering(200, `{"nodes":[{"nodeName":"linux-7","mode":"EXCLUSIVE","numExecutors":1}]}`),
	}
}

func check(t *testing.T, handlers map[string]http.HandlerFunc, o CheckOptions) []Finding {
	t.Helper()
	return clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/jenkins")]; h != nil {
			h(w, r)
			return
		}
		http.NotFound(w, r)
	}).Check(t.Context(), o)
}

func TestAControllerInOrderGetsNoComplaintButWhatCannotBeProbed(t *testing.T) {
	t.Parallel()
	for _, f := range check(t, admin(), CheckOptions{}) {
		if f.Level != LevelOK && (f.Level != LevelNote || !strings.Contains(f.Message, "cannot be probed")) {
			t.Errorf("%+v", f)
		}
	}
}

func TestEachFaultIsFoundAndHasARemedy(t *testing.T) {
	t.Parallel()
	forbidden := func(permission string) http.HandlerFunc {
		return answering(403, "Access Denied", "X-Required-Permission", permission, "X-You-Are-Authenticated-As", "pit")
	}
	root := func(version, session, fields string) http.HandlerFunc {
		return answering(200, `{"url":"http://ci/","useSecurity":true,"jobs":[]`+fields+`}`, "X-Jenkins", version, "X-Jenkins-Session", session)
	}
	for _, tt := range []struct {
		name    string
		request string
		answer  http.HandlerFunc
		level   Level
		says    string
	}{
		{"wrong token", "GET /api/json", answering(401, ""), LevelFail, "refuses the credentials"},
		{"no Overall/Read", "GET /api/json", forbidden("hudson.model.Hudson.Read"), LevelFail, "may not read the controller"},
		{"wrong path", "GET /api/json", answering(404, ""), LevelFail, "no Jenkins at http://ci.example/jenkins"},
		{"starting", "GET /api/json", answering(503, ""), LevelFail, "cannot be read"},
		{"a proxy that drops headers", "GET /api/json", root("", "", ""), LevelFail, "no X-Jenkins-Session"},
		{"shutting down", "GET /api/json", root("2.541.3", "s", `,"quietingDown":true`), LevelWarn, "about to shut down"},
		{"no root URL", "GET /api/json", root("2.541.3", "s", `,"url":""`), LevelWarn, "JENKINS_URL"},
		{"no security", "GET /api/json", root("2.541.3", "s", `,"useSecurity":false`), LevelWarn, "no security"},
		{"an old version", "GET /api/json", root("1.651", "s", ""), LevelFail, "too old"},
		{"in-place edits are stale", "GET /api/json", root("2.504.3", "s", ""), LevelWarn, "JENKINS-68155"},
		{"expressions are stale", "GET /api/json", root("2.332.1", "s", ""), LevelWarn, "JENKINS-67635"},
		{"an unreadable version", "GET /api/json", root("custom", "s", ""), LevelWarn, "not understood"},
		{"anonymous", "GET /whoAmI/api/json", answering(200, `{"name":"anonymous","anonymous":true}`), LevelFail, "takes us for anonymous"},
		{"no agents", "GET /computer/api/json", answering(200, `{"computer":[]}`), LevelWarn, "nothing to manage"},
		{"agents unreadable", "GET /computer/api/json", answering(500, ""), LevelFail, "cannot be listed"},
		{"an agent named like a label", "GET /computer/api/json", answering(200, `{"computer":[{"_class":"hudson.slaves.SlaveComputer","displayName":"clean","assignedLabels":[{"name":"cleanable"},{"name":"clean"}],"idle":true}]}`), LevelWarn, "its name is one of our labels"},
		{"a managed built-in node", "GET /computer/api/json", answering(200, `{"computer":[{"_class":"hudson.model.Hudson$MasterComputer","displayName":"Built-In Node","assignedLabels":[{"name":"cleanable"}],"idle":true}]}`), LevelWarn, "built-in node"},
		{"hidden builds", "GET /computer/api/json", answering(200, `{"computer":[{"displayName":"x","executors":[{"idle":false}]}]}`), LevelWarn, "may not see"},
		{"no Agent/ExtendedRead", "GET /computer/linux-7/config.xml", forbidden("hudson.model.Computer.ExtendedRead"), LevelFail, "labels of agents cannot be read"},
		{"no Agent/Configure", "POST /computer/linux-7/configSubmit", forbidden("hudson.model.Computer.Configure"), LevelFail, "labels cannot be written"},
		{"Agent/Configure unknown", "POST /computer/linux-7/configSubmit", answering(404, ""), LevelWarn, "could not be probed"},
		{"no Agent/Connect", "GET /computer/linux-7/api/json", answering(200, `{"_class":"x","monitorData":{}}`), LevelWarn, "Agent/Connect seems to be missing"},
		{"no Job/Create", "POST /createItem", forbidden("hudson.model.Item.Create"), LevelFail, "cleanup jobs cannot be created"},
		{"unlabelled jobs", "GET /label/cleanable/api/json", answering(200, `{"nodes":[{"nodeName":"linux-7","mode":"NORMAL","numExecutors":1}]}`), LevelFail, "jobs without a label can start unasked on linux-7"},
		{"two executors", "GET /label/cleanable/api/json", answering(200, `{"nodes":[{"nodeName":"linux-7","mode":"EXCLUSIVE","numExecutors":2}]}`), LevelFail, "more than one build at a time can start on linux-7"},
		{"a job without clean", "GET /api/json", root("2.541.3", "s", `,"jobs":[{"name":"good","labelExpression":"clean && cleanable"},{"name":"bad","labelExpression":"linux-7"},{"name":"off","labelExpression":"linux-7","disabled":true},{"name":"roams","labelExpression":null}]`), LevelWarn, "1 of 4 jobs can start on a managed agent that is not clean: bad"},
		{"no Job/Read", "GET /api/json", root("2.541.3", "s", ""), LevelWarn, "no job is visible"},
		{"only the built-in node", "GET /computer/api/json", answering(200, `{"computer":[{"_class":"hudson.model.Hudson$MasterComputer","displayName":"Built-In Node","idle":true}]}`), LevelWarn, "none of 0 agents"},
		{"Pipelines", "GET /api/json", root("2.541.3", "s", `,"jobs":[{"name":"pipe"}]`), LevelNote, "1 jobs, such as Pipelines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handlers := admin()
			handlers[tt.request] = tt.answer
			for _, f := range check(t, handlers, CheckOptions{}) {
				if f.Level == tt.level && strings.Contains(f.Message, tt.says) {
					if f.Remedy == "" {
						t.Errorf("no remedy: %+v", f)
					}
					return
				}
			}
			t.Errorf("no %s finding says %q: %+v", tt.level, tt.says, check(t, handlers, CheckOptions{}))
		})
	}
}

func TestBehindAGateUsageExecutorsAndLabelsAreNoFaults(t *testing.T) {
	t.Parallel()
	handlers := admin()
	handlers["GET /label/cleanable/api/json"] = answering(200, `{"nodes":[{"nodeName":"linux-7","mode":"NORMAL","numExecutors":2}]}`)
	handlers["GET /api/json"] = answering(200, `{"url":"http://ci/","useSecurity":true,"jobs":[{"name":"bad","labelExpression":"linux-7"},{"name":"pipe"}]}`,
		"X-Jenkins", "2.541.3", "X-Jenkins-Session", "s")
	wrong := func(gated bool) (found []string) {
		for _, f := range check(t, handlers, CheckOptions{Gated: gated}) {
			if f.Level != LevelOK && !strings.Contains(f.Message, "cannot be probed") {
				found = append(found, f.Message)
			}
		}
		return found
	}
	if found := wrong(true); len(found) > 0 {
		t.Errorf("behind a gate: %q", found)
	}
	if found := wrong(false); len(found) != 4 {
		t.Errorf("without one: %q, want usage, executors, a job and a Pipeline", found)
	}
}

func TestASecretThatCannotBeReadIsNoFaultOfTheController(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(http.ResponseWriter, *http.Request) { t.Error("the controller was asked") })
	c.auth.token = func(context.Context) (string, error) {
		return "", errors.New("read secret env:T: the variable is not set")
	}
	found := c.Check(t.Context(), CheckOptions{})
	if len(found) != 1 || found[0].Level != LevelFail || found[0].Topic != "credentials" ||
		!strings.Contains(found[0].Message, "read api token: read secret env:T: the variable is not set") ||
		!strings.Contains(found[0].Remedy, "environment") {
		t.Errorf("got %+v", found)
	}
}

func TestAnUnknownAuthorityIsMendedByNamingIt(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c, err := New(Options{Name: "main", URL: server.URL, User: "pit", Token: fixed(canary)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := c.Check(t.Context(), CheckOptions{})
	if len(found) != 1 || found[0].Level != LevelFail || !strings.Contains(found[0].Remedy, "tls.ca") || !strings.Contains(found[0].Remedy, "--ca") {
		t.Errorf("got %+v", found)
	}
}

func TestTheFolderOfTheCleanupJobsIsLookedFor(t *testing.T) {
	t.Parallel()
	for _, f := range check(t, admin(), CheckOptions{Folder: "ci/cleanup", SkipJobs: true}) {
		if f.Level == LevelFail && strings.Contains(f.Message, `no folder "ci/cleanup"`) {
			return
		}
	}
	t.Error("a missing folder was not noticed")
}

func TestJobsOfOursAreNotWarnedOf(t *testing.T) {
	t.Parallel()
	handlers := admin()
	handlers["GET /api/json"] = answering(200, `{"url":"http://ci/","useSecurity":true,"useCrumbs":true,"jobs":[{"name":"good","labelExpression":"clean && cleanable"},{"name":"pitcrew-slot-01","labelExpression":"linux-7"}]}`,
		"X-Jenkins", "2.541.3", "X-Jenkins-Session", "s")
	warned := func(o CheckOptions) bool {
		return slices.ContainsFunc(check(t, handlers, o), func(f Finding) bool {
			return f.Topic == "jobs" && f.Level == LevelWarn && strings.Contains(f.Message, "pitcrew-slot-01")
		})
	}
	if !warned(CheckOptions{}) {
		t.Error("a job that is tied to an agent is not warned of")
	}
	if warned(CheckOptions{Owns: func(job string) bool { return job == "pitcrew-slot-01" }}) {
		t.Error("a job of ours is warned of: what would keep it from a dirty agent would keep that from being cleaned")
	}
}

func TestNoMoreJobsAreLookedAtThanMayBe(t *testing.T) {
	t.Parallel()
	handlers := admin()
	handlers["GET /api/json"] = answering(200, `{"url":"http://ci/","useSecurity":true,"useCrumbs":true,"jobs":[{"name":"good","labelExpression":"clean && cleanable"},{"name":"bad","labelExpression":"linux-7"}]}`,
		"X-Jenkins", "2.541.3", "X-Jenkins-Session", "s")
	for most, want := range map[int][]Level{0: {LevelWarn}, 2: {LevelWarn}, 1: {LevelNote, LevelOK}} {
		var got []Level
		for _, f := range check(t, handlers, CheckOptions{MostJobs: most}) {
			if f.Topic == "jobs" {
				got = append(got, f.Level)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("of two jobs at most %d: findings %v, want %v", most, got, want)
		}
	}
}

func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]version{"2.541.3": {2, 541, 3}, "2.579-SNAPSHOT": {2, 579, 0}, "2.94": {2, 94, 0}, "2.541.3-cb-1": {2, 541, 3}} {
		if got, ok := parseVersion(s); !ok || got != want {
			t.Errorf("%s: %v %t", s, got, ok)
		}
	}
	if _, ok := parseVersion("?"); ok {
		t.Error("a question mark is no version")
	}
}
