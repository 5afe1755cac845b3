// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestTheFirstPoolThatTakesAnAgentHasIt(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `version: 1
controllers:
- {name: main, url: "https://a.example.org", user: u, token: "env:T"}
- {name: lab, url: "https://b.example.org", user: u, token: "env:T"}
recipes: [{name: r, file: r.yaml}]
pools:
- {name: big, agents: el && big && cleanable, recipe: r}
- {name: el, agents: el, recipe: r, controllers: [main]}
- {name: rest, agents: '!windows', recipe: r, controllers: [main]}
`)
	tests := []struct {
		name, controller string
		labels           []string
		want             string
	}{
		{"both match, the first wins", "main", []string{"el", "big", "cleanable"}, "big"},
		{"a pool without controllers takes from all", "lab", []string{"el", "big", "cleanable"}, "big"},
		{"an agent keeps its pool without cleanable", "main", []string{"el", "big"}, "big"},
		{"its state does not matter", "main", []string{"el", "cleanable", "dirty", "clean"}, "el"},
		{"not from this controller", "lab", []string{"el"}, ""},
		{"no other pool", "main", []string{"odd"}, "rest"},
		{"no pool at all", "main", []string{"windows"}, ""},
	}
	for _, tt := range tests {
		pool, ok := c.PoolFor(tt.controller, tt.labels)
		got := ""
		if ok {
			got = pool.Name
		}
		if got != tt.want {
			t.Errorf("%s: pool %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestPolicyOfADefaultPool(t *testing.T) {
	t.Parallel()
	c := mustParse(t, small)
	got := c.Pools[0].Policy(&c.Controllers[0], "abc")
	want := hygiene.Policy{
		Pool: "el", Recipe: "el", Revision: "abc", Depth: hygiene.Standard, Delivery: hygiene.ByJob,
		Backoff:         hygiene.Backoff{First: time.Minute, Max: time.Hour},
		QuarantineAfter: 3, QuarantineLook: 24 * time.Hour,
		Settle: 5 * time.Minute, HiddenAfter: time.Minute,
		OnDemand: true, Monitor: hygiene.MonitorLift,
		Limits: hygiene.Limits{Queue: 10 * time.Minute, Run: time.Hour, Reconnect: 10 * time.Minute, Grant: 10 * time.Minute},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if c.Names() != hygiene.DefaultNames {
		t.Errorf("names %v", c.Names())
	}
}

func TestPausesAndDryRunsOfControllerAndPoolAddUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		controller, pool string
		paused           string
		dryRun           bool
	}{
		{"", "", "", false},
		{"paused: false", "paused: false", "", false},
		{"paused: moving", "paused: true", "controller main: moving", false},
		{"", "paused: true", "pool el: paused in the configuration file", false},
		{"dryRun: true", "", "", true},
		{"", "dryRun: true", "", true},
	}
	for _, tt := range tests {
		c := mustParse(t, "version: 1\ncontrollers:\n- name: main\n  url: https://a.example.org\n  user: u\n  token: env:T\n  "+tt.controller+
			"\nrecipes: [{name: r, file: r}]\npools:\n- name: el\n  recipe: r\n  "+tt.pool+"\n")
		p := c.Pools[0].Policy(&c.Controllers[0], "")
		if p.Paused != tt.paused || p.DryRun != tt.dryRun {
			t.Errorf("%q, %q: paused %q, dry run %v", tt.controller, tt.pool, p.Paused, p.DryRun)
		}
	}
}

func TestLookUpByName(t *testing.T) {
	t.Parallel()
	c := mustParse(t, small)
	if x, ok := c.Controller("main"); !ok || x.User != "pitcrew" {
		t.Errorf("controller %+v, %v", x, ok)
	}
	if x, ok := c.Recipe("el"); !ok || x.File != "/etc/pitcrew/recipes/el.yaml" {
		t.Errorf("recipe %+v, %v", x, ok)
	}
	if _, ok := c.Controller("other"); ok {
		t.Error("an unknown controller is found")
	}
	if _, ok := c.Recipe("other"); ok {
		t.Error("an unknown recipe is found")
	}
}
