// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
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

// offering is a scheduler whose label cache goes on offering an agent as clean, as Jenkins' does for up to five minutes.
type offering struct {
	http.RoundTripper
	on atomic.Bool
}

func (o *offering) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := o.RoundTripper.RoundTrip(req)
	if err == nil && o.on.Load() && req.URL.Path == "/label/clean/api/json" {
		resp.Body.Close()
		text := `{"_class":"hudson.model.labels.LabelAtom","nodes":[{"_class":"hudson.slaves.DumbSlave","nodeName":"linux-7"}]}`
		resp.StatusCode, resp.Body, resp.ContentLength = http.StatusOK, io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
	return resp, err
}

// A build could be given to the agent at any moment, and it would find it half cleaned.
func TestAnAgentThatTheSchedulerStillOffersAsCleanIsNotCleaned(t *testing.T) {
	scheduler := &offering{}
	spec := setup{agents: one, client: func(o *jenkins.Options) {
		scheduler.RoundTripper = o.Transport
		o.Transport, o.Advertised = scheduler, []string{"clean"}
	}}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		scheduler.on.Store(true)
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.wait(time.Minute, "the claim given back", func() bool { return len(r.events(hygiene.EventGivenBack)) > 0 })
		if e := r.events(hygiene.EventGivenBack)[0]; e.Reason != "the scheduler still offers it as clean, from a stale cache" {
			t.Errorf("the claim was given back because %s", e.Reason)
		}
		r.pass(4 * time.Minute)
		if n := len(r.cleanups()); n != 1 {
			t.Errorf("%d programs ran, want the one of before", n)
		}
		scheduler.on.Store(false)
		r.waitState("linux-7", hygiene.Clean)
	})
}
