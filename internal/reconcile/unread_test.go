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
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// unreadable makes the build feeds of agents fail, until remove.
func (r *rig) unreadable(f jenkinstest.Fault) (remove func()) {
	f.Match = func(q *http.Request) bool { return strings.HasSuffix(q.URL.Path, "/rssAll") }
	return r.jenkins.Inject(f)
}

var unreadableFeeds = map[string]jenkinstest.Fault{
	"forbidden":       {Status: http.StatusForbidden},
	"not found":       {Status: http.StatusNotFound},
	"a server error":  {Status: http.StatusInternalServerError},
	"no answer":       {Latency: time.Hour},
	"cut in mid-feed": {Break: 40},
}

// A build that only the feed tells of has used the agent between its cleaning and its grant.
func TestAGrantWaitsForAFeedThatCannotBeReadForAWhile(t *testing.T) {
	t.Parallel()
	for name, fault := range unreadableFeeds {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"}))
				r.waitState("linux-7", hygiene.Running)
				readable := r.unreadable(fault)
				blindToGrant := r.jenkins.Inject(jenkinstest.Fault{Path: "/computer/linux-7/api/json", Status: http.StatusInternalServerError})
				r.waitState("linux-7", hygiene.Granting)
				r.set(func(s *reconcile.Settings) { s.Poll = 20 * time.Minute })
				r.pass(10 * time.Second)
				_, err := r.jenkins.Schedule("app", nil)
				must(t, err)
				r.wait(5*time.Minute, "the build's end", func() bool {
					builds := r.jenkins.Builds("app")
					return len(builds) == 1 && builds[0].Complete
				})
				blindToGrant()
				r.set(func(s *reconcile.Settings) { s.Poll = 5 * time.Second })
				r.pass(2 * time.Minute)
				if a := r.agent("linux-7"); a.State != hygiene.Granting {
					t.Fatalf("with its builds unknown the agent became %s: %s", a.State, a.Reason)
				}
				if n := len(r.events(hygiene.EventUnread)); n != 0 {
					t.Errorf("a failure that passes was told %d times", n)
				}
				readable()
				r.waitState("linux-7", hygiene.Clean)
				if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || !strings.Contains(got.Reason, "/job/app/1/") {
					t.Errorf("the first attempt ended %q: %s", got.Outcome, got.Reason)
				}
			})
		})
	}
}

func TestAFeedThatCannotBeReadForEverStopsNoGrantAndIsToldOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range unreadableFeeds {
		t.Run(name, func(t *testing.T) {
			agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}
			inRig(t, setup{agents: agents}, func(r *rig) {
				readable := r.unreadable(fault)
				r.wait(15*time.Minute, "a clean agent", func() bool { return r.has("linux-7", isClean) && r.has("linux-8", isClean) })
				r.pass(2 * time.Hour)
				told := func(kind hygiene.EventType, n int) {
					t.Helper()
					if events := r.events(kind); len(events) != n {
						t.Errorf("%d events %s, want %d: %+v", len(events), kind, n, events)
					}
				}
				told(hygiene.EventUnread, 2)
				told(hygiene.EventPoolUnread, 1)
				if e := r.events(hygiene.EventUnread)[0]; !strings.HasPrefix(e.Reason, "builds unknown since ") || e.Pool != "all" {
					t.Errorf("it was told by %+v", e)
				}
				r.runBuild("app", "clean&&el7")
				used := r.jenkins.Builds("app")[0].Agent
				r.wait(time.Minute, "the use being noticed", func() bool { return r.agent(used).State == hygiene.Due })
				r.wait(10*time.Minute, "the next grant, which waits no more", func() bool { return r.has(used, isClean) })
				r.end() // a restart of the daemon is no reason to wait, or to tell, again
				r.start()
				r.pass(time.Hour)
				told(hygiene.EventUnread, 2)
				readable()
				r.pass(15 * time.Minute)
				told(hygiene.EventRead, 2)
				told(hygiene.EventPoolRead, 1)
			})
		})
	}
}

// What a feed tells late is recorded, and the agent that it was wrong about is due.
func TestWhatAnUnreadableFeedOwesIsLearntAsSoonAsItCanBeRead(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		readable := r.unreadable(jenkinstest.Fault{Status: http.StatusForbidden})
		r.wait(15*time.Minute, "a clean agent", func() bool { return r.has("linux-7", isClean) })
		r.set(func(s *reconcile.Settings) { s.Poll = 20 * time.Minute })
		r.pass(time.Minute)
		r.runBuild("app", "el7") // both between two polls
		r.buildUnseen("app", "el7")
		r.pass(time.Hour)
		if a := r.agent("linux-7"); !isClean(a) {
			t.Fatalf("the builds were seen: %+v", a)
		}
		readable()
		r.set(func(s *reconcile.Settings) { s.Poll = 5 * time.Second })
		r.wait(11*time.Minute, "the agent being due", func() bool { return r.agent("linux-7").Attempt > 1 || !isClean(r.agent("linux-7")) })
		if got := r.contaminated(); len(got) != 1 || !strings.HasSuffix(got[0], "/job/app/2/") {
			t.Errorf("contaminated: %q", got)
		}
		r.wait(time.Hour, "a whole cleanup", func() bool { return r.has("linux-7", isClean) })
		if last := r.attempt("linux-7", r.agent("linux-7").Attempt); last.Number < 2 || last.Need != hygiene.NeedCleanup {
			t.Errorf("attempt %d is a %s", last.Number, last.Need)
		}
	})
}

// More cleanups than are compared at once lie in the time that a feed could not be read.
func TestBuildsOfALongTimeAreJudgedByAllTheCleanupsInIt(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		readable := r.unreadable(jenkinstest.Fault{Status: http.StatusForbidden})
		for range 30 {
			r.waitState("linux-7", hygiene.Clean)
			r.runBuild("app", "clean&&el7")
			r.waitState("linux-7", hygiene.Due)
		}
		r.waitState("linux-7", hygiene.Clean)
		readable()
		r.wait(time.Hour, "the debt", func() bool { return len(r.builds()) == 30 })
		if got := r.contaminated(); len(got) > 0 {
			t.Errorf("contaminated: %q", got)
		}
	})
}

func TestAnAgentThatIsTakenOutOwesNoBuilds(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.unreadable(jenkinstest.Fault{Status: http.StatusForbidden})
		r.wait(15*time.Minute, "a clean agent", func() bool { return r.has("linux-7", isClean) })
		r.jenkins.SaveLabels("linux-7", "el7", "ann")
		r.wait(time.Hour, "the withdrawal", func() bool { return !r.agent("linux-7").Managed() })
		r.pass(time.Minute)
		if n := len(r.events(hygiene.EventPoolRead)); n != 1 {
			t.Errorf("the end was told %d times", n)
		}
	})
}

// What was told of a pool ends with the last of its agents, also if that goes to another pool.
func TestAnAgentThatChangesItsPoolTakesWhatItsBuildsOweAlong(t *testing.T) {
	spec := setup{agents: one, settings: func(s *reconcile.Settings) {
		other := s.Pools[0]
		other.Name, other.Policy.Pool, other.Agents = "gpu", "gpu", mustParse("gpu")
		s.Pools = []reconcile.Pool{other, s.Pools[0]}
	}}
	inRig(t, spec, func(r *rig) {
		r.unreadable(jenkinstest.Fault{Status: http.StatusForbidden})
		r.wait(15*time.Minute, "a clean agent", func() bool { return r.has("linux-7", isClean) })
		r.jenkins.SaveLabels("linux-7", "cleanable clean el7 gpu", "ann")
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(15*time.Minute, "a clean agent of the other pool", func() bool { return r.has("linux-7", isClean) && r.agent("linux-7").Pool == "gpu" })
		r.pass(time.Minute)
		told := func(kind hygiene.EventType) (pools []string) {
			for _, e := range r.events(kind) {
				pools = append(pools, e.Pool)
			}
			return pools
		}
		if began, ended := told(hygiene.EventPoolUnread), told(hygiene.EventPoolRead); !slices.Equal(began, []string{"all", "gpu"}) || !slices.Equal(ended, []string{"all"}) {
			t.Errorf("unknown were the builds of %q, and known again those of %q", began, ended)
		}
	})
}
