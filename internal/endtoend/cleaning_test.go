// SPDX-License-Identifier: Apache-2.0

//go:build unix

package endtoend

import (
	"slices"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins/testbed"
)

func TestANewAgentIsCleanedAndNothingElseOfItIsChanged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE  el7   x")
	before := controller.Get(s.ctx, s, a.Path+"/config.xml")
	s.holds(a)
	s.serve()
	s.await("the program has begun", func() bool { return there(a, "begun") })
	if got := s.labels(a); got != "CLEANABLE  el7   x DIRTY" {
		t.Errorf("while it is cleaned it is labelled %q", got)
	}
	s.take(a, "hold")
	s.awaitLabels(a, "CLEANABLE  el7   x CLEAN")
	after := controller.Get(s.ctx, s, a.Path+"/config.xml")
	if testbed.WithLabels(after, "") != testbed.WithLabels(before, "") {
		t.Errorf("the configuration was\n%s\nand is\n%s", before, after)
	}
	s.told(a, "agent.clean", 1)
	if n := s.cleanups(a); n != 1 {
		t.Errorf("it was cleaned %d times", n)
	}
	attempt := s.life(a).Attempts[0]
	if b := s.build(attempt.Job, int(attempt.Build)); b.BuiltOn != a.Name || b.Result != "SUCCESS" {
		t.Errorf("the cleanup's build is %+v", b)
	}
	if out := s.pitcrew("agents", "-o", "name"); !strings.Contains(out, a.Name) {
		t.Errorf("the command line lists %q", out)
	}
}

func TestABuildWaitsForCleanUsesItUpAndTheAgentIsCleanedAgain(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE el7")
	s.put(a, "mess")
	job := s.job("CLEAN && el7")
	first := s.schedule(job)
	s.await("the queue to say why", func() bool { return strings.Contains(s.item(first).Why, "no nodes with the label") })
	s.put(a, "hold-build")
	s.serve()
	one := s.number(first)
	s.awaitLabels(a, "CLEANABLE el7")
	second := s.schedule(job)
	s.polled(a)
	if i := s.item(second); i.Executable != nil {
		t.Errorf("a second build landed on the agent: %+v", i)
	}
	s.take(a, "hold-build")
	if b := s.finish(job, one); b.Result != "SUCCESS" || b.BuiltOn != a.Name {
		t.Errorf("the first build is %+v", b)
	}
	if b := s.finish(job, s.number(second)); b.Result != "SUCCESS" {
		t.Errorf("the second build is %+v", b)
	}
	s.told(a, "agent.clean", 3)
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
	if got, want := s.read(a, "builds"), []string{"1-clean", "2-clean"}; !slices.Equal(got, want) {
		t.Errorf("the builds met %v, want %v", got, want)
	}
	if n := s.cleanups(a); n != 3 {
		t.Errorf("it was cleaned %d times, want once and after each build", n)
	}
	if urls := s.contaminated(); len(urls) > 0 {
		t.Errorf("reported as contaminated: %v", urls)
	}
}

func TestAFailingRecipeKeepsTheAgentOutUntilItIsReleased(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE el7")
	s.put(a, "broken")
	job := s.job("CLEAN && el7")
	item := s.schedule(job)
	s.serve()
	failed := s.told(a, "cleanup.failed", 2)
	if !strings.Contains(failed[0].Reason, "sweep") {
		t.Errorf("the reason is %q", failed[0].Reason)
	}
	s.told(a, "agent.quarantined", 1)
	s.awaitLabels(a, "CLEANABLE el7 DIRTY")
	if got := s.life(a); got.Hygiene != "quarantined" || got.NextLook.IsZero() {
		t.Errorf("it is %s, next look %s", got.Hygiene, got.NextLook)
	}
	if out := s.pitcrew("agents"); !strings.Contains(out, "quarantined") {
		t.Errorf("the command line shows\n%s", out)
	}
	s.polled(a)
	if i := s.item(item); i.Executable != nil || i.Cancelled {
		t.Errorf("the waiting build is %+v", i)
	}
	s.take(a, "broken")
	s.pitcrew("release", a.Name, "--reason", "a new disk")
	if b := s.finish(job, s.number(item)); b.Result != "SUCCESS" {
		t.Errorf("the build that waited is %+v", b)
	}
	s.awaitLabels(a, "CLEANABLE el7 CLEAN")
}

func TestAnAgentThatMustReconnectIsVerifiedInItsNewProcess(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a := s.agent("", "CLEANABLE")
	s.put(a, "reconnect")
	s.serve()
	s.told(a, "cleanup.reconnecting", 1)
	s.awaitLabels(a, "CLEANABLE CLEAN")
	if n := a.Starts(); n != 2 {
		t.Errorf("its process was started %d times, want 2", n)
	}
	if n := s.cleanups(a); n != 1 {
		t.Errorf("it was cleaned %d times, want once: the new process is for the verification", n)
	}
}

func TestAProgramOnTheWrongAgentTouchesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	a, other := s.agent("-a", "CLEANABLE"), s.agent("-b", "unmanaged")
	s.serve()
	s.awaitLabels(a, "CLEANABLE CLEAN")
	slot := s.life(a).Attempts[0].Job

	// Somebody ties the slot to another agent and presses build, with the values of the last build.
	document := controller.Get(s.ctx, s, testbed.JobPath(slot)+"/config.xml")
	moved := strings.Replace(document, "<assignedNode>"+a.Name+"<", "<assignedNode>"+other.Name+"<", 1)
	if moved == document {
		t.Fatalf("the slot is not tied to %s: %s", a.Name, document[:min(len(document), 3000)])
	}
	controller.PostXML(s.ctx, s, testbed.JobPath(slot)+"/config.xml", moved)
	number := s.buildSlot(slot, a.Name)
	if b := s.finish(slot, number); b.Result != "FAILURE" || b.BuiltOn != other.Name {
		t.Errorf("the build is %+v", b)
	}
	if console := s.console(slot, number); !strings.Contains(console, "nothing was touched") {
		t.Errorf("it says\n%s", console)
	}
	if there(other, "begun") || s.cleanups(other) > 0 {
		t.Error("the program ran on an agent that it was not issued for")
	}

	// The daemon ties the slot back before it uses it again.
	s.relabel(a, "CLEANABLE")
	s.awaitLabels(a, "CLEANABLE CLEAN")
	if n := s.cleanups(a); n != 2 {
		t.Errorf("%s was cleaned %d times", a.Name, n)
	}
}
