// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

func TestAnAgentThatBearsTheNameOfALabelIsRefusedOnce(t *testing.T) {
	t.Parallel()
	for name, labels := range map[string]string{"cleanable": "linux", "dirty": "cleanable linux", "clean": "cleanable linux"} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: []jenkinstest.AgentSpec{{Name: name, Labels: labels}}}, func(r *rig) {
				r.pass(time.Hour)
				r.end()
				r.start() // another process says nothing again
				r.pass(time.Hour)
				told := r.events()
				if len(told) != 1 || told[0].Type != hygiene.EventRefused || !strings.Contains(told[0].Reason, "its name is our label "+name) {
					t.Errorf("told %+v", told)
				}
				if got := r.jenkins.Labels(name); got != labels {
					t.Errorf("its labels became %q", got)
				}
				if d, _ := r.crew.Explain(name); !strings.Contains(d.Reason, "its name is our label") {
					t.Errorf("the reason is %q", d.Reason)
				}
			})
		})
	}
}

func TestALabelThatAPluginAddsIsRefusedAfterOneTry(t *testing.T) {
	t.Parallel()
	for label, configured := range map[string]string{"cleanable": "linux", "clean": "cleanable linux"} {
		t.Run(label, func(t *testing.T) {
			inRig(t, setup{agents: []jenkinstest.AgentSpec{{Name: "linux-7", Labels: configured}}, asleep: true}, func(r *rig) {
				r.jenkins.Register(jenkinstest.Hooks{Labels: func(node string) []string {
					if node == "linux-7" {
						return []string{label}
					}
					return nil
				}})
				r.start()
				r.wait(5*time.Minute, "a refusal", func() bool { return len(r.events(hygiene.EventRefused)) > 0 })
				before := len(r.events())
				r.pass(50 * time.Minute)
				if n := len(r.events()) - before; n > 0 || before > 8 {
					t.Errorf("%d events until it was refused, and %d after that", before, n)
				}
				if d, _ := r.crew.Explain("linux-7"); !strings.Contains(d.Reason, "is not in its configuration; a plugin adds it") {
					t.Errorf("the reason is %q", d.Reason)
				}
				if n := len(r.events(hygiene.EventGranted)); n > 0 {
					t.Errorf("it was called clean %d times", n)
				}
			})
		})
	}
}
