// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/config"
)

func FuzzLoad(f *testing.F) {
	example, err := config.Example(config.Answers{})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		small, everything, string(example), "", "version: 1\n", "a: &x [*x]\n", "? [a]\n: b\n", "version: 1\nlog: &x\n  <<: *x\n",
		"version: !!str 1\ncontrollers: [{token: abc}]\n", "\ufeffversion: 1\r\n", "version: 1\ndata: |\n  x\n", "%YAML 1.2\n---\nversion: 1\n...\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.Parse("/etc/pitcrew.yaml", []byte(text))
		if err != nil {
			var bad *config.Error
			if !errors.As(err, &bad) || len(bad.Problems) == 0 {
				t.Fatalf("error %#v", err)
			}
			for _, p := range bad.Problems {
				if p.Msg == "" || p.Line < 0 || p.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
					t.Fatalf("problem %+v", p)
				}
			}
			return
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse("/etc/pitcrew.yaml", shown)
		if err != nil {
			t.Fatalf("%v\nin what is shown of\n%s", err, text)
		}
		if len(c.Notifications) > 0 {
			return // of webhooks only the host is shown
		}
		if diff := compareConfigs(c, again); diff != "" {
			t.Fatalf("(-file +shown):\n%s", diff)
		}
	})
}
