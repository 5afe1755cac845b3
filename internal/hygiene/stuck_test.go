// SPDX-License-Identifier: Apache-2.0

package hygiene_test

import (
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
)

func TestUnwritten(t *testing.T) {
	t.Parallel()
	told := &hygiene.Stuck{Reason: "403", Since: base.Add(-time.Hour)}
	for name, tt := range map[string]struct {
		agent     hygiene.Agent
		n         int
		forbidden bool
		news      bool
	}{
		"the first failure":     {hygiene.Agent{State: hygiene.Due}, 1, false, false},
		"the second":            {hygiene.Agent{State: hygiene.Due}, 2, false, false},
		"the third":             {hygiene.Agent{State: hygiene.Due}, 3, false, true},
		"forbidden":             {hygiene.Agent{State: hygiene.Due}, 1, true, true},
		"told already":          {hygiene.Agent{State: hygiene.Due, Stuck: told}, 4, true, false},
		"of nobody's business":  {hygiene.Agent{State: hygiene.Unmanaged}, 3, true, false},
		"never heard of before": {hygiene.Agent{}, 3, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := tt.agent
			if news := a.Unwritten(tt.n, tt.forbidden, "500", base); news != tt.news {
				t.Errorf("news: %t, want %t", news, tt.news)
			}
			switch {
			case tt.news && (a.Stuck == nil || *a.Stuck != hygiene.Stuck{Reason: "500", Since: base}):
				t.Errorf("it is stuck: %+v", a.Stuck)
			case !tt.news && a.Stuck != tt.agent.Stuck:
				t.Errorf("that changed to %+v", a.Stuck)
			}
		})
	}
}
