// SPDX-License-Identifier: Apache-2.0

package testbed

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// restarter is a Controller whose restart command is this shell script, and which answers by these statuses, the last of them for ever.
func restarter(t *testing.T, script string, statuses ...int) *Controller {
	t.Helper()
	next := make(chan int, len(statuses))
	for _, status := range statuses {
		next <- status
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := <-next
		if len(next) == 0 {
			next <- status
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "restart")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+script+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Controller{restart: "sh " + file, URL: server.URL, client: server.Client()}
}

func TestARestartDoesNotWaitForTheControllerItStarted(t *testing.T) {
	t.Parallel()
	pids := filepath.Join(t.TempDir(), "pid")
	c := restarter(t, `sleep 300 & echo $! >`+pids+`; [ "$1" = TERM ]`, http.StatusOK) // which has the command's output as its own
	t.Cleanup(func() {
		text, err := os.ReadFile(pids)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			t.Errorf("what was started is gone: %v", err)
		}
	})
	done := make(chan error, 1)
	go func() { done <- c.Restart(context.WithoutCancel(t.Context()), Term) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the command is over, and it is still waited for")
	}
}

func TestARestartThatFailsSaysWhatTheCommandSaid(t *testing.T) {
	t.Parallel()
	err := restarter(t, `echo "no such $1" >&2; exit 3`).Restart(t.Context(), Kill)
	if err == nil || !strings.Contains(err.Error(), "restart the controller by KILL: exit status 3: no such KILL") {
		t.Errorf("it says %v", err)
	}
}

func TestARestartIsOverWhenJenkinsItselfAnswers(t *testing.T) {
	t.Parallel()
	c := restarter(t, "", http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusOK)
	if err := c.Restart(t.Context(), Kill); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Send(t.Context(), Request{Method: http.MethodGet, Path: "/"}); err != nil || a.Status != http.StatusOK {
		t.Errorf("after the restart: status %d, %v", a.Status, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c = restarter(t, "", http.StatusServiceUnavailable)
	c.client.Transport = &patience{RoundTripper: c.client.Transport, left: 2, end: cancel}
	err := c.Restart(ctx, Term)
	if err == nil || !strings.Contains(err.Error(), "restart the controller by TERM: the command is over, and Jenkins does not answer: status 503") {
		t.Errorf("of one that never gets ready: %v", err)
	}
}

// patience ends with the last of a number of requests.
type patience struct {
	http.RoundTripper
	left int
	end  func()
}

func (p *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.left--; p.left == 0 {
		p.end()
	}
	return p.RoundTripper.RoundTrip(r)
}

func TestTheRestartCommandIsToldAllButSecrets(t *testing.T) { //nolint:paralleltest // the environment is the process's
	t.Setenv(envHome, "/srv/jenkins")
	for _, name := range []string{envToken, envPassword, secondToken} {
		t.Setenv(name, "canary")
	}
	if err := restarter(t, `[ "$`+envHome+`" = /srv/jenkins ] && ! env | grep canary`, http.StatusOK).Restart(t.Context(), Term); err != nil {
		t.Error(err)
	}
}
