// SPDX-License-Identifier: Apache-2.0

//go:build unix

package app_test

import (
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/app"
	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// sitePassword stands in for the token, where a test logs in with a password.
const sitePassword = "canary-77d0b6c4e19f2a35"

// TestSecretsAppearNowhere lets a daemon work with a login, a webhook key and the API token that it made, first in peace and
// then with a login that is not valid any more, and looks for all of them in what it leaves and shows.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	login := func(secret string) []string {
		return []string{secret, base64.StdEncoding.EncodeToString([]byte("pitcrew:" + secret))}
	}
	ways := map[string]func(*site) (secrets []string){
		"a token": func(*site) []string { return login(siteToken) },
		"a password": func(s *site) []string {
			s.write("token", sitePassword)
			s.edit("token: file:", "password: file:")
			s.jenkins.SetUser(jenkinstest.User{Name: "pitcrew", Password: sitePassword, Admin: true})
			return login(sitePassword)
		},
		"a key for SSH": func(s *site) []string {
			s.sshPool(s.startSSHD(), "  delivery: ssh\n")
			key, err := os.ReadFile(s.path("client"))
			must(s.t, err)
			return append(login(siteToken), strings.Split(string(key), "\n")[2]) // a line in its middle
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secretsAppearNowhere(t, way)
		})
	}
}

func secretsAppearNowhere(t *testing.T, way func(*site) []string) {
	t.Helper()
	const hookKey = "canary-e0a3c1f95d72b684"
	// The program looks at all processes while it runs: no other moment is sure to have one of each.
	recipe := strings.NewReplacer("$WORKSPACE/../left-over", "LEFT.not", "rm -rf", `cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>"LEFT" 2>/dev/null || :; rm -rf`)
	s := newSite(t, siteSpec{recipe: recipe.Replace(siteRecipe), config: func(text string) string {
		return text + "notifications:\n- name: hook\n  webhook:\n    url: http://127.0.0.1:1/\n    secret: file:" + "KEYFILE" + "\n"
	}})
	s.fixRecipe()
	s.write("hook-key", hookKey)
	s.edit("KEYFILE", s.path("hook-key"))
	secrets := append(way(s), hookKey)
	sessions := s.sessionsOf()
	d := s.run()
	d.committed(hygiene.EventGranted, 1)
	s.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
	d.committed(hygiene.EventGranted, 2)
	ours, err := os.ReadFile(filepath.Join(s.path("data"), app.TokenFile))
	must(t, err)
	if secrets[0] == sitePassword && len(sessions()) < 2 {
		t.Errorf("a session and a crumb were to be seen: %q", sessions())
	}
	secrets = slices.Concat(secrets, sessions(), []string{strings.TrimSpace(string(ours))})
	look := func(where, text string) {
		t.Helper()
		for i, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("secret %d of %d stands in %s", i+1, len(secrets), where)
			}
		}
	}
	processes, err := os.ReadFile(s.path("left-over"))
	must(t, err)
	if !strings.Contains(string(processes), "PITCREW_ATTEMPT") {
		t.Error("the program saw no process of a cleanup")
	}
	look("the process list", string(processes))
	answers := d.everyAnswer()
	s.jenkins.SetUser(jenkinstest.User{Name: "pitcrew", Tokens: []string{"another"}, Admin: true})
	d.committed(hygiene.EventController, 1) // it cannot be polled
	answers += d.everyAnswer()
	look("an answer of the API", answers)
	if !strings.Contains(answers, "401") {
		t.Error("no answer tells of the refused login")
	}
	look("job pitcrew-owner", s.jobXML("pitcrew-owner"))
	for _, b := range s.cleanups() {
		look("the slot's job", s.jobXML("pitcrew-slot-01"))
		look("a console", b.Console)
	}
	d.end()
	look("the log", d.log.String())
	must(t, filepath.WalkDir(s.path("data"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == app.TokenFile {
			return err
		}
		data, err := os.ReadFile(path)
		look(path, string(data))
		return err
	}))
}

// sessionsOf remembers the sessions and crumbs of requests from now on.
func (s *site) sessionsOf() (seen func() []string) {
	var mu sync.Mutex
	known := map[string]bool{}
	s.jenkins.Inject(jenkinstest.Fault{Match: func(r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range r.Cookies() {
			known[c.Value] = true
		}
		if crumb := r.Header.Get("Jenkins-Crumb"); crumb != "" {
			known[crumb] = true
		}
		return false
	}})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Collect(maps.Keys(known))
	}
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
