// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// requestFaults are ways in which single requests go wrong.
var requestFaults = map[string]jenkinstest.Fault{
	"a write is answered 200 and dropped":    {Method: http.MethodPost, Path: "/computer/*/config.xml", Drop: true},
	"answers are 500":                        {Status: http.StatusInternalServerError},
	"answers are 502":                        {Status: http.StatusBadGateway},
	"answers are 503":                        {Status: http.StatusServiceUnavailable},
	"connections are reset before":           {Refuse: true},
	"connections are reset after":            {Lose: true},
	"connections are reset in the middle":    {Break: 40},
	"JSON is cut short and looks whole":      {Truncate: 40},
	"the controller is slow":                 {Latency: 20 * time.Second},
	"the controller is slower than we wait":  {Latency: 40 * time.Second},
	"reads of an agent's configuration fail": {Method: http.MethodGet, Path: "/computer/*/config.xml", Status: http.StatusInternalServerError},
}

func TestFaultsOfEveryThirdRequestDelayCleaningAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, fault := range requestFaults {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				if fault.Truncate > 0 {
					fault.Match = isJSON
				}
				fault.Probability = 1. / 3
				remove := r.jenkins.Inject(fault)
				r.wait(12*time.Hour, "a first cleanup", func() bool { return r.has("linux-7", isClean) })
				r.runBuild("app", "clean&&el7")
				r.wait(12*time.Hour, "a cleanup after the build", func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool { return isClean(a) && a.Attempt > 1 })
				})
				remove()
				r.pass(10 * time.Minute)
				r.waitState("linux-7", hygiene.Clean)
				if got := r.labels("linux-7"); got != "cleanable clean" {
					t.Errorf("labels are %s", got)
				}
			})
		})
	}
}

func isJSON(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/api/json") }

func isClean(a hygiene.Agent) bool { return a.State == hygiene.Clean }
