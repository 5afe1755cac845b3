// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func TestWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, old, new string // replaced in the small file
		want           string
	}{
		{"a relative address", "https://jenkins.example.org/", "jenkins", "4:8: controllers[0].url: want an address such as https://jenkins.example.org/"},
		{"an address with a query", "example.org/", "example.org/?x=1", "4:8: controllers[0].url: the root address of Jenkins holds no query"},
		{"a name with a slash", "- name: main", "- name: a/b", "3:9: controllers[0].name: want up to 63 letters, digits, dots, dashes and underscores, the first one a letter or digit"},
		{"an empty name", "- name: main", "- name: ''", "3:9: controllers[0].name: want up to 63 letters, digits, dots, dashes and underscores, the first one a letter or digit"},
		{"the same name twice", "recipe: el\n", "recipe: el\n- {name: el, recipe: el, agents: x}\n", `14:10: pools[1].name: a second "el"`},
		{"no login", "  token: env:TOKEN\n", "", `3:3: controllers[0]: "token" is missing`},
		{"two logins", "token: env:TOKEN", "token: env:TOKEN\n  password: env:P", "7:13: controllers[0].password: there is a token already: use only one of the two"},
		{"half a client certificate", "user: pitcrew", "user: pitcrew\n  tls: {cert: x}", "6:8: controllers[0].tls: cert and key go together"},
		{"too busy polling", "user: pitcrew", "user: pitcrew\n  poll: 1ms", "6:9: controllers[0].poll: must be at least 100ms"},
		{"parameterised without a job", "user: pitcrew", "user: pitcrew\n  jobs: {mode: parameterised}", `6:9: controllers[0].jobs: mode parameterised needs "name"`},
		{"a folder in a job's name", "user: pitcrew", "user: pitcrew\n  jobs: {mode: parameterised, name: ci/clean}", `6:37: controllers[0].jobs.name: want the name of the job alone: the folder it is in stands in "folder"`},
		{"a job name that Jenkins refuses", "user: pitcrew", "user: pitcrew\n  jobs: {prefix: 'a/'}", `6:18: controllers[0].jobs.prefix: a job's name may hold none of ?*/\%!@#$^&|<>[]:;`},
		{"an unknown recipe", "recipe: el", "recipe: els", `13:11: pools[0].recipe: no recipe is called "els" (did you mean "el"?)`},
		{"an unknown controller", "recipe: el", "recipe: el\n  controllers: [main, mian]", `14:23: pools[0].controllers[1]: no controller is called "mian" (did you mean "main"?)`},
		{"a bad label expression", "el7 || el8", "el7 || (el8", `12:18: pools[0].agents: label expression: "(" is never closed`},
		{"a bad quoted label expression", "el7 || el8", "'größe | el8'", `12:18: pools[0].agents: label expression: single "|": write "||"`},
		{"a blank label expression", "el7 || el8", "' '", `12:13: pools[0].agents: label expression: ends where a label is expected`},
		{"agents by their state", "el7 || el8", "el7 && clean", `12:11: pools[0].agents: must not mention "clean": that label comes and goes, and the agent would change its pool with it`},
		{"a pool behind one for all", "- name: el\n  agents", "- {name: all, recipe: el}\n- name: el\n  agents", `12:3: pools[1]: never gets an agent: pool "all" above takes them all`},
		{"a pool behind its twin", "recipe: el\n", "recipe: el\n- {name: e2, recipe: el, agents: '(el7)||el8', controllers: [main]}\n", `14:3: pools[1]: never gets an agent: pool "el" above takes them all`},
		{"ssh without its section", "recipe: el", "recipe: el\n  delivery: ssh", `11:3: pools[0]: "ssh" is missing: delivery or monitorOffline asks for it`},
		{"all machines at one address", "recipe: el", "recipe: el\n  ssh: {user: a, key: file:/k, knownHosts: k, host: h}", "14:53: pools[0].ssh.host: every agent would have this address: put {agent} into it, or list the agents in hosts"},
		{"a backoff that shrinks", "recipe: el", "recipe: el\n  backoff: {first: 2h}", "14:12: pools[0].backoff: first (2h) is longer than max (1h)"},
		{"labels that are not three", "version: 1", "version: 1\nlabels: {clean: dirty}", `2:9: labels: labels "cleanable", "dirty", "dirty": want three different ones`},
		{"a borrower of no controller", "version: 1", "version: 1\nborrowers: [{name: a, controller: mian}]", `2:35: borrowers[0].controller: no controller is called "mian" (did you mean "main"?)`},
		{"a borrower with two addresses", "version: 1", "version: 1\nborrowers: [{name: a, controller: main, url: 'https://b/'}]", `2:46: borrowers[0].url: there is a controller already: use only one of the two`},
		{"a borrower that nobody can log in to", "version: 1", "version: 1\nborrowers: [{name: a, url: 'https://b/'}]", `2:13: borrowers[0]: "login" is missing: pitcrew makes the nodes at that url`},
		{"a login without a token", "version: 1", "version: 1\nborrowers: [{name: a, url: 'https://b/', login: {user: u}}]", `2:49: borrowers[0].login: "token" is missing`},
		{"a login without an address", "version: 1", "version: 1\nborrowers: [{name: a, login: {user: u, token: env:T}}]", `2:13: borrowers[0]: "url" is missing`},
		{"two labels in one", "version: 1", "version: 1\nborrowers: [{name: a, labels: ['a b']}]", `2:32: borrowers[0].labels[0]: want one label`},
		{"isolation without an account", "recipe: el", "recipe: el\n  loans: {isolation: required}", `14:10: pools[0].loans: "account" is missing: isolation required needs one`},
		{"an account that is none", "recipe: el", "recipe: el\n  loans: {account: a b}", `14:20: pools[0].loans.account: want the name of an account, such as pitcrew-loan`},
		{"a relative directory", "recipe: el", "recipe: el\n  loans: {dir: tmp}", `14:16: pools[0].loans.dir: want an absolute path of letters, digits and /._+-`},
		{"a term beyond the maximum", "recipe: el", "recipe: el\n  loans: {term: 9h}", `14:17: pools[0].loans.term: is longer than maxTerm (8h)`},
		{"a sign of life all the time", "recipe: el", "recipe: el\n  loans: {ttl: 1s}", `14:16: pools[0].loans.ttl: must be at least 10s`},
		{"shares that do not rise", "recipe: el", "recipe: el\n  rollout: {shares: [10%, 10]}", `14:27: pools[0].rollout.shares[1]: want more than the 10% before it`},
		{"half a percent", "recipe: el", "recipe: el\n  rollout: {shares: [0.5%]}", `14:22: pools[0].rollout.shares[0]: want a whole percentage from 1% to 100%`},
		{"more than all", "recipe: el", "recipe: el\n  rollout: {maxRise: 101%}", `14:22: pools[0].rollout.maxRise: want a percentage from 0% to 100%`},
		{"patience that ends before the soak", "recipe: el", "recipe: el\n  rollout: {patience: 30m}", `14:23: pools[0].rollout.patience: want more than soak (1h): no stage could be told in time`},
		{"a canary of nowhere", "recipe: el", "recipe: el\n  rollout: {named: [a, mian/a]}", `14:24: pools[0].rollout.named[1]: no controller is called "mian" (did you mean "main"?)`},
		{"a canary without a name", "recipe: el", "recipe: el\n  rollout: {named: [main/]}", `14:21: pools[0].rollout.named[0]: want the name of an agent, or CONTROLLER/NAME`},
		{"a difference of no kind", "recipe: el", "recipe: el\n  loans: {rehearsalIgnore: ['file:/srv/*', 'disk:/srv']}", `14:44: pools[0].loans.rehearsalIgnore[1]: "disk:/srv": want KIND:PATTERN, the kind one of package, service, mount, user, group, file, port, fact`},
		{"all differences of a kind", "recipe: el", "recipe: el\n  loans: {rehearsalIgnore: ['file:*']}", `14:29: pools[0].loans.rehearsalIgnore[0]: files to ignore: pattern "*" is all of them: nothing would be compared`},
		{"a sum that is none", "recipe: el", "recipe: el\n  loans: {agentJars: [abc]}", `14:23: pools[0].loans.agentJars[0]: want a SHA-256 sum: 64 digits 0-9 and a-f, as sha256sum prints it`},
		{"a receiver without a way", "version: 1", "version: 1\nnotifications: [{name: a}]", `2:17: notifications[0]: "webhook" or "exec" is missing`},
		{"an unknown event", "version: 1", "version: 1\nnotifications: [{name: a, exec: [/x], events: [breakers]}]", `2:48: notifications[0].events[0]: "breakers" is none of quarantined, released, breaker, capacity, deadman, controller, contaminated, stuck, gate, loan, rollout, owner-conflict, config-rejected (did you mean "breaker"?)`},
		{"a webhook that is no address", "version: 1", "version: 1\nnotifications: [{name: a, webhook: {url: chat}}]", `2:42: notifications[0].webhook.url: want an http or https address, or a reference to one: env:NAME, file:/path, credential:NAME or exec:/path arguments`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(small, tt.old, tt.new, 1)
			if diff := cmp.Diff([]string{"p.yaml:" + tt.want}, problems(t, text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatDeservesALook(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"nothing to do", "version: 1", "p.yaml:1:1: controllers: no controller is configured: there is nothing to do"},
		{"no pools", strings.Split(small, "pools")[0], "p.yaml:1:1: pools: no pool is configured: there is nothing to do"},
		{"an open address", "api: {listen: ':8473'}\n" + small, "p.yaml:1:15: api.listen: others can reach this address, and without api.tls they can read the tokens on the way"},
		{"a token in clear", strings.Replace(small, "https", "http", 1), "p.yaml:4:8: controllers[0].url: without https the token can be read on the way"},
		{"caps of one domain that differ", strings.Replace(small, "- name: el\n  agents: el7 || el8\n  recipe: el\n", "- {name: a, agents: a, recipe: el, failureDomain: {labelPrefix: rack-, maxCleanups: 3}}\n- {name: b, agents: b, recipe: el, failureDomain: {labelPrefix: rack-}}\n", 1), "p.yaml:11:51: pools[0].failureDomain: another pool allows only 1 at once in domains rack-: the smallest number counts"},
		{"an idle recipe", strings.Replace(small, "recipes:", "recipes:\n- {name: x, file: y}", 1), "p.yaml:8:3: recipes[0]: no pool uses this recipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Parse("p.yaml", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if w := c.Warnings(); len(w) == 0 || w[0].String() != tt.want {
				t.Errorf("warnings %v, want first %s", w, tt.want)
			}
		})
	}
	if c := mustParse(t, strings.Replace(small, "https://jenkins.example.org/", "http://[::1]:8080/jenkins/", 1)); len(c.Warnings()) > 0 {
		t.Errorf("a controller on this host is warned of: %v", c.Warnings())
	}
}
