// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// ask sends a request as a person's browser or script would.
func (r *rig) ask(method, path, body string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://ci.test"+path, strings.NewReader(body))
	must(r.t, err)
	req.Header.Set("Content-Type", "application/xml")
	resp, err := r.jenkins.Transport().RoundTrip(req)
	must(r.t, err)
	defer resp.Body.Close()
	var text strings.Builder
	if err := resp.Write(&text); err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		r.t.Fatalf("%s %s: %s", method, path, text.String())
	}
	_, document, _ := strings.Cut(text.String(), "\r\n\r\n")
	return document
}

func (r *rig) deleteAgent(name string) { r.ask(http.MethodPost, "/computer/"+name+"/doDelete", "") }

func TestAnAgentThatDiesInMidRunIsNotBlamed(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.wait(time.Hour, "a running cleanup", func() bool { return len(r.cleanups()) == 1 })
		r.jenkins.Agent("linux-7").Kill()
		r.waitState("linux-7", hygiene.Due)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost {
			t.Errorf("the attempt ended %q: %s", got.Outcome, got.Reason)
		}
		r.pass(3 * time.Hour)
		if a := r.agent("linux-7"); a.State != hygiene.Due || a.Attempt != 1 || a.Failures != 0 {
			t.Errorf("while it is away: %+v", a)
		}
		must(t, r.jenkins.Agent("linux-7").Connect())
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAConnectionLostBesideAnyRequestNeverLeavesCleanUnproved(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.Reconnect = 20 * time.Second }}
	inRig(t, spec, func(r *rig) {
		r.eachRequest(true, func() { r.jenkins.Agent("linux-7").Disconnect() }, func(request string) {
			r.pass(time.Minute)
			r.waitState("linux-7", hygiene.Clean)
			if a := r.agent("linux-7"); a.Failures != 0 {
				t.Errorf("request %s: the agent was blamed: %+v", request, a)
			}
		})
	})
}

func TestACleanAgentThatWasAwayIsVerifiedAgain(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.Reconnect = 20 * time.Second }}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.Agent("linux-7").Disconnect()
		r.waitState("linux-7", hygiene.Due)
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedVerify {
			t.Errorf("it was cleaned with need %q", got.Need)
		}
	})
}

func TestAnAgentThatIsDeletedIsForgottenInAnyState(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		for _, state := range []hygiene.State{hygiene.Due, hygiene.Claimed, hygiene.Running, hygiene.Clean} {
			r.wait(time.Hour, "becoming "+string(state), func() bool {
				return r.has("linux-7", func(a hygiene.Agent) bool { return a.State == state }) || r.has("linux-7", isClean)
			})
			r.deleteAgent("linux-7")
			r.waitState("linux-7", hygiene.Unmanaged)
			if _, err := r.jenkins.AddAgent(jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable clean el7"}); err != nil {
				t.Fatal(err)
			}
			r.wait(time.Minute, "the foreign clean being taken off", func() bool { return r.labels("linux-7") != "cleanable clean" })
		}
		r.waitState("linux-7", hygiene.Clean)
		slots, err := r.store.Slots(r.t.Context(), "ci")
		must(t, err)
		for _, s := range slots {
			if s.Attempt != 0 {
				t.Errorf("slot %s is still taken by attempt %d of %s", s.Job, s.Attempt, s.Agent)
			}
		}
	})
}

func TestAnAgentThatIsRenamedIsAnother(t *testing.T) {
	for _, state := range []hygiene.State{hygiene.Running, hygiene.Clean} {
		t.Run(string(state), func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				r.waitState("linux-7", state)
				config := r.ask(http.MethodGet, "/computer/linux-7/config.xml", "")
				r.ask(http.MethodPost, "/computer/linux-7/config.xml", strings.Replace(config, "<name>linux-7</name>", "<name>linux-8</name>", 1))
				must(t, r.jenkins.Agent("linux-8").Connect())
				r.waitState("linux-7", hygiene.Unmanaged)
				r.waitState("linux-8", hygiene.Clean)
				if a := r.agent("linux-8"); a.Attempt != 1 {
					t.Errorf("its clean was believed under the new name: %+v", a)
				}
			})
		})
	}
}

func TestAbsenceFromTheListIsNotDeletion(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.jenkins.Agent("linux-7").Omit(true)
		r.pass(time.Hour)
		if a := r.agent("linux-7"); !a.Managed() {
			t.Errorf("forgotten, though it exists: %+v", a)
		}
		must(t, r.crew.OrderClean(r.t.Context(), "linux-7", "ann", "test", ""))
		r.pass(10 * time.Minute)
		r.jenkins.Agent("linux-7").Omit(false)
		r.waitState("linux-7", hygiene.Clean)
	})
}

func TestAnAgentWithoutAPoolIsUntouched(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7"}, {Name: "win-1", Labels: "cleanable clean windows"}}
	spec := setup{agents: agents, settings: onlyPool("el7")}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-7", hygiene.Clean)
		r.pass(time.Hour)
		if got := r.jenkins.Labels("win-1"); got != "cleanable clean windows" {
			t.Errorf("its labels became %q", got)
		}
		if d, ok := r.crew.Explain("win-1"); !ok || d.Reason != "no pool of the configuration has it" {
			t.Errorf("the reason is %q", d.Reason)
		}
	})
}

func TestOddAgentNames(t *testing.T) {
	names := []string{`linux (7)`, `O'Brien "the" agent`, `größe-中文`, `a+b`, `x.y~z`}
	var agents []jenkinstest.AgentSpec
	for _, name := range names {
		agents = append(agents, jenkinstest.AgentSpec{Name: name, Labels: "cleanable el7"})
	}
	inRig(t, setup{agents: agents}, func(r *rig) {
		for _, name := range names {
			r.waitState(name, hygiene.Clean)
			if got := r.labels(name); got != "cleanable clean" {
				t.Errorf("%s: labels are %s", name, got)
			}
		}
		r.runBuild("app", "clean&&el7")
		r.pass(time.Hour)
		for _, name := range names {
			r.waitState(name, hygiene.Clean)
		}
		if n := r.watch.counts()[hygiene.EventContaminated]; n != 0 {
			t.Errorf("%d contaminated builds", n)
		}
	})
}
