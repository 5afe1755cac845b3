// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/api"
)

func TestOrdersAboutARolloutAreGivenAsTheyAreSaid(t *testing.T) {
	t.Parallel()
	f := newFakeDaemon(t)
	for command, want := range map[string]string{
		"pause el9 -r why":                                            `pause {"reason":"why"}`,
		"resume el9":                                                  `resume {}`,
		"rollback el9 --reason bad":                                   `rollback {"reason":"bad"}`,
		"start el9 --revision 4591526002aa":                           `start {"revision":"4591526002aa"}`,
		"promote el9 --revision 4591526002aa --from canary":           `promote {"revision":"4591526002aa","where":"canary"}`,
		"rehearsed el9 --revision 4591526002aa --failed --report lab": `rehearsal {"revision":"4591526002aa","passed":false,"report":"lab"}`,
	} {
		var out bytes.Buffer
		code := f.run(t.Context(), streams{in: strings.NewReader(""), out: &out, err: &out}, nil, append([]string{"rollout"}, strings.Fields(command)...)...)
		if code != exitOK || len(f.ordered) != 1 {
			t.Errorf("%s ended with %d, and told %d things: %s", command, code, len(f.ordered), &out)
			continue
		}
		if got := <-f.ordered; got != want {
			t.Errorf("%s tells %s, want %s", command, got, want)
		}
		if !strings.Contains(out.String(), "el9") {
			t.Errorf("%s shows %s", command, &out)
		}
	}
}

// What is wrong with the pool is said before what a script has left out: to give that would not help.
func TestWithoutATerminalAnUnknownPoolIsPromotedWithAWordAboutIt(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"/api/v1/rollouts/new": `{"pool":"new","number":0}`,
		"/api/v1/rollouts/el9": `{"pool":"el9","number":3,"to":"4591526002aa","where":"canary"}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := answers[r.URL.Path]; body != "" {
			_, _ = w.Write([]byte(body)) // the client says what it misses
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"detail":"pool NOPE: no pool of this name rolls out"}`))
	}))
	defer server.Close()
	for pool, want := range map[string]struct {
		code int
		says string
	}{
		"NOPE": {exitFailed, "no pool of this name rolls out"},
		"new":  {exitFailed, "it has had none"},
		"el9":  {exitUsage, "nobody can be asked here: say with --revision and --from"},
	} {
		if code, said := asked(t.Context(), server.URL, nil, "rollout", "promote", pool); code != want.code || !strings.Contains(said, want.says) {
			t.Errorf("%s: it ended with %d and said %q, want %d and %q", pool, code, said, want.code, want.says)
		}
	}
}

// Why it waits is shown without what stands beside it: at 80 columns nothing else would be left of it.
func TestWhatARolloutWaitsForIsToldOnce(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]string{
		"paused at share 50% by ann: the mirror is down":      "the mirror is down",
		"paused at share 50%: 0 of 1 cleanups, 1 more wanted": "0 of 1 cleanups, 1 more wanted",
		"no rollout: the pool pins revision 6aed54f2f368":     "no rollout: the pool pins revision 6aed54f2f368",
	} {
		if got := waits(&api.Rollout{Where: "paused at share 50%", By: "ann", Waits: says}); got != want {
			t.Errorf("%q is shown as %q, want %q", says, got, want)
		}
	}
}
