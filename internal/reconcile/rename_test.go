// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func TestLabelsOfAnEarlierSpellingAreTakenOff(t *testing.T) {
	t.Parallel()
	labels := map[string]struct {
		names hygiene.Names
		want  string
	}{
		"all three renamed":  {renamed, "cleanable el7"},
		"cleanable renamed":  {hygiene.Names{Cleanable: "ci-managed", Dirty: "dirty", Clean: "clean"}, "cleanable el7"},
		"only clean renamed": {hygiene.Names{Cleanable: "cleanable", Dirty: "dirty", Clean: "ci-clean"}, "cleanable el7 ci-clean"},
		"only dirty renamed": {hygiene.Names{Cleanable: "cleanable", Dirty: "ci-dirty", Clean: "clean"}, "cleanable el7 clean"},
	}
	for what, c := range labels {
		t.Run(what, func(t *testing.T) {
			agents := append([]jenkinstest.AgentSpec{{Name: "theirs", Labels: "clean el6"}}, one...)
			inRig(t, setup{agents: agents}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				r.renames(c.names)
				r.wait(time.Hour, "the labels "+c.want, func() bool { return r.jenkins.Labels("linux-7") == c.want })
				r.pass(time.Hour)
				if got := r.jenkins.Labels("linux-7"); got != c.want {
					t.Errorf("labels became %q, want %q", got, c.want)
				}
				if got := r.jenkins.Labels("theirs"); got != "clean el6" {
					t.Errorf("the labels of an agent that was never ours became %q", got)
				}
			})
		})
	}
}

func TestOldLabelsThatCannotBeTakenOffAtOnceAreTakenOffLater(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		failed := 0
		r.jenkins.Inject(jenkinstest.Fault{
			Method: http.MethodPost, Path: "/computer/linux-7/config.xml", Count: 5, Status: http.StatusInternalServerError,
			Before: func(*http.Request) { failed++ },
		})
		r.renames(renamed)
		r.wait(3*time.Hour, "the old labels taken off", func() bool { return r.jenkins.Labels("linux-7") == "cleanable el7" })
		if failed != 5 {
			t.Errorf("%d writes failed", failed)
		}
	})
}

// renames restarts the daemon with other names of the labels.
func (r *rig) renames(names hygiene.Names) {
	r.end()
	r.spec.settings = func(s *reconcile.Settings) { s.Labels = names }
	r.start()
}
