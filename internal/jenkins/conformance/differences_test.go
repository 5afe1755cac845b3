// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/conformance"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

const wrongServer = "CONFORMANCE_WRONG_SERVER"

// wrong changes an answer a little: another status, a lost header.
type wrong struct{ http.ResponseWriter }

func (w wrong) WriteHeader(status int) {
	if status == http.StatusMethodNotAllowed {
		status = http.StatusNotFound
	}
	w.Header().Del("X-Frame-Options")
	w.ResponseWriter.WriteHeader(status)
}

// TestAWrongServerFails is run by the test below, and is expected to fail.
func TestAWrongServerFails(t *testing.T) {
	if os.Getenv(wrongServer) == "" {
		t.Skip("run by TestDifferencesAreAllReportedTogether")
	}
	target := conformance.Target{User: "admin", Token: "11cccccccccccccccccccccccccccccccc"}
	j, err := jenkinstest.New(jenkinstest.Options{
		Security: jenkinstest.Security{Users: []jenkinstest.User{{Name: target.User, Tokens: []string{target.Token}, Admin: true}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	j.Mount("/jnlpJars/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { j.ServeHTTP(wrong{w}, r) }))
	t.Cleanup(server.Close)
	target.URL = server.URL
	conformance.Run(t, target)
}

func TestDifferencesAreAllReportedTogether(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAWrongServerFails$/^(status_and_headers|nodes)$")
	cmd.Env = append(os.Environ(), wrongServer+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("a wrong server passed: %s", out)
	}
	for _, want := range []string{
		"DIFFERS: API answers carry version, session and security headers\n",
		"DIFFERS: GET on an action is 405 with Allow POST\n", "Jenkins: status 405\n", "here:    status 404",
		"skipped: a POST by password needs the crumb of its own session: needs a password beside the token\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
}
