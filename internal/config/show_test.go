// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pitcrew-ci/pitcrew/internal/config"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
)

// everything uses every section and most settings.
const everything = `version: 1
data: /data
owner: lab
api: {listen: "[::1]:80", url: https://pitcrew.example.org, tls: {cert: c.pem, key: k.pem}, metrics: token}
log: {level: debug, format: json}
labels: {cleanable: svc, dirty: used, clean: fresh}
controllers:
- name: main
  url: https://jenkins.example.org/ci
  user: u
  password: credential:pw
  tls: {ca: ca.pem, cert: c.pem, key: k.pem}
  requests: {timeout: 1500ms, perSecond: 0.5}
  jobs: {mode: parameterised, folder: a/b, name: clean}
  paused: "yes: no"
recipes: [{name: r, file: /r.yaml}]
pools:
- name: p
  controllers: [main]
  agents: '"two words" && !odd'
  recipe: r
  delivery: ssh
  ssh:
    {user: root, port: 2222, host: "{agent}.x", hosts: {"1": "true"}, key: "file:/k", passphrase: "env:P", knownHosts: kh, jump: ["a@b:1"]}
  failureDomain: {labelPrefix: rack-, maxCleanups: 2}
  ttl: 30d
  capacityFloor: 3
  launchOnDemand: false
  dryRun: true
notifications:
- {name: w, webhook: {url: "env:URL", secret: "exec:/bin/x y"}, events: [breaker], pools: [p]}
- {name: x, exec: [/bin/x, "#1"], controllers: [main]}
`

func TestWhatIsShownIsTheSameConfiguration(t *testing.T) {
	t.Parallel()
	example, err := config.Example(config.Answers{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"small": small, "everything": everything, "example": string(example)} {
		c := mustParse(t, text)
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		if diff := compareConfigs(c, mustParse(t, string(shown))); diff != "" {
			t.Errorf("%s (-file +shown):\n%s\n%s", name, diff, shown)
		}
	}
}

func compareConfigs(a, b *config.Config) string {
	return cmp.Diff(a, b, cmpopts.IgnoreUnexported(config.Config{}, config.Pool{}, labelexpr.Expr{}),
		cmp.Comparer(func(x, y config.Share) bool { return x == y }))
}

func TestOfAWebhookOnlyTheHostIsShown(t *testing.T) {
	t.Parallel()
	c := mustParse(t, small+"notifications: [{name: a, webhook: {url: 'https://hooks.example.org/services/s3cr3t?key=s3cr3t'}}]\n")
	shown, err := c.Show()
	if err != nil || strings.Contains(string(shown), "s3cr3t") || !strings.Contains(string(shown), "https://hooks.example.org/...") {
		t.Errorf("error %v, shown:\n%s", err, shown)
	}
	url, err := c.Notifications[0].Webhook.URL.Read(t.Context())
	if err != nil || url != "https://hooks.example.org/services/s3cr3t?key=s3cr3t" {
		t.Errorf("address %q, error %v", url, err)
	}
}
