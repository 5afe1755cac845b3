// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/web"
)

var update = flag.Bool("update", false, "write the golden files anew")

// canned answers as the API did once; see testdata.
func canned(t *testing.T) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file := map[string]string{
			"/api/v1/whoami": "whoami.json", "/api/v1/version": "version.json", "/api/v1/overview": "overview.json", "/api/v1/agents": "agents.json", "/api/v1/residue": "residue.json",
		}[r.URL.Path]
		switch {
		case file == "":
			http.NotFound(w, r)
		case strings.HasSuffix(r.Header.Get("Authorization"), "borrower"):
			if file != "whoami.json" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			_, _ = w.Write([]byte(`{"name":"ci of staging","role":"borrower"}`))
		case !strings.HasSuffix(r.Header.Get("Authorization")+r.Header.Get("Cookie"), "sesame"):
			http.Error(w, `{"status":401}`, http.StatusUnauthorized)
		default:
			http.ServeFile(w, r, filepath.Join("testdata", file))
		}
	})
}

func ask(h http.Handler, method, target string, header http.Header, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	maps.Copy(r.Header, header)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var sesame = http.Header{"Cookie": {api.TokenCookie + "=sesame"}}

// assets are the digests in addresses of static files: they change with the files.
var assets = regexp.MustCompile(`\?v=[0-9a-f]{12}`)

func TestThePageLooksAsItDid(t *testing.T) {
	t.Parallel()
	h := web.New(web.Options{API: canned(t)})
	for name, target := range map[string]string{"page.html": "/", "fleet.html": "/fleet", "login.html": "/login"} {
		w := ask(h, http.MethodGet, target, sesame, nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d: %s", target, w.Code, w.Body)
		}
		got := assets.ReplaceAllString(w.Body.String(), "?v=DIGEST")
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("read golden file (make it with -update): %v", err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got), write it anew with -update if it is meant so:\n%s", file, diff)
		}
	}
}

func TestWhatAgentsSayIsShownAsText(t *testing.T) {
	t.Parallel()
	w := ask(web.New(web.Options{API: canned(t)}), http.MethodGet, "/", sesame, nil)
	for _, bad := range []string{"<b>on Monday</b>", `href="javascript:`, `"süd"`} {
		if strings.Contains(w.Body.String(), bad) {
			t.Errorf("the page holds %s as it was given", bad)
		}
	}
}

func TestWhoMaySeeThePage(t *testing.T) {
	t.Parallel()
	h := web.New(web.Options{API: canned(t)})
	ask(h, http.MethodGet, "/", sesame, nil) // so that there is a rendering, which somebody may see
	tests := []struct {
		name, target string
		header       http.Header
		status       int
		location     string
	}{
		{"somebody who signed in", "/", sesame, http.StatusOK, ""},
		{"somebody with a token in the header", "/", http.Header{"Authorization": {"Bearer sesame"}}, http.StatusOK, ""},
		{"a stranger", "/", nil, http.StatusSeeOther, "/login"},
		{"a borrower", "/", http.Header{"Authorization": {"Bearer borrower"}}, http.StatusForbidden, ""},
		{"a borrower's script", "/fleet", http.Header{"Authorization": {"Bearer borrower"}}, http.StatusForbidden, ""},
		{"a stranger's script", "/fleet", nil, http.StatusUnauthorized, ""},
		{"a stranger at the door", "/login", nil, http.StatusOK, ""},
		{"a stranger's style sheet", "/static/style.css", nil, http.StatusOK, ""},
		{"no such file", "/static/nothing.css", nil, http.StatusNotFound, ""},
		{"the list of files", "/static/", nil, http.StatusNotFound, ""},
		{"what is the API's", "/api/v1/doctor", nil, http.StatusNotFound, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := ask(h, http.MethodGet, tt.target, tt.header, nil)
			if w.Code != tt.status || w.Header().Get("Location") != tt.location {
				t.Errorf("got %d to %q, want %d to %q", w.Code, w.Header().Get("Location"), tt.status, tt.location)
			}
			if tt.status == http.StatusForbidden && strings.Contains(w.Body.String(), "el9") {
				t.Errorf("it shows the fleet:\n%s", w.Body)
			}
		})
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	h := web.New(web.Options{API: canned(t)})
	https := http.Header{"X-Forwarded-Proto": {"https"}}
	tests := []struct {
		name, token string
		header      http.Header
		status      int
		cookie      string
	}{
		{"the right token", " sesame ", nil, http.StatusSeeOther, api.TokenCookie + "=sesame; Path=/; HttpOnly; SameSite=Lax"},
		{"behind a proxy with TLS", "sesame", https, http.StatusSeeOther, api.TokenCookie + "=sesame; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"a wrong token", "open", nil, http.StatusUnauthorized, ""},
		{"no token", "", nil, http.StatusUnauthorized, ""},
		{"the token of a borrower", "borrower", nil, http.StatusForbidden, ""},
		{"from a foreign page", "sesame", http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := ask(h, http.MethodPost, "/login", tt.header, url.Values{"token": {tt.token}})
			if w.Code != tt.status || w.Header().Get("Set-Cookie") != tt.cookie {
				t.Errorf("got %d and %q, want %d and %q", w.Code, w.Header().Get("Set-Cookie"), tt.status, tt.cookie)
			}
			if strings.Contains(w.Body.String(), "sesame") {
				t.Error("the answer shows the token")
			}
		})
	}
	w := ask(h, http.MethodPost, "/logout", sesame, url.Values{})
	if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
		t.Errorf("signing out sets %q, want the cookie removed", got)
	}
}

func TestAnAPIThatFailsIsNoBlankPage(t *testing.T) {
	t.Parallel()
	h := web.New(web.Options{API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "secret details", http.StatusInternalServerError)
	})})
	w := ask(h, http.MethodGet, "/", nil, nil)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret") || w.Body.Len() == 0 {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
}

func TestThePageTrustsNobodyElse(t *testing.T) {
	t.Parallel()
	w := ask(web.New(web.Options{API: canned(t)}), http.MethodGet, "/", sesame, nil)
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(w.Body.String(), "style=") || strings.Contains(w.Body.String(), "<script>") {
		t.Error("the page has styles or scripts in it, which its own policy forbids")
	}
}

func TestManyViewersCostOneRendering(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var overviews, residues atomic.Int32
		answers := canned(t)
		h := web.New(web.Options{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/v1/overview" {
				overviews.Add(1)
				time.Sleep(time.Second) // a large fleet
			}
			if r.URL.Path == "/api/v1/residue" {
				residues.Add(1)
			}
			answers.ServeHTTP(w, r)
		})})
		look := func(viewers int) {
			var all sync.WaitGroup
			for range viewers {
				all.Go(func() {
					if w := ask(h, http.MethodGet, "/fleet", sesame, nil); w.Code != http.StatusOK {
						t.Errorf("status %d", w.Code)
					}
				})
			}
			all.Wait()
		}
		look(20)
		time.Sleep(5 * time.Second)
		look(20)
		if got := overviews.Load(); got != 1 {
			t.Errorf("40 viewers cost %d renderings, want 1", got)
		}
		if w := ask(h, http.MethodGet, "/fleet", nil, nil); w.Code != http.StatusUnauthorized {
			t.Errorf("a stranger got the rendering of others: status %d", w.Code)
		}
		for i, pause := range []time.Duration{30 * time.Second, time.Minute} {
			time.Sleep(pause)
			look(1)
			if got := overviews.Load(); got != int32(2+i) {
				t.Errorf("%s later %d renderings, want %d", pause, got, 2+i)
			}
			if got := residues.Load(); got != int32(1+i) { // it is asked for once per minute
				t.Errorf("%s later residue was asked for %d times, want %d", pause, got, 1+i)
			}
		}
	})
}
