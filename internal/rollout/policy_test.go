// SPDX-License-Identifier: Apache-2.0

package rollout_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/rollout"
)

func TestPoliciesThatSayNothingSensibleAreRefused(t *testing.T) {
	t.Parallel()
	if err := policy().Validate(); err != nil {
		t.Errorf("a good policy: %v", err)
	}
	if err := (rollout.Policy{}).Validate(); err != nil {
		t.Errorf("the zero policy: %v", err)
	}
	for want, spoil := range map[string]func(*rollout.Policy){
		"maxFailureRate 1.5: want 0 to 1":                   func(p *rollout.Policy) { p.MaxFailureRate = 1.5 },
		"maxRise -0.1: want 0 to 1":                         func(p *rollout.Policy) { p.MaxRise = -0.1 },
		"maxBuildFailureRise NaN: want 0 to 1":              func(p *rollout.Policy) { p.MaxBuildFailureRise = math.NaN() },
		"canaries -1: want 0 or more":                       func(p *rollout.Policy) { p.Plan.Canaries = -1 },
		"floor -1: want 0 or more":                          func(p *rollout.Policy) { p.Floor = -1 },
		"minCleanups -1":                                    func(p *rollout.Policy) { p.MinCleanups = -1 },
		"soak -1s: want 0 or more":                          func(p *rollout.Policy) { p.Soak = -time.Second },
		"patience 1h0m0s: want more than soak (2h0m0s)":     func(p *rollout.Policy) { p.Soak, p.Patience = 2*time.Hour, time.Hour },
		"shares: 0: want 1 to 100 percent":                  func(p *rollout.Policy) { p.Plan.Shares = []int{0, 100} },
		"shares: 101: want 1 to 100 percent":                func(p *rollout.Policy) { p.Plan.Shares = []int{10, 101} },
		"shares: 10 after 10: want them to rise":            func(p *rollout.Policy) { p.Plan.Shares = []int{10, 10} },
		`onFailure "retry": want rollback or pause`:         func(p *rollout.Policy) { p.OnFailure = "retry" },
		`stale "never": want lazy or once`:                  func(p *rollout.Policy) { p.Stale = "never" },
		"blameAgents -2: want 0 or more\nminCleanups -2: w": func(p *rollout.Policy) { p.BlameAgents, p.MinCleanups = -2, -2 },
	} {
		p := policy()
		spoil(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
