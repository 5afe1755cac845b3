// SPDX-License-Identifier: Apache-2.0

package jenkins

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// guarded is a controller with CSRF protection: a POST needs a crumb and the session it was issued in, the cookie of
// which has another name after each start. As in Jenkins, the crumb is bound to the session.
type guarded struct {
	mu       sync.Mutex
	start    int
	sessions map[string]string // cookie -> crumb
	crumbs   int               // issued
	posts    int               // accepted
	noIssuer bool
}

func (g *guarded) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.start++
	g.sessions = map[string]string{}
}

func (g *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := fmt.Sprintf("JSESSIONID.%08x", g.start)
	if r.URL.Path == "/jenkins/crumbIssuer/api/json" {
		if g.noIssuer {
			http.NotFound(w, r)
			return
		}
		g.crumbs++
		id, crumb := fmt.Sprintf("node0%d.%d", g.start, g.crumbs), fmt.Sprintf("c%d", g.crumbs)
		g.sessions[id] = crumb
		http.SetCookie(w, &http.Cookie{Name: name, Value: id, Path: "/jenkins", HttpOnly: true})
		_, _ = fmt.Fprintf(w, `{"_class":"hudson.security.csrf.DefaultCrumbIssuer","crumb":%q,"crumbRequestField":"Jenkins-Crumb"}`, crumb)
		return
	}
	if r.Method == http.MethodPost && !g.noIssuer {
		cookie, err := r.Cookie(name)
		if err != nil || r.Header.Get("Jenkins-Crumb") == "" || g.sessions[cookie.Value] != r.Header.Get("Jenkins-Crumb") {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<html><body><h2>HTTP ERROR 403 No valid crumb was included in the request</h2></body></html>")
			return
		}
	}
	g.posts++
	w.WriteHeader(http.StatusFound)
}

func TestAPasswordNeedsOneCrumbForManyPosts(t *testing.T) {
	t.Parallel()
	g := &guarded{sessions: map[string]string{}}
	c := clientWith(t, Options{User: "pit", Password: fixed(canary)}, g.ServeHTTP)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := c.Disconnect(t.Context(), "a", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if g.crumbs != 1 || g.posts != 20 {
		t.Errorf("%d crumbs, %d posts", g.crumbs, g.posts)
	}
}

func TestAfterARestartTheCrumbIsFetchedAnewOnce(t *testing.T) {
	t.Parallel()
	g := &guarded{sessions: map[string]string{}}
	c := clientWith(t, Options{}, g.ServeHTTP) // an unsecured controller wants crumbs too
	for range 3 {
		if err := c.Disconnect(t.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
		g.restart()
	}
	if g.crumbs != 3 || g.posts != 3 {
		t.Errorf("%d crumbs, %d posts", g.crumbs, g.posts)
	}
}

func TestACrumbRefusedTwiceIsAnErrorAndNotALoop(t *testing.T) {
	t.Parallel()
	var j journal
	c := clientWith(t, Options{User: "pit", Password: fixed(canary)}, func(w http.ResponseWriter, r *http.Request) {
		j.add(r)
		if r.Method == http.MethodGet {
			answering(200, `{"crumb":"x","crumbRequestField":"Jenkins-Crumb"}`)(w, r)
			return
		}
		answering(403, "No valid crumb was included in the request")(w, r)
	})
	if err := c.Disconnect(t.Context(), "a", ""); !IsForbidden(err) {
		t.Errorf("got %v", err)
	}
	const crumb, post = "GET /jenkins/crumbIssuer/api/json", "POST /jenkins/computer/a/doDisconnect"
	if want := strings.Join([]string{crumb, post, crumb, post}, "\n"); j.String() != want {
		t.Errorf("requests:\n%s", j.String())
	}
}

func TestALackOfPermissionIsNotTakenForABadCrumb(t *testing.T) {
	t.Parallel()
	posts := 0
	c := clientWith(t, Options{User: "pit", Password: fixed(canary)}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answering(200, `{"crumb":"x","crumbRequestField":"Jenkins-Crumb"}`)(w, r)
			return
		}
		posts++
		answering(403, "Access Denied", "X-Required-Permission", "hudson.model.Computer.Disconnect", "X-You-Are-Authenticated-As", "pit")(w, r)
	})
	if err := c.Disconnect(t.Context(), "a", ""); !IsForbidden(err) || permissionOf(err) != "hudson.model.Computer.Disconnect" || posts != 1 {
		t.Errorf("got %v after %d posts", err, posts)
	}
}

func TestAControllerWithoutCrumbIssuerGetsNone(t *testing.T) {
	t.Parallel()
	g := &guarded{noIssuer: true}
	c := clientWith(t, Options{}, g.ServeHTTP)
	for range 2 {
		if err := c.Disconnect(t.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWithATokenNoCookieIsKept(t *testing.T) {
	t.Parallel()
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 || r.URL.Path == "/jenkins/crumbIssuer/api/json" {
			t.Errorf("%s with cookies %v", r.URL, r.Cookies())
		}
		http.SetCookie(w, &http.Cookie{Name: "JSESSIONID.1", Value: "logged-in"})
		w.WriteHeader(http.StatusFound)
	})
	for range 2 {
		if err := c.Disconnect(t.Context(), "a", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARotatedSecretIsTakenUpAtTheNextRequest(t *testing.T) {
	t.Parallel()
	secret := "old\n"
	var got []string
	o := Options{User: "pit", Token: func(context.Context) (string, error) { return secret, nil }}
	c := clientWith(t, o, func(w http.ResponseWriter, r *http.Request) {
		_, pass, _ := r.BasicAuth()
		got = append(got, pass)
		w.WriteHeader(http.StatusFound)
	})
	_ = c.Disconnect(t.Context(), "a", "")
	secret = "new:er"
	_ = c.Disconnect(t.Context(), "a", "")
	if fmt.Sprint(got) != "[old new:er]" {
		t.Errorf("secrets sent: %q", got)
	}
}

func TestASecretThatCannotBeReadIsSaidWithoutARequest(t *testing.T) {
	t.Parallel()
	o := Options{User: "pit", Token: func(context.Context) (string, error) { return "", errors.New("vault is sealed") }}
	c := clientWith(t, o, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	for range breakerFailures + 1 { // and the controller is not to blame
		if _, err := c.Fleet(t.Context()); err == nil || !strings.Contains(err.Error(), "read api token: vault is sealed") {
			t.Errorf("got %v", err)
		}
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	t.Parallel()
	pair := base64.StdEncoding.EncodeToString([]byte("pit:" + canary))
	echo := func(status int) http.HandlerFunc { // a proxy that repeats the request in its error page
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Error", "bad "+r.Header.Get("Authorization"))
			w.Header().Set("X-Required-Permission", r.Header.Get("Authorization"))
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<p>%s %s %s</p>", r.Header.Get("Authorization"), canary, pair)
		}
	}
	failing := roundTrip(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("proxy refused %q", r.Header)
	})
	handlers := map[string]Options{"transport": {Transport: failing}}
	for _, status := range []int{200, 302, 400, 401, 403, 404, 500, 503} {
		handlers[fmt.Sprint(status)] = Options{Transport: inMemory{echo(status)}}
	}
	for name, o := range handlers {
		for mode := range 2 {
			o.User, o.Token, o.Password = "pit", fixed(canary), nil
			if mode == 1 {
				o.Token, o.Password = nil, fixed(canary)
			}
			c := clientWith(t, o, nil)
			_, fleetErr := c.Fleet(t.Context())
			_, editErr := c.EditLabels(t.Context(), "a", func(NodeConfig) ([]string, error) { return nil, nil })
			_, buildErr := c.Build(t.Context(), "j", nil, nil)
			for _, err := range []error{fleetErr, editErr, buildErr} {
				text := fmt.Sprintf("%v %+v", err, err)
				if e, ok := errors.AsType[*Error](err); ok {
					text += fmt.Sprintf("%+v", *e)
				}
				if strings.Contains(text, canary) || strings.Contains(text, pair) {
					t.Errorf("%s: %s", name, text)
				}
			}
		}
	}
}
