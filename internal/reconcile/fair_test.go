// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/recipe"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

// An agent that fails holds the only place until its cleanup ends, and comes after every healthy one that
// waits; the healthy ones, in use all the time, still leave it a turn.
func TestRetriesOfASickAgentDoNotCrowdOutHealthyOnesFromTheOnlyPlace(t *testing.T) {
	agents := []jenkinstest.AgentSpec{{Name: "sick", Labels: "cleanable el7"}}
	for i := range 4 {
		agents = append(agents, jenkinstest.AgentSpec{Name: fmt.Sprintf("linux-%d", i), Labels: "cleanable el7"})
	}
	spec := setup{agents: agents, settings: func(s *reconcile.Settings) {
		oneSlot(s)
		s.Pools[0].Policy.QuarantineAfter = 0
		s.Pools[0].Policy.Backoff = hygiene.Backoff{First: time.Second, Max: time.Second} // it is ready for another try at every turn
	}}
	inRig(t, spec, func(r *rig) {
		r.bend(func(rep recipe.Report) recipe.Report {
			if rep.Agent == "sick" {
				return failing(rep)
			}
			return rep
		})
		must(t, r.jenkins.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean&&el7", Script: "make", Concurrent: true}))
		for range 100 {
			_, _ = r.jenkins.Schedule("app", nil) // merged with one that waits already
			r.pass(10 * time.Second)
		}
		r.wait(time.Hour, "the healthy ones being clean", func() bool {
			for _, healthy := range agents[1:] {
				if !r.has(healthy.Name, isClean) {
					return false
				}
			}
			return true
		})
		r.pass(5 * time.Minute) // nobody else wants the place
		tries, behind := r.passedOver("sick")
		if len(behind) > 0 {
			t.Errorf("the sick one was tried again before others that waited: %q", behind)
		}
		if n := r.agent("linux-0").Attempt; tries < 3 || n < 3 {
			t.Errorf("%d attempts on the sick one, %d on a healthy one", tries, n)
		}
	})
}

// passedOver counts the attempts on an agent, and names those that waited when one but the first, which is
// no retry, began: idle, due and seen so by a poll.
func (r *rig) passedOver(agent string) (attempts int, waited []string) {
	since := map[string]time.Time{} // when each began to wait; a build that ran then may have ended later
	for _, e := range r.events() {
		switch {
		case e.Type == hygiene.EventClaimed && e.Agent.Name == agent:
			if attempts++; attempts == 1 {
				continue
			}
			for name, from := range since {
				for _, j := range r.jenkins.Journal() {
					if j.Agent == name && j.Kind == jenkinstest.EntryBuildEnd && j.At.After(from) && j.At.Before(e.At) {
						from = j.At
					}
				}
				if idle := r.idleAt(name, e.At); idle && e.At.Sub(from) > 11*time.Second {
					waited = append(waited, fmt.Sprintf("%s since %s at %s", name, from, e.At))
				}
			}
		case e.Agent.Name == "" || e.Agent.Name == agent:
		case e.After == hygiene.Due && e.Before != hygiene.Due:
			since[e.Agent.Name] = e.At
		case e.After != hygiene.Due:
			delete(since, e.Agent.Name)
		}
	}
	return attempts, waited
}

// idleAt reports whether no real build ran on an agent at a time.
func (r *rig) idleAt(agent string, at time.Time) bool {
	running := 0
	for _, e := range r.jenkins.Journal() {
		switch {
		case e.Agent != agent || e.At.After(at) || strings.HasPrefix(e.Job, "pitcrew-"):
		case e.Kind == jenkinstest.EntryBuildStart:
			running++
		case e.Kind == jenkinstest.EntryBuildEnd:
			running--
		}
	}
	return running == 0
}

// A place that becomes free is given at once to an agent that waits for it. When nobody waits, the end of an attempt
// changes nothing for others, and nothing is decided before the next poll.
func TestAFreePlaceIsGivenAtOnceIfAnybodyWaits(t *testing.T) {
	const poll = 10 * time.Minute
	two := []jenkinstest.AgentSpec{{Name: "linux-1", Labels: "cleanable el7"}, {Name: "linux-2", Labels: "cleanable el7"}}
	spec := setup{agents: two, settings: func(s *reconcile.Settings) {
		oneSlot(s)
		s.Poll, s.FeedEvery = poll, 24*time.Hour
	}}
	inRig(t, spec, func(r *rig) {
		r.waitState("linux-1", hygiene.Clean)
		claimed, proved := r.events(hygiene.EventClaimed), r.events(hygiene.EventProved)
		if len(claimed) != 2 || len(proved) != 1 {
			t.Fatalf("%d claims and %d proofs, want 2 and 1", len(claimed), len(proved))
		}
		if waited := claimed[1].At.Sub(proved[0].At); waited < 0 || waited > time.Second {
			t.Errorf("the second was claimed %s after the first gave its place back", waited)
		}
		r.pass(time.Second)
		decided := r.watch.decisions()
		r.waitState("linux-2", hygiene.Clean)
		if n := r.watch.decisions() - decided; n != 1 {
			t.Errorf("%d decisions from then on, want that of the poll alone", n)
		}
	})
}
