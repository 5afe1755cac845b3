// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// parameterised is a controller with the nodelabelparameter plugin and two agents, serviced by one
// job that a team keeps as code.
var parameterised = setup{
	agents: []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "odd (name)", Labels: "cleanable el7"}},
	jenkins: func(o *jenkinstest.Options) {
		o.Plugins = []string{jenkinstest.PluginNodeParameter}
	},
	settings: func(s *reconcile.Settings) { s.Jobs.Parameterised = "clean-agent" },
	asleep:   true,
	unproved: true, // the journal's rules know slots only; the builds themselves are looked at
}

func (r *rig) createParameterised(program *recipe.Program) {
	r.t.Helper()
	text, err := recipe.RenderXML(recipe.JobSpec{
		Name: "clean-agent", Program: program, Controller: "ci", Owner: r.owner, NodeParameter: "NODE",
	})
	must(r.t, err)
	must(r.t, r.jenkins.CreateJobXML("clean-agent", string(text)))
}

func TestOneParameterisedJobServicesAllAgents(t *testing.T) {
	inRig(t, parameterised, func(r *rig) {
		r.createParameterised(r.program)
		r.start()
		for _, name := range []string{"linux-7", "odd (name)"} {
			r.waitState(name, hygiene.Clean)
		}
		builds := r.jenkins.Builds("clean-agent")
		if len(builds) != 2 || builds[0].Agent == builds[1].Agent {
			t.Errorf("builds are %+v, want one on each agent", builds)
		}
		if got := r.jenkins.Builds("pitcrew-slot-01"); len(got) > 0 {
			t.Errorf("a slot was used as well: %+v", got)
		}
	})
}

func TestALostAnswerOfTheParameterisedJobIsNotAnotherAgentsBuild(t *testing.T) {
	inRig(t, parameterised, func(r *rig) {
		r.createParameterised(r.program)
		r.takesFor(10 * time.Minute)
		lost := 0
		remove := r.jenkins.Inject(jenkinstest.Fault{
			Method: http.MethodPost, Path: "/job/clean-agent/buildWithParameters", Count: 1, Lose: true,
			After: func(*http.Request) { lost++ },
		})
		defer remove()
		r.start()
		for _, name := range []string{"linux-7", "odd (name)"} {
			r.waitState(name, hygiene.Clean)
		}
		for _, name := range []string{"linux-7", "odd (name)"} {
			if a := r.agent(name); a.Attempt != 1 || a.Failures != 0 {
				t.Errorf("%s: %+v, want one attempt", name, a)
			}
		}
		if builds := r.jenkins.Builds("clean-agent"); len(builds) != 2 {
			t.Errorf("%d builds, want one for each agent: %+v", len(builds), builds)
		}
	})
}

func TestAnOutdatedParameterisedJobIsNotUsed(t *testing.T) {
	inRig(t, parameterised, func(r *rig) {
		old, err := recipe.Parse("old.yaml", []byte("version: 1\nname: old\nclean:\n  - {name: sweep, run: \"true\"}\nverify:\n  - {name: nothing, run: \"true\"}\n"), nil)
		must(t, err)
		program, err := old.Compile()
		must(t, err)
		r.createParameterised(program)
		r.start()
		r.pass(20 * time.Minute)
		if builds := r.jenkins.Builds("clean-agent"); len(builds) > 0 {
			t.Errorf("it was built: %+v", builds)
		}
		if a := r.agent("linux-7"); a.State == hygiene.Clean || a.Failures > 0 || !strings.Contains(a.Reason, "render it again") {
			t.Errorf("got %s, %d failures, %q", a.State, a.Failures, a.Reason)
		}
	})
}
