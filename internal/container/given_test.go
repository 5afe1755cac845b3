// SPDX-License-Identifier: Apache-2.0

package container_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/container"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// running is a controller of somebody else's, which has a user ci with this token.
func running(t *testing.T, token string, boot time.Duration) string {
	t.Helper()
	j, err := jenkinstest.New(jenkinstest.Options{Security: jenkinstest.Security{Users: []jenkinstest.User{{Name: "ci", Tokens: []string{token}, Admin: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	up := time.Now().Add(boot)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if time.Now().Before(up) {
			http.Error(w, "Please wait", http.StatusServiceUnavailable)
			return
		}
		j.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestGivenIsUsedAndLeftAlone(t *testing.T) {
	t.Parallel()
	token := container.NewToken()
	c, err := container.Given(t.Context(), container.Address{URL: running(t, string(token), time.Second) + "/", User: "ci", Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(c.URL(), "/") || c.AdvertiseURL() != c.URL() || c.User() != "ci" || c.Token() != token || c.Err() != nil {
		t.Errorf("%s, advertised as %s, for %s: %v", c.URL(), c.AdvertiseURL(), c.User(), c.Err())
	}
	serves(t, c)
	stopped(t, c)
	serves(t, c) // it is not ours to stop
}

func TestGivenIsRefused(t *testing.T) {
	t.Parallel()
	token := container.NewToken()
	url := running(t, string(token), 0)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for name, f := range map[string]struct {
		address container.Address
		says    string
	}{
		"wrong token": {container.Address{URL: url, User: "ci", Token: container.NewToken()}, "refuses the token of ci"},
		"no Jenkins":  {container.Address{URL: other.URL, User: "ci", Token: token}, "does not say that it is Jenkins"},
		"nobody":      {container.Address{URL: "http://127.0.0.1:1", User: "ci", Token: token}, "connection refused"},
		"no user":     {container.Address{URL: url, Token: token}, "give a user"},
		"credentials": {container.Address{URL: "http://a:b@127.0.0.1:1", User: "ci", Token: token}, "no credentials"},
		"no scheme":   {container.Address{URL: "jenkins:8080", User: "ci", Token: token}, "http://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.address.ReadyWithin = 3 * time.Second
			c, err := container.Given(t.Context(), f.address)
			if err == nil || !strings.Contains(err.Error(), f.says) || strings.Contains(err.Error(), string(f.address.Token)) || strings.Contains(err.Error(), "a:b") {
				t.Errorf("%v, %v; want %q and no secret", c, err, f.says)
			}
		})
	}
}

func TestSpecIsChecked(t *testing.T) {
	t.Parallel()
	image := container.Image{Name: "x", Engine: "/no/such/socket"}
	for name, f := range map[string]struct {
		spec container.Spec
		says string
	}{
		"nothing":        {container.Spec{}, "give an image, an archive with one, or a war"},
		"both":           {container.Spec{Image: image, War: container.War{File: "x"}}, "not both"},
		"bind":           {container.Spec{Image: image, Bind: "localhost"}, "want an IP address"},
		"advertised":     {container.Spec{Image: image, AdvertiseURL: "ci.example"}, "http://"},
		"host network":   {container.Spec{Image: container.Image{Name: "x", Network: "host"}}, "address of its own"},
		"other's":        {container.Spec{Image: container.Image{Name: "x", Network: "container:y"}}, "address of its own"},
		"user":           {container.Spec{Image: image, Seed: container.Seed{User: "a b"}}, "user of the seed"},
		"token":          {container.Spec{Image: image, Seed: container.Seed{Token: "secret"}}, "32 hexadecimal digits"},
		"bare":           {container.Spec{Image: image, Seed: container.Seed{Bare: true}}, "give the token"},
		"file outside":   {container.Spec{Image: image, Seed: container.Seed{Files: map[string][]byte{"../x": nil}}}, "want a path in the home"},
		"file of ours":   {container.Spec{Image: image, Seed: container.Seed{Files: map[string][]byte{"pitcrew-seed/token": nil}}}, "not one of ours"},
		"missing socket": {container.Spec{Image: image}, "unix:///no/such/socket (no such file or directory)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := container.Start(t.Context(), f.spec)
			if err == nil || !strings.Contains(err.Error(), f.says) || strings.Contains(err.Error(), "secret") {
				t.Errorf("it says %v; want %q", err, f.says)
			}
			if name == "missing socket" && !errors.Is(err, container.ErrNoEngine) {
				t.Errorf("%v is not ErrNoEngine", err)
			}
		})
	}
}

func TestEngineIsLookedForWhereItMayBe(t *testing.T) {
	t.Setenv("DOCKER_HOST", "")
	t.Setenv("XDG_RUNTIME_DIR", "/no/such/runtime")
	want := "unix:///var/run/docker.sock unix:///run/podman/podman.sock unix:///no/such/runtime/podman/podman.sock unix:///no/such/runtime/docker.sock"
	if got := strings.Join(container.Sockets(), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	t.Setenv("DOCKER_HOST", "unix:///no/such/docker.sock")
	_, err := container.Start(t.Context(), container.Spec{Image: container.Image{Name: "x"}})
	if err == nil || !strings.Contains(err.Error(), "tried unix:///no/such/docker.sock (no such file or directory)") || strings.Contains(err.Error(), "podman") {
		t.Errorf("it says %v; want DOCKER_HOST alone", err)
	}
	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
	if _, err := container.Start(t.Context(), container.Spec{Image: container.Image{Name: "x"}}); !errors.Is(err, container.ErrNoEngine) || !strings.Contains(err.Error(), "tcp://127.0.0.1:1") {
		t.Errorf("it says %v", err)
	}
}
