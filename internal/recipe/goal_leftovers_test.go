// SPDX-License-Identifier: Apache-2.0

package recipe

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

func TestLeftoversOfTheSystemAreDecodedAndPutInOrder(t *testing.T) {
	t.Parallel()
	r, err := Parse("r.yaml", []byte(`version: 1
name: leftovers
owns: {users: [ci], paths: [/srv/ci]}
clean:
  - {name: orders, cron: {}}
  - {name: homes, users: {homes: [/home, /export/home], older: 90d, keep: [shared], known: [alice]}}
  - {name: logs, logs: {paths: [/var/log, /srv/ci/log], older: 30d, keep: ["audit*"], logins: 10MB}}
  - {name: journal, journal: {older: 14d, size: 512MiB}}
verify:
  - {name: ok, run: "true"}
`), opener(nil))
	if err != nil {
		t.Fatal(err)
	}
	var got []spec.Goal
	for _, s := range r.Steps[:4] {
		got = append(got, *s.Goal)
	}
	const day = 24 * 60 * 60
	want := []spec.Goal{
		{Journal: &spec.Journal{Older: 14 * day, Size: 512 << 20}},
		{Logs: &spec.Logs{Paths: []string{"/var/log", "/srv/ci/log"}, Older: 30 * day, Keep: []string{"audit*"}, Logins: 10e6}},
		{Users: &spec.Users{Homes: []string{"/home", "/export/home"}, Older: 90 * day, Keep: []string{"shared"}, Known: []string{"alice"}}},
		{Cron: &spec.Cron{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("goals (-want +got):\n%s", diff)
	}
}

func TestWrongLeftoversOfTheSystemAreRefused(t *testing.T) {
	t.Parallel()
	_, err := Parse("r.yaml", []byte(`version: 1
name: wrong
clean:
  - {name: a, journal: {}}
  - {name: b, logs: {paths: [/usr/share/man, /var/logs, var/log]}}
  - {name: c, users: {homes: [/, /var], known: ["0", ""]}}
  - {name: d, cron: {}}
setup:
  - {name: e, journal: {older: 1d}}
verify:
  - {name: ok, run: "true"}
`), opener(nil))
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		_, text, _ := strings.Cut(p.String(), ": ")
		got = append(got, text)
	}
	const elsewhere = "want /var/log, a directory in it, or an owned one: elsewhere such names need not be logs"
	want := []string{
		`$.clean[0].journal: neither older nor size is there: any journal would do`,
		`$.clean[1].logs.paths[0]: "/usr/share/man": ` + elsewhere,
		`$.clean[1].logs.paths[1]: "/var/logs": ` + elsewhere,
		`$.clean[1].logs.paths[2]: "var/log": want an absolute path`,
		`$.clean[1].logs: the field "older" is missing: how old has a rotated log to be?`,
		`$.clean[2].users.homes[0]: "/": others than homes are in it on every machine`,
		`$.clean[2].users.homes[1]: "/var": others than homes are in it on every machine`,
		`$.clean[2].users.known[0]: "0": want the name of a user`,
		`$.clean[2].users.known[1]: "": want the name of a user`,
		`$.clean[2].users: the field "older" is missing: for how long has a home to be unused?`,
		`$.clean[3]: the recipe owns no users: whose crontabs are meant?`,
		`$.setup[0]: journal belongs to the clean phase, or to the verify phase, where it is judged only`,
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
