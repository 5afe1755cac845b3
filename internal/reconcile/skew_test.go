// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// skewed runs f with controllers whose clocks are behind ours, right, and ahead of ours.
func skewed(t *testing.T, agents []jenkinstest.AgentSpec, f func(*rig)) {
	t.Helper()
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"behind": -10 * time.Minute, "right": 0, "ahead": 10 * time.Minute} {
		t.Run("a controller's clock that is "+name, func(t *testing.T) {
			inRig(t, setup{agents: agents, jenkins: func(o *jenkinstest.Options) { o.Ahead = ahead }}, f)
		})
	}
}

// stay keeps agents from being cleaned, and polls from seeing builds.
func (r *rig) stay() {
	r.t.Helper()
	must(r.t, r.store.SetPause(r.t.Context(), pause(reconcile.ScopeAll, time.Now(), time.Time{})))
	r.set(blind)
	r.pass(time.Minute)
}

// buildUnseen runs a build to its end between two polls.
func (r *rig) buildUnseen(job, label string) {
	r.t.Helper()
	r.runBuild(job, label)
	r.wait(10*time.Minute, "the end of "+job, func() bool {
		builds := r.jenkins.Builds(job)
		return builds[len(builds)-1].Complete
	})
	r.pass(30 * time.Second)
}

// known waits until the store knows of n builds, and returns the names of contaminated ones.
func (r *rig) known(n int) (contaminated []string) {
	r.t.Helper()
	r.wait(time.Hour, "the feed being read", func() bool { return len(r.builds()) >= n })
	for _, b := range r.builds() {
		if b.Contaminated {
			contaminated = append(contaminated, b.Job)
		}
	}
	return contaminated
}

func TestOnlyBuildsSinceAnAgentsAdoptionAreJudged(t *testing.T) {
	skewed(t, []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "el7"}}, func(r *rig) {
		r.pass(time.Minute)
		r.buildUnseen("before", "el7")
		must(t, r.store.SetPause(r.t.Context(), pause(reconcile.ScopeAll, time.Now(), time.Time{})))
		r.jenkins.SaveLabels("linux-7", "cleanable el7", "ann")
		r.waitState("linux-7", hygiene.Due)
		r.stay()
		r.buildUnseen("after", "el7")
		if got := r.known(2); !sameSet(got, []string{"after"}) {
			r.t.Errorf("contaminated: %q", got)
		}
	})
}

func TestABuildAfterALossOfCleanlinessIsContaminated(t *testing.T) {
	skewed(t, one, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.stay()
		must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.pass(time.Minute)
		r.buildUnseen("late", "el7")
		if got := r.known(1); !sameSet(got, []string{"late"}) {
			r.t.Errorf("contaminated: %q", got)
		}
	})
}

func TestABuildBeforeALossOfCleanlinessIsClean(t *testing.T) {
	skewed(t, one, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.stay()
		r.buildUnseen("early", "clean&&el7")
		must(r.t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		if got := r.known(1); len(got) > 0 {
			r.t.Errorf("contaminated: %q", got)
		}
	})
}

func TestCleanBuildsStayCleanWhateverTheClocksSay(t *testing.T) {
	skewed(t, one, func(r *rig) {
		for range 4 {
			r.waitState("linux-7", hygiene.Clean)
			r.pass(time.Minute)
			r.runBuild("app", "clean&&el7")
			r.waitState("linux-7", hygiene.Due)
		}
		r.waitState("linux-7", hygiene.Clean)
		if got := r.known(4); len(got) > 0 {
			r.t.Errorf("contaminated: %q", got)
		}
	})
}

func TestASecondBuildIsContaminatedThoughItsCleanupWasReadOfBefore(t *testing.T) {
	skewed(t, one, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.stay()
		r.buildUnseen("first", "clean&&el7")
		r.wait(30*time.Minute, "the use being noticed", func() bool { return r.agent("linux-7").State != hygiene.Clean })
		r.buildUnseen("second", "el7")
		if got := r.known(2); !sameSet(got, []string{"second"}) {
			r.t.Errorf("contaminated: %q", got)
		}
	})
}

func TestABuildWhoseHandOverWasNotRecordedIsKnownByTheControllersClock(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Ahead = -time.Hour }}, func(r *rig) {
		starts := func(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/buildWithParameters") }
		remove := r.jenkins.Inject(jenkinstest.Fault{Match: starts, Lose: true, Count: 1})
		defer remove()
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran", n)
		}
	})
}
