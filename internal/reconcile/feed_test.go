// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
	"github.com/pitcrew-ci/pitcrew/internal/store"
)

// contaminated are the URLs that the store calls so.
func (r *rig) contaminated() []string {
	r.t.Helper()
	builds, err := r.store.Builds(r.t.Context(), store.BuildFilter{Contaminated: true})
	must(r.t, err)
	var urls []string
	for _, b := range builds {
		urls = append(urls, b.URL)
	}
	return urls
}

// builds are those that the store knows, newest first.
func (r *rig) builds() []store.Build {
	r.t.Helper()
	builds, err := r.store.Builds(r.t.Context(), store.BuildFilter{})
	must(r.t, err)
	return builds
}

// blind makes polls so rare that whole builds fall between two of them.
func blind(s *reconcile.Settings) { s.Poll, s.FeedEvery = 20*time.Minute, 10*time.Minute }

// TestWhatTheStoreForgetsMakesNoBuildContaminated has an agent stay clean for longer than attempts are kept: the build that used
// it then is not judged without the attempt whose cleanness it took, nor is it later, when its feed still ends with it.
func TestWhatTheStoreForgetsMakesNoBuildContaminated(t *testing.T) {
	inRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.FeedEvery = 10 * time.Minute }}, func(r *rig) {
		forget := func() {
			day := 24 * time.Hour
			_, err := r.store.Purge(r.t.Context(), time.Now(), store.Retention{Events: 365 * day, Attempts: 2 * day, Logs: day, Builds: 2 * day})
			must(r.t, err)
		}
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "clean&&el7")
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) && r.agent("linux-7").Attempt == 2 })
		for range 5 {
			r.pass(24 * time.Hour)
			forget()
		}
		r.runBuild("app", "clean&&el7")
		r.wait(time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) && r.agent("linux-7").Attempt == 3 })
		forget()
		r.pass(time.Hour)
		if got := r.events(hygiene.EventContaminated); len(got) != 0 {
			t.Errorf("called contaminated: %+v", got)
		}
		if _, err := r.store.Attempt(r.t.Context(), r.agent("linux-7").ID, 1); err == nil {
			t.Error("the first attempt was not forgotten")
		}
	})
}

func TestBuildsBetweenTwoPollsAreFoundInTheFeed(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.set(blind)
		r.pass(time.Minute)
		for range 3 { // of a minute each; only the first found a clean agent
			r.runBuild("app", "clean&&el7")
		}
		r.wait(30*time.Minute, "the use being noticed", func() bool { return r.agent("linux-7").State != hygiene.Clean })
		r.wait(2*time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		want := []string{"http://ci.test/job/app/2/", "http://ci.test/job/app/3/"}
		if got := r.contaminated(); !sameSet(got, want) {
			t.Errorf("contaminated: %q, want %q", got, want)
		}
		if n := len(r.events(hygiene.EventContaminated)); n != 2 {
			t.Errorf("%d events tell of two contaminated builds", n)
		}
	})
}

// The feed tells seconds, in which a short cleanup and a short build after it both begin.
func TestABuildInTheSecondOfTheCleanupBeforeItIsFoundInTheFeed(t *testing.T) {
	spec := setup{agents: one, settings: func(s *reconcile.Settings) { s.Poll, s.FeedEvery = 50*time.Millisecond, 5*time.Minute }}
	spec.jenkins = func(o *jenkinstest.Options) {
		run := o.Execute
		o.Execute = func(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
			if step.Job == "app" {
				return jenkinstest.StepResult{}
			}
			return run(ctx, step)
		}
	}
	inRig(t, spec, func(r *rig) {
		r.takesFor(10 * time.Millisecond)
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.waitState("linux-7", hygiene.Clean)
		cleanup, build := r.cleanups()[0], r.jenkins.Builds("app")[0]
		if !cleanup.Started.Truncate(time.Second).Equal(build.Started.Truncate(time.Second)) {
			t.Fatalf("the cleanup began at %s, the build at %s", cleanup.Started, build.Started)
		}
		r.wait(10*time.Minute, "a second cleanup", func() bool { return len(r.cleanups()) == 2 })
		if got := r.contaminated(); len(got) > 0 {
			t.Errorf("contaminated: %q", got)
		}
	})
}

func TestABuildThatAsksForNoCleanAgentIsReportedWhenItFindsADirtyOne(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.runBuild("app", "el7") // on the clean agent: this one is fine
		r.waitState("linux-7", hygiene.Due)
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.wait(time.Hour, "the second build's end", func() bool {
			builds := r.jenkins.Builds("app")
			return len(builds) == 2 && builds[1].Complete
		})
		r.waitState("linux-7", hygiene.Clean)
		if got := r.contaminated(); len(got) != 1 || got[0] != "http://ci.test/job/app/2/" {
			t.Errorf("contaminated: %q", got)
		}
		r.pass(2 * time.Hour) // in which the feed is read again and again
		if n := r.watch.counts()[hygiene.EventContaminated]; n != 1 {
			t.Errorf("it was said %d times", n)
		}
	})
}

// withPipeline adds a Pipeline whose block runs for a minute on any agent with el7.
func (r *rig) withPipeline() {
	r.t.Helper()
	must(r.t, r.jenkins.CreateJobXML("pipe", `<flow-definition><definition class="org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition"><script>node('el7') { sh 'make' }</script></definition></flow-definition>`))
}

func pipelines(o *jenkinstest.Options) { o.Plugins = []string{jenkinstest.PluginPipeline} }

func TestABuildRightBehindAPipelinesBlockIsReported(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		job  string
		sees func(*reconcile.Settings)
	}{
		"another block, which polls see": {"pipe", func(*reconcile.Settings) {}},
		"a build that polls see":         {"app", func(s *reconcile.Settings) { s.FeedEvery = 100 * time.Hour }},
		"a build that only the feed has": {"app", blind},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one, jenkins: pipelines}, func(r *rig) {
				r.withPipeline()
				must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"}))
				r.waitState("linux-7", hygiene.Clean)
				_, err := r.jenkins.Schedule("pipe", nil)
				must(t, err)
				r.waitState("linux-7", hygiene.Due)
				r.set(test.sees)
				_, err = r.jenkins.Schedule(test.job, nil)
				must(t, err)
				r.waitState("linux-7", hygiene.Clean)
				builds := r.jenkins.Builds(test.job)
				want := fmt.Sprintf("http://ci.test/job/%s/%d/", test.job, builds[len(builds)-1].Number)
				if got := r.contaminated(); len(got) != 1 || got[0] != want {
					t.Errorf("contaminated: %q, want %q", got, want)
				}
			})
		})
	}
}

func TestABuildOnAnAgentThatWasMadeCleanByHandIsReported(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.bend(failing)
		r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > 0 }) })
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.jenkins.SaveLabels("linux-7", "cleanable clean el7", "ann")
		r.wait(time.Minute, "the build", func() bool { return len(r.jenkins.Builds("app")) == 1 })
		r.bend(nil)
		r.wait(3*time.Hour, "a cleanup", func() bool { return r.has("linux-7", isClean) })
		if got := r.contaminated(); len(got) != 1 {
			t.Errorf("contaminated: %q", got)
		}
	})
}

func TestABuildThatRanWhileNoDaemonLivedIsFoundAtTheStart(t *testing.T) {
	agents := make([]jenkinstest.AgentSpec, 12)
	for i := range agents {
		agents[i] = jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", i), Labels: "cleanable el7"}
	}
	inRig(t, setup{agents: agents, settings: func(s *reconcile.Settings) { s.FeedEvery = 24 * time.Hour }}, func(r *rig) {
		allClean := func() bool {
			return !slices.ContainsFunc(agents, func(a jenkinstest.AgentSpec) bool { return !r.has(a.Name, isClean) })
		}
		r.wait(time.Hour, "all clean", allClean)
		r.pass(10 * time.Minute)
		r.end()
		r.buildUnseen("app", "clean&&el7")
		used := r.jenkins.Builds("app")[0].Agent
		var mu sync.Mutex
		reads := map[time.Time]int{}
		r.jenkins.Inject(jenkinstest.Fault{Match: func(req *http.Request) bool {
			if strings.HasSuffix(req.URL.Path, "/rssAll") {
				mu.Lock()
				defer mu.Unlock()
				reads[time.Now()]++
			}
			return false
		}})
		r.start()
		r.wait(5*time.Second, "the use being noticed", func() bool { return r.agent(used).State != hygiene.Clean })
		r.pass(time.Second)
		mu.Lock()
		for at, n := range reads {
			if n > 5+1 { // and one for the agent that is being cleaned
				t.Errorf("%d feeds were read at once, at %s", n, at)
			}
		}
		mu.Unlock()
		r.wait(time.Hour, "all clean again", allClean)
		if got := r.contaminated(); len(got) > 0 {
			t.Errorf("contaminated: %q", got)
		}
	})
}

func TestPeopleAreToldOnceThatBuildsOfAPoolAreContaminated(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		told := func(kind hygiene.EventType, n int) []hygiene.Event {
			events := r.events(kind)
			if len(events) != n {
				t.Errorf("%d events %s, want %d", len(events), kind, n)
			}
			return events
		}
		bad := func() {
			r.waitState("linux-7", hygiene.Clean)
			r.runBuild("app", "el7")
			r.waitState("linux-7", hygiene.Due)
			r.buildUnseen("app", "el7")
		}
		for range 3 {
			bad()
		}
		r.waitState("linux-7", hygiene.Clean)
		told(hygiene.EventContaminated, 3)
		first := told(hygiene.EventBuildsBad, 1)[0]
		if first.Subject != "ci/all" || first.Pool != "all" || !strings.Contains(first.Reason, "/job/app/2/") {
			t.Errorf("it was told by %+v", first)
		}
		r.pass(23 * time.Hour)
		told(hygiene.EventBuildsGood, 0)
		r.pass(2 * time.Hour)
		if e := told(hygiene.EventBuildsGood, 1)[0]; !strings.Contains(e.Reason, "after 3 since") {
			t.Errorf("the end was told by %+v", e)
		}
		bad()
		r.waitState("linux-7", hygiene.Clean)
		told(hygiene.EventBuildsBad, 2)
		if n := r.watch.counts()[hygiene.EventContaminated]; n != 4 {
			t.Errorf("%d contaminated builds were counted", n)
		}
	})
}

func TestABlockThatCameAndWentBeforeTheGrantEndsTheAttempt(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: pipelines}, func(r *rig) {
		r.withPipeline()
		r.waitState("linux-7", hygiene.Running)
		remove := r.jenkins.Inject(jenkinstest.Fault{Path: "/computer/linux-7/**", Status: http.StatusInternalServerError})
		r.waitState("linux-7", hygiene.Granting)
		_, err := r.jenkins.Schedule("pipe", nil)
		must(t, err)
		r.wait(10*time.Minute, "the block's end", func() bool {
			builds := r.jenkins.Builds("pipe")
			return len(builds) == 1 && builds[0].Complete
		})
		remove()
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || !strings.Contains(got.Reason, "job/pipe/1/") {
			t.Errorf("the first attempt ended %q: %s", got.Outcome, got.Reason)
		}
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedCleanup {
			t.Errorf("the second attempt is a %s", got.Need)
		}
	})
}

func TestABuildThatOutlastsALaterOneIsReported(t *testing.T) {
	two := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Executors: 2}}
	long := func(o *jenkinstest.Options) {
		execute := o.Execute
		o.Execute = func(ctx context.Context, s jenkinstest.Step) jenkinstest.StepResult {
			if s.Job == "long" {
				time.Sleep(25 * time.Minute)
			}
			return execute(ctx, s)
		}
	}
	inRig(t, setup{agents: two, jenkins: long}, func(r *rig) {
		r.wait(time.Hour, "the adoption", func() bool { return r.has("linux-7", hygiene.Agent.Managed) })
		r.set(func(s *reconcile.Settings) { s.Poll = 10 * time.Hour }) // only the feed tells
		r.pass(10 * time.Second)
		r.runBuild("long", "el7")
		r.runBuild("short", "el7")
		r.pass(time.Hour)
		if got := r.contaminated(); len(got) != 2 {
			t.Errorf("contaminated: %q, want both", got)
		}
	})
}

func TestCertificatesOfCleanBuildsAreKept(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		for range 3 {
			r.waitState("linux-7", hygiene.Clean)
			r.runBuild("app", "clean&&el7")
			r.waitState("linux-7", hygiene.Due)
		}
		r.waitState("linux-7", hygiene.Clean)
		builds, err := r.store.Builds(r.t.Context(), store.BuildFilter{})
		must(t, err)
		if len(builds) != 3 {
			t.Fatalf("%d builds are known: %+v", len(builds), builds)
		}
		for _, b := range builds {
			if b.Contaminated {
				t.Errorf("%s is called contaminated: %s", b.URL, b.Reason)
			}
		}
	})
}

// TestABuildThatBeginsBeforeItsGrantIsAnsweredIsClean has the controller write the label clean at once, and say so after two polls.
func TestABuildThatBeginsBeforeItsGrantIsAnsweredIsClean(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Running)
		r.jenkins.Inject(jenkinstest.Fault{
			Method: http.MethodPost, Path: "/computer/linux-7/config.xml", Count: 1,
			After: func(*http.Request) { <-time.After(12 * time.Second) },
		})
		r.runBuild("app", "clean")
		r.pass(7 * time.Second)
		if a := r.agent("linux-7"); a.State != hygiene.Granting {
			t.Fatalf("it is %s, and nothing is tried", a.State)
		}
		if got := r.known(1); len(got) > 0 {
			t.Errorf("contaminated: %q", got)
		}
		r.wait(10*time.Minute, "the next cleanup", func() bool { return len(r.cleanups()) == 2 })
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 2 {
			t.Errorf("it is at attempt %d", a.Attempt)
		}
	})
}

// TestABlockThatBeginsBeforeItsGrantIsAnsweredTakesItAway has only a poll before the answer see it, and no feed.
func TestABlockThatBeginsBeforeItsGrantIsAnsweredTakesItAway(t *testing.T) {
	inRig(t, setup{agents: one, jenkins: pipelines}, func(r *rig) {
		r.withPipeline()
		r.waitState("linux-7", hygiene.Running)
		r.jenkins.Inject(jenkinstest.Fault{
			Method: http.MethodPost, Path: "/computer/linux-7/config.xml", Count: 1,
			After: func(*http.Request) {
				_, err := r.jenkins.Schedule("pipe", nil)
				if err != nil {
					t.Error(err)
				}
				<-time.After(12 * time.Second)
			},
		})
		r.waitState("linux-7", hygiene.Granting)
		r.pass(11 * time.Second)
		r.set(blind)
		r.wait(10*time.Second, "its label to be taken", func() bool { return r.labels("linux-7") == "cleanable dirty" })
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Used == nil || a.Need != hygiene.NeedCleanup {
			t.Errorf("the agent is %+v", a)
		}
		r.wait(time.Hour, "the next cleanup", func() bool { return len(r.cleanups()) == 2 })
		if got := r.contaminated(); len(got) > 0 {
			t.Errorf("contaminated: %q", got)
		}
	})
}

func TestAClockThatWasSetBackStopsNothing(t *testing.T) {
	t.Parallel()
	for _, state := range []hygiene.State{hygiene.Due, hygiene.Running, hygiene.Granting, hygiene.Clean} {
		t.Run(string(state), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				if state == hygiene.Due {
					r.bend(failing)
				}
				r.wait(time.Hour, "becoming "+string(state), func() bool {
					return r.has("linux-7", func(a hygiene.Agent) bool {
						return a.State == state && (state != hygiene.Due || a.Failures > 0)
					})
				})
				r.end()
				r.hasRunAhead(400 * 24 * time.Hour)
				r.bend(nil)
				r.start()
				must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
				r.pass(20 * time.Minute)
				r.waitState("linux-7", hygiene.Clean)
			})
		})
	}
}

// TestAClockThatJumpsBesideAnyRequestStopsNothing sets our clock forth or back while the daemon works: what it keeps in
// memory goes by a clock that does not jump, and what it has stored is suddenly old, or of the future.
func TestAClockThatJumpsBesideAnyRequestStopsNothing(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.eachRequest(true, func() { r.wereAhead(r.store, -jump) }, func(request string) {
					r.pass(time.Minute)
					r.waitState("linux-7", hygiene.Clean)
					if a := r.agent("linux-7"); a.Failures != 0 || r.labels("linux-7") != "cleanable clean" {
						t.Errorf("request %s: labels %s, %+v", request, r.labels("linux-7"), a)
					}
				})
				if a := r.agent("linux-7"); a.Attempt != int64(len(r.cleanups())) {
					t.Errorf("%d attempts, %d programs", a.Attempt, len(r.cleanups()))
				}
			})
		})
	}
}

// TestAClockThatWasSetBackALittleHidesNoBuild sets it back by less than a build lasts, as a clock is corrected.
func TestAClockThatWasSetBackALittleHidesNoBuild(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{3 * time.Second, 30 * time.Second, time.Minute} {
		t.Run(jump.String(), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", hygiene.Clean)
				r.wereAhead(r.store, jump)
				r.runBuild("app", "el7")
				r.wait(11*time.Second, "the second look after it began", func() bool { return r.labels("linux-7") == "cleanable" })
			})
		})
	}
}

// hasRunAhead makes the store look as if our clock had been ahead by d when it was written.
func (r *rig) hasRunAhead(d time.Duration) {
	r.t.Helper()
	db, err := store.Open(r.t.Context(), store.Options{Path: r.path, Owner: r.owner})
	must(r.t, err)
	defer db.Close()
	r.wereAhead(db, d)
}

// wereAhead puts the stored times of the agent and its attempt ahead by d.
func (r *rig) wereAhead(db *store.Store, d time.Duration) {
	r.t.Helper()
	id := hygiene.AgentID{Controller: "ci", Name: "linux-7"}
	must(r.t, db.Change(r.t.Context(), id, time.Now(), func(ch *store.Change) ([]hygiene.Event, error) {
		a := &ch.Agent
		for _, at := range []*time.Time{&a.Since, &a.LabelsAt, &a.NextLook, &a.LastServed, &a.LastCleaned} {
			ahead(at, d)
		}
		if t := ch.Attempt; t != nil {
			for _, at := range []*time.Time{&t.Claimed, &t.Handed, &t.Started, &t.Proved, &t.Ended} {
				ahead(at, d)
			}
		}
		return nil, nil
	}))
}

func ahead(at *time.Time, d time.Duration) {
	if !at.IsZero() {
		*at = at.Add(d)
	}
}

func TestALongSleepOfTheDaemonsMachineIsNoReasonToFail(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Running)
		r.end()
		r.pass(30 * 24 * time.Hour)
		r.start()
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 1 || a.Failures != 0 {
			t.Errorf("got %+v", a)
		}
	})
}

// TestAFeedIsReadOncePerCleanup counts through a build that is many intervals long: none while nothing
// can be new, and one reading for the cleanup after it.
func TestAFeedIsReadOncePerCleanup(t *testing.T) {
	var read atomic.Int32
	inRig(t, setup{agents: one, client: func(o *jenkins.Options) {
		o.Observe = func(c jenkins.Call) {
			if c.Op == "read builds" {
				read.Add(1)
			}
		}
	}}, func(r *rig) {
		every := func(d time.Duration) { r.set(func(s *reconcile.Settings) { s.FeedEvery = d }) }
		r.waitState("linux-7", hygiene.Clean)
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make"}))
		every(5 * time.Second)
		_, err := r.jenkins.Schedule("app", nil) // of a minute
		must(t, err)
		r.waitState("linux-7", hygiene.Due)
		before := read.Load()
		r.pass(50 * time.Second)
		if n := read.Load() - before; n != 0 {
			t.Errorf("the feed was read %d times while the build that used the agent was running", n)
		}
		every(time.Hour)
		before = read.Load()
		r.wait(time.Hour, "the cleanup", func() bool { return r.has("linux-7", isClean) })
		if n := read.Load() - before; n != 1 {
			t.Errorf("the feed was read %d times for one cleanup", n)
		}
	})
}
