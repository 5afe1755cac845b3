// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// heavy compiles a program that is too large to be embedded in a job.
func heavy(t *testing.T) *recipe.Program {
	t.Helper()
	blob := make([]byte, recipe.MaxEmbedded)
	_, _ = rand.NewChaCha8([32]byte{}).Read(blob) // never fails
	r, err := recipe.Parse("test.yaml", []byte(
		"version: 1\nname: test\nclean:\n  - {name: sweep, run: test -s blob, carry: [blob]}\nverify:\n  - {name: swept, run: \"true\"}\n",
	), func(string) (recipe.File, error) { return recipe.File{Path: "blob", Content: blob}, nil })
	must(t, err)
	program, err := r.Compile()
	must(t, err)
	return program
}

// carrying makes the rig's program another.
func (r *rig) carrying(p *recipe.Program) {
	r.mu.Lock()
	r.program = p
	r.mu.Unlock()
}

func TestALargeProgramGoesWithEachBuildAndTheJobStaysSmall(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.carrying(heavy(t))
		r.start()
		r.waitState("linux-7", hygiene.Clean)
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if a := r.agent("linux-7"); a.Attempt != 2 || a.Failures != 0 {
			t.Errorf("got %+v, want two cleanups without failure", a)
		}
		if config := r.ask(http.MethodGet, "/job/pitcrew-slot-01/config.xml", ""); len(config) > 20_000 {
			t.Errorf("the job has %d bytes", len(config))
		}
	})
}

func TestALargeProgramCostsNoMoreRequests(t *testing.T) {
	t.Parallel()
	requests := map[string]int{}
	for name, program := range map[string]func(*testing.T) *recipe.Program{"embedded": compile, "by file": heavy} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rigUp(t, setup{agents: one, asleep: true}, func(r *rig) {
					r.carrying(program(t))
					r.start()
					r.waitState("linux-7", hygiene.Clean)
					count := 0
					defer r.jenkins.Inject(jenkinstest.Fault{After: func(req *http.Request) {
						if poll := req.URL.Path == "/computer/api/json" || req.URL.Path == "/queue/api/json" || strings.HasPrefix(req.URL.Path, "/pitcrew-gate/"); !poll {
							count++
						}
					}})()
					must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
					r.waitState("linux-7", hygiene.Due)
					r.waitState("linux-7", hygiene.Clean)
					requests[name] = count
				})
			})
		})
	}
	if requests["by file"] != requests["embedded"] || requests["embedded"] == 0 {
		t.Errorf("requests of a cleanup: %v, want the same", requests)
	}
}

func TestALargeProgramGoesToTheParameterisedJobToo(t *testing.T) {
	inRig(t, parameterised, func(r *rig) {
		r.carrying(heavy(t))
		r.createParameterised(r.program)
		r.start()
		for _, name := range []string{"linux-7", "odd (name)"} {
			r.waitState(name, hygiene.Clean)
		}
	})
}

func TestALargeProgramReachesAnAgentWhoseNameIsNotASCII(t *testing.T) {
	inRig(t, setup{agents: []jenkinstest.AgentSpec{{Name: "größe-7", Labels: "cleanable"}}, asleep: true}, func(r *rig) {
		r.carrying(heavy(t))
		r.start()
		r.waitState("größe-7", hygiene.Clean)
	})
}

func TestALostAnswerToALargeProgramIsNotAnotherBuild(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.carrying(heavy(t))
		lost := r.at(1, true, func(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/buildWithParameters") }, func() {
			panic(http.ErrAbortHandler)
		})
		r.start()
		r.waitState("linux-7", hygiene.Clean)
		if lost() == "" {
			t.Fatal("no answer was lost")
		}
		if a := r.agent("linux-7"); a.Attempt != 1 || len(r.cleanups()) != 1 {
			t.Errorf("%d attempts, %d builds, want one of each", a.Attempt, len(r.cleanups()))
		}
	})
}

func TestAProgramThatARestartLostIsNoFailure(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true, jenkins: func(o *jenkinstest.Options) { o.Version = "2.516.3" }}, func(r *rig) {
		r.carrying(heavy(t))
		r.jenkins.QuietDown("test") // so that the build waits in the queue
		r.start()
		r.wait(time.Minute, "the build being queued", func() bool { return r.jenkins.QueueLength() > 0 })
		must(r.t, r.jenkins.Restart(r.t.Context(), jenkinstest.RestartNow))
		r.waitState("linux-7", hygiene.Clean)
		if builds := r.cleanups(); builds[0].Result != "FAILURE" || !strings.Contains(builds[0].Console, "NullPointerException") {
			t.Errorf("the build ended %s, so that nothing was tested:\n%s", builds[0].Result, builds[0].Console)
		}
		if a := r.agent("linux-7"); a.Failures != 0 || len(r.events(hygiene.EventFailed)) != 0 || r.attempt("linux-7", 1).Outcome != hygiene.Lost {
			t.Errorf("got %+v, the first attempt %s", a, r.attempt("linux-7", 1).Outcome)
		}
	})
}

func TestTheDiskOfAControllerIsBoundedByTheDiscarder(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.carrying(heavy(t))
		r.takesFor(time.Second)
		r.start()
		limit := int64(6 * len(r.program.Text)) // the five that are kept, and the last good one where that is another
		for attempt := int64(1); attempt <= 12; attempt++ {
			r.wait(time.Hour, "the next cleanup", func() bool {
				return r.has("linux-7", func(a hygiene.Agent) bool { return a.Attempt == attempt && a.State == hygiene.Clean })
			})
			if kept := r.jenkins.KeptFiles("pitcrew-slot-01"); kept == 0 || kept > limit {
				t.Fatalf("after %d cleanups %d bytes lie on the controller, want at most %d", attempt, kept, limit)
			}
			must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		}
	})
}

func TestAProgramThatDidNotArriveFailsWithItsOwnWords(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		r.carrying(heavy(t))
		defer r.jenkins.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/job/*/buildWithParameters", Before: func(req *http.Request) {
			body, err := io.ReadAll(req.Body)
			must(t, err)
			lost := bytes.Replace(body, []byte(`name="`+recipe.FileParameter+`"`), []byte(`name="OTHER"`), 1)
			req.Body = io.NopCloser(bytes.NewReader(lost))
		}})()
		r.start()
		r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > 0 }) })
		if got := r.attempt("linux-7", 1); !strings.Contains(got.Reason, "pitcrew: the program did not arrive") {
			t.Errorf("reason %q", got.Reason)
		}
	})
}

// two are agents that take turns in one slot.
var two = []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "linux-8", Labels: "cleanable el7"}}

func TestABuildThatWentToTheAgentOfBeforeIsNoFailure(t *testing.T) {
	inRig(t, setup{agents: two, settings: oneSlot}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.waitState("linux-8", hygiene.Clean)
		last := r.cleanups()[len(r.cleanups())-1].Agent
		other := map[string]string{"linux-7": "linux-8", "linux-8": "linux-7"}[last]
		defer r.jenkins.Inject(jenkinstest.Fault{Method: http.MethodPost, Path: "/job/pitcrew-slot-01/config.xml", Count: 1, Drop: true})()
		must(t, r.crew.OrderClean(r.t.Context(), other, "ann", "test", ""))
		r.wait(time.Hour, "the build on the wrong agent", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
		if builds := r.cleanups(); builds[len(builds)-1].Agent != last {
			t.Fatalf("the third build ran on %s, so that nothing was tested", builds[len(builds)-1].Agent)
		}
		if got := r.attempt(other, 2); got.Outcome != hygiene.GivenBack || !strings.Contains(got.Reason, `Jenkins ran the build on "`+last+`"`) {
			t.Errorf("got %s, %q", got.Outcome, got.Reason)
		}
		r.waitState(other, hygiene.Clean)
		if a := r.agent(other); a.Failures != 0 || a.Attempt != 3 {
			t.Errorf("got %+v, want a third attempt and no failure", a)
		}
		if n := len(r.events(hygiene.EventFailed)); n != 0 {
			t.Errorf("%d failures", n)
		}
	})
}

// answering makes every such request for a job come to nothing. The job is the last part of the path,
// or what is to be created.
func answering(method, job, action string, status int) *jenkinstest.Fault {
	return &jenkinstest.Fault{Status: status, Match: func(r *http.Request) bool {
		return r.Method == method && (strings.HasSuffix(r.URL.Path, "/job/"+job+"/"+action) ||
			strings.HasSuffix(r.URL.Path, "/"+action) && r.URL.Query().Get("name") == job)
	}}
}

func TestAProgramThatJenkinsDroppedIsWrittenAgain(t *testing.T) {
	inRig(t, setup{agents: one, settings: oneSlot}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.carrying(heavy(t)) // a new revision, and another delivery
		r.set(func(*reconcile.Settings) {})
		drop := jenkinstest.Fault{Method: http.MethodPost, Path: "/job/pitcrew-slot-01/config.xml", Count: 1, Drop: true}
		dropped := false
		drop.Before = func(*http.Request) { dropped = true }
		defer r.jenkins.Inject(drop)()
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); !dropped || got.Outcome != hygiene.Cleaned || got.Revision != r.program.Revision {
			t.Errorf("dropped: %v; the attempt ended %s (%s)", dropped, got.Outcome, got.Reason)
		}
		if slots := r.events(hygiene.EventSlot); len(slots) > 0 {
			t.Errorf("the slot was refused: %s", slots[0].Reason)
		}
	})
}

func TestWhatHindersAHandOverIsSaidToPeople(t *testing.T) {
	t.Parallel()
	const slot = "pitcrew-slot-01"
	plain := setup{agents: one}
	folder := setup{agents: one, unproved: true, settings: func(s *reconcile.Settings) { s.Jobs.Folder = "infra" }}
	for name, c := range map[string]struct {
		setup setup
		fault *jenkinstest.Fault
		want  string
	}{
		"folder gone":              {folder, answering(http.MethodPost, slot, "createItem", 404), "there is no folder infra, or pitcrew may not see it"},
		"may not create":           {plain, answering(http.MethodPost, slot, "createItem", 403), "may not create job pitcrew-slot-01: grant its user Job/Create"},
		"may not read":             {plain, answering(http.MethodGet, slot, "config.xml", 403), "grant its user Job/ExtendedRead or Job/Configure"},
		"may not build":            {plain, answering(http.MethodPost, slot, "buildWithParameters", 403), "grant its user Job/Build"},
		"disabled":                 {plain, answering(http.MethodPost, slot, "buildWithParameters", 409), "job pitcrew-slot-01 is disabled: enable it"},
		"deleted in between":       {plain, answering(http.MethodPost, slot, "buildWithParameters", 404), "job pitcrew-slot-01 is gone"},
		"no parameterised job":     {parameterised, nil, "there is no job clean-agent, or pitcrew may not see it: create it"},
		"may not read that either": {parameterised, answering(http.MethodGet, "clean-agent", "config.xml", 403), "may not read the configuration of job clean-agent"},
	} {
		t.Run(name, func(t *testing.T) {
			c.setup.asleep = true
			c.setup.jenkins = func(o *jenkinstest.Options) {
				o.Plugins = []string{jenkinstest.PluginFolder, jenkinstest.PluginNodeParameter}
			}
			inRig(t, c.setup, func(r *rig) {
				must(r.t, r.jenkins.CreateJobXML("infra", "<com.cloudbees.hudson.plugins.folder.Folder/>"))
				remove := func() {}
				if c.fault != nil {
					remove = r.jenkins.Inject(*c.fault)
				}
				r.start()
				r.wait(time.Minute, "the claim being given back", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
				e := r.events(hygiene.EventGivenBack)[0]
				if !strings.Contains(e.Reason, c.want) {
					t.Errorf("the event says %q", e.Reason)
				}
				if a := r.agent(e.Agent.Name); a.Failures != 0 || a.Quarantine != nil {
					t.Errorf("got %+v, want no failure", a)
				}
				if got := r.attempt(e.Agent.Name, 1); got.Outcome != hygiene.GivenBack || !strings.Contains(got.Reason, c.want) {
					t.Errorf("the attempt says %s, %q", got.Outcome, got.Reason)
				}
				remove()
				if !strings.Contains(c.want, "clean-agent") { // which nobody makes here
					r.waitState("linux-7", hygiene.Clean)
				}
			})
		})
	}
}

func TestAFolderThatIsNotThereIsSaidToPeople(t *testing.T) {
	inRig(t, setup{agents: one, settings: func(s *reconcile.Settings) { s.Jobs.Folder = "infra/ci" }}, func(r *rig) {
		r.pass(time.Minute)
		if got := r.crew.Problem(); !strings.Contains(got, "there is no folder infra/ci, or pitcrew may not see it") {
			t.Errorf("the crew's problem is %q", got)
		}
	})
}

func TestAClaimThatComesToNothingSaysWhatWentWrongLast(t *testing.T) {
	inRig(t, setup{agents: one, asleep: true}, func(r *rig) {
		defer r.jenkins.Inject(*answering(http.MethodPost, "pitcrew-slot-01", "createItem", 500))()
		r.start()
		r.wait(time.Hour, "the claim being given back", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
		got := r.attempt("linux-7", 1).Reason
		if !strings.Contains(got, "could not be handed over within 10m0s: create job pitcrew-slot-01: ") || !strings.Contains(got, "500") {
			t.Errorf("reason %q", got)
		}
	})
}
