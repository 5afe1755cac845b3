// SPDX-License-Identifier: Apache-2.0

package jenkins_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
	"github.com/pitcrew-ci/pitcrew/internal/jenkins/jenkinstest"
)

// The tests here run against a controller that keeps state and was written without a look at this client.

const (
	token    = "110123456789abcdef0123456789abcdef"
	password = "pass:word"
)

func secret(s string) jenkins.Secret {
	return func(context.Context) (string, error) { return s, nil }
}

func leastPrivileged() jenkinstest.User {
	return jenkinstest.User{Name: "pit", Password: password, Tokens: []string{token}, Permissions: []jenkinstest.Permission{
		jenkinstest.Read, jenkinstest.AgentConfigure, jenkinstest.AgentConnect, jenkinstest.AgentDisconnect, jenkinstest.JobRead,
		jenkinstest.JobCreate, jenkinstest.JobConfigure, jenkinstest.JobBuild, jenkinstest.JobCancel, jenkinstest.JobDelete, jenkinstest.RunUpdate,
	}}
}

// controller returns an emulated controller and a client of it, with a log of the requests made.
func controller(t *testing.T, o jenkinstest.Options, c jenkins.Options) (*jenkinstest.Jenkins, *jenkins.Client, *[]string) {
	t.Helper()
	o.RootURL = "http://ci.example/jenkins/"
	j, err := jenkinstest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	var mu sync.Mutex
	calls := &[]string{}
	c.URL, c.Transport, c.RequestsPerSecond = o.RootURL, j.Transport(), -1
	c.Observe = func(call jenkins.Call) {
		mu.Lock()
		defer mu.Unlock()
		*calls = append(*calls, call.Op)
	}
	client, err := jenkins.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return j, client, calls
}

// secured is a controller with one user, known by token.
func secured(t *testing.T, o jenkinstest.Options) (*jenkinstest.Jenkins, *jenkins.Client, *[]string) {
	t.Helper()
	o.Security.Users = append(o.Security.Users, leastPrivileged())
	return controller(t, o, jenkins.Options{User: "pit", Token: secret(token)})
}

func add(t *testing.T, j *jenkinstest.Jenkins, spec jenkinstest.AgentSpec) *jenkinstest.Agent {
	t.Helper()
	a, err := j.AddAgent(spec)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func swapped(from, to string) func(jenkins.NodeConfig) ([]string, error) {
	return func(n jenkins.NodeConfig) ([]string, error) {
		return append(slices.DeleteFunc(slices.Clone(n.Labels), func(l string) bool { return l == from }), to), nil
	}
}

func TestOneCleanupStaysWithinItsBudgetOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const name = "mac (old) +ü"
		j, c, calls := secured(t, jenkinstest.Options{Execute: func(_ context.Context, s jenkinstest.Step) jenkinstest.StepResult {
			_, _ = fmt.Fprintf(s.Out, "report of attempt %s\n", s.Params["ATTEMPT"])
			return jenkinstest.StepResult{}
		}})
		add(t, j, jenkinstest.AgentSpec{Name: name, Labels: "cleanable mac"})
		err := j.CreateFreeStyle(jenkinstest.JobSpec{Name: "slot", Label: `"` + name + `"`, Params: []jenkinstest.ParamSpec{{Name: "ATTEMPT"}}})
		must(t, err)

		// What the engine does once per cleanup, besides polls shared by all agents.
		edit, err := c.EditLabels(t.Context(), name, swapped("", "dirty"))
		must(t, err)
		if !edit.Written || len(edit.Stale) > 0 || j.Labels(name) != "cleanable mac dirty" {
			t.Errorf("claim: %+v, labels %q", edit, j.Labels(name))
		}
		a, err := c.Agent(t.Context(), name)
		must(t, err)
		if !a.Idle || a.Offline || a.Executors != 1 || !a.Inbound || !slices.Contains(a.Labels, "dirty") || !slices.Contains(a.Labels, name) {
			t.Errorf("agent: %+v", a)
		}
		_, err = c.AgentBuilds(t.Context(), name, time.Time{})
		must(t, err)
		xml, err := c.JobConfig(t.Context(), "slot")
		must(t, err)
		must(t, c.UpdateJob(t.Context(), "slot", xml))
		id, err := c.Build(t.Context(), "slot", map[string]string{"ATTEMPT": "17"}, nil)
		must(t, err)
		time.Sleep(10 * time.Second)
		item, err := c.QueueItem(t.Context(), id)
		must(t, err)
		if item.Executable == nil || item.Executable.Job != "slot" {
			t.Fatalf("item: %+v", item)
		}
		b, err := c.BuildInfo(t.Context(), "slot", item.Executable.Number)
		must(t, err)
		if b.Building || b.Result != "SUCCESS" || b.BuiltOn != name || !b.BuiltOnKnown || b.QueueID != id || b.Params["ATTEMPT"] != "17" {
			t.Errorf("build: %+v", b)
		}
		must(t, c.SetBuildDescription(t.Context(), "slot", b.Number, "attempt 17"))
		log, truncated, err := c.ConsoleText(t.Context(), "slot", b.Number, 1<<20)
		must(t, err)
		if truncated || !strings.Contains(string(log), "report of attempt 17\n") {
			t.Errorf("console, truncated %t: %s", truncated, log)
		}
		edit, err = c.EditLabels(t.Context(), name, swapped("dirty", "clean"))
		must(t, err)
		if !edit.Written || len(edit.Stale) > 0 || j.Labels(name) != "cleanable mac clean" {
			t.Errorf("finish: %+v, labels %q", edit, j.Labels(name))
		}
		if n := len(*calls); n > 20 {
			t.Errorf("%d requests: %q", n, *calls)
		}
		t.Logf("%d requests per cleanup: %q", len(*calls), *calls)

		feed, err := c.AgentBuilds(t.Context(), name, time.Time{})
		must(t, err)
		if len(feed) != 1 || feed[0].Job != "slot" || feed[0].Number != b.Number || !feed[0].At.Equal(b.Timestamp.Truncate(time.Second)) {
			t.Errorf("feed: %+v, build %+v", feed, b)
		}
		recent, err := c.RecentBuilds(t.Context(), "slot")
		must(t, err)
		if len(recent) != 1 || recent[0].QueueID != id || recent[0].Description != "attempt 17" {
			t.Errorf("recent builds: %+v", recent)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWritersOfOneAgentLoseNothingOfEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{Timing: jenkinstest.Timing{Parse: time.Millisecond, Swap: 2 * time.Millisecond}})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
		// Each edit that was acknowledged was there when it was read back; a conflict is said. The label of the other
		// may have been overwritten by a reader of the old document, which is what the engine's repair is for.
		var wg sync.WaitGroup
		for _, own := range []string{"one", "two"} {
			wg.Go(func() {
				edit, err := c.EditLabels(t.Context(), "a", swapped("", own))
				switch {
				case err != nil && !jenkins.IsConflict(err):
					t.Error(err)
				case err == nil && !slices.Contains(edit.After, own):
					t.Errorf("%s was acknowledged without being there: %+v", own, edit)
				}
			})
		}
		wg.Wait()
		if l := j.Labels("a"); !strings.HasPrefix(l, "cleanable") || !strings.Contains(l, "one") && !strings.Contains(l, "two") {
			t.Errorf("labels %q", l)
		}
	})
}

func TestDroppedLostAndUnansweredEditsEndAsWanted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault jenkinstest.Fault
	}{
		{"answered 200 and dropped", jenkinstest.Fault{Method: "POST", Count: 2, Drop: true}},
		{"done and not answered", jenkinstest.Fault{Method: "POST", Count: 1, Lose: true}},
		{"absent for an instant", jenkinstest.Fault{Method: "GET", Path: "/jenkins/computer/a/config.xml", Count: 1, Status: 404}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j, c, _ := secured(t, jenkinstest.Options{})
				add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
				j.Inject(tt.fault)
				edit, err := c.EditLabels(t.Context(), "a", swapped("", "dirty"))
				if err != nil || !edit.Written || j.Labels("a") != "cleanable dirty" {
					t.Errorf("%+v, %v, labels %q", edit, err, j.Labels("a"))
				}
			})
		})
	}
}

func TestARestartIsSeenByItsSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{Timing: jenkinstest.Timing{Down: 2 * time.Second, Boot: 3 * time.Second}})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
		before, err := c.Fleet(t.Context())
		must(t, err)
		done := make(chan error)
		go func() { done <- j.Restart(t.Context(), jenkinstest.RestartNow) }()
		time.Sleep(time.Second)
		_, refused := c.Fleet(t.Context())
		time.Sleep(2 * time.Second)
		_, booting := c.Fleet(t.Context())
		if !jenkins.IsRetryable(refused) || !jenkins.IsRetryable(booting) {
			t.Errorf("while it restarts: %v; %v", refused, booting)
		}
		must(t, <-done)
		after, err := c.Fleet(t.Context())
		must(t, err)
		queue, err := c.Queue(t.Context())
		must(t, err)
		if before.Session == "" || before.Session == after.Session || after.Session != queue.Session || after.Version != jenkinstest.DefaultVersion {
			t.Errorf("sessions %q, %q, %q", before.Session, after.Session, queue.Session)
		}
	})
}

func TestAPasswordWorksOverRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := jenkinstest.Options{Security: jenkinstest.Security{Users: []jenkinstest.User{leastPrivileged()}}}
		j, c, calls := controller(t, o, jenkins.Options{User: "pit", Password: secret(password)})
		add(t, j, jenkinstest.AgentSpec{Name: "a"})
		for i := range 2 {
			must(t, c.SetOffline(t.Context(), "a", "pitcrew 1"))
			must(t, c.LiftOffline(t.Context(), "a", "pitcrew 1"))
			if n := strings.Count(fmt.Sprint(*calls), "read crumb"); n != i+1 {
				t.Errorf("%d crumbs after %d restarts", n, i)
			}
			must(t, j.Restart(t.Context(), jenkinstest.RestartNow))
		}
	})
}

func TestAnUnsecuredControllerWantsCrumbsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := controller(t, jenkinstest.Options{}, jenkins.Options{})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
		_, err := c.EditLabels(t.Context(), "a", swapped("", "dirty"))
		must(t, err)
	})
}

func TestAPersonsOfflineMarkIsRespected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{})
		a := add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
		a.MarkOffline("alice", "disk <swap>")
		if err := c.SetOffline(t.Context(), "a", "pitcrew 1"); !jenkins.IsConflict(err) || !strings.Contains(err.Error(), "disk <swap>") {
			t.Errorf("set: %v", err)
		}
		if err := c.LiftOffline(t.Context(), "a", "pitcrew 1"); !jenkins.IsConflict(err) {
			t.Errorf("lift: %v", err)
		}
		edit, err := c.EditLabels(t.Context(), "a", swapped("", "dirty"))
		must(t, err)
		seen, err := c.Agent(t.Context(), "a")
		must(t, err)
		if !edit.OfflineAfter || edit.OfflineChanged || !seen.TemporarilyOffline || seen.OfflineReason != "disk <swap>" ||
			seen.OfflineClass != "hudson.slaves.OfflineCause$UserCause" {
			t.Errorf("after an edit: %+v, %+v", edit, seen)
		}
	})
}

func TestMissingPermissionsAreNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := leastPrivileged()
		u.Permissions = []jenkinstest.Permission{jenkinstest.Read}
		o := jenkinstest.Options{Security: jenkinstest.Security{Users: []jenkinstest.User{u}}}
		j, c, _ := controller(t, o, jenkins.Options{User: "pit", Token: secret(token)})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable"})
		_, err := c.EditLabels(t.Context(), "a", swapped("", "dirty"))
		if !jenkins.IsForbidden(err) || !strings.Contains(err.Error(), "hudson.model.Computer.") || strings.Contains(err.Error(), token) {
			t.Errorf("edit: %v", err)
		}
		var fails []string
		for _, f := range c.Check(t.Context(), jenkins.CheckOptions{}) {
			if f.Level == jenkins.LevelFail {
				fails = append(fails, f.Message)
			}
		}
		for _, want := range []string{"Agent/ExtendedRead or Agent/Configure is missing", "Job/Create is missing"} {
			if !strings.Contains(strings.Join(fails, "\n"), want) {
				t.Errorf("%q is not among the findings:\n%s", want, strings.Join(fails, "\n"))
			}
		}
	})
}

func TestCheckFindsTheJobsThatDoNotAskForClean(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable el7", Normal: true, Executors: 2})
		for name, label := range map[string]string{"good": "clean && el7", "bad": "el7", "stale": "cleanable && !dirty"} {
			must(t, j.CreateFreeStyle(jenkinstest.JobSpec{Name: name, Label: label}))
		}
		var text []string
		for _, f := range c.Check(t.Context(), jenkins.CheckOptions{}) {
			text = append(text, fmt.Sprintf("%s %s: %s", f.Level, f.Topic, f.Message))
		}
		all := strings.Join(text, "\n")
		for _, want := range []string{
			"fail agents: jobs without a label can start unasked on a", "fail agents: more than one build at a time can start on a",
			"2 of 3 jobs can start on a managed agent that is not clean: bad, stale",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("%q is not found in\n%s", want, all)
			}
		}
		must(t, c.SetExclusive(t.Context(), "a"))
		must(t, c.SetExecutors(t.Context(), "a", 1))
		n, err := c.NodeConfig(t.Context(), "a")
		must(t, err)
		if n.Mode != jenkins.ModeExclusive || n.Executors != 1 {
			t.Errorf("mended: %+v", n)
		}
	})
}

func TestQueueAndFleetTellWhoWaitsAndWhoRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		j, c, _ := secured(t, jenkinstest.Options{Execute: func(ctx context.Context, _ jenkinstest.Step) jenkinstest.StepResult {
			select {
			case <-release:
			case <-ctx.Done():
			}
			return jenkinstest.StepResult{}
		}})
		add(t, j, jenkinstest.AgentSpec{Name: "a", Labels: "cleanable clean"})
		must(t, j.CreateFreeStyle(jenkinstest.JobSpec{Name: "app", Label: "clean", Concurrent: true, Params: []jenkinstest.ParamSpec{{Name: "N"}}}))
		first, err := c.Build(t.Context(), "app", map[string]string{"N": "1"}, nil)
		must(t, err)
		time.Sleep(10 * time.Second)
		second, err := c.Build(t.Context(), "app", map[string]string{"N": "2"}, nil)
		must(t, err)
		merged, err := c.Build(t.Context(), "app", map[string]string{"N": "2"}, nil)
		if !jenkins.IsConflict(err) || merged != second {
			t.Errorf("merged: %d, %v", merged, err)
		}
		time.Sleep(10 * time.Second)
		f, err := c.Fleet(t.Context())
		must(t, err)
		i := slices.IndexFunc(f.Agents, func(a jenkins.Agent) bool { return a.Name == "a" })
		if i < 0 || f.Agents[i].Idle || f.Agents[i].Hidden || len(f.Agents[i].Running) != 1 || f.Agents[i].Running[0].Job != "app" {
			t.Fatalf("fleet: %+v", f.Agents)
		}
		q, err := c.Queue(t.Context())
		must(t, err)
		if len(q.Items) != 1 || q.Items[0].ID != second || q.Items[0].LabelExpression != "clean" || !q.Items[0].LabelKnown ||
			q.Items[0].Params != "N=2" || !q.Items[0].Buildable || q.Items[0].Since.IsZero() {
			t.Errorf("queue: %+v", q.Items)
		}
		if err := c.CancelQueueItem(t.Context(), first); !jenkins.IsConflict(err) {
			t.Errorf("cancel an item that left: %v", err)
		}
		must(t, c.CancelQueueItem(t.Context(), second))
		item, err := c.QueueItem(t.Context(), second)
		must(t, err)
		if !item.Cancelled || item.Executable != nil {
			t.Errorf("cancelled item: %+v", item)
		}
		must(t, c.StopBuild(t.Context(), "app", f.Agents[i].Running[0].Number))
		time.Sleep(10 * time.Second)
		b, err := c.BuildInfo(t.Context(), "app", 1)
		must(t, err)
		if b.Building || b.Result != "ABORTED" {
			t.Errorf("stopped build: %+v", b)
		}
		time.Sleep(6 * time.Minute)
		if _, err := c.QueueItem(t.Context(), first); !jenkins.IsNotFound(err) {
			t.Errorf("after five minutes: %v", err)
		}
		close(release)
	})
}

// What an audit of Pipelines lives by: a block in the queue tells its label, or in its place the only agent that has it, and a
// block on an executor its job.
func TestBlocksOfPipelinesAreKnownByTheirJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, c, _ := secured(t, jenkinstest.Options{
			Plugins: []string{jenkinstest.PluginPipeline},
			Execute: func(ctx context.Context, _ jenkinstest.Step) jenkinstest.StepResult {
				<-ctx.Done()
				return jenkinstest.StepResult{}
			},
		})
		for _, name := range []string{"a1", "a2"} {
			add(t, j, jenkinstest.AgentSpec{Name: name, Labels: "cleanable el7 only-" + name})
		}
		for name, label := range map[string]string{"holds-1": "only-a1", "holds-2": "only-a2", "waits": "el7", "waits-for-one": "only-a1", "waits-for-none": "el7 && clean"} {
			must(t, j.CreateJobXML(name, `<flow-definition plugin="workflow-job"><definition class="org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition"><script>node('`+
				strings.ReplaceAll(label, "&", "&amp;")+`') { sh 'make' }</script></definition></flow-definition>`))
		}
		for _, name := range []string{"holds-1", "holds-2", "waits", "waits-for-one", "waits-for-none"} {
			_, err := c.Build(t.Context(), name, nil, nil)
			must(t, err)
			time.Sleep(10 * time.Second)
		}
		f, err := c.Fleet(t.Context())
		must(t, err)
		running := map[string]string{}
		for _, a := range f.Agents {
			for _, e := range a.Running {
				if !a.BuiltIn {
					running[a.Name] = e.Job
				}
			}
		}
		if diff := cmp.Diff(map[string]string{"a1": "holds-1", "a2": "holds-2"}, running); diff != "" {
			t.Errorf("on executors (-want +got):\n%s", diff)
		}
		q, err := c.Queue(t.Context())
		must(t, err)
		queued := map[string]string{}
		for _, item := range q.Items {
			queued[item.Job] = fmt.Sprint(item.LabelExpression, " ", item.LabelKnown)
		}
		want := map[string]string{"waits": "el7 false", "waits-for-one": "a1 false", "waits-for-none": "el7&&clean true"}
		if diff := cmp.Diff(want, queued); diff != "" {
			t.Errorf("in the queue (-want +got):\n%s", diff)
		}
		for job, err := range c.Jobs(t.Context()) {
			if must(t, err); job.LabelKnown {
				t.Errorf("%s pretends to ask for %q", job.FullName, job.LabelExpression)
			}
		}
	})
}
