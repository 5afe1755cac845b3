// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest/inbound"
)

// ErrNoJDK says that there is no controller: none is named, and the agent of our own
// cannot be compiled.
var ErrNoJDK = inbound.ErrNoJDK

// start starts a jenkinstest on a socket, below a context path, to which agent
// processes connect.
func start(ctx context.Context, bend []func(*jenkinstest.Options)) (*Controller, error) {
	jar, err := inbound.Build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pitcrew-controller-")
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(nil)
	c := &Controller{
		URL:  "http://" + server.Listener.Addr().String() + "/ci",
		User: "Admin", Token: "11bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", Password: "a:password", Restartable: true,
	}
	options := jenkinstest.Options{
		RootURL: c.URL, Dir: dir,
		Timing: jenkinstest.Timing{Down: 200 * time.Millisecond, Boot: 500 * time.Millisecond, Reload: 50 * time.Millisecond},
		Security: jenkinstest.Security{Users: []jenkinstest.User{
			{Name: c.User, Password: c.Password, Tokens: []string{c.Token}, Admin: true},
		}},
	}
	for _, b := range bend {
		b(&options)
	}
	j, err := jenkinstest.New(options)
	if err != nil {
		server.Close()
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	c.fake = j
	inbound.Mount(j, jar)
	server.Config.Handler = Strict(j)
	server.Start()
	c.end = func() {
		j.Close()
		server.CloseClientConnections()
		server.Close()
		_ = os.RemoveAll(dir) // temporary
	}
	return c, nil
}

// Strict refuses what Tomcat refuses, and winstone does not: a request target with
// characters that RFC 3986 does not allow there.
func Strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.ContainsAny(r.RequestURI, "[]{}|^`\"<>\\ ") {
			http.Error(w, "Invalid character found in the request target "+r.RequestURI, http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
