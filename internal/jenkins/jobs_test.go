// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJobsAreWrittenWhereTheyBelong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		do      func(*Client) error
		request string
		body    string
	}{
		{"create at the top", func(c *Client) error { return c.CreateJob(t.Context(), "a b", []byte("<project/>")) }, "POST /jenkins/createItem?name=a+b", "<project/>"},
		{"create in a folder", func(c *Client) error { return c.CreateJob(t.Context(), "ci/x y/slot-1", []byte("<project/>")) }, "POST /jenkins/job/ci/job/x%20y/createItem?name=slot-1", "<project/>"},
		{"update", func(c *Client) error { return c.UpdateJob(t.Context(), "ci/s", []byte("<project/>")) }, "POST /jenkins/job/ci/job/s/config.xml", "<project/>"},
		{"delete", func(c *Client) error { return c.DeleteJob(t.Context(), "ci/s") }, "POST /jenkins/job/ci/job/s/doDelete", ""},
		{"enable", func(c *Client) error { return c.EnableJob(t.Context(), "s") }, "POST /jenkins/job/s/enable", ""},
		{"disable", func(c *Client) error { return c.DisableJob(t.Context(), "s") }, "POST /jenkins/job/s/disable", ""},
		{"stop", func(c *Client) error { return c.StopBuild(t.Context(), "s", 3) }, "POST /jenkins/job/s/3/stop", ""},
		{"describe", func(c *Client) error { return c.SetBuildDescription(t.Context(), "s", 3, "a&b") }, "POST /jenkins/job/s/3/submitDescription", "description=a%26b"},
	} {
		var j journal
		var body, contentType string
		c := clientOf(t, func(_ http.ResponseWriter, r *http.Request) {
			j.add(r)
			b, _ := io.ReadAll(r.Body)
			body, contentType = string(b), r.Header.Get("Content-Type")
		})
		if err := tt.do(c); err != nil || j.String() != tt.request || body != tt.body {
			t.Errorf("%s: %v, request %s with %q", tt.name, err, j.String(), body)
		}
		if want := map[bool]string{true: xmlType, false: formType}[strings.HasPrefix(tt.body, "<")]; contentType != want {
			t.Errorf("%s: content type %q", tt.name, contentType)
		}
	}
}

func TestANameThatIsTakenIsAConflict(t *testing.T) {
	t.Parallel()
	page := "<html><head><title>Jenkins</title></head><body><h1>Error</h1><p>A job already exists with the name ‘s’</p></body></html>"
	for name, h := range map[string]http.HandlerFunc{
		"said in a header": answering(400, page, "X-Error", "A job already exists with the name ?s?"),
		"said in the page": answering(400, page, "Content-Type", "text/html;charset=utf-8"),
	} {
		if err := clientOf(t, h).CreateJob(t.Context(), "s", nil); !IsConflict(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := clientOf(t, answering(400, "", "X-Error", "‘?’ is an unsafe character")).CreateJob(t.Context(), "s?", nil); KindOf(err) != KindPermanent {
		t.Errorf("bad name: %v", err)
	}
}

func TestAllJobsAreListedThroughFoldersAndPages(t *testing.T) {
	t.Parallel()
	var j journal
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		j.add(r)
		from := 0
		tree := r.URL.Query().Get("tree")
		_, _ = fmt.Sscanf(tree[strings.LastIndexByte(tree, '{'):], "{%d,", &from)
		var jobs []string
		switch r.URL.Path {
		case "/jenkins/api/json":
			for i := from; i < min(from+jobPage, 700); i++ {
				if i == 3 { // one that Jenkins could not export
					continue
				}
				jobs = append(jobs, fmt.Sprintf(`{"_class":"hudson.model.FreeStyleProject","name":"j%d","fullName":"j%[1]d","labelExpression":"clean","buildable":true,"color":"blue"}`, i))
			}
			if from > 0 {
				jobs = append(jobs, `{"_class":"com.cloudbees.hudson.plugins.folder.Folder","name":"team","fullName":"team","jobs":[{"name":"x"}]}`,
					`{"_class":"com.cloudbees.hudson.plugins.folder.Folder","name":"empty","fullName":"empty","jobs":[]}`)
			}
		case "/jenkins/job/team/api/json":
			jobs = []string{
				`{"_class":"hudson.model.FreeStyleProject","name":"roams","labelExpression":null,"color":"disabled_anime"}`,
				`{"_class":"org.jenkinsci.plugins.workflow.job.WorkflowJob","name":"pipe","fullName":"team/pipe","url":"http://ci/job/team/job/pipe/"}`,
				`null`,
			}
		}
		_, _ = io.WriteString(w, `{"_class":"x","jobs":[`+strings.Join(jobs, ",")+"]}")
	})
	var got []JobInfo
	for job, err := range c.Jobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, job)
	}
	if len(got) != 701 || got[0].FullName != "j0" || got[0].LabelExpression != "clean" || !got[0].LabelKnown || !got[0].Buildable {
		t.Fatalf("%d jobs, first %+v", len(got), got[0])
	}
	want := []JobInfo{
		{FullName: "team/roams", Class: "hudson.model.FreeStyleProject", LabelKnown: true, Disabled: true},
		{FullName: "team/pipe", Class: "org.jenkinsci.plugins.workflow.job.WorkflowJob", URL: "http://ci/job/team/job/pipe/"},
	}
	if diff := cmp.Diff(want, got[699:]); diff != "" {
		t.Error(diff)
	}
	if n := len(j.lines); n != 4 {
		t.Errorf("%d requests:\n%s", n, j.String())
	}
}

func TestTheListOfJobsEndsWhereTheCallerOrAnErrorEndsIt(t *testing.T) {
	t.Parallel()
	requests := 0
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if requests++; r.URL.Path != "/jenkins/api/json" {
			w.WriteHeader(403)
			return
		}
		_, _ = io.WriteString(w, `{"jobs":[{"name":"a"},{"name":"f","jobs":[{}]},{"name":"b"}]}`)
	})
	for range c.Jobs(t.Context()) {
		break
	}
	if requests != 1 {
		t.Errorf("%d requests after a break", requests)
	}
	var names []string
	var failed error
	for job, err := range c.Jobs(t.Context()) {
		if err != nil {
			failed = err
			continue
		}
		names = append(names, job.FullName)
	}
	if !IsForbidden(failed) || fmt.Sprint(names) != "[a]" {
		t.Errorf("jobs %q, %v", names, failed)
	}
}
