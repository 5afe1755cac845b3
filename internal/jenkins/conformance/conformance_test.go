// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"errors"
	"net/http/httptest"
	"os"
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
	conformance.Run(t, target)
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
