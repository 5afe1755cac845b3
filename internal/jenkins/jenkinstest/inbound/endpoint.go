// SPDX-License-Identifier: Apache-2.0

package inbound

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"path"
	"sync"
	"time"

	"golang.org/x/net/websocket"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

const (
	// capability is what our agent.jar announces (agent/Main.java).
	capability = "pitcrew-1"
	// takeoverPatience bounds the wait for the old connection of an agent that returns.
	takeoverPatience = 15 * time.Second

	capabilityHeader = "X-Remoting-Capability"
	cookieHeader     = "Connection-Cookie"
)

// controller is what an endpoint asks of a [jenkinstest.Jenkins].
type controller interface {
	AgentInfo(name string) (jenkinstest.AgentInfo, error)
	Connect(name, secret string, l jenkinstest.AgentLink) error
}

// endpoint is /wsagents/ (jenkins.agents.WebSocketAgents).
type endpoint struct {
	controller controller

	mu      sync.Mutex
	present map[string]presence // newest connection by agent name
}

// presence is a connection together with the cookie that only its process knows.
type presence struct {
	cookie string
	link   *link
}

// Mount lets agents connect to j: it serves the WebSocket endpoint and jar, the path
// of our agent.jar as [Build] returns it. The agents' JNLP files, which tell their
// secrets, are served by j itself.
func Mount(j *jenkinstest.Jenkins, jar string) {
	j.Mount("/wsagents/", &endpoint{controller: j, present: map[string]presence{}})
	j.Mount("/jnlpJars/", jarHandler(jar))
}

// jarHandler serves the agent under all its names; any other name is an error of the
// server, as hudson.model.Slave.JnlpJar makes it.
func jarHandler(jar string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path.Base(r.URL.Path) {
		case "agent.jar", "slave.jar", "remoting.jar":
			w.Header().Set("Content-Disposition", "attachment; filename="+path.Base(r.URL.Path))
			http.ServeFile(w, r, jar)
		default:
			http.Error(w, "no such jar", http.StatusInternalServerError)
		}
	})
}

// refusal is an answer other than the upgrade.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP implements [http.Handler]. It returns when the connection is over.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get("Node-Name")
	if _, ok := w.(http.Hijacker); !ok {
		http.Error(w, "no WebSocket over this transport", http.StatusInternalServerError)
		return
	}
	l := newLink()
	defer l.Close("connection ended")
	if err := e.admit(r, name, l); err != nil {
		status := http.StatusBadRequest
		if refused, ok := errors.AsType[*refusal](err); ok {
			status = refused.status
		}
		http.Error(w, err.Error(), status)
		return
	}
	websocket.Server{
		Config: websocket.Config{Header: http.Header{
			capabilityHeader: {capability}, cookieHeader: {e.enter(name, l)},
		}},
		Handler: l.serve,
	}.ServeHTTP(w, r)
}

// admit checks the agent's credentials, in Jenkins' order, and puts l into service.
func (e *endpoint) admit(r *http.Request, name string, l *link) error {
	secret, speaks := r.Header.Get("Secret-Key"), r.Header.Get(capabilityHeader)
	if name == "" || secret == "" || speaks == "" {
		return &refusal{http.StatusBadRequest, "This endpoint is only for use from agent.jar in WebSocket mode"}
	}
	info, err := e.controller.AgentInfo(name)
	switch {
	case err != nil:
		return &refusal{http.StatusBadRequest, "no such agent"}
	case subtle.ConstantTimeCompare([]byte(secret), []byte(info.Secret)) != 1:
		return &refusal{http.StatusForbidden, "incorrect secret"}
	case speaks != capability:
		return &refusal{http.StatusBadRequest, "this agent.jar is not the one of this controller"}
	}
	if info.Online && e.dropCurrent(name, r.Header.Get(cookieHeader)) {
		return e.connectInTurn(r.Context(), name, secret, l)
	}
	return asRefusal(e.controller.Connect(name, secret, l))
}

func asRefusal(err error) error {
	if errors.Is(err, jenkinstest.ErrNotServing) {
		return &refusal{http.StatusServiceUnavailable, err.Error()}
	}
	return err
}

// dropCurrent ends the agent's present connection if the newcomer has its cookie:
// then it is the same process, which noticed the loss before we did
// (jenkins.slaves.DefaultJnlpSlaveReceiver#afterProperties).
func (e *endpoint) dropCurrent(name, cookie string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	current, ok := e.present[name]
	if !ok || cookie == "" || cookie != current.cookie {
		return false
	}
	current.link.Close("connection from current peer")
	return true
}

// connectInTurn waits until the controller has noticed the end of the old connection.
func (e *endpoint) connectInTurn(ctx context.Context, name, secret string, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, takeoverPatience)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := e.controller.Connect(name, secret, l)
		if !errors.Is(err, jenkinstest.ErrAlreadyOnline) {
			return asRefusal(err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// enter remembers the connection and returns the cookie for its process.
func (e *endpoint) enter(name string, l *link) string {
	cookie := rand.Text()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.present[name] = presence{cookie, l}
	return cookie
}
