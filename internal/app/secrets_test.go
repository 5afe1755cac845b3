// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// TestSecretsAppearNowhere lets a daemon work with a token and a webhook key, first in peace and then
// with a token that is not valid any more, and looks for both in all that it leaves and shows.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	const hookKey = "canary-e0a3c1f95d72b684"
	s := newSite(t, siteSpec{config: func(text string) string {
		return text + "notifications:\n- name: hook\n  webhook:\n    url: http://127.0.0.1:1/\n    secret: file:" + "KEYFILE" + "\n"
	}})
	s.write("hook-key", hookKey)
	s.edit("KEYFILE", s.path("hook-key"))
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventClaimed, 2)
	processes := commandLines(t)
	d.committed(hygiene.EventGranted, 2)

	secrets := []string{siteToken, hookKey, base64.StdEncoding.EncodeToString([]byte("pitcrew:" + siteToken))}
	look := func(where, text string) {
		t.Helper()
		for i, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("secret %d stands in %s", i+1, where)
			}
		}
	}
	look("the process list", processes)
	answers := d.everyAnswer()
	s.jenkins.SetUser(jenkinstest.User{Name: "pitcrew", Tokens: []string{"another"}, Admin: true})
	d.committed(hygiene.EventController, 1) // it cannot be polled
	answers += d.everyAnswer()
	look("an answer of the API", answers)
	if !strings.Contains(answers, "401") {
		t.Error("no answer tells of the refused token")
	}
	for _, job := range []string{"pitcrew-owner", "pitcrew-slot-01"} {
		look("job "+job, s.jobXML(job))
	}
	for _, b := range s.cleanups() {
		look("a console", b.Console)
	}
	d.end()
	look("the log", d.log.String())
	must(t, filepath.WalkDir(s.path("data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, string(data))
		return err
	}))
}

// everyAnswer asks the API everything that takes no parameter, and about the agent and its attempt.
func (d *daemon) everyAnswer() string {
	d.t.Helper()
	_, text := d.get("/api/openapi.json")
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	must(d.t, json.Unmarshal([]byte(text), &document))
	paths := []string{"/healthz", "/readyz", "/metrics", "/", "/api/v1/agents/ci/linux-7"}
	for path, methods := range document.Paths {
		if _, ok := methods["get"]; ok && !strings.Contains(path, "{") && !strings.HasSuffix(path, "/watch") {
			paths = append(paths, path)
		}
	}
	if len(paths) < 15 {
		d.t.Errorf("only %d answers to look into: %q", len(paths), paths)
	}
	var all strings.Builder
	for _, path := range paths {
		_, answer := d.get(path)
		all.WriteString(answer)
	}
	return all.String()
}

// jobXML is a job's configuration as an administrator reads it.
func (s *site) jobXML(job string) string {
	s.t.Helper()
	const person = "person-token"
	s.jenkins.SetUser(jenkinstest.User{Name: "ann", Tokens: []string{person}, Admin: true})
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://ci.test/job/"+job+"/config.xml", nil)
	must(s.t, err)
	req.SetBasicAuth("ann", person)
	resp, err := s.jenkins.Transport().RoundTrip(req)
	must(s.t, err)
	defer resp.Body.Close()
	var text strings.Builder
	must(s.t, resp.Write(&text))
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("job %s: %s", job, text.String())
	}
	return text.String()
}

// commandLines are those of all processes of this machine.
func commandLines(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	var all strings.Builder
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil { // it may have ended meanwhile
			all.Write(line)
			all.WriteByte('\n')
		}
	}
	return all.String()
}
