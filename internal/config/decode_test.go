// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func TestFilesThatAreNoConfiguration(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"empty", "", "p.yaml: the file is empty"},
		{"comments only", "# nothing\n", "p.yaml: the file is empty"},
		{"a text", "hello", "p.yaml:1:1: want a mapping, not text"},
		{"a list", "- version: 1", "p.yaml:1:1: want a mapping, not a list"},
		{"two documents", "version: 1\n---\nversion: 1\n", "p.yaml:3:1: a second document: there must be only one"},
		{"bad indentation", "version: 1\n  data: x\n", "p.yaml:1:10: mapping value is not allowed in this context"},
		{"open bracket", "pools: [\n", "p.yaml:1:8: sequence end token ']' not found"},
		{"a tab", "version: 1\npools:\n\t- name: x\n", "p.yaml:3:1: the line begins with a tab: YAML wants blanks"},
		{"another encoding", "version: 1\ndata: /srv/b\xfcro\n", "p.yaml:2:1: the line is not UTF-8: save the file in that encoding"},
		{"two bytes for each character", "v\x00e\x00r\x00", "p.yaml:1:1: the line is not UTF-8: save the file in that encoding"},
		{"no version", "data: x\n", `p.yaml:1:1: "version" is missing`},
		{"no value", "version:\n", "p.yaml:1:10: version: a value is missing"},
		{"a future version", "version: 2", "p.yaml:1:10: version: must be at most 1"},
		{"a setting twice", "version: 1\nversion: 1\n", `p.yaml:2:1: version: a second "version"`},
		{"a list for a section", "version: 1\nlog: [info]\n", "p.yaml:2:6: log: want a mapping, not a list"},
		{"a section for a list", "version: 1\npools: {name: x}\n", "p.yaml:2:8: pools: want a list, not a mapping"},
		{"an empty list item", "version: 1\npools:\n- \n", "p.yaml:3:3: pools[0]: a value is missing"},
		{"a tag without a value", "!x", "p.yaml: the file is empty"},
		{"a text for a list item", "version: 1\npools: [x]\n", "p.yaml:2:9: pools[0]: want a mapping, not text"},
		{"a section for a text", "version: 1\ndata: {a: b}\n", "p.yaml:2:7: data: want text, not a mapping"},
		{"a list for a duration", "version: 1\nretention: {logs: [1d]}\n", "p.yaml:2:19: retention.logs: want text, not a list"},
		{"an unknown anchor", "version: 1\nlog: *x\n", `p.yaml:2:6: log: unknown anchor "x"`},
		{"an anchor of itself", "version: 1\nlog: &x\n  <<: *x\n", "p.yaml:3:7: log: the aliases in this file expand to too much"},
		{"wrong choice", "version: 1\nlog: {level: warning}\n", `p.yaml:2:14: log.level: "warning" is none of debug, info, warn, error`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := problems(t, tt.text); got[0] != tt.want {
				t.Errorf("got %q, want first %q", got, tt.want)
			}
		})
	}
}

func TestSectionsWithoutContentHaveDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "version: 1\nlog:\nretention: {}\ncontrollers:\ndata: ~\n")
	if c.Log.Level != "info" || c.Retention.Logs.Std() != 14*24*time.Hour || c.Data != "/var/lib/pitcrew" {
		t.Errorf("got %+v", c)
	}
}

func TestAnchorsAndMergeKeysShareSettings(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `version: 1
controllers:
- &first
  name: a
  url: https://a.example.org/
  user: u
  token: env:T
  poll: 2s
  requests: &gentle {perSecond: 1}
- <<: *first
  name: b
  url: https://b.example.org/
- <<: [{poll: 9s, user: other}, *first]
  name: c
  requests:
    <<: *gentle
    timeout: 5s
`)
	var got []string
	for _, x := range c.Controllers {
		got = append(got, fmt.Sprint(x.Name, x.URL, x.User, x.Poll, x.Requests.PerSecond, x.Requests.Timeout))
	}
	want := []string{
		"ahttps://a.example.org/u2s 1 30s",
		"bhttps://b.example.org/u2s 1 30s",
		"chttps://a.example.org/other9s 1 5s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAliasesCannotExplode(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("version: 1\nrecipes:\n- &a {name: x, file: y}\npools:\n")
	b.WriteString("- &p {name: x, recipe: x, controllers: &l [" + strings.Repeat("main, ", 2000) + "main]}\n")
	b.WriteString(strings.Repeat("- *p\n", 2000))
	if got := problems(t, b.String()); !strings.Contains(strings.Join(got, "\n"), "expand to too much") {
		t.Errorf("%d problems, none of them about the aliases", len(got))
	}
}

func TestNumbersMayStandForTexts(t *testing.T) {
	t.Parallel()
	c := mustParse(t, strings.Replace(small, "user: pitcrew", "user: 1234", 1))
	if got := c.Controllers[0].User; got != "1234" {
		t.Errorf("user %q", got)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want time.Duration
		back string
	}{
		{"0", 0, "0"},
		{"90s", 90 * time.Second, "1m30s"},
		{"1h30m", 90 * time.Minute, "1h30m"},
		{"24h", 24 * time.Hour, "1d"},
		{"14d", 14 * 24 * time.Hour, "14d"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"250ms", 250 * time.Millisecond, "250ms"},
		{"10h", 10 * time.Hour, "10h"},
		{" 5m ", 5 * time.Minute, "5m"},
	}
	for _, tt := range tests {
		var d config.Duration
		if err := d.UnmarshalText([]byte(tt.text)); err != nil || d.Std() != tt.want || d.String() != tt.back {
			t.Errorf("%q is %v, prints %q, error %v; want %v, %q", tt.text, d.Std(), d, err, tt.want, tt.back)
		}
	}
	for _, text := range []string{"", "5", "1.5", "-5s", "+5s", "1d-1h", "1dd", "d", "1.5d", "5 m", "1w", "99999999d", "36500d1h", "1d2", "9999999h"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %v", text, d)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text        string
		total, want int
	}{
		{"20%", 10, 2},
		{"20%", 11, 3},
		{"20%", 0, 0},
		{"100%", 7, 7},
		{"0%", 7, 0},
		{"3", 10, 3},
		{"3", 2, 2},
	}
	for _, tt := range tests {
		var s config.Share
		if err := s.UnmarshalText([]byte(tt.text)); err != nil || s.Of(tt.total) != tt.want || s.String() != tt.text {
			t.Errorf("%q of %d is %d, error %v; want %d", tt.text, tt.total, s.Of(tt.total), err, tt.want)
		}
	}
	for _, text := range []string{"", "%", "101%", "-1", "1.5%", "many"} {
		var s config.Share
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %v", text, s)
		}
	}
}
