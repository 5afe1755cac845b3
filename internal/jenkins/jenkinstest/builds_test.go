// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
)

// withBuild runs job j once on a1 with the given options and test.
func withBuild(t *testing.T, opts Options, test func(b *bench)) {
	t.Helper()
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x y"})
		b.job(JobSpec{Name: "j", Label: "x", Script: "#!/bin/sh\necho"})
		b.start("j")
		settle()
		test(b)
	})
}

func TestResultOfABuildFollowsItsSteps(t *testing.T) {
	for result, r := range map[string]StepResult{
		"SUCCESS": {}, "FAILURE": {Exit: 1},
	} {
		t.Run(result, func(t *testing.T) {
			withBuild(t, Options{Execute: func(context.Context, Step) StepResult { return r }}, func(b *bench) {
				x := b.json("/job/j/1/api/json")
				b.want(dig(x, "result"), result, "result")
				b.want(dig(x, "builtOn"), "a1", "builtOn")
				b.want(dig(x, "building"), false, "building")
			})
		})
	}
}

func TestUnstableReturnMakesABuildUnstable(t *testing.T) {
	opts := Options{Execute: func(context.Context, Step) StepResult { return StepResult{Exit: 3} }}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Normal: true})
		b.postXML(200, "/createItem?name=j", "<project><canRoam>true</canRoam><builders><hudson.tasks.Shell><command>x</command><unstableReturn>3</unstableReturn></hudson.tasks.Shell></builders></project>")
		b.start("j")
		settle()
		b.want(b.json("/job/j/1/api/json", "result"), "UNSTABLE", "result")
		b.want(b.json("/job/j/api/json", "color"), "yellow", "color")
	})
}

func TestRunningBuildHasNoResultAndItsDurationIsZero(t *testing.T) {
	withBuild(t, Options{Execute: holding}, func(b *bench) {
		pass(10 * second)
		x := b.json("/job/j/lastBuild/api/json")
		b.want(dig(x, "building"), true, "building")
		b.want(dig(x, "inProgress"), true, "inProgress")
		b.want(dig(x, "result"), nil, "result")
		b.want(dig(x, "duration"), 0, "duration")
		b.want(dig(x, "actions", 0, "causes", 0, "shortDescription"), "Started by user ada", "cause")
		b.want(b.json("/job/j/api/json", "color"), "notbuilt_anime", "color")
		pass(minute)
		b.want(b.json("/job/j/1/api/json", "duration"), 60000, "duration at the end")
	})
}

func TestInProgressIsUnknownBefore2369(t *testing.T) {
	withBuild(t, Options{Version: "2.361.4"}, func(b *bench) {
		_, known := b.json("/job/j/1/api/json").(map[string]any)["inProgress"]
		b.want(known, false, "inProgress")
	})
}

func TestResultIsVisibleBeforeTheExecutorIsFree(t *testing.T) {
	withBuild(t, Options{Timing: Timing{PostBuild: second}}, func(b *bench) {
		x := b.json("/job/j/1/api/json")
		b.want(dig(x, "building"), false, "building")
		b.want(dig(x, "inProgress"), true, "inProgress")
		b.want(dig(x, "result"), "SUCCESS", "result")
		b.want(b.json("/computer/a1/api/json", "idle"), false, "idle")
		pass(2 * second)
		b.want(b.json("/computer/a1/api/json", "idle"), true, "idle afterwards")
	})
}

func TestStopIsAlwaysA302AndFreeStyleHasNoTerm(t *testing.T) {
	withBuild(t, Options{Execute: holding}, func(b *bench) {
		b.post(http.StatusNotFound, "/job/j/1/term", nil)
		b.post(http.StatusFound, "/job/j/1/stop", nil)
		settle()
		b.want(b.json("/job/j/1/api/json", "result"), "ABORTED", "result")
		b.post(http.StatusFound, "/job/j/1/stop", nil)
		b.want(b.json("/computer/a1/api/json", "idle"), true, "idle")
	})
}

func TestEnvironmentOfABuild(t *testing.T) {
	var env map[string]string
	var args []string
	opts := Options{RootURL: "http://root.example/ci", Execute: func(_ context.Context, s Step) StepResult { env, args = s.Env, s.Args; return StepResult{} }}
	withBuild(t, opts, func(b *bench) {
		for k, want := range map[string]string{
			"CI": "true", "JENKINS_URL": "http://root.example/ci/", "JOB_URL": "http://root.example/ci/job/j/", "BUILD_URL": "http://root.example/ci/job/j/1/",
			"JOB_NAME": "j", "JOB_BASE_NAME": "j", "BUILD_NUMBER": "1", "BUILD_ID": "1", "BUILD_TAG": "jenkins-j-1", "NODE_NAME": "a1", "NODE_LABELS": "a1 x y",
			"EXECUTOR_NUMBER": "0", "WORKSPACE": "/home/jenkins/a1/workspace/j", "WORKSPACE_TMP": "/home/jenkins/a1/workspace/j@tmp", "JENKINS_HOME": "/var/jenkins_home",
		} {
			b.want(env[k], want, k)
		}
		b.want(env["JENKINS_SERVER_COOKIE"] != "", true, "cookie")
		b.want(args, []string{"/bin/sh"}, "interpreter line")
	})
}

func TestURLsAreUnsetWithoutRootURL(t *testing.T) {
	var env map[string]string
	withBuild(t, Options{Execute: func(_ context.Context, s Step) StepResult { env = s.Env; return StepResult{} }}, func(b *bench) {
		_, set := env["JENKINS_URL"]
		b.want(set, false, "JENKINS_URL")
	})
}

func TestConcurrentCopiesGetWorkspacesOfTheirOwn(t *testing.T) {
	var dirs []string
	opts := Options{Execute: func(ctx context.Context, s Step) StepResult { dirs = append(dirs, s.Workspace); return holding(ctx, s) }}
	inBubble(t, opts, func(b *bench) {
		b.agent(AgentSpec{Name: "a1", Labels: "x", Executors: 2, RemoteFS: "/r"})
		b.job(JobSpec{Name: "j", Label: "x", Concurrent: true})
		b.start("j")
		settle()
		b.start("j")
		settle()
		pass(2 * minute)
		b.start("j")
		settle()
		b.want(dirs, []string{"/r/workspace/j", "/r/workspace/j@2", "/r/workspace/j"}, "workspaces")
	})
}

func TestDescriptionNeedsRunUpdate(t *testing.T) {
	ron := User{Name: "ron", Tokens: []string{"t"}, Permissions: []Permission{Read, JobRead, JobBuild}}
	withBuild(t, Options{Security: Security{Users: []User{admin, ron}}}, func(b *bench) {
		form := url.Values{"description": {"attempt 7 of a1"}}
		b.as("ron", "t").post(http.StatusForbidden, "/job/j/1/submitDescription", form)
		b.post(http.StatusFound, "/job/j/1/submitDescription", form)
		b.want(b.json("/job/j/1/api/json", "description"), "attempt 7 of a1", "description")
	})
}

func TestConsoleTextIsStrippedAndProgressiveTextIsNot(t *testing.T) {
	print := func(_ context.Context, s Step) StepResult {
		fmt.Fprintf(s.Out, "%shello\n", noteSample)
		return StepResult{}
	}
	for version, notes := range map[string]bool{"2.541.3": true, "2.504.3": false} {
		t.Run(version, func(t *testing.T) {
			withBuild(t, Options{Version: version, Execute: print}, func(b *bench) {
				b.want(contains(b.get(200, "/job/j/1/consoleText").body, "\x1b"), false, "notes in consoleText")
				p := b.get(200, "/job/j/1/logText/progressiveText?start=0")
				b.want(contains(p.body, "\x1b"), notes, "notes in progressiveText")
				b.want(p.header.Get("X-More-Data"), "", "header of a complete log")
			})
		})
	}
}

func TestPartialLineIsCountedButNeverDelivered(t *testing.T) {
	step := func(ctx context.Context, s Step) StepResult {
		fmt.Fprint(s.Out, "abc")
		pause(ctx, minute)
		fmt.Fprint(s.Out, "def\nend\n")
		return StepResult{}
	}
	withBuild(t, Options{Execute: step}, func(b *bench) {
		p := b.get(200, "/job/j/1/logText/progressiveText?start=0")
		b.want(p.header.Get("X-More-Data"), "true", "more")
		b.want(contains(p.body, "abc"), false, "the partial line")
		pass(2 * minute)
		rest := b.get(200, "/job/j/1/logText/progressiveText?start="+p.header.Get("X-Text-Size"))
		b.want(rest.body, "def\nend\nFinished: SUCCESS\n", "what a client gets that jumps to X-Text-Size")
		whole := b.get(200, "/job/j/1/logText/progressiveText?start=999999")
		b.want(contains(whole.body, "abcdef"), true, "an offset beyond the end starts again")
	})
}

func TestFeedOfAnAgentHasItsFreeStyleBuilds(t *testing.T) {
	withBuild(t, Options{}, func(b *bench) {
		b.job(JobSpec{Name: "other", Label: "x"})
		b.start("other")
		settle()
		b.start("j")
		settle()
		feed := b.get(200, "/computer/a1/rssAll")
		b.want(feed.header.Get("Content-Type"), "application/atom+xml;charset=UTF-8", "content type")
		for _, want := range []string{"<title>j #1 (stable)</title>", "<title>j #2 (stable)</title>", "<title>other #1 (stable)</title>", `href="http://ci.example/job/j/2/"`, "<published>2000-01-01T00:00:00Z</published>"} {
			b.want(contains(feed.body, want), true, want)
		}
		latest := b.get(200, "/computer/a1/rssLatest")
		b.want(contains(latest.body, "j #1"), false, "rssLatest has one build per job")
		b.want(contains(b.get(200, "/rssAll").body, "other #1"), true, "feed of everything")
		b.want(contains(b.get(200, "/computer/(built-in)/rssAll").body, "<entry>"), false, "feed of an unused node")
	})
}

func TestLostAgentFailsItsFreeStyleBuild(t *testing.T) {
	withBuild(t, Options{Execute: holding}, func(b *bench) {
		b.j.Agent("a1").Kill()
		pass(second)
		b.want(b.json("/job/j/1/api/json", "result"), "FAILURE", "result")
	})
}
