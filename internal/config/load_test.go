// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

// small is the shortest file that does something.
const small = `version: 1
controllers:
- name: main
  url: https://jenkins.example.org/
  user: pitcrew
  token: env:TOKEN
recipes:
- name: el
  file: recipes/el.yaml
pools:
- name: el
  agents: el7 || el8
  recipe: el
`

func mustParse(tb testing.TB, text string) *config.Config {
	tb.Helper()
	c, err := config.Parse("/etc/pitcrew/pitcrew.yaml", []byte(text))
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	return c
}

// problems returns the problems of a bad file, each on a line.
func problems(tb testing.TB, text string) []string {
	tb.Helper()
	_, err := config.Parse("p.yaml", []byte(text))
	var bad *config.Error
	if !errors.As(err, &bad) {
		tb.Fatalf("Parse gives error %v, want a *config.Error", err)
	}
	var lines []string
	for _, p := range bad.Problems {
		lines = append(lines, p.String())
	}
	return lines
}

func TestAByteOrderMarkIsSkipped(t *testing.T) {
	t.Parallel()
	mustParse(t, "\ufeff"+small)
	if got, want := problems(t, "\ufeffversion: 2\n"), problems(t, "version: 2\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestASmallFileGetsTheDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, small)
	if len(c.Warnings()) > 0 {
		t.Errorf("warnings: %v", c.Warnings())
	}
	main, pool := c.Controllers[0], c.Pools[0]
	checks := []struct {
		what      string
		got, want any
	}{
		{"data", c.Data, "/var/lib/pitcrew"},
		{"owner", c.Owner, ""},
		{"api.listen", c.API.Listen, "127.0.0.1:8473"},
		{"log.format", c.Log.Format, "auto"},
		{"labels", c.Labels, config.Labels{Cleanable: "cleanable", Dirty: "dirty", Clean: "clean"}},
		{"retention.events", c.Retention.Events.Std(), 90 * 24 * time.Hour},
		{"poll", main.Poll.Std(), 5 * time.Second},
		{"requests.perSecond", main.Requests.PerSecond, 20.0},
		{"jobs.prefix", main.Jobs.Prefix, "pitcrew-"},
		{"recipe file", c.Recipes[0].File, "/etc/pitcrew/recipes/el.yaml"},
		{"delivery", pool.Delivery, "job"},
		{"backoff.first", pool.Backoff.First.Std(), time.Minute},
		{"quarantine.after", pool.Quarantine.After, 3},
		{"capacityFloor of 12", pool.CapacityFloor.Of(12), 3},
		{"launchOnDemand", pool.LaunchOnDemand, true},
		{"limits.run", pool.Limits.Run.Std(), time.Hour},
	}
	for _, c := range checks {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	got := problems(t, `version: 2
lables: {}
api:
  listen: 8473
controllers:
- name: main
  url: jenkins.example.org
  token: env:TOKEN
  poll: 5
  maxCleanups: many
pools:
- name: el
  agents: el7 && && el8
  recipe: el
  launchOnDemand: yes
  monitorOffline: lifts
`)
	want := []string{
		`p.yaml:1:10: version: must be at most 1`,
		`p.yaml:2:1: lables: unknown setting "lables" (did you mean "labels"?)`,
		`p.yaml:4:11: api.listen: want an address and a port, such as 127.0.0.1:8473`,
		`p.yaml:6:3: controllers[0]: "user" is missing`,
		`p.yaml:7:8: controllers[0].url: want an address such as https://jenkins.example.org/`,
		`p.yaml:9:9: controllers[0].poll: unit missing: write 5s, 5m, 5h or 5d`,
		`p.yaml:10:16: controllers[0].maxCleanups: want a whole number, not text`,
		`p.yaml:13:18: pools[0].agents: label expression: "&&" where a label is expected`,
		`p.yaml:14:11: pools[0].recipe: no recipe is called "el"`,
		`p.yaml:15:19: pools[0].launchOnDemand: want true or false, not text`,
		`p.yaml:16:19: pools[0].monitorOffline: "lifts" is none of lift, ssh, leave (did you mean "lift"?)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAnErrorQuotesTheLine(t *testing.T) {
	t.Parallel()
	_, err := config.Parse("p.yaml", []byte(strings.Replace(small, "recipe: el\n", "recpe: el\n", 1)))
	want := `p.yaml:11:3: pools[0]: "recipe" is missing
  11 | - name: el
     |   ^
p.yaml:13:3: pools[0].recpe: unknown setting "recpe" (did you mean "recipe"?)
  13 |   recpe: ***
     |   ^`
	if err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
}
