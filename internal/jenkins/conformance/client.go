// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pitcrew-ci/pitcrew/internal/jenkins"
)

func clientGroups() []group {
	return []group{{name: "client and agents", behaviours: []behaviour{
		{"concurrent editors of one agent lose none of their labels", concurrentEdits},
		{"an edit among dropping writers settles and leaves the rest alone", editAmongWriters},
		{"odd names are edited, marked and listed like any other", clientOddNames},
		{"only our own offline mark is lifted", liftOffline},
		{"an agent that is gone is known as not found", clientNotFound},
		{"the fleet's session is the controller's", clientFleet},
		{"an agent for a loan is made, has a secret and is deleted", clientLoanedAgent},
	}}, {name: "client and builds", agent: &agentSpec{labels: "pool"}, behaviours: []behaviour{
		{"a build is followed from its queue item to its console", clientBuild},
		{"a build's parameters and file arrive", clientParameters},
		{"a queued item is seen with its label and cancelled", clientQueue},
		{"a running build is stopped", clientStop},
		{"an agent's builds are learnt from its feed", clientFeed},
		{"a job is created, changed, disabled and deleted", clientJob},
	}}}
}

// client is package jenkins' client for the target, as its user.
func (p *probe) client() *jenkins.Client {
	p.Helper()
	t := p.suite.target
	c, err := jenkins.New(jenkins.Options{
		URL: t.URL, User: t.User, RequestsPerSecond: -1,
		Token: func(context.Context) (string, error) { return t.Token, nil },
	})
	if err != nil {
		p.Fatalf("make client: %v", err)
	}
	p.Cleanup(c.Close)
	return c
}

func (p *probe) noError(what string, err error) {
	p.Helper()
	if err != nil {
		p.differs(what, "no error", err.Error())
		p.FailNow()
	}
}

// adding wants label beside what is there.
func adding(label string) func(jenkins.NodeConfig) ([]string, error) {
	return func(n jenkins.NodeConfig) ([]string, error) {
		if slices.Contains(n.Labels, label) {
			return nil, jenkins.ErrNoChange
		}
		return append(slices.Clone(n.Labels), label), nil
	}
}

// concurrentEdits: an edit may be lost to a later writer that had read before it, so
// each editor looks again and repairs, as the daemon's sweep does. Every editor must
// get its label in, and no label may vanish for good.
func concurrentEdits(p *probe) {
	name, path := p.node(nodeSpec{labels: "kept"})
	c := p.client()
	labels := []string{"e1", "e2", "e3", "e4"}
	for sweep := range 10 {
		var editing sync.WaitGroup
		for _, label := range labels {
			editing.Go(func() {
				_, err := c.EditLabels(p.ctx, name, adding(label))
				if err != nil && !errors.Is(err, jenkins.ErrLostEdit) && !jenkins.IsRetryable(err) && !jenkins.IsConflict(err) {
					p.Errorf("sweep %d: edit of %s: %v", sweep, label, err)
				}
			})
		}
		editing.Wait()
		if len(p.assigned(path)) == len(labels)+2 {
			break
		}
	}
	want := append([]string{"kept", name}, labels...)
	slices.Sort(want)
	p.equal("labels", p.assigned(path), want)
}

func editAmongWriters(p *probe) {
	name, path := p.node(nodeSpec{labels: "kept", description: "<label>clean</label> & more"})
	before := withLabels(p.document(path), "")
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				rewrite(p.ctx, p.suite.wire, path)
			}
		}
	})
	c := p.client()
	var edit jenkins.LabelEdit
	settled := p.within(patience, func() bool {
		var err error
		edit, err = c.EditLabels(p.ctx, name, adding("ours"))
		return err == nil && edit.Written || slices.Contains(p.assigned(path), "ours")
	})
	close(stop)
	writing.Wait()
	p.equal("settled", settled, true)
	p.equal("everything but the label", withLabels(p.document(path), ""), before)
}

// rewrite posts the agent's own document back, as a page that is saved unchanged; it
// may lose, and be lost.
func rewrite(ctx context.Context, w *wire, path string) {
	document, err := w.send(ctx, request{method: "GET", path: path + "/config.xml"})
	if err != nil || document.status != 200 {
		return // the name is absent for an instant in each replacement
	}
	_, _ = w.send(ctx, request{method: "POST", path: path + "/config.xml", body: document.body})
}

func clientOddNames(p *probe) {
	c := p.client()
	stem := p.unique("odd")
	for _, tail := range []string{" two words", " (rack 3)", ` "q" 'a'`, "-ü-日本", "+=x"} {
		name, path := p.node(nodeSpec{name: stem + tail, labels: "one"})
		edit, err := c.EditLabels(p.ctx, name, adding("two"))
		p.noError("edit labels of "+name, err)
		p.equal("written", edit.Written, true)
		p.equal("label string", labelString(p.document(path)), "one two")
		p.noError("mark "+name, c.SetOffline(p.ctx, name, "conformance mark"))
		a, err := c.Agent(p.ctx, name)
		p.noError("look at "+name, err)
		p.equal("name", a.Name, name)
		p.equal("temporarilyOffline", a.TemporarilyOffline, true)
		p.noError("lift "+name, c.LiftOffline(p.ctx, name, "conformance mark"))
	}
}

func liftOffline(p *probe) {
	name, path := p.node(nodeSpec{})
	c := p.client()
	p.noError("lift without a mark", c.LiftOffline(p.ctx, name, "ours"))
	p.noError("mark", c.SetOffline(p.ctx, name, "ours"))
	p.noError("mark again", c.SetOffline(p.ctx, name, "ours"))
	p.noError("lift", c.LiftOffline(p.ctx, name, "ours"))
	p.equal("temporarilyOffline", p.computer(path).TemporarilyOffline, false)
	p.mustBe("a person's mark", p.post(path+"/changeOfflineCause", message("a person's")), 302)
	err := c.LiftOffline(p.ctx, name, "ours")
	p.holds(errors.Is(err, jenkins.ErrNotOurMark), "lift a person's mark", "ErrNotOurMark", err)
	p.equal("temporarilyOffline", p.computer(path).TemporarilyOffline, true)
}

func clientNotFound(p *probe) {
	c := p.client()
	name := p.unique("none")
	_, err := c.Agent(p.ctx, name)
	p.holds(jenkins.IsNotFound(err), "Agent", "not found", err)
	_, err = c.EditLabels(p.ctx, name, adding("x"))
	p.holds(jenkins.IsNotFound(err), "EditLabels", "not found", err)
	_, err = c.QueueItem(p.ctx, 999999999)
	p.holds(jenkins.IsNotFound(err), "QueueItem", "not found", err)
	_, err = c.BuildInfo(p.ctx, name, 1)
	p.holds(jenkins.IsNotFound(err), "BuildInfo", "not found", err)
}

func clientFleet(p *probe) {
	name, _ := p.node(nodeSpec{labels: "one two"})
	fleet, err := p.client().Fleet(p.ctx)
	p.noError("Fleet", err)
	p.equal("session", fleet.Session, p.get("/api/json?tree=mode").header.Get("X-Jenkins-Session"))
	found := slices.IndexFunc(fleet.Agents, func(a jenkins.Agent) bool { return a.Name == name })
	if found < 0 {
		p.differs("fleet", "lists "+name, "it does not")
		return
	}
	a := fleet.Agents[found]
	slices.Sort(a.Labels)
	want := []string{"one", "two", name}
	slices.Sort(want)
	p.equal("labels", a.Labels, want)
	p.equal("inbound", a.Inbound, true)
	p.equal("offline and idle", [2]bool{a.Offline, a.Idle}, [2]bool{true, true})
	p.holds(slices.ContainsFunc(fleet.Agents, func(a jenkins.Agent) bool { return a.BuiltIn }), "fleet", "has the built-in node", "no")
}

// clientNumber waits for the build of a queue item.
func (p *probe) clientNumber(c *jenkins.Client, id int64) int64 {
	p.Helper()
	var number int64
	p.until("start of the item", func() bool {
		item, err := c.QueueItem(p.ctx, id)
		p.noError("QueueItem", err)
		if item.Executable != nil {
			number = item.Executable.Number
		}
		return number > 0
	})
	return number
}

func (p *probe) clientFinish(c *jenkins.Client, job string, number int64) jenkins.Build {
	p.Helper()
	var b jenkins.Build
	p.until("end of the build", func() bool {
		var err error
		b, err = c.BuildInfo(p.ctx, job, number)
		p.noError("BuildInfo", err)
		return !b.Building && b.Result != ""
	})
	return b
}

func clientBuild(p *probe) {
	c := p.client()
	name, _ := p.job(jobSpec{label: p.agent.name, shell: "#!/bin/sh\necho from the step\n"})
	id, err := c.Build(p.ctx, name, nil, nil)
	p.noError("Build", err)
	number := p.clientNumber(c, id)
	b := p.clientFinish(c, name, number)
	p.equal("result", b.Result, "SUCCESS")
	p.equal("queueId", b.QueueID, id)
	p.equal("builtOn", fmt.Sprint(b.BuiltOn, b.BuiltOnKnown), fmt.Sprint(p.agent.name, true))
	p.holds(time.Since(b.Timestamp) < time.Hour && b.Duration > 0, "times", "of a moment ago", b.Timestamp)
	text, truncated, err := c.ConsoleText(p.ctx, name, number, 1<<20)
	p.noError("ConsoleText", err)
	p.equal("truncated", truncated, false)
	p.contains("console", string(text), "from the step\n")
	p.noError("SetBuildDescription", c.SetBuildDescription(p.ctx, name, number, "attempt 7"))
	recent, err := c.RecentBuilds(p.ctx, name)
	p.noError("RecentBuilds", err)
	p.holds(len(recent) == 1 && recent[0].QueueID == id && recent[0].Description == "attempt 7", "RecentBuilds",
		"the build with its description", recent)
}

func clientParameters(p *probe) {
	c := p.client()
	name, _ := p.job(jobSpec{
		label: p.agent.name, strings: []string{"WORD"}, files: []string{"program"},
		shell: "#!/bin/sh\necho \"word:$WORD\"\nsh ./program\n",
	})
	file := &jenkins.File{Param: "program", Name: "program.sh", Content: []byte("echo from the file\n")}
	id, err := c.Build(p.ctx, name, map[string]string{"WORD": "a&b=c ü"}, file)
	p.noError("Build", err)
	number := p.clientNumber(c, id)
	b := p.clientFinish(c, name, number)
	p.equal("result", b.Result, "SUCCESS")
	p.equal("WORD", b.Params["WORD"], "a&b=c ü")
	text, _, err := c.ConsoleText(p.ctx, name, number, 1<<20)
	p.noError("ConsoleText", err)
	p.contains("console", string(text), "word:a&b=c ü\nfrom the file\n")
}

func clientQueue(p *probe) {
	c := p.client()
	label := p.unique("l")
	name, _ := p.job(jobSpec{label: label})
	id, err := c.Build(p.ctx, name, nil, nil)
	p.noError("Build", err)
	var seen jenkins.QueueItem
	p.until("buildable", func() bool {
		queue, err := c.Queue(p.ctx)
		p.noError("Queue", err)
		found := slices.IndexFunc(queue.Items, func(i jenkins.QueueItem) bool { return i.ID == id })
		if found >= 0 {
			seen = queue.Items[found]
		}
		return seen.Buildable
	})
	p.equal("job", seen.Job, name)
	p.equal("label", seen.LabelExpression, label)
	p.equal("label known", seen.LabelKnown, true)
	p.noError("CancelQueueItem", c.CancelQueueItem(p.ctx, id))
	left, err := c.QueueItem(p.ctx, id)
	p.noError("QueueItem", err)
	p.equal("cancelled", left.Cancelled, true)
	p.holds(c.CancelQueueItem(p.ctx, id) != nil, "cancel again", "an error", "none")
}

func clientStop(p *probe) {
	c := p.client()
	job, number, _ := p.held(jobSpec{label: p.agent.name})
	name := strings.TrimPrefix(job, "/job/")
	a, err := c.Agent(p.ctx, p.agent.name)
	p.noError("Agent", err)
	p.equal("idle", a.Idle, false)
	p.holds(len(a.Running) == 1 && a.Running[0].Job == name && a.Running[0].Number == int64(number), "running", "the build", a.Running)
	p.noError("StopBuild", c.StopBuild(p.ctx, name, int64(number)))
	p.equal("result", p.clientFinish(c, name, int64(number)).Result, "ABORTED")
}

func clientFeed(p *probe) {
	c := p.client()
	name, job := p.job(jobSpec{label: p.agent.name, shell: "true"})
	p.run(job)
	builds, err := c.AgentBuilds(p.ctx, p.agent.name, time.Now().Add(-time.Hour))
	p.noError("AgentBuilds", err)
	found := slices.IndexFunc(builds, func(b jenkins.FeedBuild) bool { return b.Job == name && b.Number == 1 })
	if found < 0 {
		p.differs("feed", "has the build of "+name, fmt.Sprint(builds))
		return
	}
	age := time.Since(builds[found].At)
	p.holds(age > -time.Minute && age < time.Hour, "time in the feed", "a moment ago", builds[found].At)
}

func clientJob(p *probe) {
	c := p.client()
	name := p.unique("j")
	p.deleteAtEnd(jobPath(name))
	p.noError("CreateJob", c.CreateJob(p.ctx, name, []byte(jobSpec{label: "one"}.xml())))
	p.noError("UpdateJob", c.UpdateJob(p.ctx, name, []byte(jobSpec{label: "two"}.xml())))
	document, err := c.JobConfig(p.ctx, name)
	p.noError("JobConfig", err)
	p.contains("document", string(document), "<assignedNode>two</assignedNode>")
	p.noError("DisableJob", c.DisableJob(p.ctx, name))
	_, err = c.Build(p.ctx, name, nil, nil)
	p.holds(jenkins.IsConflict(err), "Build while disabled", "a conflict", err)
	p.noError("EnableJob", c.EnableJob(p.ctx, name))
	listed := false
	for info, err := range c.Jobs(p.ctx) {
		p.noError("Jobs", err)
		listed = listed || info.FullName == name && info.LabelExpression == "two"
	}
	p.equal("listed with its label", listed, true)
	p.noError("DeleteJob", c.DeleteJob(p.ctx, name))
	_, err = c.JobConfig(p.ctx, name)
	p.holds(jenkins.IsNotFound(err), "JobConfig after deletion", "not found", err)
}
