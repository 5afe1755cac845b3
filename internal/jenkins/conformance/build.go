// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// jobSpec describes a FreeStyle job to create.
type jobSpec struct {
	label      string // assignedNode; "" with roam false ties the job to the built-in node
	roam       bool
	concurrent bool
	quiet      int // seconds
	shell      string
	unstable   int // exit status that means UNSTABLE
	keep       int // builds to keep; 0 keeps all
	strings    []string
	files      []string
}

func (j jobSpec) xml() string {
	var x strings.Builder
	x.WriteString("<?xml version='1.1' encoding='UTF-8'?>\n<project>\n  <description>conformance</description>\n" +
		"  <keepDependencies>false</keepDependencies>\n  <properties>")
	if j.keep > 0 {
		fmt.Fprintf(&x, "<jenkins.model.BuildDiscarderProperty><strategy class=\"hudson.tasks.LogRotator\"><daysToKeep>-1</daysToKeep>"+
			"<numToKeep>%d</numToKeep><artifactDaysToKeep>-1</artifactDaysToKeep><artifactNumToKeep>-1</artifactNumToKeep>"+
			"</strategy></jenkins.model.BuildDiscarderProperty>", j.keep)
	}
	if len(j.strings)+len(j.files) > 0 {
		x.WriteString("<hudson.model.ParametersDefinitionProperty><parameterDefinitions>")
		for _, name := range j.strings {
			x.WriteString("<hudson.model.StringParameterDefinition><name>" + name +
				"</name><defaultValue>default</defaultValue><trim>false</trim></hudson.model.StringParameterDefinition>")
		}
		for _, name := range j.files {
			x.WriteString("<hudson.model.FileParameterDefinition><name>" + name + "</name></hudson.model.FileParameterDefinition>")
		}
		x.WriteString("</parameterDefinitions></hudson.model.ParametersDefinitionProperty>")
	}
	x.WriteString("</properties>\n  <scm class=\"hudson.scm.NullSCM\"/>\n")
	if j.quiet > 0 {
		fmt.Fprintf(&x, "  <quietPeriod>%d</quietPeriod>\n", j.quiet)
	}
	if j.label != "" {
		x.WriteString("  <assignedNode>" + escapeXML(j.label) + "</assignedNode>\n")
	}
	fmt.Fprintf(&x, "  <canRoam>%t</canRoam>\n  <disabled>false</disabled>\n  <triggers/>\n  <concurrentBuild>%t</concurrentBuild>\n",
		j.roam, j.concurrent)
	x.WriteString("  <builders><hudson.tasks.Shell><command>" + escapeXML(j.shell) + "</command>")
	if j.unstable > 0 {
		fmt.Fprintf(&x, "<unstableReturn>%d</unstableReturn>", j.unstable)
	}
	x.WriteString("</hudson.tasks.Shell></builders>\n  <publishers/>\n  <buildWrappers/>\n</project>\n")
	return x.String()
}

// job creates a job, has it deleted at the end of the test and returns its path.
func (p *probe) job(j jobSpec) (name, jobURL string) {
	p.Helper()
	name = p.unique("j")
	p.mustBe("create job", p.postXML("/createItem?name="+url.QueryEscape(name), j.xml()), 200)
	p.deleteAtEnd(jobPath(name))
	return name, jobPath(name)
}

// schedule starts the job without delay and returns the queue item.
func (p *probe) schedule(job string) int {
	p.Helper()
	a := p.post(job+"/build?delay=0sec", nil)
	p.mustBe("POST build", a, 201)
	return p.itemID(a)
}

func (p *probe) itemID(a answer) int {
	p.Helper()
	location, err := url.Parse(a.header.Get("Location"))
	if err == nil {
		var id int
		if id, err = strconv.Atoi(path.Base(location.Path)); err == nil {
			return id
		}
	}
	p.differs("Location of a queued build", "URL of a queue item", a.header.Get("Location"))
	p.FailNow()
	return 0
}

// item is an entry of the queue.
type item struct {
	Class                      string `json:"_class"`
	ID                         int
	Why                        *string
	Blocked, Buildable, Stuck  bool
	Pending                    bool
	Cancelled                  *bool
	Params                     string
	URL                        string
	InQueueSince, Timestamp    int64
	BuildableStartMilliseconds int64
	Task                       struct{ Class, Name, URL, LabelExpression string }
	Executable                 *struct {
		Number int
		URL    string
	}
}

func (i item) why() string {
	if i.Why == nil {
		return ""
	}
	return *i.Why
}

func (p *probe) item(id int) item {
	p.Helper()
	return readJSON[item](p, fmt.Sprintf("/queue/item/%d/api/json", id))
}

// number waits until the item has become a build.
func (p *probe) number(id int) int {
	p.Helper()
	number := 0
	p.until(fmt.Sprintf("start of item %d", id), func() bool {
		i := p.item(id)
		if i.Executable != nil {
			number = i.Executable.Number
		}
		return number > 0
	})
	return number
}

// build is one run of a job.
type build struct {
	Number, QueueID      int
	Building, InProgress bool
	Result               *string
	BuiltOn              *string
	Duration, Timestamp  int64
	DisplayName, URL     string
}

func (b build) result() string {
	if b.Result == nil {
		return ""
	}
	return *b.Result
}

func (p *probe) build(job string, number int) build {
	p.Helper()
	return readJSON[build](p, fmt.Sprintf("%s/%d/api/json", job, number))
}

// finish waits until the build has ended.
func (p *probe) finish(job string, number int) build {
	p.Helper()
	var b build
	p.until("end of the build", func() bool {
		b = p.build(job, number)
		return !b.Building && b.Result != nil
	})
	return b
}

// run schedules the job, waits for its end and returns the build and its console.
func (p *probe) run(job string) (build, string) {
	p.Helper()
	number := p.number(p.schedule(job))
	b := p.finish(job, number)
	return b, p.console(job, number)
}

func (p *probe) console(job string, number int) string {
	p.Helper()
	a := p.get(fmt.Sprintf("%s/%d/consoleText", job, number))
	p.mustBe("GET consoleText", a, 200)
	return a.body
}

// lines are the console's lines that begin with mark, without it.
func lines(console, mark string) []string {
	var found []string
	for line := range strings.Lines(console) {
		if rest, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), mark); ok {
			found = append(found, rest)
		}
	}
	return found
}
