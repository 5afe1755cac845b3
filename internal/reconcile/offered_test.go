// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// A reader of the label at the wrong moment lets the scheduler go on giving an agent to jobs that ask for clean, after the
// label was taken off and read back: a build could start beside the cleanup until Jenkins' own sweep.
func TestNoCleanupStartsWhileTheSchedulerOffersItsAgentAsClean(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.wait(time.Hour, "both clean", r.allClean(agents))
		write := func(req *http.Request) bool { return line(req) == "POST /computer/linux-7/config.xml" }
		var keep func()
		read := r.at(1, false, write, func() { keep = r.jenkins.ReadLabel("clean") })
		kept := r.at(1, false, func(req *http.Request) bool { return keep != nil && line(req) == "GET /label/clean/api/json" }, func() { keep() })
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Minute, "the claim given back", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
		if read() == "" || kept() == "" {
			t.Fatal("the reader never came")
		}
		if got := r.attempt("linux-7", 2); got.Outcome != hygiene.GivenBack || !strings.Contains(got.Reason, "still offers it as clean") {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		offered, err := r.client.LabelNodes(r.t.Context(), "clean")
		must(t, err)
		if n := len(r.cleanups()); n != 2 || !slices.Contains(offered, "linux-7") {
			t.Errorf("%d programs ran, and %v are offered as clean", n, offered)
		}
		r.wait(10*time.Minute, "a cleanup after Jenkins' own sweep", func() bool { return r.has("linux-7", isClean) })
	})
}
