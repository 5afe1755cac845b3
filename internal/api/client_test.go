// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/api"
	"github.com/pitcrew-ci/pitcrew/internal/api/client"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

func count[T any](t *testing.T, items iter.Seq2[T, error]) int {
	t.Helper()
	n := 0
	for _, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestTheClientReachesEveryOperation(t *testing.T) {
	t.Parallel()
	h := setup(t, func(o *api.Options) {
		o.Config = func() (string, error) { return "controllers: []\n", nil }
		o.Reload = func(context.Context, string) error { return nil }
	})
	furnish(t, h)
	c, _ := dial(t, h, h.tokens[store.Admin])
	ctx := t.Context()
	var log bytes.Buffer
	var failed api.Attempt
	for a, err := range c.Attempts(ctx, api.AttemptQuery{Outcome: "failed", Paging: api.Paging{Limit: 1}}) {
		if err != nil {
			t.Fatal(err)
		}
		failed = a
	}
	calls := map[string]func() (bool, error){
		"Agents": func() (bool, error) {
			q := api.AgentQuery{Hygiene: []string{"due", "quarantined"}, Labels: "el9", Pool: "linux"}
			return count(t, c.Agents(ctx, q)) == 2, nil
		},
		"Agent": func() (bool, error) { d, err := c.Agent(ctx, "main", odd); return d.Name == odd, err },
		"Clean": func() (bool, error) {
			a, err := c.Clean(ctx, "main", "el9-1", "", "deep")
			return a.Name == "el9-1" && a.Depth == "deep", err
		},
		"Hold":    func() (bool, error) { a, err := c.Hold(ctx, "main", odd, "x", time.Hour); return a.Hold != nil, err },
		"Release": func() (bool, error) { a, err := c.Release(ctx, "main", "el9-2", ""); return a.Hold == nil, err },
		"Quarantine": func() (bool, error) {
			a, err := c.Quarantine(ctx, "main", "el9-1", "x", 0)
			return a.Quarantine != nil, err
		},
		"Attempt": func() (bool, error) { d, err := c.Attempt(ctx, failed.ID); return d.HasLog, err },
		"AttemptLog": func() (bool, error) {
			err := c.AttemptLog(ctx, failed.ID, &log)
			return strings.HasPrefix(log.String(), "cleaning\n"), err
		},
		"Builds": func() (bool, error) { return count(t, c.Builds(ctx, api.BuildQuery{Since: began})) == 2, nil },
		"Culprits": func() (bool, error) {
			return count(t, c.Culprits(ctx, api.CulpritQuery{Since: began, Order: "bytes"})) == 2, nil
		},
		"Residue": func() (bool, error) {
			q := api.ResidueQuery{AgentPath: api.AgentPath{Controller: "main", Agent: "el9-1"}, Kind: "process"}
			return count(t, c.Residue(ctx, q)) == 1, nil
		},
		"Events": func() (bool, error) {
			return count(t, c.Events(ctx, api.EventQuery{Paging: api.Paging{Limit: 3}})) == 3, nil
		},
		"Overview":    func() (bool, error) { o, err := c.Overview(ctx); return o.Counts.Managed == 3, err },
		"Controllers": func() (bool, error) { l, err := c.Controllers(ctx); return len(l) == 1, err },
		"Pools":       func() (bool, error) { l, err := c.Pools(ctx); return len(l) == 1, err },
		"Plan":        func() (bool, error) { l, err := c.Plan(ctx, api.PlanQuery{All: true}); return len(l) == 3, err },
		"Audit":       func() (bool, error) { a, err := c.Audit(ctx, "main"); return len(a.Findings) == 1, err },
		"Pause": func() (bool, error) {
			p, err := c.Pause(ctx, "controller:main", "x", time.Minute)
			return !p.Until.IsZero(), errors.Join(err, c.Resume(ctx, "controller:main"))
		},
		"Pauses": func() (bool, error) { l, err := c.Pauses(ctx); return len(l) >= 1, err },
		"Slots":  func() (bool, error) { l, err := c.Slots(ctx, "main"); return len(l) == 2, err },
		"ResetSlot": func() (bool, error) {
			s, err := c.ResetSlot(ctx, "main", "ci/pitcrew-slot-02", "")
			return s.Refused == "", err
		},
		"Tokens": func() (bool, error) { l, err := c.Tokens(ctx); return len(l) >= 3, err },
		"CreateToken": func() (bool, error) {
			n, err := c.CreateToken(ctx, api.TokenRequest{Name: "nightly", Role: "viewer"})
			return n.Secret != "", errors.Join(err, c.RevokeToken(ctx, "nightly"))
		},
		"WhoAmI":  func() (bool, error) { i, err := c.WhoAmI(ctx); return i.Role == "admin", err },
		"Version": func() (bool, error) { v, err := c.Version(ctx); return v.Version == "1.2.3", err },
		"Backup":  func() (bool, error) { b, err := c.Backup(ctx, t.TempDir()+"/copy.db"); return b.Bytes > 0, err },
		"Reload":  func() (bool, error) { return true, c.Reload(ctx) },
		"Config":  func() (bool, error) { y, err := c.Config(ctx); return y == "controllers: []\n", err },
		"Doctor":  func() (bool, error) { d, err := c.Doctor(ctx, "main", true); return len(d.Controllers) == 1, err },
		"Health":  func() (bool, error) { s, err := c.Health(ctx); return s.Status == "failing", err },
	}
	for name, call := range calls {
		ok, err := call()
		if err != nil || !ok {
			t.Errorf("%s: right answer %t, error %v", name, ok, err)
		}
	}
}

func TestTheClientReadsPageAfterPage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	id := h.adopt(t, "el9-1")
	for n := range 2500 {
		h.append(t, id, n)
	}
	c, _ := dial(t, h, h.tokens[store.Viewer])
	all := c.Events(t.Context(), api.EventQuery{})
	for range 2 { // an iterator may be used again
		if got := count(t, all); got != 2501 {
			t.Errorf("%d events, want 2501", got)
		}
	}
	if got := count(t, c.Events(t.Context(), api.EventQuery{Paging: api.Paging{Limit: 1500}})); got != 1500 {
		t.Errorf("%d events, want the 1500 asked for", got)
	}
}

func TestTheClientSaysWhatTheDaemonSays(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.adopt(t, "el9-1")
	viewer, _ := dial(t, h, h.tokens[store.Viewer])
	operator, _ := dial(t, h, h.tokens[store.Operator])
	ctx := t.Context()
	_, notFound := viewer.Agent(ctx, "main", "el9-2")
	_, forbidden := viewer.Clean(ctx, "main", "el9-1", "", "")
	_, faulty := operator.Hold(ctx, "main", "el9-1", "", 0)
	tests := []struct {
		name string
		err  error
		is   func(error) bool
		text string
	}{
		{"not found", notFound, client.IsNotFound, "there is no such thing"},
		{"forbidden", forbidden, client.IsForbidden, "this needs the role operator; the viewer has the role viewer"},
		{"faulty", faulty, func(error) bool { return true }, "body.reason: expected string to be words, not only blanks"},
	}
	for _, tt := range tests {
		if !tt.is(tt.err) || tt.err.Error() != tt.text {
			t.Errorf("%s: got %q, want %q", tt.name, tt.err, tt.text)
		}
	}
}

func TestTheClientSurvivesAnswersThatAreNotTheDaemons(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer http.HandlerFunc
		text   string
	}{
		{"a proxy's page", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }, "answered 502 Bad Gateway, without saying why"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusFound)
		}, "answered 302 Found, without saying why"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }, "read answer of GET /version: invalid character 'h' looking for beginning of value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := client.New(client.Options{URL: "http://pitcrew.example/", Token: nonce, Transport: &wire{handler: tt.answer}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = c.Version(t.Context()); err == nil || err.Error() != tt.text {
				t.Errorf("got %v, want %s", err, tt.text)
			}
		})
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://user:" + nonce + "@[x", "unix:///run/x"} {
		_, err := client.New(client.Options{URL: address})
		if err == nil || strings.Contains(err.Error(), nonce) {
			t.Errorf("%q: got %v, want an error without the password", address, err)
		}
	}
}
