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

func buildGroups() []group {
	return []group{{name: "builds", agent: &agentSpec{labels: "pool"}, behaviours: []behaviour{
		{"a build knows its node and its queue item", buildFacts},
		{"a self-label job runs whatever other labels the node has", selfLabelJob},
		{"a busy agent shows its executable and is not idle", busyAgent},
		{"a queued build starts when the label is granted", grantStarts},
		{"a second build of a serial job is blocked", serialJob},
		{"an unlabelled job does not run on an EXCLUSIVE agent, and at once on a NORMAL one", exclusiveAgent},
		{"a temporarily offline agent finishes its build and takes no other", offlineAgent},
		{"stopping aborts the build, and is 302 when nothing runs", stopBuild},
		{"exit status decides between SUCCESS, UNSTABLE and FAILURE", exitStatus},
		{"progressiveText skips an unfinished line and tells the end by a missing header", progressiveText},
		{"the agent's feed lists its builds, running ones included", agentFeed},
	}}, {name: "two executors", agent: &agentSpec{executors: 2}, behaviours: []behaviour{
		{"concurrent builds of one job get workspaces of their own", concurrentWorkspaces},
	}}}
}

func buildFacts(p *probe) {
	_, job := p.job(jobSpec{label: p.agent.name, shell: "echo hello"})
	id := p.schedule(job)
	number := p.number(id)
	b := p.finish(job, number)
	p.equal("number", number, 1)
	p.equal("result", b.result(), "SUCCESS")
	p.equal("queueId", b.QueueID, id)
	p.equal("builtOn", b.BuiltOn != nil && *b.BuiltOn == p.agent.name, true)
	p.equal("displayName", b.DisplayName, "#1")
	left := p.item(id)
	p.equal("_class", left.Class, "hudson.model.Queue$LeftItem")
	p.equal("cancelled", left.Cancelled != nil && !*left.Cancelled, true)
	console := p.console(job, number)
	p.contains("console", console, "Building remotely on "+p.agent.name)
	p.contains("console", console, "+ echo hello\nhello\n")
	p.contains("console", console, "Finished: SUCCESS")
	list := readJSON[struct{ Builds []build }](p, job+"/api/json?tree=builds[number,queueId,building,result,url]")
	p.holds(len(list.Builds) == 1 && list.Builds[0].QueueID == id, "builds", "one with the queueId", list.Builds)
	p.equal("lastBuild", readJSON[build](p, job+"/lastBuild/api/json").QueueID, id)
}

func selfLabelJob(p *probe) {
	p.mustBe("set labels", p.setLabels(p.agent.path, "dirty"), 200)
	_, job := p.job(jobSpec{label: p.agent.name, shell: "true"})
	b, _ := p.run(job)
	p.equal("result", b.result(), "SUCCESS")
}

// held is a build that waits for a file to appear, so that it ends when told.
func (p *probe) held(spec jobSpec) (job string, number int, release func()) {
	p.Helper()
	gate := filepath.Join(p.TempDir(), "gate")
	spec.shell = "#!/bin/sh\necho begun\nwhile [ ! -e '" + gate + "' ]; do sleep 0.1; done\n"
	_, job = p.job(spec)
	number = p.number(p.schedule(job))
	p.until("begin of the step", func() bool { return strings.Contains(p.console(job, number), "begun") })
	return job, number, func() {
		if err := os.WriteFile(gate, nil, 0o600); err != nil {
			p.Errorf("release build: %v", err)
		}
	}
}

func (p *probe) untilIdle() {
	p.Helper()
	p.until("agent idle", func() bool { return p.computer(p.agent.path).Idle })
}

func busyAgent(p *probe) {
	job, number, release := p.held(jobSpec{label: p.agent.name})
	c := p.computer(p.agent.path)
	p.equal("idle", c.Idle, false)
	executable := c.Executors[0].CurrentExecutable
	if executable == nil {
		p.differs("currentExecutable", "the build", "null")
	} else {
		p.equal("number", executable.Number, number)
		p.holds(strings.HasSuffix(executable.URL, fmt.Sprintf("%s/%d/", job, number)), "url", "of the build", executable.URL)
	}
	b := p.build(job, number)
	p.equal("building", b.Building, true)
	p.equal("result", b.Result == nil, true)
	p.equal("duration", b.Duration, int64(0))
	release()
	p.finish(job, number)
	p.untilIdle()
}

func grantStarts(p *probe) {
	label := p.unique("l")
	_, job := p.job(jobSpec{label: label, shell: "true"})
	id := p.schedule(job)
	p.until("no node", func() bool { return strings.Contains(p.item(id).why(), "no nodes with the label") })
	p.mustBe("grant", p.setLabels(p.agent.path, label), 200)
	p.equal("result", p.finish(job, p.number(id)).result(), "SUCCESS")
	p.mustBe("take back", p.setLabels(p.agent.path, ""), 200)
	p.untilIdle()
}

func serialJob(p *probe) {
	job, number, release := p.held(jobSpec{label: p.agent.name})
	id := p.schedule(job)
	p.until("blocked", func() bool { return p.item(id).Blocked })
	i := p.item(id)
	p.equal("_class", i.Class, "hudson.model.Queue$BlockedItem")
	p.contains("why", i.why(), "already in progress")
	release()
	p.finish(job, number)
	p.finish(job, p.number(id))
	p.untilIdle()
}

func exclusiveAgent(p *probe) {
	if p.unlabelledCanRun() {
		p.skip("some other node takes unlabelled jobs")
	}
	_, job := p.job(jobSpec{roam: true, shell: "true"})
	id := p.schedule(job)
	p.until("reserved", func() bool {
		return strings.Contains(p.item(id).why(), "‘"+p.agent.name+"’ is reserved for jobs with matching label expression")
	})
	exclusive := p.document(p.agent.path)
	normal := strings.Replace(exclusive, "<mode>EXCLUSIVE<", "<mode>NORMAL<", 1)
	p.mustBe("make it NORMAL", p.postXML(p.agent.path+"/config.xml", normal), 200)
	b := p.finish(job, p.number(id))
	p.equal("builtOn", b.BuiltOn != nil && *b.BuiltOn == p.agent.name, true)
	p.untilIdle()
	p.mustBe("make it EXCLUSIVE again", p.postXML(p.agent.path+"/config.xml", exclusive), 200)
}

// unlabelledCanRun reports whether a node that is not ours may take unlabelled jobs.
func (p *probe) unlabelledCanRun() bool {
	p.Helper()
	list := readJSON[struct{ Computer []computer }](p, "/computer/api/json?tree=computer[displayName,offline,executors[idle]]")
	return slices.ContainsFunc(list.Computer, func(c computer) bool {
		return !c.Offline && len(c.Executors) > 0 && !strings.HasPrefix(c.DisplayName, p.suite.target.Prefix)
	})
}

func offlineAgent(p *probe) {
	job, number, release := p.held(jobSpec{label: p.agent.name})
	p.mustBe("mark", p.post(p.agent.path+"/changeOfflineCause", message("hold")), 302)
	c := p.computer(p.agent.path)
	p.equal("offline and temporarilyOffline", [2]bool{c.Offline, c.TemporarilyOffline}, [2]bool{true, true})
	release()
	p.equal("result", p.finish(job, number).result(), "SUCCESS")
	p.untilIdle()
	id := p.schedule(job)
	p.until("why", func() bool { return strings.Contains(p.item(id).why(), "‘"+p.agent.name+"’ is offline") })
	p.mustBe("lift", p.post(p.agent.path+"/toggleOffline", nil), 302)
	p.finish(job, p.number(id))
	p.untilIdle()
}

func stopBuild(p *probe) {
	job, number, _ := p.held(jobSpec{label: p.agent.name})
	stop := fmt.Sprintf("%s/%d/stop", job, number)
	p.status("stop", p.post(stop, nil), 302)
	p.equal("result", p.finish(job, number).result(), "ABORTED")
	p.untilIdle()
	p.status("stop again", p.post(stop, nil), 302)
	p.status("term", p.post(fmt.Sprintf("%s/%d/term", job, number), nil), 404)
}

func exitStatus(p *probe) {
	for status, want := range map[int]string{0: "SUCCESS", 7: "FAILURE", 9: "UNSTABLE"} {
		_, job := p.job(jobSpec{label: p.agent.name, shell: fmt.Sprintf("exit %d", status), unstable: 9})
		b, _ := p.run(job)
		p.equal(fmt.Sprintf("result of exit %d", status), b.result(), want)
	}
}

func progressiveText(p *probe) {
	gate := filepath.Join(p.TempDir(), "gate")
	_, job := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\nprintf 'whole line\\nabc'\nwhile [ ! -e '" + gate +
		"' ]; do sleep 0.1; done\nprintf 'def\\n'\n"})
	number := p.number(p.schedule(job))
	path := fmt.Sprintf("%s/%d/logText/progressiveText?start=", job, number)
	var a answer
	size := 0
	p.until("a partial line", func() bool {
		a = p.get(path + "0")
		size, _ = strconv.Atoi(a.header.Get("X-Text-Size")) // 0 is looked at again
		return strings.Contains(a.body, "whole line\n") && size > len(a.body)
	})
	p.equal("X-More-Data", a.header.Get("X-More-Data"), "true")
	p.holds(strings.HasSuffix(a.body, "\n"), "body", "ends with a line", a.body)
	p.write(gate, "")
	p.finish(job, number)
	var rest answer
	p.until("no X-More-Data at the end", func() bool {
		rest = p.get(path + strconv.Itoa(size))
		return len(rest.header.Values("X-More-Data")) == 0
	})
	p.holds(strings.HasPrefix(rest.body, "def\n"), "rest", "begins with def: abc is lost", rest.body)
	p.contains("consoleText", p.console(job, number), "abcdef\n")
	beyond := p.get(path + "99999999")
	p.contains("start beyond the end", beyond.body, "whole line")
}

func agentFeed(p *probe) {
	name, job := p.job(jobSpec{label: p.agent.name, shell: "true"})
	p.run(job)
	feed := p.get(p.agent.path + "/rssAll")
	p.mustBe("GET rssAll", feed, 200)
	p.contains("feed", feed.body, "<feed")
	p.contains("feed", feed.body, name+" #1 ")
	p.contains("feed", feed.body, url.PathEscape(name)+"/1/")

	running, number, release := p.held(jobSpec{label: p.agent.name})
	feed = p.get(p.agent.path + "/rssAll")
	p.contains("feed with a running build", feed.body, strings.TrimPrefix(running, "/job/")+" #1 (?)")
	first, second := strings.Index(feed.body, running+"/1/"), strings.Index(feed.body, job+"/1/")
	p.holds(first >= 0 && first < second, "order of the feed", "newest first", feed.body)
	p.equal("published to the second", publishedTo.MatchString(feed.body), true)
	of := p.get(running + "/rssAll")
	p.holds(!strings.Contains(of.body, "<entry>"), "feed of a job whose only build runs", "no entry", of.body)
	release()
	p.finish(running, number)
	p.untilIdle()
}

var publishedTo = regexp.MustCompile(`<published>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ</published>`)

func concurrentWorkspaces(p *probe) {
	gate := filepath.Join(p.TempDir(), "gate")
	_, job := p.job(jobSpec{
		label: p.agent.name, concurrent: true, strings: []string{"N"},
		shell: "#!/bin/sh\necho \"dir=$WORKSPACE executor=$EXECUTOR_NUMBER\"\nwhile [ ! -e '" + gate + "' ]; do sleep 0.1; done\n",
	})
	var numbers []int
	for _, n := range []string{"1", "2"} {
		a := p.post(job+"/buildWithParameters?delay=0sec", url.Values{"N": {n}})
		p.mustBe("buildWithParameters", a, 201)
		numbers = append(numbers, p.number(p.itemID(a)))
	}
	for _, n := range numbers {
		p.until("begin", func() bool { return strings.Contains(p.console(job, n), "executor=") })
	}
	p.write(gate, "")
	dirs := map[string]bool{}
	for _, n := range numbers {
		p.finish(job, n)
		dir, _, _ := strings.Cut(strings.Join(lines(p.console(job, n), "dir="), ""), " ")
		dirs[filepath.Base(dir)] = true
	}
	base := strings.TrimPrefix(job, "/job/")
	p.equal("workspaces", dirs, map[string]bool{base: true, base + "@2": true})
}
