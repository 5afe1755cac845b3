// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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
