// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func shellGroups() []group {
	return []group{{name: "shell steps", agent: &agentSpec{labels: "pool two"}, behaviours: []behaviour{
		{"the step's environment is as documented", stepEnvironment},
		{"without a shebang the shell stops at the first failure and traces", noShebang},
		{"with a shebang only its own flags count", shebang},
		{"the script is a temporary file outside the workspace and is removed", scriptFile},
		{"text arrives unchanged but for CR LF", scriptText},
		{"a large script runs", largeScript},
		{"a parameter of 131,000 bytes arrives, one of 200,000 fails the step", largeParameter},
	}}, {name: "process killer", agent: &agentSpec{}, behaviours: []behaviour{
		{"the end of a build kills what carries its cookie and only that", processKiller},
		{"stopping a build kills its children", stopKills},
		{"a build that is stopped is over before its processes are, and what they say then is lost", stopDoesNotWait},
	}}, {name: "leaked output", agent: &agentSpec{}, behaviours: []behaviour{
		{"a background child that holds the output delays the end", leakedOutput},
	}}}
}

func stepEnvironment(p *probe) {
	name, job := p.job(jobSpec{label: p.agent.name, strings: []string{"WORD"}, shell: "#!/bin/sh\nenv | sed 's/^/env:/'\necho \"pwd:$(pwd)\"\n"})
	a := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"WORD": {"it's"}})
	p.mustBe("buildWithParameters", a, 201)
	number := p.number(p.itemID(a))
	p.finish(job, number)
	console := p.console(job, number)
	env := map[string]string{}
	for _, line := range lines(console, "env:") {
		key, value, _ := strings.Cut(line, "=")
		env[key] = value
	}
	workspace := filepath.Join(p.agent.dir, "workspace", name)
	for key, want := range map[string]string{
		"CI": "true", "JOB_NAME": name, "JOB_BASE_NAME": name, "BUILD_NUMBER": "1", "BUILD_ID": "1",
		"BUILD_TAG": "jenkins-" + name + "-1", "NODE_NAME": p.agent.name, "EXECUTOR_NUMBER": "0",
		"WORKSPACE": workspace, "WORKSPACE_TMP": workspace + "@tmp", "WORD": "it's",
	} {
		p.equal(key, env[key], want)
	}
	p.holds(env["JENKINS_SERVER_COOKIE"] != "", "JENKINS_SERVER_COOKIE", "set", "unset")
	p.equal("JENKINS_SERVER_COOKIE", env["JENKINS_SERVER_COOKIE"], env["HUDSON_SERVER_COOKIE"])
	p.holds(env["JENKINS_HOME"] != "", "JENKINS_HOME", "set", "unset")
	labels := strings.Fields(env["NODE_LABELS"])
	slices.Sort(labels)
	want := []string{"pool", "two", p.agent.name}
	slices.Sort(want)
	p.equal("NODE_LABELS", labels, want)
	p.equal("working directory", lines(console, "pwd:"), []string{workspace})
}

func noShebang(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, shell: "echo one\nfalse\necho two\n"})
	b, console := p.run(job)
	p.equal("result", b.result(), "FAILURE")
	p.contains("console", console, "$ /bin/sh -xe ")
	p.contains("console", console, "+ echo one\none\n+ false\n")
	p.equal("line after the failure", lines(console, "two"), []string(nil))
	p.contains("console", console, "Build step 'Execute shell' marked build as failure")
}

func shebang(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh -u\nfalse\necho two\necho \"flags:$-\"\n"})
	b, console := p.run(job)
	p.equal("result", b.result(), "SUCCESS")
	p.contains("console", console, "$ /bin/sh -u ")
	p.equal("line after a failure", lines(console, "two"), []string{""})
	flags := strings.Join(lines(console, "flags:"), "")
	p.holds(strings.Contains(flags, "u") && !strings.ContainsAny(flags, "ex"), "flags", "u without e and x", flags)
}

var scriptName = regexp.MustCompile(`^jenkins\d+\.sh$`)

func scriptFile(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\necho \"script:$0\"\nls -a | sed 's/^/entry:/'\n"})
	_, console := p.run(job)
	script := strings.Join(lines(console, "script:"), "")
	p.holds(scriptName.MatchString(filepath.Base(script)), "name", "jenkins<digits>.sh", script)
	p.equal("directory", filepath.Dir(script), filepath.Dir(p.agent.process.Log))
	p.equal("workspace", lines(console, "entry:"), []string{".", ".."})
	_, err := os.Stat(script)
	p.equal("script is gone", os.IsNotExist(err), true)
}

func scriptText(p *probe) {
	text := "$ ` \\n & < > \" ' \U0001F600 \x01 \x1b ]]> trailing   "
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\r\ncat <<'END' | od -An -v -tx1 | tr -d ' \\n'\r\n" + text + "\r\n\r\nEND\r\n"})
	_, console := p.run(job)
	p.contains("console", console, fmt.Sprintf("%x", text+"\n\n"))
}

func largeScript(p *probe) {
	filler := strings.Repeat(strings.Repeat("x", 99)+"\n", 10_000)
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\ncat <<'END' | wc -c | sed 's/^ */size:/'\n" + filler + "END\n"})
	_, console := p.run(job)
	p.equal("size", lines(console, "size:"), []string{strconv.Itoa(len(filler))})
}

func largeParameter(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, strings: []string{"P"}, shell: "#!/bin/sh\necho \"length:${#P}\"\n"})
	for size, want := range map[int]string{131_000: "SUCCESS", 200_000: "FAILURE"} {
		a := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"P": {strings.Repeat("p", size)}})
		p.mustBe("buildWithParameters", a, 201)
		number := p.number(p.itemID(a))
		p.equal(fmt.Sprintf("result with %d bytes", size), p.finish(job, number).result(), want)
		if want == "SUCCESS" {
			p.equal("length", lines(p.console(job, number), "length:"), []string{strconv.Itoa(size)})
		}
	}
}

// children are background processes of a build, by the way they were started, and
// whether they outlive it.
var children = map[string]struct {
	start    string
	survives bool
}{
	"plain":           {`sh -c "$body" plain`, false},
	"setsid nohup":    {`setsid nohup sh -c "$body" detached`, false},
	"node cookie":     {`env JENKINS_NODE_COOKIE=dontKillMe sh -c "$body" node-cookie`, false},
	"other BUILD_ID":  {`env BUILD_ID=dontKillMe sh -c "$body" build-id`, true},
	"other JOB_NAME":  {`env JOB_NAME=x sh -c "$body" job-name`, true},
	"no environment":  {`env -i /bin/sh -c "$body" no-env`, true},
	"new BUILD_TAG":   {`env BUILD_TAG=x sh -c "$body" build-tag`, true},
	"unset cookie":    {`env -u JENKINS_SERVER_COOKIE sh -c "$body" no-cookie`, true},
	"extra variables": {`env MORE=1 sh -c "$body" more`, false},
}

// childScript starts every child and prints its pid once it is known. A child ends
// by itself after two minutes, should everything else fail.
func childScript(dir string) string {
	var script strings.Builder
	script.WriteString("#!/bin/sh\n")
	for kind, child := range children {
		file := filepath.Join(dir, strings.ReplaceAll(kind, " ", "-"))
		fmt.Fprintf(&script, "body='echo $$ > %s.tmp; mv %s.tmp %s; sleep 120 & wait'\n%s >/dev/null 2>&1 </dev/null &\n",
			file, file, file, child.start)
	}
	for kind := range children {
		fmt.Fprintf(&script, "while [ ! -e '%s' ]; do sleep 0.1; done\n", filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")))
	}
	return script.String()
}

// childPID reads the pid and has the process killed at the end of the test.
func (p *probe) childPID(dir, kind string) int {
	p.Helper()
	text, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(kind, " ", "-")))
	if err != nil {
		p.Fatalf("read pid of child %q: %v", kind, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		p.Fatalf("read pid of child %q: %v", kind, err)
	}
	p.Cleanup(func() { killFamily(pid) })
	return pid
}

// killFamily ends a shell that the suite's own job started, and its sleep.
func killFamily(pid int) {
	processes, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return
	}
	for _, file := range processes {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && fields[1] == strconv.Itoa(pid) {
			kill(child)
		}
	}
	kill(pid)
}

func kill(pid int) {
	if process, err := os.FindProcess(pid); err == nil {
		_ = process.Kill() // ended meanwhile
	}
}

// running reports whether the process is there and not just waiting to be reaped.
func running(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[0]
	return state != "Z"
}

func processKiller(p *probe) {
	dir := p.TempDir()
	_, job := p.job(jobSpec{label: p.agent.name, shell: childScript(dir)})
	b, _ := p.run(job)
	p.equal("result", b.result(), "SUCCESS")
	pids := map[string]int{}
	for kind := range children {
		pids[kind] = p.childPID(dir, kind)
	}
	p.untilIdle()
	for kind, child := range children {
		p.equal("survives: "+kind, running(pids[kind]), child.survives)
	}
}

func stopKills(p *probe) {
	dir := p.TempDir()
	_, job := p.job(jobSpec{label: p.agent.name, shell: childScript(dir) + "echo begun\nsleep 120 & echo $! > " + dir + "/foreground; wait\n"})
	number := p.number(p.schedule(job))
	p.until("begin", func() bool { _, err := os.Stat(dir + "/foreground"); return err == nil })
	pids := map[string]int{}
	for kind := range children {
		pids[kind] = p.childPID(dir, kind)
	}
	p.status("stop", p.post(fmt.Sprintf("%s/%d/stop", job, number), nil), 302)
	p.equal("result", p.finish(job, number).result(), "ABORTED")
	for _, kind := range []string{"plain", "setsid nohup"} {
		p.until("end of the child: "+kind, func() bool { return !running(pids[kind]) })
	}
	p.untilIdle()
}

// stopDoesNotWait: the agent is told to end the step, and nobody waits for it (hudson.remoting.Request#call); nor is there a
// killer of processes at the end of such a build (hudson.model.AbstractBuild.AbstractBuildExecution#run).
func stopDoesNotWait(p *probe) {
	over := filepath.Join(p.TempDir(), "over")
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\ntrap 'trap \"\" TERM; sleep 8; echo last words; echo >" + over + "; exit' TERM\n" +
		"echo begun\nwhile :; do sleep 0.1; done\n"})
	number := p.number(p.schedule(job))
	p.until("begin", func() bool { return strings.Contains(p.console(job, number), "begun") })
	p.mustBe("stop", p.post(fmt.Sprintf("%s/%d/stop", job, number), nil), 302)
	p.equal("result", p.finish(job, number).result(), "ABORTED")
	p.untilIdle()
	_, err := os.Stat(over)
	p.equal("the step has ended", err == nil, false)
	p.until("end of the step", func() bool { _, err := os.Stat(over); return err == nil })
	p.equal("what it said then", lines(p.console(job, number), "last words"), []string(nil))
}

// leakedOutput: the step must last until the agent reads its output. A Java process
// closes the output of a process that ended before anybody read from it.
func leakedOutput(p *probe) {
	dir := p.TempDir()
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\nsh -c 'echo $$ > " + dir + "/holder; sleep 120 & wait' &\n" +
		"while [ ! -e " + dir + "/holder ]; do sleep 0.1; done\nsleep 1\n"})
	b, console := p.run(job)
	p.childPID(dir, "holder")
	p.equal("result", b.result(), "SUCCESS")
	p.contains("console", console, "Process leaked file descriptors")
}
