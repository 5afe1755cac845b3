// SPDX-License-Identifier: Apache-2.0

package gate

import (
	"os"
	"testing"
)

// TestI1HoldsWithAllThreadsOfJenkinsAtOnce lets the file itself decide while everything happens at the same time; who counts what began is not the gate.
func TestI1HoldsWithAllThreadsOfJenkinsAtOnce(t *testing.T) {
	j := boot(t)
	millis := 2000
	if os.Getenv("PITCREW_LONG") == "1" {
		millis = 60_000
	}
	got := j.do(command{"do": "race", "millis": millis}).(map[string]any)
	t.Logf("%v builds began, %v were contaminated, %v beside a cleaning, %v grants", got["begun"], got["contaminated"], got["beside"], got["granted"])
	if got["contaminated"] != 0.0 || got["beside"] != 0.0 || len(got["faults"].([]any)) > 0 {
		t.Errorf("a build is contaminated or beside a cleaning, or the test failed: %v", got["faults"])
	}
	if got["begun"].(float64) < 20 {
		t.Errorf("%v builds began: too few to show anything", got["begun"])
	}
	if status := j.read(j.do(command{"do": "status"})); status.Failed != 0 {
		t.Errorf("the gate failed %d times: %s", status.Failed, status.Fault)
	}
}
