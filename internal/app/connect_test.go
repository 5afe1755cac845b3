// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/hygiene"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
	"github.com/pitcrew-ci/pitcrew/internal/labelexpr"
	"github.com/pitcrew-ci/pitcrew/internal/reconcile"
)

func TestAControllerIsCheckedWhenItIsFirstSeenAndAfterEachRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var look atomic.Pointer[reconcile.Look]
		checks := 0
		go onConnect(t.Context(), look.Load, func(context.Context) { checks++ })
		for _, step := range []struct {
			look *reconcile.Look
			want int
		}{{nil, 0}, {&reconcile.Look{}, 1}, {&reconcile.Look{Session: "a"}, 2}, {&reconcile.Look{Session: "a"}, 2}, {&reconcile.Look{Session: "b"}, 3}} {
			look.Store(step.look)
			time.Sleep(3 * checkEvery)
			synctest.Wait()
			if checks != step.want {
				t.Errorf("after %+v: checked %d times, want %d", step.look, checks, step.want)
			}
		}
	})
}

func TestACheckKnowsWhetherAGateHolds(t *testing.T) {
	t.Parallel()
	server, err := jenkinstest.New(jenkinstest.Options{RootURL: "http://ci.test/", Security: jenkinstest.Security{NoCrumbs: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := server.AddAgent(jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable", Normal: true, Executors: 2}); err != nil {
		t.Fatal(err)
	}
	client, err := jenkins.New(jenkins.Options{URL: "http://ci.test/", Transport: server.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	failures := func() (n int) {
		for _, f := range (examined{client, "v"}).Check(t.Context(), jenkins.CheckOptions{Names: labelexpr.Names(hygiene.DefaultNames), SkipJobs: true}) {
			if f.Level == jenkins.LevelFail {
				n++
			}
		}
		return n
	}
	if n := failures(); n != 2 {
		t.Errorf("%d failures without a gate, want usage and executors", n)
	}
	server.InstallGate(jenkinstest.GateOptions{})
	if n := failures(); n != 0 {
		t.Errorf("%d failures behind a gate", n)
	}
}

func TestFindingsAreLoggedWithTheirRemedyAndCounted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &App{Options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, metrics: newMetrics()}
	fine := jenkins.Finding{Level: jenkins.LevelOK, Topic: "version", Message: "2.541.3"}
	untold := jenkins.Finding{Level: jenkins.LevelNote, Topic: "permission", Message: "Job/Build cannot be probed"}
	a.tellFindings(t.Context(), "ci", []jenkins.Finding{
		fine, untold,
		{Level: jenkins.LevelWarn, Topic: "agents", Message: "a1 is NORMAL", Remedy: "Make it EXCLUSIVE."},
		{Level: jenkins.LevelFail, Topic: "permission", Message: "Agent/Configure is missing", Remedy: "Grant it."},
	})
	counted := func(want string) {
		t.Helper()
		if got := exposed(t, a.metrics, "pitcrew_controller_findings"); got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
	}
	counted(`{controller="ci",level="fail"} 1; {controller="ci",level="warn"} 1`)
	said := log.String()
	for _, want := range []string{`level=WARN msg="controller was checked" controller=ci topic=agents`, `level=INFO msg="controller was checked" controller=ci topic=permission`, "level=ERROR", `finding="Agent/Configure is missing" remedy="Grant it."`} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %s:\n%s", want, said)
		}
	}
	if strings.Contains(said, "2.541.3") {
		t.Errorf("it tells of what is well:\n%s", said)
	}
	log.Reset()
	a.tellFindings(t.Context(), "ci", []jenkins.Finding{fine, untold})
	if said := log.String(); strings.Count(said, "level=INFO") != 2 || strings.Count(said, "\n") != 2 || !strings.Contains(said, "pitcrew can work with it") {
		t.Errorf("nothing stands in the way, and it says:\n%s", said)
	}
	counted(`{controller="ci",level="fail"} 0; {controller="ci",level="warn"} 0`)
}

func TestAControllerIsCheckedForJobsThatDoNotAskForClean(t *testing.T) {
	t.Parallel()
	server, err := jenkinstest.New(jenkinstest.Options{RootURL: "http://ci.test/", Security: jenkinstest.Security{NoCrumbs: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := server.AddAgent(jenkinstest.AgentSpec{Name: "linux-7", Labels: "cleanable el9"}); err != nil {
		t.Fatal(err)
	}
	for _, job := range []string{"rogue", "pitcrew-slot-01"} {
		if err := server.CreateFreeStyle(jenkinstest.JobSpec{Name: job, Label: "el9"}); err != nil {
			t.Fatal(err)
		}
	}
	client, err := jenkins.New(jenkins.Options{URL: "http://ci.test/", Transport: server.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := &reconcile.Settings{Labels: hygiene.DefaultNames}
	found := (examined{client, "v"}).Check(t.Context(), checkOptions(s, func(job string) bool { return job == "pitcrew-slot-01" }))
	if !slices.ContainsFunc(found, func(f jenkins.Finding) bool {
		return f.Level == jenkins.LevelWarn && strings.HasSuffix(f.Message, "1 of 1 jobs can start on a managed agent that is not clean: rogue")
	}) {
		t.Errorf("found %+v, want job rogue", found)
	}
}
