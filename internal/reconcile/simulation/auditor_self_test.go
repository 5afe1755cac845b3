// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// TestAProblemIsToldWhenItIsFoundWithWhatCameBefore shows the auditor what must not be.
func TestAProblemIsToldWhenItIsFoundWithWhatCameBefore(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	var told []string
	a := newAuditor(newWorkshop())
	a.tell = func(problem string) { told = append(told, problem) }
	entry := func(e jenkinstest.Entry) {
		at = at.Add(time.Minute)
		e.At = at
		a.entry(e)
	}
	for range pastKept {
		entry(jenkinstest.Entry{Kind: jenkinstest.EntryOnline, Agent: "other"})
	}
	a.did("held by a person")
	entry(jenkinstest.Entry{Kind: jenkinstest.EntryLabels, Agent: "a1", Before: "x", Labels: "cleanable x", Who: "ann"})
	a.Changed(hygiene.Event{Type: hygiene.EventAdopted, At: at, Actor: "pitcrew", Reason: "labelled cleanable", Agent: id("a1"), After: hygiene.Due})
	if len(told) > 0 {
		t.Fatalf("told of %q, and nothing is wrong", told)
	}
	entry(jenkinstest.Entry{Kind: jenkinstest.EntryLabels, Agent: "a1", Before: "cleanable x", Labels: "cleanable clean x", Who: "pitcrew"})
	if len(told) != 1 || !strings.Contains(told[0], "I2: a1 got the label clean while it was due") {
		t.Fatalf("told %q, want that a1 got clean while it was due", told)
	}
	for _, want := range []string{"done: held by a person", `truth labels a1`, "event agent.adopted a1"} {
		if !strings.Contains(told[0], want) {
			t.Errorf("%q is missing in what is told:\n%s", want, told[0])
		}
	}
	if strings.Contains(told[0], "other") {
		t.Errorf("another agent is told of:\n%s", told[0])
	}

	entry(jenkinstest.Entry{Kind: jenkinstest.EntryBuildStart, Agent: "a2", Job: "app", Number: 1})
	entry(jenkinstest.Entry{Kind: jenkinstest.EntryBuildEnd, Agent: "a2", Job: "app", Number: 1, Result: "FAILURE"})
	if len(told) != 1 {
		t.Errorf("told of a build before the loss of its agent could be noticed: %q", told[1:])
	}
	entry(jenkinstest.Entry{Kind: jenkinstest.EntryOnline, Agent: "other"})
	if len(told) != 2 || !strings.Contains(told[1], "I5: ") {
		t.Errorf("told %q, want of the build that failed", told[1:])
	}
}
