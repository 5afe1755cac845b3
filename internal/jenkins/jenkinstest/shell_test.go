// SPDX-License-Identifier: Apache-2.0

package jenkinstest

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// real is a controller whose agents run real processes, with one agent online.
func real(t *testing.T) *bench {
	t.Helper()
	t.Parallel()
	b := newBench(t, Options{Dir: t.TempDir(), Timing: Timing{LeakedOutput: 500 * time.Millisecond}})
	t.Cleanup(b.j.Close)
	b.agent(AgentSpec{Name: "a1", Labels: "x"})
	return b
}

// eventually waits for a condition; real processes need real time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !ok() {
		pause(ctx, 5*time.Millisecond)
		if ctx.Err() != nil {
			t.Fatal("never: " + what)
		}
	}
}

// run builds a script and returns the finished build.
func (b *bench) run(name, script string) BuildState {
	b.t.Helper()
	b.job(JobSpec{Name: name, Label: "x", Script: script})
	b.start(name)
	return b.finished(name)
}

func (b *bench) finished(name string) BuildState {
	b.t.Helper()
	var last BuildState
	eventually(b.t, "build of "+name+" ends", func() bool {
		list := b.j.Builds(name)
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		return last.Complete
	})
	return last
}

func TestShellWithoutShebangRunsWithXE(t *testing.T) {
	b := real(t)
	x := b.run("j", "echo one\nfalse\necho two\n")
	b.want(x.Result, "FAILURE", "result")
	b.want(strings.Contains(x.Console, "+ echo one\none\n+ false\n"), true, "trace: "+x.Console)
	b.want(strings.Contains(x.Console, "two"), false, "goes on after a failure")
	if !regexp.MustCompile(`\[j\] \$ /bin/sh -xe \S+/agents/a1/tmp/jenkins\d+\.sh\n`).MatchString(x.Console) {
		t.Errorf("command line: %s", x.Console)
	}
	left, err := filepath.Glob(filepath.Join(b.j.opts.Dir, "agents/a1/tmp/*"))
	b.want(left, []string{}, "scripts left behind")
	b.want(err, nil, "glob")
}

func TestShebangIsSplitAtBlanksAndNothingIsAdded(t *testing.T) {
	b := real(t)
	x := b.run("j", "#!/bin/sh -u  -f\nfalse\necho flags=$-\n")
	b.want(x.Result, "SUCCESS", "no -e: "+x.Console)
	m := regexp.MustCompile(`flags=(\S*)`).FindStringSubmatch(x.Console)
	b.want(m != nil && strings.Contains(m[1], "u") && strings.Contains(m[1], "f") && !strings.Contains(m[1], "x"), true, x.Console)
}

func TestCarriageReturnsBecomeLineFeeds(t *testing.T) {
	b := real(t)
	x := b.run("j", "#!/bin/sh\r\necho one\r\necho two\r")
	b.want(strings.Contains(x.Console, "one\ntwo\n"), true, x.Console)
}

func TestStepRunsInTheWorkspaceWithTheBuildsEnvironment(t *testing.T) {
	b := real(t)
	x := b.run("j", "#!/bin/sh\npwd\necho tag=$BUILD_TAG node=$NODE_NAME labels=$NODE_LABELS home=$JENKINS_HOME\nexit 0\n")
	ws := filepath.Join(b.j.opts.Dir, "agents/a1/root/workspace/j")
	for _, want := range []string{ws + "\n", "tag=jenkins-j-1 node=a1 labels=a1 x home=" + b.j.opts.Dir + "/home\n"} {
		b.want(strings.Contains(x.Console, want), true, want+" in "+x.Console)
	}
}

func TestFileParameterIsWrittenToTheWorkspace(t *testing.T) {
	b := real(t)
	b.job(JobSpec{Name: "p", Label: "x", Script: "#!/bin/sh\ncat payload", Params: []ParamSpec{{Name: "payload", Kind: paramFile}}})
	body := "--B\r\nContent-Disposition: form-data; name=\"payload\"; filename=\"up\"\r\n\r\nthe data\r\n--B--\r\n"
	b.expect(201, b.do("POST", "/job/p/buildWithParameters?delay=0sec", body, "Content-Type", "multipart/form-data; boundary=B"), "build")
	b.want(strings.Contains(b.finished("p").Console, "the data"), true, "content")
}

// child starts a background process in a build and returns its pid. The build waits
// until the process has the environment it asked for.
func (b *bench) child(name, command string) int {
	b.t.Helper()
	x := b.run(name, "#!/bin/sh\n"+command+" >/dev/null 2>&1 &\nuntil grep -q sleep /proc/$!/comm; do sleep 0.01; done\necho pid=$!\n")
	m := regexp.MustCompile(`pid=(\d+)`).FindStringSubmatch(x.Console)
	if m == nil {
		b.t.Fatalf("no pid in %s", x.Console)
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// running reports whether a process exists and is no zombie.
func running(pid int) bool {
	_, ok := parentOf(pid)
	return ok
}

func TestProcessKillerSparesOnlyWhoChangedACookie(t *testing.T) {
	cases := []struct {
		name, command string
		survives      bool
	}{
		{"plain background", "sleep 60", false},
		{"setsid nohup", "setsid nohup sleep 60", false},
		{"node cookie means nothing to FreeStyle", "env JENKINS_NODE_COOKIE=x sleep 60", false},
		{"BUILD_ID=dontKillMe", "env BUILD_ID=dontKillMe sleep 60", true},
		{"JOB_NAME=x", "env JOB_NAME=x sleep 60", true},
		{"empty environment", "env -i sleep 60", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := real(t)
			pid := b.child("j", c.command)
			if c.survives {
				b.want(running(pid), true, "survives")
				b.j.Close()
				eventually(t, "Close ends strays", func() bool { return !running(pid) })
				return
			}
			eventually(t, "the killer ends it", func() bool { return !running(pid) })
		})
	}
}

func TestBackgroundProcessThatHoldsTheOutputDelaysTheEnd(t *testing.T) {
	b := real(t)
	x := b.run("j", "#!/bin/sh\nsleep 60 &\necho main is done\n")
	b.want(x.Result, "SUCCESS", "result")
	b.want(strings.Contains(x.Console, "Process leaked file descriptors"), true, x.Console)
}

func TestStopInterruptsAndKillsTheTree(t *testing.T) {
	b := real(t)
	b.job(JobSpec{Name: "j", Label: "x", Script: "#!/bin/sh\nsleep 61 &\necho pid=$!\nwait\n"})
	b.start("j")
	var pid int
	eventually(t, "the step runs", func() bool {
		list := b.j.Builds("j")
		if len(list) == 0 {
			return false
		}
		m := regexp.MustCompile(`pid=(\d+)\n`).FindStringSubmatch(list[0].Console)
		if m != nil {
			pid, _ = strconv.Atoi(m[1])
		}
		return pid > 0
	})
	b.post(302, "/job/j/1/stop", nil)
	b.want(b.finished("j").Result, "ABORTED", "result")
	eventually(t, "the child is gone", func() bool { return !running(pid) })
}

func TestChildrenSurviveTheDeathOfTheirAgent(t *testing.T) {
	b := real(t)
	marker := filepath.Join(t.TempDir(), "pid")
	b.job(JobSpec{Name: "j", Label: "x", Script: "#!/bin/sh\necho $$ > " + marker + ".tmp\nmv " + marker + ".tmp " + marker + "\nexec sleep 62\n"})
	b.start("j")
	var pid int
	eventually(t, "the step runs", func() bool {
		data, err := os.ReadFile(marker)
		if err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		return pid > 0
	})
	b.j.Agent("a1").Kill()
	b.want(b.finished("j").Result, "FAILURE", "result")
	orphan, err := os.FindProcess(pid)
	b.want(err, nil, "the orphan is found")
	b.want(orphan.Signal(syscall.Signal(0)), nil, "the orphan lives")
}
