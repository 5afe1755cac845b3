// SPDX-License-Identifier: Apache-2.0

package scrub_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/pitcrew-ci/pitcrew/internal/scrub"
	"github.com/pitcrew-ci/pitcrew/internal/scrub/spec"
)

// lentOf are the marks of what a loan has started.
func lentOf(agent, controller string) []string {
	return []string{"PITCREW_LOAN=loan-7", "PITCREW_LENT_AGENT=" + agent, "PITCREW_LENT_CONTROLLER=" + controller}
}

func TestWhatALoanLeftEnds(t *testing.T) {
	t.Parallel()
	asRoot(t)
	const agent = "scrub-lent-test"
	here := scrub.Here{Agent: agent, Issuer: "ci", Controller: "http://ci.example", Tag: "jenkins-pitcrew-3", Cookie: "durable-1"}
	java, news := named(t, "java"), uidOf(t, "news")
	foreign := []string{"java", "-jar", "/srv/loan/agent.jar", "-webSocket"}
	cases := map[string]struct {
		leftover leftover
		ends     bool
	}{
		"started by the borrower's builds":      {leftover{env: append(lentOf(agent, "ci"), "NODE_NAME=theirs", "JOB_NAME=theirs", "BUILD_TAG=x")}, true},
		"the borrower's agent program":          {leftover{exe: java, args0: foreign, env: lentOf(agent, "ci")}, true},
		"the same of another account":           {leftover{exe: java, args0: foreign, env: lentOf(agent, "ci"), uid: news}, true},
		"whose name is kept":                    {leftover{exe: named(t, "keepme"), env: lentOf(agent, "ci")}, true},
		"of a loan of another agent":            {leftover{exe: java, args0: foreign, env: lentOf("other-agent", "ci")}, false},
		"of a loan of an agent of another":      {leftover{exe: java, args0: foreign, env: lentOf(agent, "other")}, false},
		"of an agent that is not lent":          {leftover{exe: java, args0: foreign, env: []string{"PITCREW_LOAN=loan-7"}}, false},
		"with one of the marks":                 {leftover{env: lentOf(agent, "ci")[:2]}, false},
		"of the build that runs us, not a loan": {leftover{env: build(agent, "BUILD_TAG=jenkins-pitcrew-3", "PITCREW_AGENT="+agent)}, false},
	}
	started := map[string]*exec.Cmd{}
	for name, c := range cases {
		started[name] = start(t, c.leftover)
	}
	s := spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Keep: []string{"keepme"}, Grace: 1}}} // whether cookies count or not
	found := map[string]spec.Residue{}
	for _, r := range reach(t, s, here, scrub.Plan).Found {
		found[r.ID] = r
	}
	if r := reach(t, s, here, scrub.Do); r.State != spec.Changed {
		t.Errorf("%+v", r)
	}
	for name, c := range started {
		if got := !lives(c); got != cases[name].ends {
			t.Errorf("what is %s: ended %t, want %t", name, got, cases[name].ends)
		}
		r := found[strconv.Itoa(c.Process.Pid)]
		if cases[name].ends && (r.Culprit == nil || r.Culprit.Job != "loan loan-7" || r.Culprit.Build != 0) {
			t.Errorf("what is %s: residue %+v, culprit %+v", name, r, r.Culprit)
		}
	}
	if r := reach(t, s, here, scrub.Do); r.State != spec.Unchanged {
		t.Errorf("a second run at once: %+v", r)
	}
}

// TestALoanHasANameOfItsOwnSort: its mark is a variable that any process may set to anything, and a report has many readers.
func TestALoanHasANameOfItsOwnSort(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{
		"loan-7": true, "a_B-9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "loan 7": false, "loan-7\n": false, "<b>": false, "lo\xe4n": false, "löan": false, "a/b": false,
	} {
		if got := scrub.IsLoanID(word); got != want {
			t.Errorf("%q: %t, want %t", word, got, want)
		}
	}
}

// A controller may borrow from itself: then the cleanup may bear the marks of the very loan that it runs on.
func TestACleanupOnALoanDoesNotEndItself(t *testing.T) {
	t.Parallel()
	const agent = "scrub-lent-itself-test"
	within := start(t, leftover{env: lentOf(agent, "ci")})
	s := spec.Spec{Goal: spec.Goal{Processes: &spec.Processes{Grace: 1}}}
	here := scrub.Here{Agent: agent, Issuer: "ci", Engine: os.Getpid()}
	if r := reach(t, s, here, scrub.Do); r.State != spec.Unchanged || !lives(within) {
		t.Errorf("%+v, lives %t", r, lives(within))
	}
	for name, here := range map[string]scrub.Here{"no agent": {Issuer: "ci"}, "no controller": {Agent: agent}, "nothing": {}} {
		if r := reach(t, s, here, scrub.Plan); len(r.Found) > 0 {
			t.Errorf("%s known: %+v", name, r.Found)
		}
	}
}
