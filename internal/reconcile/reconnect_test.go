// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
)

// session is what programs report about the agent's process and machine.
type session struct {
	boot, pid int
	image     string
}

// asks makes each whole cleanup ask for what, and each verification succeed, in the session that s
// holds at that time.
func (r *rig) asks(what recipe.Outcome, s *session) {
	r.bend(func(rep recipe.Report) recipe.Report {
		rep.Machine.BootID = fmt.Sprintf("boot-%d", s.boot)
		rep.AgentProcess = recipe.AgentProcess{PID: s.pid, Start: fmt.Sprintf("start-%d", s.pid), Image: s.image}
		if rep.Phases == "all" {
			rep.Outcome, rep.Verified = what, false
		}
		return rep
	})
}

var launched = []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Launched: true}}

func TestAnAgentThatMustReconnectIsVerifiedInItsNewSession(t *testing.T) {
	t.Parallel()
	for name, agents := range map[string][]jenkinstest.AgentSpec{"inbound": one, "launched": launched} {
		t.Run(name, func(t *testing.T) {
			spec := setup{agents: agents, jenkins: func(o *jenkinstest.Options) { o.Timing.Reconnect = 15 * time.Second }}
			inRig(t, spec, func(r *rig) {
				s := &session{pid: 100}
				r.asks(recipe.Reconnect, s)
				r.waitState("linux-7", hygiene.Reconnecting)
				s.pid++
				r.waitState("linux-7", hygiene.Clean)
				if a := r.agent("linux-7"); a.Attempt != 1 {
					t.Errorf("it took %d attempts", a.Attempt)
				}
				if got := r.attempt("linux-7", 1); got.Reconnect != 1 {
					t.Errorf("%d reconnects", got.Reconnect)
				}
				if n := len(r.cleanups()); n != 2 {
					t.Errorf("%d programs ran, want the cleanup and the verification", n)
				}
			})
		})
	}
}

func TestAnAgentProcessThatWasNotRestartedIsNoNewSession(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		r.asks(recipe.Reconnect, &session{pid: 100})
		r.wait(time.Hour, "a quarantine", func() bool { return r.has("linux-7", isQuarantined) })
		if a := r.agent("linux-7"); !strings.Contains(a.Quarantine.Reason, "supervisor") || a.LastCleaned != (time.Time{}) {
			t.Errorf("got %+v", a)
		}
	})
}

// A stock agent without -noReconnect replaces itself when it loses its connection: its pid and start stay.
func TestAnAgentThatBeginsAnewInItsProcessIsANewSession(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after string
		proved        bool
	}{
		"it began anew":                   {"1", "2", true},
		"it did not":                      {"1", "1", false},
		"the machine does not show it":    {"", "", false},
		"it was shown before alone":       {"1", "", false},
		"it was shown only when verified": {"", "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, setup{agents: one}, func(r *rig) {
				s := &session{pid: 100, image: test.before}
				r.asks(recipe.Reconnect, s)
				r.waitState("linux-7", hygiene.Reconnecting)
				s.image = test.after
				r.wait(time.Hour, "an end", func() bool { return !r.attempt("linux-7", 1).Ended.IsZero() })
				if got := r.attempt("linux-7", 1); (got.Outcome == hygiene.Cleaned) != test.proved {
					t.Errorf("it ended %q: %s", got.Outcome, got.Reason)
				}
			})
		})
	}
}

func isQuarantined(a hygiene.Agent) bool { return a.Quarantine != nil && !a.State.InProgress() }

func TestAnAgentThatNeverComesBackIsQuarantined(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "linux-7", Labels: "cleanable el7", Lonely: true}}
	inRig(t, setup{agents: agents}, func(r *rig) {
		r.asks(recipe.Reconnect, &session{pid: 100})
		r.waitState("linux-7", hygiene.Reconnecting)
		r.pass(9 * time.Minute)
		if a := r.agent("linux-7"); a.State != hygiene.Reconnecting {
			t.Errorf("given up early: %+v", a)
		}
		r.wait(time.Hour, "a quarantine", func() bool { return r.has("linux-7", isQuarantined) })
		if a := r.agent("linux-7"); !strings.Contains(a.Quarantine.Reason, "not back within 10m") {
			t.Errorf("got %+v", a)
		}
	})
}

// rebooting lets the machine go down a little after its program ended, and come back.
func (r *rig) rebooting(s *session, away time.Duration, comesBackNew bool) {
	r.waitState("linux-7", hygiene.Reconnecting)
	r.pass(5 * time.Second)
	r.jenkins.Agent("linux-7").Kill()
	if comesBackNew {
		s.boot++
		s.pid++
	}
	r.pass(away)
	must(r.t, r.jenkins.Agent("linux-7").Connect())
}

func TestAMachineThatRebootedIsVerifiedThen(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		s := &session{boot: 1, pid: 100}
		r.asks(recipe.Reboot, s)
		r.rebooting(s, 3*time.Minute, true)
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Cleaned || got.Run.BootID != "boot-2" {
			t.Errorf("got %+v", got.Attempt)
		}
	})
}

func TestAMachineWithTheSameBootIdWasNotRebooted(t *testing.T) {
	inRig(t, setup{agents: one}, func(r *rig) {
		s := &session{boot: 1, pid: 100}
		r.asks(recipe.Reboot, s)
		r.rebooting(s, time.Minute, false)
		r.wait(time.Hour, "a quarantine", func() bool { return r.has("linux-7", isQuarantined) })
		if a := r.agent("linux-7"); !strings.Contains(a.Quarantine.Reason, "boot id is the same") {
			t.Errorf("got %+v", a)
		}
	})
}

func TestAProgramThatAsksForAReconnectForEverFails(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.Reconnect = 15 * time.Second }}
	inRig(t, spec, func(r *rig) {
		pid := 100
		r.bend(func(rep recipe.Report) recipe.Report {
			pid++
			rep.Outcome, rep.Verified, rep.AgentProcess = recipe.Reconnect, false, recipe.AgentProcess{PID: pid, Start: "x"}
			return rep
		})
		r.wait(time.Hour, "a failure", func() bool { return r.has("linux-7", func(a hygiene.Agent) bool { return a.Failures > 0 }) })
		if got := r.attempt("linux-7", 1); got.Reconnect != 2 || !strings.Contains(got.Reason, "again") {
			t.Errorf("got %+v", got.Attempt)
		}
	})
}

func TestADaemonThatDiesWhileAnAgentReconnectsTakesItUpAgain(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) { o.Timing.Reconnect = 15 * time.Second }}
	inRig(t, spec, func(r *rig) {
		s := &session{pid: 100}
		r.asks(recipe.Reconnect, s)
		r.waitState("linux-7", hygiene.Reconnecting)
		s.pid++
		for range 30 {
			r.pass(1700 * time.Millisecond)
			r.end()
			r.start()
		}
		r.waitState("linux-7", hygiene.Clean)
		if n := len(r.cleanups()); n != 2 {
			t.Errorf("%d programs ran, want the cleanup and the verification", n)
		}
	})
}

// No poll sees the build: it takes the agent as it returns, and takes no time.
func TestABuildBeforeTheVerificationInTheNewSessionIsNotWipedByIt(t *testing.T) {
	spec := setup{agents: one, jenkins: func(o *jenkinstest.Options) {
		o.Timing.Reconnect = 15 * time.Second
		run := o.Execute
		o.Execute = func(ctx context.Context, step jenkinstest.Step) jenkinstest.StepResult {
			if step.Job == "app" {
				return jenkinstest.StepResult{}
			}
			return run(ctx, step)
		}
	}}
	inRig(t, spec, func(r *rig) {
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "el7", Script: "make"}))
		s := &session{pid: 100}
		r.asks(recipe.Reconnect, s)
		r.wait(time.Hour, "the agent being away", func() bool {
			return r.has("linux-7", func(a hygiene.Agent) bool {
				return a.State == hygiene.Reconnecting && !r.attempt("linux-7", 1).Run.Away.IsZero()
			})
		})
		s.pid++
		_, err := r.jenkins.Schedule("app", nil)
		must(t, err)
		r.wait(time.Hour, "the end of the first attempt", func() bool { return !r.attempt("linux-7", 1).Ended.IsZero() })
		if got := r.attempt("linux-7", 1); got.Outcome != hygiene.Lost || !strings.Contains(got.Reason, "/job/app/1/") || got.Reconnect != 1 {
			t.Errorf("the first attempt ended %q after %d reconnects: %s", got.Outcome, got.Reconnect, got.Reason)
		}
		s.pid++
		r.bend(nil)
		r.waitState("linux-7", hygiene.Clean)
		if got := r.attempt("linux-7", 2); got.Need != hygiene.NeedCleanup {
			t.Errorf("the second attempt is a %s", got.Need)
		}
	})
}
