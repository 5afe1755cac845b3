// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/conformance"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/inbound"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

func TestJenkinstestBehavesLikeJenkins(t *testing.T) {
	t.Parallel()
	jar, err := inbound.Build(t.Context())
	if errors.Is(err, inbound.ErrNoJDK) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	target := conformance.Target{
		User: "Admin", Token: "11bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", Password: "a:password", Disposable: true,
	}
	target.URL = start(t, jar, target)
	t.Cleanup(func() { // after what the suite itself does at its end
		for path, want := range map[string]string{
			"/computer/api/json?tree=computer%5BdisplayName%5D": "Built-In Node", "/api/json?tree=jobs%5Bname%5D": "", "/queue/api/json?tree=items%5Bid%5D": "",
		} {
			if left := named(t, target, path); left != want {
				t.Errorf("left on the controller: %q", left)
			}
		}
	})
	conformance.Run(t, target)
}

// named lists the values of all names in an answer.
func named(t *testing.T, target conformance.Target, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, target.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(target.User, target.Token)
	req.Header.Set("Accept-Language", "en")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`"(?:displayName|name|id)":"?([^",}]*)`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return strings.Join(names, ", ")
}

// start serves a controller to which agent processes connect, below a context path.
func start(t *testing.T, jar string, target conformance.Target) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	root := "http://" + server.Listener.Addr().String() + "/ci"
	j, err := jenkinstest.New(jenkinstest.Options{
		RootURL: root, Dir: t.TempDir(),
		Timing: jenkinstest.Timing{Down: 50 * time.Millisecond, Boot: 50 * time.Millisecond, Reload: 50 * time.Millisecond},
		Security: jenkinstest.Security{Users: []jenkinstest.User{
			{Name: target.User, Password: target.Password, Tokens: []string{target.Token}, Admin: true},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	inbound.Mount(j, jar)
	server.Config.Handler = testbed.Strict(j)
	server.Start()
	t.Cleanup(func() {
		j.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return root
}

// TestARealControllerBehavesAsStated runs against the controller that the environment
// names (package testbed). It creates agents and jobs whose names begin with a prefix of
// their own, and removes them. It is no parallel test: the machine is busy enough.
func TestARealControllerBehavesAsStated(t *testing.T) { //nolint:paralleltest // see above
	named, err := testbed.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if named == nil {
		t.Skip("PITCREW_TEST_JENKINS_URL, _USER and _TOKEN name no controller")
	}
	conformance.Run(t, conformance.Target{
		URL: named.URL, User: named.User, Token: named.Token, Password: named.Password, Disposable: named.Restartable, Lasting: true,
	})
}
