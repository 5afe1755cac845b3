// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
)

// away is a daemon without a network that is not there from some time to another.
type away struct {
	began    time.Time
	from, to time.Duration
}

// RoundTrip implements [http.RoundTripper]. The agent is due until the daemon is away.
func (a *away) RoundTrip(r *http.Request) (*http.Response, error) {
	since := time.Since(a.began)
	if since >= a.from && since < a.to {
		return nil, errors.New("connection refused")
	}
	body := `{"items":[]}`
	switch {
	case strings.HasSuffix(r.URL.Path, "/events/watch"):
		events, ends := io.Pipe()
		context.AfterFunc(r.Context(), func() { ends.CloseWithError(r.Context().Err()) })
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: events, Request: r}, nil
	case strings.HasSuffix(r.URL.Path, "/agents") && since < a.from:
		body = `{"items":[{"controller":"main","name":"el9-1","hygiene":"due"}]}`
	case strings.HasSuffix(r.URL.Path, "/agents"):
		body = `{"items":[{"controller":"main","name":"el9-1","hygiene":"clean"}]}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func TestAWatchOutlivesARestartOfTheDaemon(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		from, to time.Duration
		sees     string
		ok       bool
	}{
		"it restarts":           {time.Minute, 2 * time.Minute, "clean", true},
		"it does not come back": {time.Minute, time.Hour, "due", false},
		"it was never there":    {0, time.Hour, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				asked, err := client.New(client.Options{URL: "http://daemon", Transport: &away{began, tc.from, tc.to}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // then it is Ctrl-C
				defer cancel()
				var shown bytes.Buffer
				err = silentCLI(&shown).watchAgents(ctx, &daemon{Client: asked}, api.AgentQuery{}, format{formatTable})
				took := time.Since(began)
				if tc.ok != (err == nil) || !tc.ok && took > tc.from+restartTime+watchPoll+watchPause || !strings.Contains(shown.String(), tc.sees) {
					t.Errorf("after %s: %v\n%s", took, err, shown.String())
				}
				synctest.Wait()
			})
		})
	}
}
